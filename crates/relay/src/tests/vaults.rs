use super::*;
use rly_protocol::{
    frame::{VaultEntry, vault_id_message},
    limits::VAULT_BYTES,
};
use sha2::{Digest, Sha256};

pub(super) fn vault_of(key: &SigningKey) -> QueueId {
    let hash = Sha256::digest(vault_id_message(&public(key)));
    QueueId(hash[..16].try_into().unwrap())
}

pub(super) fn put(slot: u32, size: usize) -> VaultEntry {
    VaultEntry {
        slot,
        blob: vec![slot as u8; size].into(),
    }
}

impl Client {
    pub(super) async fn open_vault(&mut self, key: &SigningKey) -> Result<(), (ErrorCode, u32)> {
        let signature = self.sign(key, &vault_of(key));
        let key = public(key);
        let answer = self
            .ask(|req| ClientFrame::OpenVault { req, key, signature })
            .await;
        answer.map(|_| ())
    }

    pub(super) async fn write(
        &mut self,
        queue: QueueId,
        expected: u64,
        entries: Vec<VaultEntry>,
    ) -> Result<u64, (ErrorCode, u32)> {
        let write = |req| ClientFrame::VaultWrite {
            req,
            queue,
            expected,
            entries,
        };
        match self.ask(write).await? {
            ServerFrame::VaultWritten { generation, .. } => Ok(generation),
            other => panic!("{other:?}"),
        }
    }

    pub(super) async fn read(
        &mut self,
        queue: QueueId,
        from: u32,
    ) -> Result<(u64, Vec<VaultEntry>, bool), (ErrorCode, u32)> {
        match self
            .ask(|req| ClientFrame::VaultRead { req, queue, from })
            .await?
        {
            ServerFrame::VaultPage {
                generation,
                entries,
                more,
                ..
            } => Ok((generation, entries, more)),
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn a_vault_is_written_by_compare_and_set() {
    let server = Server::any().await;
    let key = new_key();
    let vault = vault_of(&key);
    let mut client = server.connect().await;
    assert_eq!(
        client.read(vault, 0).await.unwrap_err().0,
        ErrorCode::ProofInvalid
    );
    client.open_vault(&key).await.unwrap();
    assert_eq!(client.read(vault, 0).await, Ok((0, vec![], false)));
    assert_eq!(client.write(vault, 0, vec![put(0, 10), put(3, 10)]).await, Ok(1));
    let late = client.write(vault, 0, vec![put(0, 99), put(4, 1)]).await;
    assert_eq!(late, Err((ErrorCode::VaultConflict, 0)));
    assert_eq!(
        client.read(vault, 0).await,
        Ok((1, vec![put(0, 10), put(3, 10)], false))
    );
    assert_eq!(client.write(vault, 1, vec![put(0, 0), put(5, 5)]).await, Ok(2));
    assert_eq!(
        client.read(vault, 1).await,
        Ok((2, vec![put(3, 10), put(5, 5)], false))
    );
}

#[tokio::test]
async fn only_the_key_opens_it_and_the_last_one_has_it() {
    let server = Server::any().await;
    let (key, other) = (new_key(), new_key());
    let vault = vault_of(&key);
    let (mut first, mut second) = (server.connect().await, server.connect().await);
    let signature = first.sign(&other, &vault);
    let claimed = public(&key);
    let forged = first.ask(|req| ClientFrame::OpenVault {
        req,
        key: claimed,
        signature,
    });
    assert_eq!(forged.await.unwrap_err().0, ErrorCode::ProofInvalid);
    first.open_vault(&key).await.unwrap();
    second.open_vault(&key).await.unwrap();
    assert_eq!(first.next().await, Some(ServerFrame::Replaced { queue: vault }));
    let refused = first.write(vault, 0, vec![put(0, 1)]).await;
    assert_eq!(refused, Err((ErrorCode::ProofInvalid, 0)));
    drop(first);
    assert_eq!(second.write(vault, 0, vec![put(0, 1)]).await, Ok(1));
}

#[tokio::test]
async fn it_is_paged_and_bounded() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::sqlite(&folder.path().join("rly.db")).await;
    let key = new_key();
    let vault = vault_of(&key);
    let mut client = server.connect().await;
    client.open_vault(&key).await.unwrap();
    let mut generation = 0;
    let large = VAULT_BYTES / 65_536;
    for first in (0..large as u32).step_by(3) {
        let entries = (first..large.min(u64::from(first) + 3) as u32).map(|slot| put(slot, 65_536));
        generation = client.write(vault, generation, entries.collect()).await.unwrap();
    }
    let full = client.write(vault, generation, vec![put(9_999, 1)]).await;
    assert_eq!(full, Err((ErrorCode::VaultFull, 0)));
    let (mut from, mut slots) = (0, Vec::new());
    loop {
        let (at, entries, more) = client.read(vault, from).await.unwrap();
        assert_eq!(at, generation);
        assert!(!entries.is_empty() && entries.len() <= 3);
        slots.extend(entries.iter().map(|entry| entry.slot));
        from = entries.last().unwrap().slot + 1;
        if !more {
            break;
        }
    }
    assert_eq!(slots, (0..large as u32).collect::<Vec<_>>());
    server.relay.stop().await;
}

/// 30 bytes ask for a page of up to 192 KiB.
#[tokio::test(start_paused = true)]
async fn pages_wait_for_whoever_does_not_read() {
    let server = Server::memory().await;
    let key = new_key();
    let vault = vault_of(&key);
    let mut client = server.connect().await;
    client.open_vault(&key).await.unwrap();
    assert_eq!(
        client
            .write(vault, 0, vec![put(1, 65_536), put(2, 65_536), put(3, 65_536)])
            .await,
        Ok(1)
    );
    let mut asked = 0;
    let mut ask = async || {
        let read = ClientFrame::VaultRead {
            req: 1000,
            queue: vault,
            from: 0,
        };
        tokio::time::timeout(Duration::from_secs(2), client.incoming.handle(read.to_message())).await
    };
    while let Ok(taken) = ask().await {
        taken.unwrap();
        asked += 1;
        assert!(asked < 10, "two megabytes wait to be read");
    }
    // It goes on as soon as there is room.
    for _ in 0..asked {
        client.answer(1000).await.unwrap();
    }
    client.read(vault, 0).await.unwrap();
}

#[tokio::test]
async fn reads_and_writes_of_vaults_have_a_rate() {
    let limits = Limits {
        vault_calls: Rate::new(1.0, 2.0),
        ..Limits::free()
    };
    let server = Server::with(Arc::new(MemoryStore::default()), limits).await;
    let key = new_key();
    let vault = vault_of(&key);
    let mut client = server.connect().await;
    client.open_vault(&key).await.unwrap();
    client.write(vault, 0, vec![put(0, 1)]).await.unwrap();
    client.read(vault, 0).await.unwrap();
    let refused = (ErrorCode::RateLimited, 1_000);
    assert_eq!(client.read(vault, 0).await, Err(refused));
    assert_eq!(client.write(vault, 1, vec![put(0, 1)]).await, Err(refused));
    server.clock.advance(1);
    client.read(vault, 0).await.unwrap();
}

/// Anybody can open vaults. One that never held more than its head goes when nobody writes to it.
#[tokio::test]
async fn a_vault_with_nothing_but_a_head_goes_after_30_days() {
    let server = Server::any().await;
    let (empty, used) = (new_key(), new_key());
    let mut client = server.connect().await;
    for key in [&empty, &used] {
        client.open_vault(key).await.unwrap();
        client.write(vault_of(key), 0, vec![put(0, 10)]).await.unwrap();
    }
    client.write(vault_of(&used), 1, vec![put(1, 10)]).await.unwrap();
    for (days, left) in [(30, 1), (1, 0)] {
        server.clock.advance(days * 86_400);
        crate::sweeper::sweep(server.relay.engine()).await;
        let found = client.read(vault_of(&empty), 0).await;
        match left {
            1 => assert_eq!(found, Ok((1, vec![put(0, 10)], false))),
            _ => assert_eq!(found, Err((ErrorCode::NoQueue, 0))),
        }
    }
    let kept = vec![put(0, 10), put(1, 10)];
    assert_eq!(client.read(vault_of(&used), 0).await, Ok((2, kept, false)));
    // As a new one.
    client.open_vault(&empty).await.unwrap();
    assert_eq!(client.read(vault_of(&empty), 0).await, Ok((0, vec![], false)));
}
