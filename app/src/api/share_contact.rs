#![allow(
    missing_docs,
    reason = "the macro's struct holds the arguments, which the protocol's type explains"
)]

use super::ApiError;
use leptos::prelude::*;
use rly_protocol::api::{Blob, Shared};
use server_fn::codec::Json;

/// Makes an invite for the mailbox of this token.
///
/// # Errors
/// [`ApiError`] with the server's code, or without one if it was not reached.
#[server(name = ShareContactCall, prefix = "/api", endpoint = "share_contact", input = Json, output = Json)]
pub async fn share_contact(address_token: String, card: Blob, ttl_seconds: u64) -> Result<Shared, ApiError> {
    let (relay, peer) = super::relay()?;
    let slot = use_context();
    let request = rly_protocol::api::ShareContact {
        address_token,
        card,
        ttl_seconds,
    };
    relay
        .share_contact(peer, request)
        .await
        .map_err(|refusal| super::refuse(refusal, slot))
}
