#![allow(
    missing_docs,
    reason = "the macro's struct holds the arguments, which the protocol's type explains"
)]

use super::ApiError;
use leptos::prelude::*;
use rly_protocol::PublicKey;
use rly_protocol::api::Imported;
use server_fn::codec::Json;

/// Opens an invite, which uses it up; the same claim key may repeat it for 10 minutes.
///
/// # Errors
/// [`ApiError`] with the server's code, or without one if it was not reached.
#[server(name = ImportContactCall, prefix = "/api", endpoint = "import_contact", input = Json, output = Json)]
pub async fn import_contact(invite: String, claim_key: PublicKey) -> Result<Imported, ApiError> {
    let (relay, peer) = super::relay()?;
    let slot = use_context();
    let request = rly_protocol::api::ImportContact { invite, claim_key };
    relay
        .import_contact(peer, request)
        .await
        .map_err(|refusal| super::refuse(refusal, slot))
}
