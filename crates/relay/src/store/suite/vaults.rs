//! Vaults: written by compare-and-set.

use super::*;
use rly_protocol::limits::VAULT_BYTES;

fn put(slot: u32, blob: &'static [u8]) -> VaultEntry {
    VaultEntry {
        slot,
        blob: Bytes::from_static(blob),
    }
}

fn write(expected: u64, entries: Vec<VaultEntry>) -> Change {
    Change::WriteVault {
        vault: queue(9),
        expected,
        entries,
        quota: VAULT_BYTES,
        day: 20_000,
    }
}

fn open_vault(n: u8) -> Change {
    Change::OpenVault {
        vault: queue(n),
        day: 20_000,
    }
}

const NINE: VaultBounds = VaultBounds {
    entries: 9,
    bytes: 1 << 20,
};

pub async fn vaults_compare_and_set(store: &Subject) {
    assert_eq!(store.vault_page(queue(9), 0, NINE).await.unwrap(), None);
    assert_eq!(one(store, write(0, vec![put(0, b"a")])).await, Outcome::Missing);
    let open = || open_vault(9);
    change(store, vec![open()]).await;
    let empty = VaultPage {
        generation: 0,
        entries: vec![],
        more: false,
    };
    assert_eq!(store.vault_page(queue(9), 0, NINE).await.unwrap(), Some(empty));
    let outcomes = change(
        store,
        vec![
            write(0, vec![put(0, b"head"), put(5, b"five")]),
            write(0, vec![put(0, b"late")]),
            write(1, vec![put(0, b"next"), put(5, b""), put(7, b"seven")]),
            open(),
        ],
    )
    .await;
    assert_eq!(
        outcomes[..3],
        [Outcome::Written(1), Outcome::Conflict, Outcome::Written(2)]
    );
    let page = store.vault_page(queue(9), 0, NINE).await.unwrap().unwrap();
    assert_eq!(page.generation, 2);
    assert_eq!(page.entries, [put(0, b"next"), put(7, b"seven")]);
}

pub async fn vaults_are_bounded_and_paged(store: &Subject) {
    change(store, vec![open_vault(9)]).await;
    let quota = 100;
    let fill = |expected, slot, size: usize| Change::WriteVault {
        vault: queue(9),
        expected,
        entries: vec![VaultEntry {
            slot,
            blob: vec![1; size].into(),
        }],
        quota,
        day: 20_000,
    };
    let outcomes = change(
        store,
        vec![fill(0, 1, 60), fill(1, 2, 41), fill(1, 1, 100), fill(2, 2, 1)],
    )
    .await;
    let expected = [
        Outcome::Written(1),
        Outcome::Full,
        Outcome::Written(2),
        Outcome::Full,
    ];
    assert_eq!(outcomes, expected);
    change(store, vec![fill(2, 1, 10), fill(3, 2, 10), fill(4, 3, 10)]).await;
    // No room for more than it has is room for what makes it no larger.
    let shrink = |expected, size: usize| Change::WriteVault {
        vault: queue(9),
        expected,
        entries: vec![VaultEntry {
            slot: 3,
            blob: vec![2; size].into(),
        }],
        quota: 0,
        day: 20_000,
    };
    let outcomes = change(store, vec![shrink(5, 11), shrink(5, 10)]).await;
    assert_eq!(outcomes, [Outcome::Full, Outcome::Written(6)]);
    for (from, entries, bytes, slots, more) in [
        (2, 1, 100, &[2][..], true),
        (2, 2, 100, &[2, 3], false),
        (1, 9, 100, &[1, 2, 3], false),
        (1, 9, 30, &[1, 2, 3], false),
        (1, 9, 29, &[1, 2], true),
        // One in any case.
        (1, 9, 0, &[1], true),
        (3, 9, 0, &[3], false),
        (4, 9, 100, &[], false),
    ] {
        let bounds = VaultBounds { entries, bytes };
        let page = store.vault_page(queue(9), from, bounds).await.unwrap().unwrap();
        let found: Vec<_> = page.entries.iter().map(|entry| entry.slot).collect();
        assert_eq!(
            (page.generation, &found[..], page.more),
            (6, slots, more),
            "{bounds:?}"
        );
        assert!(page.entries.iter().all(|entry| entry.blob.len() == 10));
    }
}

pub async fn vaults_with_nothing_but_a_head_are_swept(store: &Subject) {
    let write_on = |n, day, entries| Change::WriteVault {
        vault: queue(n),
        expected: 0,
        entries,
        quota: VAULT_BYTES,
        day,
    };
    change(
        store,
        vec![
            open_vault(1),
            open_vault(2),
            open_vault(3),
            open_vault(4),
            write_on(2, 20_000, vec![put(0, b"head")]),
            write_on(3, 20_001, vec![put(0, b"head")]),
            write_on(4, 20_000, vec![put(0, b"head"), put(1, b"profile")]),
        ],
    )
    .await;
    let by = Deadlines {
        now: NOW,
        envelopes: Timestamp(0),
        claims: Timestamp(0),
        queues: 0,
        vaults: 20_001,
        limit: 1_000,
    };
    assert_eq!(store.sweep(by).await.unwrap().vaults, 2);
    for (n, stays) in [(1, false), (2, false), (3, true), (4, true)] {
        let page = store.vault_page(queue(n), 0, NINE).await.unwrap();
        assert_eq!(page.is_some(), stays, "{n}");
    }
    assert_eq!(store.sweep(by).await.unwrap(), Swept::default());
}
