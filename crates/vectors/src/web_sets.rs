//! WebCrypto, through the calls that the page and the worker make.

use crate::{
    Report, Set,
    data::{Verdict, load},
    hpke::odd_points,
    wycheproof::{AES_GCM, ECDSA_P1363, Ecdsa, Gcm, Hkdf, decode, gcm_cuts, hkdf_as_we_use_it},
};
use js_sys::{Array, Reflect, Uint8Array};
use rly_browser::{letters, vectors as webcrypto};
use rly_crypto::{Sim, vectors};
use rly_protocol::{Address, Encode, PublicKey, Signature, Timestamp, padding};
use rly_view::{
    OpenedLetter,
    card::{CARD_KEY_INFO, Card, SEAL_OVERHEAD, SignedCard, join_sealed, signed_message},
};
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{CryptoKey, SubtleCrypto};

pub(crate) async fn run() -> Result<Vec<Report>, JsValue> {
    Ok(vec![
        ecdsa().await?,
        forms_of_points().await?,
        twins().await?,
        aes_gcm().await?,
        aes_gcm_cut().await?,
        hkdf().await?,
        at_rest().await?,
        cards().await?,
        signed_cards().await?,
    ])
}

async fn ecdsa() -> Result<Report, JsValue> {
    let mut set = Set::new("Wycheproof ECDSA P-256 r||s: WebCrypto", 262);
    for vector in load::<Ecdsa>(ECDSA_P1363) {
        let key = PublicKey::try_from(&vector.key[..]).ok();
        let verified = match (key, decode(&vector.sig)) {
            (Some(key), Some(signature)) => webcrypto::verify(&key, &signature, &vector.msg).await?,
            _ => false,
        };
        set.check(verified == (vector.result == Verdict::Valid), || {
            format!("tcId {}", vector.id)
        });
    }
    Ok(set.end())
}

async fn forms_of_points() -> Result<Report, JsValue> {
    let mut set = Set::new("forms of P-256 points: WebCrypto", 13);
    let (secret, public) = vectors::key_pair(&[9; 32]);
    let (signature, _) = vectors::sign(&secret, b"m").ok_or("no key")?;
    if !webcrypto::verify(&public, &signature, b"m").await? {
        return Err("the right point is refused".into());
    }
    for (form, point) in odd_points(public.as_bytes()) {
        let verified = match PublicKey::try_from(&point[..]) {
            Ok(key) => webcrypto::verify(&key, &signature, b"m").await?,
            Err(_) => false,
        };
        set.check(!verified, || form.into());
    }
    Ok(set.end())
}

/// s and n - s: accepted natively and here alike, and no cut of either.
async fn twins() -> Result<Report, JsValue> {
    let mut set = Set::new(
        "twins of a signature, and zeros from byte n: WebCrypto",
        2 + 2 * 64,
    );
    let (secret, public) = vectors::key_pair(&[9; 32]);
    let (signature, _) = vectors::sign(&secret, b"m").ok_or("no key")?;
    for signature in [signature, vectors::twin(&signature).ok_or("no twin")?] {
        let both = webcrypto::verify(&public, &signature, b"m").await?
            && rly_crypto::verify(&public, b"m", &signature).is_ok();
        set.check(both, || "accepted".into());
        for n in 0..64 {
            let mut cut = signature;
            cut.0[n..].fill(0);
            let verified = webcrypto::verify(&public, &cut, b"m").await?;
            set.check(!verified || cut == signature, || format!("zeros from {n}"));
        }
    }
    Ok(set.end())
}

async fn import(key: &[u8]) -> Result<CryptoKey, JsValue> {
    let crypto = Reflect::get(&js_sys::global(), &"crypto".into())?;
    let subtle: SubtleCrypto = Reflect::get(&crypto, &"subtle".into())?.dyn_into()?;
    let usages: Array = ["encrypt", "decrypt"]
        .iter()
        .map(|usage| JsValue::from(*usage))
        .collect();
    let key = subtle.import_key_with_str("raw", &Uint8Array::from(key), "AES-GCM", false, &usages)?;
    JsFuture::from(key).await?.dyn_into()
}

fn nonce(vector: &Gcm) -> Result<&[u8; 12], JsValue> {
    vector.iv[..]
        .try_into()
        .map_err(|_| "a nonce of another length".into())
}

async fn aes_gcm() -> Result<Report, JsValue> {
    let mut set = Set::new("Wycheproof AES-GCM, 128 and 256: WebCrypto", 133);
    for vector in load::<Gcm>(AES_GCM) {
        let (key, nonce) = (import(&vector.key).await?, nonce(&vector)?);
        let opened = webcrypto::decrypt(&key, nonce, &vector.aad, &vector.ct)
            .await
            .ok();
        let good = if vector.result == Verdict::Valid {
            let sealed = webcrypto::encrypt(&key, nonce, &vector.aad, &vector.msg).await?;
            opened.as_deref() == Some(&vector.msg[..]) && sealed == vector.ct[..]
        } else {
            opened.is_none()
        };
        set.check(good, || format!("tcId {}", vector.id));
    }
    Ok(set.end())
}

async fn aes_gcm_cut() -> Result<Report, JsValue> {
    let mut set = Set::new(
        "cut to 0..n-1, tag of AES-GCM, 128 and 256: WebCrypto",
        (40 + 39) * 16,
    );
    for (vector, n) in gcm_cuts(16).chain(gcm_cuts(32)) {
        let (key, nonce) = (import(&vector.key).await?, nonce(&vector)?);
        let opened = webcrypto::decrypt(&key, nonce, &vector.aad, &vector.ct[..n]).await;
        set.check(opened.is_err(), || format!("tcId {} cut to {n}", vector.id));
    }
    Ok(set.end())
}

/// The derived key cannot be read, so it has to open what was sealed with the vector's.
async fn hkdf() -> Result<Report, JsValue> {
    let mut set = Set::new("Wycheproof HKDF-SHA-256: WebCrypto", 17);
    for Hkdf {
        id, ikm, info, okm, ..
    } in hkdf_as_we_use_it()
    {
        let okm: &[u8; 32] = okm[..32].try_into().map_err(|_| "32 bytes")?;
        let sealed = vectors::encrypt(okm, &[0; 12], b"", b"m").ok_or("sealed")?;
        let key = webcrypto::hkdf_aes_key(&ikm, &info).await?;
        let opened = webcrypto::decrypt(&key, &[0; 12], b"", &sealed).await.ok();
        set.check(opened.as_deref() == Some(&b"m"[..]), || format!("tcId {id}"));
    }
    Ok(set.end())
}

/// Every cut and every flipped byte of a row in the store.
async fn at_rest() -> Result<Report, JsValue> {
    let value = b"a row of the store".to_vec();
    let length = 1 + 12 + value.len() + 16;
    let mut set = Set::new(
        "cut to 0..n-1 and flipped, rows at rest: WebCrypto",
        3 + 2 * length,
    );
    let store = webcrypto::AtRest::fresh().await?;
    let refused = |error: rly_browser::StoreError| JsValue::from(error.to_string());
    let sealed = store.seal(&[(vec![1], value.clone())]).await.map_err(refused)?;
    let sealed = sealed
        .into_iter()
        .next()
        .map(|(_, sealed)| sealed)
        .ok_or("no row")?;
    let open = async |key: u8, sealed: Vec<u8>| {
        let rows = store.open(vec![(vec![key], sealed)]).await;
        rows.is_ok_and(|rows| rows == [(vec![key], value.clone())])
    };
    set.check(sealed.len() == length, || "length".into());
    set.check(open(1, sealed.clone()).await, || "opened".into());
    set.check(!open(2, sealed.clone()).await, || "in another place".into());
    for n in 0..sealed.len() {
        set.check(!open(1, sealed[..n].to_vec()).await, || format!("cut to {n}"));
        let mut flipped = sealed.clone();
        flipped[n] ^= 1;
        set.check(!open(1, flipped).await, || format!("byte {n} flipped"));
    }
    Ok(set.end())
}

const ORIGIN: &str = "https://rly.example";
const SECRET: [u8; 16] = [3; 16];

/// A card as the start page makes one, by `rly-crypto`.
fn signed_card(sim: &Sim) -> SignedCard {
    let card = Card {
        origin: ORIGIN.into(),
        address: Address([1; 16]),
        outer_key: [2; 32],
        key_package: vec![4; 200].into(),
        sim_key: sim.public_key(),
        name: "Ada".into(),
        letter: Some("Hello".into()),
    };
    rly_crypto::sign_card(sim, &card)
}

async fn opens(sealed: Vec<u8>) -> Result<Card, letters::CardError> {
    let letter = OpenedLetter {
        id: [0; 16],
        invite: String::new(),
        secret: SECRET,
        claim_key: Sim::from_seed(&[1; 32]).public_key(),
        opened_at: Timestamp(0),
        claimed: Some((Address([1; 16]), sealed.into())),
    };
    letters::read_card(&letter, ORIGIN).await
}

/// Seals any bytes as a card is sealed, which `rly-crypto` does for cards only.
fn seal(plain: &[u8]) -> Result<Vec<u8>, JsValue> {
    let padded = padding::pad(plain, SEAL_OVERHEAD).map_err(|_| "too large")?;
    let key = vectors::hkdf(&SECRET, CARD_KEY_INFO);
    let ciphertext = vectors::encrypt(&key, &[5; 12], b"", &padded).ok_or("sealed")?;
    Ok(join_sealed(&[5; 12], &ciphertext))
}

/// Every cut and every flipped byte of a sealed card, as it comes from the server.
async fn cards() -> Result<Report, JsValue> {
    let mut set = Set::new("cut to 0..n-1 and flipped, sealed cards: WebCrypto", 1 + 2 * 1024);
    let sealed = seal(&signed_card(&Sim::from_seed(&[1; 32])).to_bytes())?;
    set.check(opens(sealed.clone()).await.is_ok(), || "opened".into());
    for n in 0..sealed.len() {
        let cut = opens(sealed[..n].to_vec()).await.err();
        set.check(cut == Some(letters::CardError::Damaged), || format!("cut to {n}"));
        let mut flipped = sealed.clone();
        flipped[n] ^= 1;
        let flipped = opens(flipped).await.err();
        set.check(flipped == Some(letters::CardError::Damaged), || {
            format!("byte {n} flipped")
        });
    }
    Ok(set.end())
}

/// A card whose seal is right and whose signature is cut, or by another SIM, or of other bytes.
async fn signed_cards() -> Result<Report, JsValue> {
    let sim = Sim::from_seed(&[1; 32]);
    let good = signed_card(&sim);
    let bytes = good.to_bytes();
    let mut set = Set::new("cut signatures under a right seal: WebCrypto", 64 + 64 + 64 + 2);
    let with = |signature: Signature| SignedCard {
        card: good.card.clone(),
        signature,
    };
    for n in 0..64 {
        let cut = opens(seal(&bytes[..bytes.len() - 64 + n])?).await.err();
        set.check(cut == Some(letters::CardError::Damaged), || format!("cut to {n}"));
        let mut zeros = good.signature;
        zeros.0[n..].fill(0);
        let error = opens(seal(&with(zeros).to_bytes())?).await.err();
        set.check(
            zeros == good.signature || error == Some(letters::CardError::Signature),
            || format!("zeros from {n}"),
        );
        let mut flipped = good.signature;
        flipped.0[n] ^= 1;
        let error = opens(seal(&with(flipped).to_bytes())?).await.err();
        set.check(error == Some(letters::CardError::Signature), || {
            format!("byte {n} flipped")
        });
    }
    let other = Sim::from_seed(&[2; 32]).sign(&signed_message(&good.card));
    let error = opens(seal(&with(other).to_bytes())?).await.err();
    set.check(error == Some(letters::CardError::Signature), || {
        "another SIM's".into()
    });
    set.check(opens(seal(&bytes)?).await.is_ok(), || "the right one".into());
    Ok(set.end())
}
