//! The pages of rooms. Like the messenger's they come in a file of their own: scripts/build-web splits it
//! off at [`split::pages`].

mod make;
mod outside;
mod room;
mod say;
mod session;
mod talk;
mod thread;

use super::later::{NotLoaded, once_loaded};
use leptos::prelude::*;
use make::Make;
use room::Room;

/// Makes them. None takes anything: what they show they find in the context.
#[derive(Clone, Copy)]
struct Pages {
    room: fn() -> AnyView,
    make: fn() -> AnyView,
}

fn all() -> Pages {
    Pages {
        room: || view! { <Room /> }.into_any(),
        make: || view! { <Make /> }.into_any(),
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

    #[wasm_split(rooms, fallible)]
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

/// `/r`.
#[component]
pub fn RoomPage() -> impl IntoView {
    once_loaded(|| Some((split::loaded()?.room)()), || Box::pin(load()))
}

/// `/rooms`.
#[component]
pub fn RoomsPage() -> impl IntoView {
    once_loaded(|| Some((split::loaded()?.make)()), || Box::pin(load()))
}

/// Whether the page of this path is one of them. It has to be loaded before it is hydrated.
#[cfg(feature = "hydrate")]
pub fn has(path: &str) -> bool {
    matches!(path, "/r" | "/rooms")
}
