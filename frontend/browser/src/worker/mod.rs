//! What a worker of either kind is made of: its place among the tabs of a browser, the server's socket
//! and HTTP.

mod erased;
mod http;
mod lock;
mod socket;
mod tab;
mod wire;

pub use erased::erased;
pub(crate) use erased::tell_erased;
pub use http::{Refused, ask};
pub use socket::{Socket, SocketEvent};
pub use tab::{Asker, Said, Tab, start};
