//! Making mailboxes and invites, and opening invites: what the HTTP API asks for.

use crate::{
    Refusal, cluster,
    engine::{Engine, day, hash},
    keys::{Invite, random},
    metrics::Counters,
    peers::Use,
    store::{Change, Hash, Outcome},
    writer::Job,
};
use p256::PublicKey as Point;
use rly_protocol::{
    Address, ErrorCode, InviteId, PublicKey, QueueId, Timestamp,
    api::{Blob, ImportContact, Imported, RegisterSim, Registered, ShareContact, Shared},
    limits::{CLAIM_AGAIN, ENVELOPE_MAX, INVITE_TTL_MAX, INVITE_TTL_MIN},
};
use std::{net::IpAddr, sync::Arc};
use subtle::ConstantTimeEq;

pub(crate) async fn register(
    engine: &Engine,
    peer: IpAddr,
    request: RegisterSim,
) -> Result<Registered, Refusal> {
    engine.allow(peer, Use::Register)?;
    check_point(&request.reader_key)?;
    let (queue, address) = (QueueId(random()), Address(random()));
    let address_token = engine.keyring.address_token(&address).map_err(internal)?;
    let change = Change::Register {
        queue,
        address: hash(address.as_bytes()),
        reader: request.reader_key,
        day: day(engine.now()),
    };
    engine.change(change).await?;
    Counters::count(&engine.counters.registered);
    Ok(Registered {
        queue,
        address,
        address_token,
    })
}

pub(crate) async fn share(engine: &Engine, peer: IpAddr, request: ShareContact) -> Result<Shared, Refusal> {
    engine.allow_bytes(peer, Use::Share, request.card.0.len())?;
    let address = engine.keyring.open_address_token(&request.address_token);
    let address = address.ok_or(ErrorCode::TokenInvalid)?;
    let Blob(card) = request.card;
    if card.is_empty() || card.len() > ENVELOPE_MAX {
        return Err(ErrorCode::CardInvalid.into());
    }
    if !(INVITE_TTL_MIN..=INVITE_TTL_MAX).contains(&request.ttl_seconds) {
        return Err(ErrorCode::TtlInvalid.into());
    }
    let cell = engine.cell_at(&hash(address.as_bytes())).await?;
    let cell = cell.ok_or(ErrorCode::NoQueue)?;
    let now = engine.now();
    engine.used(&cell, now);

    let expires_at = now.plus_seconds(request.ttl_seconds);
    let invite_id = new_uuid();
    let invite = Invite {
        id: invite_id,
        address,
        expires: expires_at.0.div_ceil(1000),
    };
    let invite = engine.keyring.invite(&invite).map_err(internal)?;
    let change = Change::Share {
        invite: invite_id,
        queue: cell.id,
        card: card.into(),
        expires: expires_at,
    };
    match engine.change(change).await? {
        Outcome::Done => {}
        _ => return Err(ErrorCode::NoQueue.into()),
    }
    Counters::count(&engine.counters.shared);
    Ok(Shared {
        invite,
        invite_id,
        expires_at,
    })
}

pub(crate) async fn import(
    engine: &Arc<Engine>,
    peer: IpAddr,
    request: ImportContact,
) -> Result<Imported, Refusal> {
    engine.allow(peer, Use::Claim)?;
    let invite = engine.keyring.open_invite(&request.invite);
    let invite = invite.ok_or(ErrorCode::InviteInvalid)?;
    check_point(&request.claim_key)?;
    let now = engine.now();
    // Until here a claim made in time may be repeated; after that there is no row any more.
    if now.seconds() >= invite.expires.saturating_add(CLAIM_AGAIN) {
        return Err(ErrorCode::InviteExpired.into());
    }
    // The mailbox is gone, and its invites with it: its owner deleted it.
    let cell = engine.cell_at(&hash(invite.address.as_bytes())).await?;
    let gone = if now.seconds() < invite.expires {
        ErrorCode::InviteWithdrawn
    } else {
        ErrorCode::InviteExpired
    };
    let cell = cell.ok_or(gone)?;
    engine.used(&cell, now);

    let key = hash(request.claim_key.as_bytes());
    let outcome = match &engine.cluster {
        Some(cluster) => cluster::claim(engine, cluster, cell.id, (invite.id, key), now).await?,
        None => {
            let claim = |reply| Job::Claim {
                cell,
                invite: invite.id,
                key,
                at: now,
                reply,
            };
            engine.written(claim).await?
        }
    };
    if matches!(outcome, Outcome::Claimed(_)) {
        Counters::count(&engine.counters.claimed);
    }
    let card = decide(outcome, &key, now, invite.expires)?;
    Ok(Imported {
        address: invite.address,
        card: Blob(card.into()),
    })
}

/// What the outcome of a claim means for the claimant.
fn decide(outcome: Outcome, key: &Hash, now: Timestamp, expires: u64) -> Result<bytes::Bytes, Refusal> {
    match outcome {
        Outcome::Claimed(card) => Ok(card),
        Outcome::Taken {
            at,
            key: first,
            card: Some(card),
        } if bool::from(first.ct_eq(key)) && now.since(at) <= CLAIM_AGAIN * 1000 => Ok(card),
        Outcome::Taken { at, .. } if now.seconds() < expires => Err(Refusal {
            opened_at: Some(at),
            ..Refusal::new(ErrorCode::InviteUsed)
        }),
        Outcome::Withdrawn => Err(ErrorCode::InviteWithdrawn.into()),
        _ => Err(ErrorCode::InviteExpired.into()),
    }
}

/// Takes back an invite to a queue.
pub(crate) async fn withdraw(engine: &Engine, queue: QueueId, invite: InviteId) -> Result<(), Refusal> {
    match engine.change(Change::Withdraw { invite, queue }).await? {
        Outcome::Done => Ok(()),
        Outcome::Taken { at, .. } => Err(Refusal {
            opened_at: Some(at),
            ..Refusal::new(ErrorCode::InviteUsed)
        }),
        _ => Err(ErrorCode::InviteExpired.into()),
    }
}

fn check_point(key: &PublicKey) -> Result<(), Refusal> {
    match Point::from_sec1_bytes(key.as_bytes()) {
        Ok(_) => Ok(()),
        Err(_) => Err(ErrorCode::KeyInvalid.into()),
    }
}

/// A random UUID (RFC 9562, version 4).
fn new_uuid() -> InviteId {
    let mut bytes: [u8; 16] = random();
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    InviteId(bytes)
}

fn internal(error: crate::KeyringError) -> Refusal {
    tracing::error!(%error, "a token could not be made");
    ErrorCode::Internal.into()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use bytes::Bytes;

    #[test]
    fn only_the_claimant_and_only_for_a_while() {
        let at = Timestamp(1_000_000);
        let taken = |card: bool| Outcome::Taken {
            at,
            key: [1; 32],
            card: card.then(|| Bytes::from_static(b"card")),
        };
        let last = at.plus_seconds(CLAIM_AGAIN);
        let expires = 1_000_000;
        assert_eq!(decide(taken(true), &[1; 32], last, expires).unwrap(), "card");
        // A claim made in time may be repeated beyond the link's end.
        assert_eq!(decide(taken(true), &[1; 32], last, 1_001).unwrap(), "card");
        for (key, now, card) in [
            ([2; 32], at, true),
            ([1; 32], Timestamp(last.0 + 1), true),
            ([1; 32], at, false),
        ] {
            let refusal = decide(taken(card), &key, now, expires).unwrap_err();
            assert_eq!(
                (refusal.code, refusal.opened_at),
                (ErrorCode::InviteUsed, Some(at))
            );
        }
        let refusal = decide(taken(true), &[2; 32], last, 1_001).unwrap_err();
        assert_eq!(refusal.code, ErrorCode::InviteExpired);
    }
}
