//! The messenger's own pages, which a letter does not need. In the browser they come in a file of their
//! own: scripts/build-web splits it off at [`split::pages`]. Elsewhere they are simply there.

use super::{chat::Chat, settings::Settings};
use crate::{browser, components::Alert, text::text};
use leptos::{prelude::*, task::spawn_local};

/// Makes them. None takes anything: what they show they find in the context.
#[derive(Clone, Copy)]
struct Pages {
    chat: fn() -> AnyView,
    settings: fn() -> AnyView,
}

/// The file did not come: no connection, or a server that has a newer one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotLoaded;

fn all() -> Pages {
    Pages {
        chat: || view! { <Chat /> }.into_any(),
        settings: || view! { <Settings /> }.into_any(),
    }
}

#[cfg(target_family = "wasm")]
mod split {
    // What the macro makes of the function is an import and an export: a matter between linkers, with
    // no memory involved.
    #![allow(unsafe_code)]

    use super::{NotLoaded, Pages};
    use std::cell::Cell;
    use wasm_split_helpers::{SplitLoaderError, wasm_split};

    thread_local! {
        static LOADED: Cell<Option<Pages>> = const { Cell::new(None) };
    }

    #[wasm_split(messenger, fallible)]
    fn pages() -> Result<Pages, SplitLoaderError> {
        Ok(super::all())
    }

    pub fn loaded() -> Option<Pages> {
        LOADED.get()
    }

    pub async fn load() -> Result<(), NotLoaded> {
        if LOADED.get().is_none() {
            let pages = pages().await.map_err(|_| NotLoaded)?;
            LOADED.set(Some(pages));
        }
        Ok(())
    }
}

#[cfg(not(target_family = "wasm"))]
mod split {
    use super::{NotLoaded, Pages};

    pub fn loaded() -> Option<Pages> {
        Some(super::all())
    }

    pub async fn load() -> Result<(), NotLoaded> {
        Ok(())
    }
}

pub use split::load;

/// `/chat`.
#[component]
pub fn ChatPage() -> impl IntoView {
    once_loaded(|pages| (pages.chat)())
}

/// `/settings`.
#[component]
pub fn SettingsPage() -> impl IntoView {
    once_loaded(|pages| (pages.settings)())
}

/// The page at once where it is there: on the server, when it is hydrated, and soon after the worker's
/// first word. Who comes from a letter before that waits a moment.
fn once_loaded(page: fn(Pages) -> AnyView) -> AnyView {
    if let Some(pages) = split::loaded() {
        return page(pages);
    }
    let t = text();
    let failed = RwSignal::new(None);
    let loaded = RwSignal::new(false);
    spawn_local(async move {
        // The person may have gone on by now.
        let _ = match load().await {
            Ok(()) => loaded.try_set(true).is_some(),
            Err(NotLoaded) => failed.try_set(Some(t.not_loaded.to_owned())).is_some(),
        };
    });
    let waiting = move || {
        view! {
            <main class="page narrow">
                <Alert words=failed />
                {move || match failed.get() {
                    None => view! { <p class="empty">{t.loading}</p> }.into_any(),
                    Some(_) => {
                        view! {
                            <button type="button" class="button" on:click=|_| browser::reload()>
                                {t.reload}
                            </button>
                        }
                            .into_any()
                    }
                }}
            </main>
        }
    };
    let show = move || match loaded.get().then(split::loaded).flatten() {
        Some(pages) => page(pages),
        None => waiting().into_any(),
    };
    show.into_any()
}

/// Whether the page of this path is one of them. It has to be loaded before it is hydrated.
#[cfg(feature = "hydrate")]
pub fn has(path: &str) -> bool {
    matches!(path, "/chat" | "/settings")
}
