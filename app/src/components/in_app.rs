use super::CopyButton;
use crate::{browser, text::text};
use leptos::prelude::*;

/// Inside an app's built-in browser: offers the link for a real one.
#[component]
pub fn InApp() -> impl IntoView {
    let t = text();
    let inside = RwSignal::new(false);
    Effect::new(move || inside.set(browser::in_app()));
    move || {
        inside.get().then(|| {
            view! {
                <aside class="notice">
                    <h2>{t.in_app_title}</h2>
                    <p>{t.in_app}</p>
                    <CopyButton label=t.copy_link value=Callback::new(|()| browser::address()) />
                </aside>
            }
        })
    }
}
