use leptos::prelude::*;

/// An error in words. It is in the page only while there is one.
#[component]
pub fn Alert(#[prop(into)] words: Signal<Option<String>>) -> impl IntoView {
    move || {
        words
            .get()
            .map(|words| view! { <p class="alert" role="alert">{words}</p> })
    }
}
