use super::Alert;
use crate::{browser, platform::Lack, text::text};
use leptos::{html, prelude::*};
use leptos_meta::Title;

/// What surrounds every page: title, header, main.
#[component]
pub fn Frame(
    /// The page's name, in the window's title.
    title: &'static str,
    /// Chooses the page's style.
    class: &'static str,
    children: Children,
) -> impl IntoView {
    let t = text();
    let title = if title == t.app {
        t.app.to_owned()
    } else {
        format!("{title} · {}", t.app)
    };
    let main = NodeRef::<html::Main>::new();
    // Not a link to `#main`: on some pages the fragment says what is shown.
    let skip = move |_| {
        if let Some(main) = main.get_untracked() {
            browser::focus(&main);
        }
    };
    view! {
        <Title text=title />
        <div class=format!("page {class}")>
            <button type="button" class="skip" on:click=skip>
                {t.skip}
            </button>
            <header class="top">
                <a class="brand" href="/">
                    <svg class="logo" viewBox="0 0 32 32" aria-hidden="true" focusable="false">
                        <path class="logo-paper" d="M3 8a3 3 0 0 1 3-3h20a3 3 0 0 1 3 3v13a3 3 0 0 1-3 3H14l-6 5v-5H6a3 3 0 0 1-3-3z" />
                        <path class="logo-fold" d="M5 8l11 8 11-8" />
                    </svg>
                    <span>{t.app}</span>
                </a>
                <nav aria-label=t.pages>
                    <a href="/chat">{t.chats}</a>
                    <a href="/settings">{t.settings}</a>
                </nav>
            </header>
            <main tabindex="-1" node_ref=main>
                {children()}
            </main>
        </div>
    }
}

/// Says what the browser lacks.
#[component]
pub fn LackNotice(lack: RwSignal<Option<Lack>>) -> impl IntoView {
    let t = text();
    let words = Signal::derive(move || {
        lack.get().map(|lack| {
            match lack {
                Lack::SecureContext => t.lack_secure,
                Lack::Storage => t.lack_storage,
                Lack::Features => t.lack_features,
            }
            .to_owned()
        })
    });
    view! { <Alert words=words /> }
}
