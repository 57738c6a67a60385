//! The few calls of WebCrypto that are used, with their parameters in place.

use crate::{StoreError, global};
use js_sys::{Array, Object, Promise, Reflect, Uint8Array};
use rly_protocol::{PublicKey, Signature};
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{AesGcmParams, CryptoKey, CryptoKeyPair, EcdsaParams, HkdfParams};

/// A new AES-256-GCM key that no script can read.
pub(crate) async fn new_aes_key() -> Result<CryptoKey, JsValue> {
    let key = global::subtle().map_err(refused)?.generate_key_with_object(
        &aes_256_gcm()?,
        false,
        &words(&["encrypt", "decrypt"]),
    )?;
    JsFuture::from(key).await?.dyn_into()
}

/// The AES-256-GCM key that HKDF-SHA-256 with empty salt makes of a secret.
pub(crate) async fn hkdf_aes_key(secret: &[u8], info: &[u8]) -> Result<CryptoKey, JsValue> {
    let subtle = global::subtle().map_err(refused)?;
    let secret = subtle.import_key_with_str(
        "raw",
        &Uint8Array::from(secret),
        "HKDF",
        false,
        &words(&["deriveKey"]),
    )?;
    let secret: CryptoKey = JsFuture::from(secret).await?.dyn_into()?;
    let parameters = HkdfParams::new_with_str(
        "HKDF",
        "SHA-256",
        &Uint8Array::from(info),
        &Uint8Array::new_with_length(0),
    );
    let key = subtle.derive_key_with_object_and_object(
        &parameters,
        &secret,
        &aes_256_gcm()?,
        false,
        &words(&["decrypt"]),
    )?;
    JsFuture::from(key).await?.dyn_into()
}

/// Starts an encryption. The input is copied before this returns.
pub(crate) fn encrypt(
    key: &CryptoKey,
    nonce: &[u8; 12],
    aad: &[u8],
    text: &[u8],
) -> Result<Promise, JsValue> {
    global::subtle()
        .map_err(refused)?
        .encrypt_with_object_and_js_u8_array(&gcm(nonce, aad), key, &Uint8Array::from(text))
}

/// Starts a decryption. The input is copied before this returns.
pub(crate) fn decrypt(
    key: &CryptoKey,
    nonce: &[u8; 12],
    aad: &[u8],
    text: &[u8],
) -> Result<Promise, JsValue> {
    global::subtle()
        .map_err(refused)?
        .decrypt_with_object_and_js_u8_array(&gcm(nonce, aad), key, &Uint8Array::from(text))
}

/// The bytes that an encryption or decryption gave.
pub(crate) fn bytes(buffer: &JsValue) -> Vec<u8> {
    Uint8Array::new(buffer).to_vec()
}

/// Whether this is the key's ECDSA P-256 SHA-256 signature; a key that is no point of the curve
/// signs nothing.
pub(crate) async fn verify(key: &PublicKey, signature: &Signature, message: &[u8]) -> Result<bool, JsValue> {
    let subtle = global::subtle().map_err(refused)?;
    let imported = subtle.import_key_with_object(
        "raw",
        &Uint8Array::from(&key.as_bytes()[..]),
        &ecdsa_p256()?,
        false,
        &words(&["verify"]),
    )?;
    let Ok(key) = JsFuture::from(imported).await else {
        return Ok(false);
    };
    let verified = subtle.verify_with_object_and_js_u8_array_and_js_u8_array(
        &EcdsaParams::new_with_str("ECDSA", "SHA-256"),
        &key.dyn_into()?,
        &Uint8Array::from(&signature.0[..]),
        &Uint8Array::from(message),
    )?;
    Ok(JsFuture::from(verified).await?.is_truthy())
}

/// The public half of a fresh key whose private half nobody keeps.
pub(crate) async fn new_public_key() -> Result<PublicKey, JsValue> {
    Ok(new_key_pair().await?.1)
}

/// A fresh ECDSA P-256 key that no script can read, and its public half.
pub(crate) async fn new_key_pair() -> Result<(CryptoKey, PublicKey), JsValue> {
    let subtle = global::subtle().map_err(refused)?;
    let pair = subtle.generate_key_with_object(&ecdsa_p256()?, false, &words(&["sign", "verify"]))?;
    let pair: CryptoKeyPair = JsFuture::from(pair).await?.unchecked_into();
    let exported = JsFuture::from(subtle.export_key("raw", &pair.get_public_key())?).await?;
    let public = PublicKey::try_from(&bytes(&exported)[..]).map_err(|_| JsValue::UNDEFINED)?;
    Ok((pair.get_private_key(), public))
}

/// An ECDSA P-256 SHA-256 signature.
pub(crate) async fn sign(key: &CryptoKey, message: &[u8]) -> Result<Signature, JsValue> {
    let signed = global::subtle()
        .map_err(refused)?
        .sign_with_object_and_js_u8_array(
            &EcdsaParams::new_with_str("ECDSA", "SHA-256"),
            key,
            &Uint8Array::from(message),
        )?;
    let signature = bytes(&JsFuture::from(signed).await?);
    Ok(Signature(signature.try_into().map_err(|_| JsValue::UNDEFINED)?))
}

fn gcm(nonce: &[u8; 12], aad: &[u8]) -> AesGcmParams {
    let parameters = AesGcmParams::new_with_u8_array("AES-GCM", &Uint8Array::from(&nonce[..]));
    parameters.set_additional_data_u8_array(&Uint8Array::from(aad));
    parameters
}

fn aes_256_gcm() -> Result<Object, JsValue> {
    let algorithm = Object::new();
    Reflect::set(&algorithm, &"name".into(), &"AES-GCM".into())?;
    Reflect::set(&algorithm, &"length".into(), &256.into())?;
    Ok(algorithm)
}

fn ecdsa_p256() -> Result<Object, JsValue> {
    let algorithm = Object::new();
    Reflect::set(&algorithm, &"name".into(), &"ECDSA".into())?;
    Reflect::set(&algorithm, &"namedCurve".into(), &"P-256".into())?;
    Ok(algorithm)
}

fn words(words: &[&str]) -> Array {
    words.iter().map(|word| JsValue::from_str(word)).collect()
}

fn refused(_: StoreError) -> JsValue {
    JsValue::UNDEFINED
}
