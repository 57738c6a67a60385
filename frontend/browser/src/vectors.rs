//! For `crates/vectors` only: the calls of WebCrypto that the rest of this crate makes, so that
//! published test vectors run through these very ones.

use crate::{Row, StoreError, at_rest, webcrypto};
use rly_protocol::{PublicKey, Signature};
use wasm_bindgen::JsValue;
use wasm_bindgen_futures::JsFuture;
use web_sys::CryptoKey;

/// How a letter's signature is checked.
///
/// # Errors
/// What WebCrypto threw.
pub async fn verify(key: &PublicKey, signature: &Signature, message: &[u8]) -> Result<bool, JsValue> {
    webcrypto::verify(key, signature, message).await
}

/// How the key of a card is derived.
///
/// # Errors
/// What WebCrypto threw.
pub async fn hkdf_aes_key(secret: &[u8], info: &[u8]) -> Result<CryptoKey, JsValue> {
    webcrypto::hkdf_aes_key(secret, info).await
}

/// How a row is sealed.
///
/// # Errors
/// What WebCrypto threw.
pub async fn encrypt(key: &CryptoKey, nonce: &[u8; 12], aad: &[u8], text: &[u8]) -> Result<Vec<u8>, JsValue> {
    let sealed = JsFuture::from(webcrypto::encrypt(key, nonce, aad, text)?).await?;
    Ok(webcrypto::bytes(&sealed))
}

/// How a row and a card are opened.
///
/// # Errors
/// What WebCrypto threw: an `OperationError` when a bit is not as it was.
pub async fn decrypt(key: &CryptoKey, nonce: &[u8; 12], aad: &[u8], text: &[u8]) -> Result<Vec<u8>, JsValue> {
    let opened = JsFuture::from(webcrypto::decrypt(key, nonce, aad, text)?).await?;
    Ok(webcrypto::bytes(&opened))
}

/// What seals rows, with a fresh key.
pub struct AtRest(at_rest::AtRest);

impl AtRest {
    /// Makes the key.
    ///
    /// # Errors
    /// What WebCrypto threw.
    pub async fn fresh() -> Result<Self, JsValue> {
        Ok(Self(at_rest::AtRest::with(webcrypto::new_aes_key().await?)))
    }

    /// See the store.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn seal(&self, rows: &[Row]) -> Result<Vec<Row>, StoreError> {
        self.0.seal(rows).await
    }

    /// See the store.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn open(&self, rows: Vec<Row>) -> Result<Vec<Row>, StoreError> {
        self.0.open(rows).await
    }
}
