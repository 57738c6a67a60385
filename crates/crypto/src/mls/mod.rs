//! Direct chats: MLS groups (RFC 9420) of two members, by OpenMLS.

mod conversation;
mod credential;
mod crypto;
mod error;
mod key_package;
mod provider;
mod signer;

pub use conversation::{Conversation, Received, group_of_message};
pub use error::MlsError;
pub use key_package::{KeyPackageSecrets, make_key_package};
#[cfg(feature = "vectors")]
pub use provider::Provider;

use openmls::prelude::Ciphersuite;

/// The one suite in use.
const SUITE: Ciphersuite = Ciphersuite::MLS_128_DHKEMP256_AES128GCM_SHA256_P256;
