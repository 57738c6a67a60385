//! A store that fails on purpose.

use super::{
    vaults::{put, vault_of},
    *,
};
use crate::Refusal;
use crate::store::{
    Batch, Deadlines, Envelope, Hash, Identity, Outcome, QueueRecord, RoomRecord, RoomSnapshot, SharedEntry,
    StoreError, StoreFuture, Swept, VaultBounds, VaultPage,
};
use rly_protocol::RoomId;
use std::sync::atomic::AtomicBool;

/// A store whose commits fail, or wait, while they are told to.
#[derive(Default)]
struct Faulty {
    inner: MemoryStore,
    fails: AtomicBool,
    /// Free disk space that is gone.
    taken: AtomicU64,
    /// How often a mailbox was looked for.
    looks: AtomicU64,
    gate: tokio::sync::RwLock<()>,
}

impl Store for Faulty {
    fn identity(&self, fresh: Identity) -> StoreFuture<'_, Identity> {
        self.inner.identity(fresh)
    }
    fn apply(&self, batch: Arc<Batch>) -> StoreFuture<'_, Vec<Outcome>> {
        Box::pin(async move {
            let _open = self.gate.read().await;
            if self.fails.load(SeqCst) {
                return Err(StoreError::Disk("full".into()));
            }
            self.inner.apply(batch).await
        })
    }
    fn find_address(&self, address: Hash) -> StoreFuture<'_, Option<QueueId>> {
        self.inner.find_address(address)
    }
    fn queue(&self, queue: QueueId) -> StoreFuture<'_, Option<QueueRecord>> {
        self.looks.fetch_add(1, SeqCst);
        self.inner.queue(queue)
    }
    fn page(&self, queue: QueueId, after: u64, limit: u32) -> StoreFuture<'_, Vec<Envelope>> {
        self.inner.page(queue, after, limit)
    }
    fn vault_page(
        &self,
        vault: QueueId,
        from: u32,
        bounds: VaultBounds,
    ) -> StoreFuture<'_, Option<VaultPage>> {
        self.inner.vault_page(vault, from, bounds)
    }
    fn free_space(&self) -> StoreFuture<'_, Option<u64>> {
        Box::pin(async move { Ok(Some(u64::MAX - self.taken.load(SeqCst))) })
    }
    fn room(&self, room: RoomId) -> StoreFuture<'_, Option<RoomRecord>> {
        self.inner.room(room)
    }
    fn room_snapshot(&self, room: RoomId) -> StoreFuture<'_, Option<RoomSnapshot>> {
        self.inner.room_snapshot(room)
    }
    fn shared_page(&self, queue: QueueId, after: u64, limit: u32) -> StoreFuture<'_, Vec<SharedEntry>> {
        self.inner.shared_page(queue, after, limit)
    }
    fn sweep(&self, deadlines: Deadlines) -> StoreFuture<'_, Swept> {
        self.inner.sweep(deadlines)
    }
    fn scrub(&self) -> StoreFuture<'_, ()> {
        self.inner.scrub()
    }
    fn check(&self) -> StoreFuture<'_, ()> {
        self.inner.check()
    }
    fn close(&self) -> StoreFuture<'_, ()> {
        self.inner.close()
    }
}

async fn faulty() -> (Server, Arc<Faulty>) {
    let store = Arc::new(Faulty::default());
    (Server::with(store.clone(), Limits::free()).await, store)
}

#[tokio::test]
async fn nothing_is_confirmed_that_was_not_committed() {
    let (server, store) = faulty().await;
    let mailbox = server.register().await;
    let shared = server.share(&mailbox, 60).await;
    let mut sender = server.connect().await;
    sender.send(mailbox.address, 1).await.unwrap();
    store.fails.store(true, SeqCst);
    let (code, retry_after) = sender.send(mailbox.address, 2).await.unwrap_err();
    assert_eq!(code, ErrorCode::Unavailable);
    assert!(retry_after > 0);
    assert_eq!(server.relay.ready().await, Err("disk".into()));
    let key = new_key();
    let refused = server.import(&shared.invite, &key).await.unwrap_err();
    assert_eq!(refused.code, ErrorCode::Unavailable);
    assert!(refused.retry_after.is_some());
    let request = RegisterSim {
        reader_key: public(&new_key()),
    };
    let refused = server.relay.register_sim(PEER, request).await.unwrap_err();
    assert_eq!(refused.code, ErrorCode::Unavailable);

    // It comes back by itself.
    store.fails.store(false, SeqCst);
    for _ in 0..100 {
        if server.relay.ready().await.is_ok() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(server.relay.ready().await, Ok(()));
    sender.send(mailbox.address, 2).await.unwrap();
    server.import(&shared.invite, &key).await.unwrap();
    let mut reader = server.connect().await;
    reader.subscribe(&mailbox).await;
    for n in 1..3 {
        assert_eq!(reader.arrived().await.id, envelope_id(n));
    }
    reader.arrived().await;
    server.settle().await;
    assert_eq!(reader.pending(), []);
}

#[tokio::test]
async fn what_the_reader_has_acknowledged_is_done_whatever_the_disk_says() {
    let (server, store) = faulty().await;
    let mailbox = server.register().await;
    let (mut reader, mut sender) = (server.connect().await, server.connect().await);
    reader.subscribe(&mailbox).await;
    let gate = store.gate.write().await;
    store.fails.store(true, SeqCst);
    let req = sender.post(mailbox.address, 1).await;
    let arrived = reader.arrived().await;
    // Let the batch start, and acknowledge while it is under way.
    tokio::time::sleep(Duration::from_millis(50)).await;
    reader.ack(mailbox.queue, arrived.seq).await;
    sender.answer(req).await.unwrap();
    drop(gate);
    server.settle().await;
    assert_eq!(sender.pending(), [], "answered twice");
    sender.send(mailbox.address, 1).await.unwrap();
    assert_eq!(reader.pending(), [], "given twice");
}

#[tokio::test]
async fn a_retry_after_a_failure_is_given_once() {
    let (server, store) = faulty().await;
    let mailbox = server.register().await;
    let (mut reader, mut sender) = (server.connect().await, server.connect().await);
    reader.subscribe(&mailbox).await;
    store.fails.store(true, SeqCst);
    assert_eq!(
        sender.send(mailbox.address, 1).await.unwrap_err().0,
        ErrorCode::Unavailable
    );
    store.fails.store(false, SeqCst);
    let arrived = reader.arrived().await;
    sender.send(mailbox.address, 1).await.unwrap();
    assert_eq!(reader.pending(), []);
    drop(reader);
    let mut reader = server.connect().await;
    reader.subscribe(&mailbox).await;
    assert_eq!(reader.arrived().await, arrived);
}

#[tokio::test]
async fn a_reservation_that_failed_is_made_up_for() {
    let (server, store) = faulty().await;
    let mailbox = server.register().await;
    let mut sender = server.connect().await;
    store.fails.store(true, SeqCst);
    let engine = server.relay.engine();
    // Uses up the whole block, and asks for another one in vain.
    while engine.next_seq().is_ok() {}
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(
        sender.send(mailbox.address, 1).await.unwrap_err().0,
        ErrorCode::Unavailable
    );
    store.fails.store(false, SeqCst);
    for _ in 0..100 {
        if sender.send(mailbox.address, 1).await.is_ok() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("no numbers were reserved");
}

#[tokio::test]
async fn removals_survive_a_failure() {
    let (server, store) = faulty().await;
    let mailbox = server.register().await;
    let (mut reader, mut sender) = (server.connect().await, server.connect().await);
    for n in 0..3 {
        sender.send(mailbox.address, n).await.unwrap();
    }
    reader.subscribe(&mailbox).await;
    let mut last = 0;
    for _ in 0..3 {
        last = reader.arrived().await.seq;
    }
    store.fails.store(true, SeqCst);
    reader.ack(mailbox.queue, last).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(store.page(mailbox.queue, 0, 9).await.unwrap().len(), 3);
    store.fails.store(false, SeqCst);
    for _ in 0..100 {
        if store.page(mailbox.queue, 0, 9).await.unwrap().is_empty() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("they were never removed");
}

/// What makes room goes on, and what is there is read; nothing new is taken.
#[tokio::test]
async fn below_the_floor_of_free_disk_space_only_what_makes_room_goes_on() {
    let (server, store) = faulty().await;
    let (mailbox, doomed) = (server.register().await, server.register().await);
    let shared = server.share(&mailbox, 60).await;
    let (mut reader, mut sender) = (server.connect().await, server.connect().await);
    sender.send(mailbox.address, 1).await.unwrap();
    let key = new_key();
    reader.open_vault(&key).await.unwrap();
    let vault = vault_of(&key);
    assert_eq!(
        reader.write(vault, 0, vec![put(0, 100), put(1, 100)]).await,
        Ok(1)
    );

    let floor = Limits::default().disk_free;
    store.taken.store(u64::MAX - floor + 1, SeqCst);
    assert_eq!(server.relay.ready().await, Err("disk".into()));
    let (code, retry_after) = sender.send(mailbox.address, 2).await.unwrap_err();
    assert_eq!((code, retry_after), (ErrorCode::Unavailable, 30_000));
    let request = RegisterSim {
        reader_key: public(&key),
    };
    let share = ShareContact {
        address_token: mailbox.token.clone(),
        card: Blob(b"card".to_vec()),
        ttl_seconds: 60,
    };
    let refused = [
        server.relay.register_sim(PEER, request).await.err(),
        server.relay.share_contact(PEER, share).await.err(),
        server.import(&shared.invite, &key).await.err(),
    ];
    for refusal in refused {
        assert_eq!(
            refusal,
            Some(Refusal::later(ErrorCode::Unavailable, Duration::from_secs(30)))
        );
    }
    let refused = Err((ErrorCode::Unavailable, 30_000));
    assert_eq!(reader.open_vault(&new_key()).await, refused);
    assert_eq!(
        reader.write(vault, 1, vec![put(0, 101)]).await,
        refused.map(|()| 0)
    );

    reader.subscribe(&mailbox).await;
    let first = reader.arrived().await;
    reader.ack(mailbox.queue, first.seq).await;
    reader.subscribe(&doomed).await;
    let queue = doomed.queue;
    reader
        .ask(|req| ClientFrame::DeleteQueue { req, queue })
        .await
        .unwrap();
    let (queue, invite) = (mailbox.queue, shared.invite_id);
    reader
        .ask(|req| ClientFrame::WithdrawInvite { req, queue, invite })
        .await
        .unwrap();
    assert_eq!(reader.write(vault, 1, vec![put(0, 100), put(1, 0)]).await, Ok(2));
    assert_eq!(reader.read(vault, 0).await, Ok((2, vec![put(0, 100)], false)));
    server.settle().await;
    assert_eq!(store.page(mailbox.queue, 0, 9).await.unwrap(), []);
    assert_eq!(store.queue(doomed.queue).await.unwrap(), None);

    store.taken.store(u64::MAX - floor, SeqCst);
    assert_eq!(server.relay.ready().await, Ok(()));
    sender.send(mailbox.address, 2).await.unwrap();
}

#[tokio::test]
async fn who_has_no_ticket_of_ours_costs_the_store_nothing() {
    let (server, store) = faulty().await;
    let queue = QueueId([5; 16]);
    let mut client = server.connect().await;
    let ticket = Ticket {
        expires: Timestamp(9_000_000_000_000),
        mac: [1; 32],
    };
    let proof = Proof::Ticket { ticket };
    let refused = client.subscribe_with(queue, proof).await.map(|_| ());
    assert_eq!(refused, Err((ErrorCode::ProofInvalid, 0)));
    assert_eq!(store.looks.load(SeqCst), 0);
}
