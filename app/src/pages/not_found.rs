use crate::{components::Frame, text::text};
use leptos::prelude::*;

/// A path that does not exist.
#[component]
pub fn NotFound() -> impl IntoView {
    let t = text();
    view! {
        <Frame title=t.not_found_title class="narrow">
            <section class="sheet centred">
                <h1>{t.not_found_title}</h1>
                <p>{t.not_found}</p>
                <p>
                    <a class="button" href="/">
                        {t.to_start}
                    </a>
                </p>
            </section>
        </Frame>
    }
}
