//! Keys that sign and that no script can read: one for each room that somebody is in.

use crate::{StoreError, webcrypto};
use rly_protocol::{PublicKey, Signature};
use web_sys::CryptoKey;

/// An ECDSA P-256 key of the browser's, not extractable.
#[derive(Clone)]
pub struct SigningKey(pub(crate) CryptoKey);

impl SigningKey {
    /// A new one, and its public half.
    ///
    /// # Errors
    /// [`StoreError::Refused`], where WebCrypto is refused.
    pub async fn generate() -> Result<(Self, PublicKey), StoreError> {
        let (key, public) = webcrypto::new_key_pair().await.map_err(|_| StoreError::Refused)?;
        Ok((Self(key), public))
    }

    /// Signs with SHA-256.
    ///
    /// # Errors
    /// [`StoreError::Refused`], where WebCrypto is refused.
    pub async fn sign(&self, message: &[u8]) -> Result<Signature, StoreError> {
        webcrypto::sign(&self.0, message)
            .await
            .map_err(|_| StoreError::Refused)
    }
}
