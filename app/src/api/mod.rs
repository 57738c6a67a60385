//! The three server functions of a link's life. Each is a one-liner over [`rly_relay::Relay`]; the
//! pages call them as functions, everybody else as JSON over HTTP.

mod error;
mod import_contact;
mod register_sim;
mod share_contact;

pub use error::ApiError;
pub use import_contact::{ImportContactCall, import_contact};
pub use register_sim::{RegisterSimCall, register_sim};
pub use share_contact::{ShareContactCall, share_contact};

#[cfg(feature = "ssr")]
mod context {
    use super::ApiError;
    use leptos::prelude::use_context;
    use rly_protocol::ErrorCode;
    use rly_relay::{Refusal, Relay};
    use std::{
        net::IpAddr,
        sync::{Arc, OnceLock},
        time::Duration,
    };

    /// Context of a request: who asks. Only for rate limits; never logged.
    #[derive(Clone, Copy)]
    pub struct Peer(pub IpAddr);

    /// Context of a request: where a refusal leaves how long to wait, for the `Retry-After` header.
    #[derive(Clone, Default)]
    pub struct RetryAfter(pub Arc<OnceLock<Duration>>);

    /// The relay and the peer of this request.
    pub(super) fn relay() -> Result<(Relay, IpAddr), ApiError> {
        match (use_context::<Relay>(), use_context::<Peer>()) {
            (Some(relay), Some(Peer(peer))) => Ok((relay, peer)),
            _ => Err(ApiError::new(ErrorCode::Internal)),
        }
    }

    /// Tells the answer's layer how long to wait, and gives the error that the client sees.
    pub(super) fn refuse(refusal: Refusal, slot: Option<RetryAfter>) -> ApiError {
        if let (Some(wait), Some(RetryAfter(slot))) = (refusal.retry_after, slot) {
            // A request is refused once, so the slot is empty.
            let _ = slot.set(wait);
        }
        refusal.into()
    }
}

#[cfg(feature = "ssr")]
pub use context::{Peer, RetryAfter};
#[cfg(feature = "ssr")]
use context::{refuse, relay};
