//! Rows at rest: sealed with a key that the browser keeps and no script can read.
//!
//! Sealed = version byte 1, nonce (12), AES-256-GCM ciphertext and tag, with the row's key as
//! additional data, so that no row can be put in another's place.

use crate::{Key, Row, StoreError, db::Db, random, webcrypto};
use js_sys::{Array, Promise};
use rly_view::card::{join_sealed, split_sealed};
use wasm_bindgen::JsValue;
use wasm_bindgen_futures::JsFuture;
use web_sys::CryptoKey;

/// Seals and opens rows.
pub(crate) struct AtRest(CryptoKey);

impl AtRest {
    /// The key of this browser, made if there is none yet.
    pub(crate) async fn of(db: &Db) -> Result<Self, StoreError> {
        if let Some(key) = db.at_rest_key().await? {
            return Ok(Self(key));
        }
        let fresh = webcrypto::new_aes_key().await.map_err(|_| StoreError::Refused)?;
        db.keep_at_rest_key(fresh).await.map(Self)
    }

    /// With a key that no browser keeps.
    #[cfg(feature = "vectors")]
    pub(crate) fn with(key: CryptoKey) -> Self {
        Self(key)
    }

    /// Seals rows, all at once.
    pub(crate) async fn seal(&self, rows: &[Row]) -> Result<Vec<Row>, StoreError> {
        let nonces: Vec<[u8; 12]> = rows.iter().map(|_| random::bytes()).collect();
        let started = rows
            .iter()
            .zip(&nonces)
            .map(|((key, value), nonce)| webcrypto::encrypt(&self.0, nonce, key, value));
        // WebCrypto refuses only when the whole context is refused.
        let sealed = all(started).await.map_err(|_| StoreError::Refused)?;
        let sealed = sealed.iter().map(|buffer| webcrypto::bytes(&buffer));
        Ok(rows
            .iter()
            .zip(nonces.iter().zip(sealed))
            .map(|((key, _), (nonce, ciphertext))| (key.clone(), join_sealed(nonce, &ciphertext)))
            .collect())
    }

    /// Opens rows, all at once. One that cannot be opened fails them all: [`StoreError::Broken`].
    pub(crate) async fn open(&self, rows: Vec<Row>) -> Result<Vec<Row>, StoreError> {
        let mut started = Vec::with_capacity(rows.len());
        for (key, sealed) in &rows {
            let (nonce, ciphertext) = split_sealed(sealed).ok_or(StoreError::Broken)?;
            started.push(webcrypto::decrypt(&self.0, nonce, key, ciphertext));
        }
        let opened = all(started.into_iter()).await.map_err(|_| StoreError::Broken)?;
        let keys = rows.into_iter().map(|(key, _): (Key, _)| key);
        Ok(keys
            .zip(opened.iter().map(|buffer| webcrypto::bytes(&buffer)))
            .collect())
    }

    /// Opens rows. The value of one that cannot be opened is empty.
    pub(crate) async fn open_each(&self, rows: Vec<Row>) -> Result<Vec<Row>, StoreError> {
        match self.open(rows.clone()).await {
            Err(StoreError::Broken) => {}
            opened => return opened,
        }
        let mut opened = Vec::with_capacity(rows.len());
        for (key, sealed) in rows {
            match self.open(vec![(key.clone(), sealed)]).await {
                Err(StoreError::Broken) => opened.push((key, Vec::new())),
                row => opened.extend(row?),
            }
        }
        Ok(opened)
    }
}

async fn all(started: impl Iterator<Item = Result<Promise, JsValue>>) -> Result<Array, JsValue> {
    let promises = started.collect::<Result<Array, JsValue>>()?;
    Ok(Array::from(&JsFuture::from(Promise::all(&promises)).await?))
}
