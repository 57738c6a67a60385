//! Vaults over a connection: one user at a time, pages out, compare-and-set in.

use crate::{
    Refusal, cluster,
    connection::Incoming,
    disk,
    engine::{day, hash, tell_replaced},
    peers::Use,
    store::{Change, Outcome, StoreError, VaultBounds},
};
use rly_protocol::{
    ErrorCode, PublicKey, QueueId, Signature,
    frame::{Req, ServerFrame, VaultEntry, vault_id_message},
    limits::{ENVELOPE_MAX, VAULT_BYTES, VAULT_ENTRIES, VAULT_SLOTS},
};
use std::collections::HashSet;

const PAGE: VaultBounds = VaultBounds {
    entries: VAULT_ENTRIES,
    bytes: 192 << 10,
};
/// Enough to learn whether there is such a vault.
const LOOK: VaultBounds = VaultBounds { entries: 1, bytes: 0 };

/// The vault of a key.
pub(crate) fn vault_id(key: &PublicKey) -> QueueId {
    let hash = hash(&vault_id_message(key));
    let mut id = [0; 16];
    id.copy_from_slice(&hash[..16]);
    QueueId(id)
}

pub(crate) async fn open(
    of: &mut Incoming,
    req: Req,
    key: PublicKey,
    signature: Signature,
) -> Result<(), Refusal> {
    of.allow(Use::Vault)?;
    let vault = vault_id(&key);
    of.check(&key, &vault, &signature)?;
    let engine = &of.engine;
    let known = engine
        .store
        .vault_page(vault, 0, LOOK)
        .await
        .map_err(unavailable)?;
    if known.is_none() {
        disk::check(engine)?;
        let day = day(engine.now());
        engine.change(Change::OpenVault { vault, day }).await?;
    }
    if let Some(cluster) = &engine.cluster {
        cluster::read_here(engine, cluster, vault, (of.session, &of.outbox), false).await?;
    }
    let before = engine
        .vaults
        .lock()
        .insert(vault, (of.session, of.outbox.clone()));
    of.vaults.insert(vault);
    if let Some((_, before)) = before {
        tell_replaced(vault, &before, &of.outbox);
    }
    of.outbox.answer(&ServerFrame::Subscribed {
        req,
        queue: vault,
        ticket: of.ticket(&vault),
    });
    Ok(())
}

pub(crate) async fn read(of: &Incoming, req: Req, vault: QueueId, from: u32) -> Result<(), Refusal> {
    check_user(of, vault)?;
    of.allow(Use::VaultCall)?;
    // A request is small and a page is large: whoever does not read gets no more of them. Nobody else
    // waits for it, and if the connection has ended, the answer goes nowhere.
    of.outbox.room().await;
    let page = of.engine.store.vault_page(vault, from, PAGE).await;
    let page = page.map_err(unavailable)?.ok_or(ErrorCode::NoQueue)?;
    of.outbox.answer(&ServerFrame::VaultPage {
        req,
        generation: page.generation,
        entries: page.entries,
        more: page.more,
    });
    Ok(())
}

pub(crate) async fn write(
    of: &Incoming,
    req: Req,
    vault: QueueId,
    expected: u64,
    entries: Vec<VaultEntry>,
) -> Result<(), Refusal> {
    check_user(of, vault)?;
    check_entries(&entries)?;
    let (engine, now) = (&of.engine, of.engine.now());
    let bytes = entries.iter().map(|entry| entry.blob.len()).sum();
    of.allow_bytes(Use::VaultCall, bytes, now)?;
    // What makes nothing larger goes on: without its head nobody could use a vault.
    let full = disk::check(engine);
    let change = Change::WriteVault {
        vault,
        expected,
        entries,
        quota: if full.is_ok() { VAULT_BYTES } else { 0 },
        day: day(now),
    };
    match engine.change(change).await? {
        Outcome::Written(generation) => {
            of.outbox.answer(&ServerFrame::VaultWritten { req, generation });
            Ok(())
        }
        Outcome::Full => Err(full.err().unwrap_or(ErrorCode::VaultFull.into())),
        Outcome::Missing => Err(ErrorCode::NoQueue.into()),
        _ => Err(ErrorCode::VaultConflict.into()),
    }
}

/// A connection has ended.
pub(crate) fn leave(of: &Incoming) {
    let mut vaults = of.engine.vaults.lock();
    for vault in &of.vaults {
        of.leave(vault);
        if vaults
            .get(vault)
            .is_some_and(|(session, _)| *session == of.session)
        {
            vaults.remove(vault);
        }
    }
}

fn check_user(of: &Incoming, vault: QueueId) -> Result<(), Refusal> {
    match of.engine.vaults.lock().get(&vault) {
        Some((session, _)) if *session == of.session => Ok(()),
        _ => Err(ErrorCode::ProofInvalid.into()),
    }
}

fn check_entries(entries: &[VaultEntry]) -> Result<(), Refusal> {
    if entries.len() > VAULT_ENTRIES || entries.iter().any(|entry| entry.blob.len() > ENVELOPE_MAX) {
        return Err(ErrorCode::TooLarge.into());
    }
    if entries.iter().any(|entry| entry.slot > VAULT_SLOTS) {
        return Err(ErrorCode::VaultFull.into());
    }
    let mut slots = HashSet::new();
    if entries.is_empty() || !entries.iter().all(|entry| slots.insert(entry.slot)) {
        return Err(ErrorCode::BadRequest.into());
    }
    Ok(())
}

fn unavailable(error: StoreError) -> Refusal {
    tracing::warn!(%error, "reading from the store failed");
    Refusal::unavailable()
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    fn entries(n: u32, size: usize) -> Vec<VaultEntry> {
        let blob = Bytes::from(vec![1; size]);
        (0..n)
            .map(|slot| VaultEntry {
                slot,
                blob: blob.clone(),
            })
            .collect()
    }

    #[test]
    fn writes_are_bounded() {
        assert!(check_entries(&entries(64, 10)).is_ok());
        assert_eq!(check_entries(&entries(65, 10)), Err(ErrorCode::TooLarge.into()));
        assert_eq!(
            check_entries(&entries(1, ENVELOPE_MAX + 1)),
            Err(ErrorCode::TooLarge.into())
        );
        let high = VaultEntry {
            slot: VAULT_SLOTS + 1,
            blob: Bytes::new(),
        };
        assert_eq!(check_entries(&[high]), Err(ErrorCode::VaultFull.into()));
        let twice = [entries(1, 1), entries(1, 2)].concat();
        assert_eq!(check_entries(&twice), Err(ErrorCode::BadRequest.into()));
    }
}
