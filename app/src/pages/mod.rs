//! The pages, one for each path.

#[cfg(not(feature = "rooms"))]
mod chat;
pub mod later;
mod letter;
#[cfg(not(feature = "rooms"))]
pub mod messenger;
mod not_found;
mod open;
#[cfg(any(feature = "ssr", feature = "rooms"))]
pub mod rooms;
#[cfg(not(feature = "rooms"))]
mod settings;
mod start;

pub use letter::Letter;
#[cfg(not(feature = "rooms"))]
pub use messenger::{ChatPage, SettingsPage};
pub use not_found::NotFound;
pub use open::Open;
#[cfg(any(feature = "ssr", feature = "rooms"))]
pub use rooms::{Make, Room};
pub use start::Start;

use leptos::prelude::*;
use leptos_router::hooks::use_location;

/// The fragment, without `#`. Nothing until the page is hydrated: the server does not know it.
fn use_fragment() -> Signal<Option<String>> {
    let hash = use_location().hash;
    let fragment = RwSignal::new(None);
    Effect::new(move || {
        let hash = hash.get();
        fragment.set(Some(hash.strip_prefix('#').unwrap_or(&hash).to_owned()));
    });
    fragment.into()
}
