//! The pages of rooms. In the browser they are a module of their own (the feature `rooms`), beside that of
//! all other pages: neither loads anything of the other, and a link between the two loads a page anew.

mod make;
mod outside;
mod room;
mod say;
mod session;
mod talk;
mod thread;

pub use make::Make;
pub use room::Room;

/// Whether the page of this path is one of them.
pub fn has(path: &str) -> bool {
    matches!(path, "/r" | "/rooms")
}
