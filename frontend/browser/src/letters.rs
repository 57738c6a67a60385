//! Opened letters: kept before they are claimed, read by WebCrypto alone.

use crate::{Batch, Key, Store, StoreError, random, webcrypto};
use rly_protocol::{Address, Decode, DecodeError, Encode, Timestamp, padding};
use rly_view::{
    AnsweredLetter, Link, OpenedLetter,
    card::{CARD_KEY_INFO, Card, SignedCard, signed_message, split_sealed},
    name,
};
use thiserror::Error;
use wasm_bindgen_futures::JsFuture;

/// Why a card is not shown.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum CardError {
    /// The server has not given it yet.
    #[error("the card was not claimed yet")]
    Unclaimed,
    /// The link's secret does not open it, or what is in it has the wrong form.
    #[error("the card is damaged or not for this link")]
    Damaged,
    /// Its SIM key did not sign it.
    #[error("the signature is wrong")]
    Signature,
    /// It is for another address or another server than the one that gave it.
    #[error("the card is not for this address")]
    Elsewhere,
}

/// The row of a letter.
pub fn key(id: &[u8; 16]) -> Key {
    let mut key = Vec::with_capacity(17);
    key.push(OpenedLetter::TABLE);
    key.extend_from_slice(id);
    key
}

/// The letter that a link is, stored before anything is claimed. A link that was opened in this
/// browser before gets what it got then, so that the claim can be repeated.
///
/// # Errors
/// [`StoreError`].
pub async fn keep(store: &Store, link: &Link, now: Timestamp) -> Result<OpenedLetter, StoreError> {
    for (_, row) in store.with_prefix(&[OpenedLetter::TABLE]).await? {
        let kept = decode(&row)?;
        if kept.invite == link.invite && kept.secret == link.secret {
            return Ok(kept);
        }
    }
    let letter = OpenedLetter {
        id: random::bytes(),
        invite: link.invite.clone(),
        secret: link.secret,
        claim_key: webcrypto::new_public_key()
            .await
            .map_err(|_| StoreError::Refused)?,
        opened_at: now,
        claimed: None,
    };
    put(store, &letter).await?;
    Ok(letter)
}

/// The letter with this id, if it is (still) kept here.
///
/// # Errors
/// [`StoreError`].
pub async fn find(store: &Store, id: &[u8; 16]) -> Result<Option<OpenedLetter>, StoreError> {
    match store.get(&key(id)).await? {
        Some(row) => decode(&row).map(Some),
        None => Ok(None),
    }
}

/// The letter answered in this browser that is asked for, if there is one.
///
/// # Errors
/// [`StoreError`].
pub async fn answered(
    store: &Store,
    is: impl Fn(&AnsweredLetter) -> bool,
) -> Result<Option<AnsweredLetter>, StoreError> {
    for (_, row) in store.with_prefix(&[AnsweredLetter::TABLE]).await? {
        let answered = AnsweredLetter::from_bytes(&row).map_err(unreadable)?;
        if is(&answered) {
            return Ok(Some(answered));
        }
    }
    Ok(None)
}

/// Keeps what the claim gave.
///
/// # Errors
/// [`StoreError`].
pub async fn complete(
    store: &Store,
    letter: &mut OpenedLetter,
    address: Address,
    card: Vec<u8>,
) -> Result<(), StoreError> {
    letter.claimed = Some((address, card.into()));
    put(store, letter).await
}

/// Forgets a letter that can never be claimed.
///
/// # Errors
/// [`StoreError`].
pub async fn forget(store: &Store, letter: &OpenedLetter) -> Result<(), StoreError> {
    let batch = Batch {
        deletes: &[key(&letter.id)],
        ..Batch::default()
    };
    store.apply(batch).await
}

/// Opens and checks a claimed letter's card: its seal, its signature, and that the server of this
/// origin gave the address that is in it.
///
/// # Errors
/// [`CardError`].
pub async fn read_card(letter: &OpenedLetter, origin: &str) -> Result<Card, CardError> {
    let (address, sealed) = letter.claimed.as_ref().ok_or(CardError::Unclaimed)?;
    let (nonce, ciphertext) = split_sealed(sealed).ok_or(CardError::Damaged)?;
    let key = webcrypto::hkdf_aes_key(&letter.secret, CARD_KEY_INFO)
        .await
        .map_err(|_| CardError::Damaged)?;
    let opening = webcrypto::decrypt(&key, nonce, &[], ciphertext).map_err(|_| CardError::Damaged)?;
    let padded = JsFuture::from(opening).await.map_err(|_| CardError::Damaged)?;
    let padded = webcrypto::bytes(&padded);
    let signed = padding::unpad(&padded).ok_or(CardError::Damaged)?;
    let signed = SignedCard::from_bytes(signed).map_err(|_| CardError::Damaged)?;
    let card = signed.decode_card().map_err(|_| CardError::Damaged)?;

    match webcrypto::verify(&card.sim_key, &signed.signature, &signed_message(&signed.card)).await {
        Ok(true) => {}
        Ok(false) => return Err(CardError::Signature),
        Err(_) => return Err(CardError::Damaged),
    }
    if card.address != *address || card.origin != origin {
        return Err(CardError::Elsewhere);
    }
    Ok(Card {
        name: name::cleaned(&card.name),
        ..card
    })
}

async fn put(store: &Store, letter: &OpenedLetter) -> Result<(), StoreError> {
    let batch = Batch {
        puts: &[(key(&letter.id), letter.to_bytes())],
        ..Batch::default()
    };
    store.apply(batch).await
}

fn decode(row: &[u8]) -> Result<OpenedLetter, StoreError> {
    OpenedLetter::from_bytes(row).map_err(unreadable)
}

fn unreadable(error: DecodeError) -> StoreError {
    match error {
        DecodeError::Version(_) => StoreError::Newer,
        _ => StoreError::Broken,
    }
}
