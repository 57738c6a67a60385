#![allow(
    missing_docs,
    reason = "the macro's struct holds the arguments, which the protocol's type explains"
)]

use super::ApiError;
use leptos::prelude::*;
use rly_protocol::PublicKey;
use rly_protocol::api::Registered;
use server_fn::codec::Json;

/// Makes a mailbox for this reader key.
///
/// # Errors
/// [`ApiError`] with the server's code, or without one if it was not reached.
#[server(name = RegisterSimCall, prefix = "/api", endpoint = "register_sim", input = Json, output = Json)]
pub async fn register_sim(reader_key: PublicKey) -> Result<Registered, ApiError> {
    let (relay, peer) = super::relay()?;
    let slot = use_context();
    let request = rly_protocol::api::RegisterSim { reader_key };
    relay
        .register_sim(peer, request)
        .await
        .map_err(|refusal| super::refuse(refusal, slot))
}
