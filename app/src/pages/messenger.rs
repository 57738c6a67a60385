//! The messenger's own pages, which a letter does not need. In the browser they come in a file of their
//! own: scripts/build-web splits it off at [`split::pages`]. Elsewhere they are simply there.

use super::{
    chat::Chat,
    later::{NotLoaded, once_loaded},
    settings::Settings,
};
use leptos::prelude::*;

/// Makes them. None takes anything: what they show they find in the context.
#[derive(Clone, Copy)]
struct Pages {
    chat: fn() -> AnyView,
    settings: fn() -> AnyView,
}

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
    once_loaded(|| Some((split::loaded()?.chat)()), || Box::pin(load()))
}

/// `/settings`.
#[component]
pub fn SettingsPage() -> impl IntoView {
    once_loaded(|| Some((split::loaded()?.settings)()), || Box::pin(load()))
}

/// Whether the page of this path is one of them. It has to be loaded before it is hydrated.
#[cfg(feature = "hydrate")]
pub fn has(path: &str) -> bool {
    matches!(path, "/chat" | "/settings")
}
