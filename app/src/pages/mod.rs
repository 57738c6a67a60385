//! The pages, one for each path.

mod chat;
pub mod later;
mod letter;
pub mod messenger;
mod not_found;
mod open;
pub mod rooms;
mod settings;
mod start;

pub use letter::Letter;
pub use messenger::{ChatPage, SettingsPage};
pub use not_found::NotFound;
pub use open::Open;
pub use rooms::{RoomPage, RoomsPage};
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
