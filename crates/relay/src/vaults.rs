//! Vaults over a connection: one user at a time, pages out, compare-and-set in.

use crate::{
    Refusal, cluster,
    connection::Incoming,
    engine::{hash, tell_replaced},
    peers::Use,
    store::{Change, Outcome, StoreError},
};
use rly_protocol::{
    ErrorCode, PublicKey, QueueId, Signature,
    frame::{Req, ServerFrame, VaultEntry, vault_id_message},
    limits::{ENVELOPE_MAX, VAULT_BYTES, VAULT_ENTRIES, VAULT_SLOTS},
};
use std::collections::HashSet;

/// Bytes of blobs in one page at most.
const PAGE_BYTES: usize = 192 << 10;

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
    let known = engine.store.vault_page(vault, 0, 1).await.map_err(unavailable)?;
    if known.is_none() {
        engine.change(Change::OpenVault { vault }).await?;
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
    // One more than is sent tells whether there is more.
    let limit = VAULT_ENTRIES as u32 + 1;
    let page = of.engine.store.vault_page(vault, from, limit).await;
    let page = page.map_err(unavailable)?.ok_or(ErrorCode::NoQueue)?;
    let (entries, more) = cut(page.entries);
    of.outbox.answer(&ServerFrame::VaultPage {
        req,
        generation: page.generation,
        entries,
        more,
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
    let change = Change::WriteVault {
        vault,
        expected,
        entries,
        quota: VAULT_BYTES,
    };
    match of.engine.change(change).await? {
        Outcome::Written(generation) => {
            of.outbox.answer(&ServerFrame::VaultWritten { req, generation });
            Ok(())
        }
        Outcome::Full => Err(ErrorCode::VaultFull.into()),
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

/// As many as a page holds, and whether there are more. At least one, as one always fits.
fn cut(mut entries: Vec<VaultEntry>) -> (Vec<VaultEntry>, bool) {
    let mut bytes = 0;
    let fit = entries.iter().take(VAULT_ENTRIES).take_while(|entry| {
        bytes += entry.blob.len();
        bytes <= PAGE_BYTES
    });
    let fit = fit.count();
    let more = fit < entries.len();
    entries.truncate(fit);
    (entries, more)
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
    fn pages_are_bounded_both_ways() {
        let cut_to = |n, size| {
            let (page, more) = cut(entries(n, size));
            (page.len(), more)
        };
        assert_eq!(cut_to(0, 1), (0, false));
        assert_eq!(cut_to(64, 1), (64, false));
        assert_eq!(cut_to(65, 1), (64, true));
        assert_eq!(cut_to(3, 65_536), (3, false));
        assert_eq!(cut_to(4, 65_536), (3, true));
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
