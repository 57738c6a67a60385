//! What every store must do, run on each of them.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use super::*;
use rly_protocol::limits::VAULT_BYTES;
use std::sync::Arc;

/// A store and what keeps it alive.
struct Subject {
    store: Arc<dyn Store>,
    _folder: Option<tempfile::TempDir>,
}

/// An empty database of its own in the PostgreSQL that `./test cluster` has started.
pub(crate) async fn fresh_database() -> String {
    use sqlx::{Connection, Executor, SqlSafeStr};
    let server = std::env::var("RLY_TEST_POSTGRES")
        .expect("RLY_TEST_POSTGRES is the address that scripts/postgres prints; ./test cluster sets it");
    let name = format!("t{:032x}", u128::from_be_bytes(crate::keys::random()));
    let mut db = sqlx::PgConnection::connect(&server).await.unwrap();
    let make = sqlx::AssertSqlSafe(format!("CREATE DATABASE {name}")).into_sql_str();
    db.execute(make).await.unwrap();
    let (rest, _) = server.rsplit_once('/').unwrap();
    format!("{rest}/{name}")
}

async fn postgres() -> Subject {
    Subject {
        store: Arc::new(PostgresStore::open(&fresh_database().await).await.unwrap()),
        _folder: None,
    }
}

impl std::ops::Deref for Subject {
    type Target = dyn Store;
    fn deref(&self) -> &Self::Target {
        &*self.store
    }
}

async fn memory() -> Subject {
    Subject {
        store: Arc::new(MemoryStore::default()),
        _folder: None,
    }
}

async fn sqlite() -> Subject {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(&folder.path().join("rly.db")).await.unwrap();
    Subject {
        store: Arc::new(store),
        _folder: Some(folder),
    }
}

macro_rules! suite {
    ($($test:ident),* $(,)?) => {
        suite!(memory: $(#[tokio::test] $test),*);
        suite!(sqlite: $(#[tokio::test] $test),*);
        suite!(postgres: $(#[ignore = "needs a server: ./test cluster"] #[tokio::test] $test),*);
    };
    ($make:ident: $($(#[$how:meta])* $test:ident),*) => {
        mod $make {
            $($(#[$how])*
            async fn $test() {
                super::$test(&super::$make().await).await;
            })*
        }
    };
}

suite! {
    identity_is_taken_once,
    envelopes_come_back_in_order,
    batches_of_every_size_are_complete,
    removed_envelopes_are_gone,
    queues_are_found_by_address_and_deleted_whole,
    an_invite_is_claimed_once,
    a_claim_stores_its_notice,
    invites_expire_and_are_withdrawn,
    vaults_compare_and_set,
    vaults_are_bounded_and_paged,
    vaults_with_nothing_but_a_head_are_swept,
    old_things_are_swept,
    it_stays_usable_after_scrubbing,
    rooms_are_made_once_and_end,
    people_of_a_room_have_numbers_and_names_of_their_own,
    what_is_said_has_one_order_and_is_said_once,
    deleting_a_person_deletes_what_they_said,
    a_room_keeps_as_much_as_its_history,
}

const NOW: Timestamp = Timestamp(1_800_000_000_000);

fn queue(n: u8) -> QueueId {
    QueueId([n; 16])
}

fn key() -> PublicKey {
    let mut bytes = [1; 65];
    bytes[0] = 4;
    PublicKey::try_from(&bytes[..]).unwrap()
}

fn envelope(n: u8, seq: u64) -> Envelope {
    Envelope {
        queue: queue(n),
        seq,
        id: EnvelopeId(u128::from(seq).to_be_bytes()),
        kind: Kind::Envelope,
        at: NOW,
        body: Bytes::from(vec![seq as u8; 300]),
    }
}

fn register(n: u8) -> Change {
    Change::Register {
        queue: queue(n),
        address: [n; 32],
        reader: key(),
        day: 20_000,
    }
}

fn share(n: u8, expires: Timestamp) -> Change {
    Change::Share {
        invite: InviteId([n; 16]),
        queue: queue(n),
        card: Bytes::from_static(b"card"),
        expires,
    }
}

fn claim(n: u8, by: u8, at: Timestamp, seq: u64) -> Change {
    Change::Claim {
        invite: InviteId([n; 16]),
        key: [by; 32],
        at,
        notice: Envelope {
            kind: Kind::Notice,
            ..envelope(n, seq)
        },
    }
}

fn withdraw(n: u8) -> Change {
    Change::Withdraw {
        invite: InviteId([n; 16]),
        queue: queue(n),
    }
}

async fn change(store: &Subject, changes: Vec<Change>) -> Vec<Outcome> {
    let batch = Batch {
        changes,
        ..Batch::default()
    };
    store.apply(batch.into()).await.unwrap()
}

async fn one(store: &Subject, of: Change) -> Outcome {
    change(store, vec![of]).await.remove(0)
}

async fn insert(store: &Subject, envelopes: Vec<Envelope>) {
    let batch = Batch {
        envelopes,
        ..Batch::default()
    };
    store.apply(batch.into()).await.unwrap();
}

fn seqs(page: &[Envelope]) -> Vec<u64> {
    page.iter().map(|envelope| envelope.seq).collect()
}

async fn identity_is_taken_once(store: &Subject) {
    let fresh = |n| Identity {
        incarnation: Incarnation([n; 16]),
        keyring: [n; 16],
        next_seq: 1,
    };
    assert_eq!(store.identity(fresh(1)).await.unwrap(), fresh(1));
    for reserve in [5_000, 3_000] {
        let batch = Batch {
            reserve: Some(reserve),
            ..Batch::default()
        };
        store.apply(batch.into()).await.unwrap();
    }
    let kept = store.identity(fresh(2)).await.unwrap();
    assert_eq!(
        kept,
        Identity {
            next_seq: 5_000,
            ..fresh(1)
        }
    );
}

async fn envelopes_come_back_in_order(store: &Subject) {
    change(store, vec![register(1), register(2)]).await;
    insert(
        store,
        vec![envelope(1, 1), envelope(2, 2), envelope(1, 3), envelope(1, 9)],
    )
    .await;
    insert(store, vec![envelope(1, 5)]).await;
    let page = store.page(queue(1), 0, 10).await.unwrap();
    assert_eq!(seqs(&page), [1, 3, 5, 9]);
    assert_eq!(page[1], envelope(1, 3));
    assert_eq!(seqs(&store.page(queue(1), 1, 2).await.unwrap()), [3, 5]);
    assert_eq!(seqs(&store.page(queue(1), 9, 2).await.unwrap()), [0; 0]);
    let record = store.queue(queue(1)).await.unwrap().unwrap();
    assert_eq!(
        (record.address, record.reader, record.used_day),
        ([1; 32], key(), 20_000)
    );
    assert_eq!(
        record.waiting[2],
        Place {
            seq: 5,
            id: envelope(1, 5).id,
            kind: Kind::Envelope,
            size: 300
        }
    );
}

async fn batches_of_every_size_are_complete(store: &Subject) {
    change(store, vec![register(1)]).await;
    let (mut seq, mut expected) = (0, 0);
    for size in [1, 2, 3, 7, 64, 65, 511, 512, 513, 1_100] {
        let batch = (0..size).map(|_| {
            seq += 1;
            envelope(1, seq)
        });
        insert(store, batch.collect()).await;
        expected += size;
        let waiting = store.queue(queue(1)).await.unwrap().unwrap().waiting;
        assert_eq!(waiting.len(), expected);
    }
    let last = store.page(queue(1), seq - 1, 1).await.unwrap();
    assert_eq!(last, [envelope(1, seq)]);
}

async fn removed_envelopes_are_gone(store: &Subject) {
    change(store, vec![register(1), register(2)]).await;
    insert(
        store,
        (1..=6).map(|seq| envelope(1 + (seq % 2) as u8, seq)).collect(),
    )
    .await;
    let batch = Batch {
        envelopes: vec![envelope(1, 7)],
        removed: vec![(queue(1), 2), (queue(1), 4), (queue(2), 1)],
        ..Batch::default()
    };
    store.apply(batch.into()).await.unwrap();
    assert_eq!(seqs(&store.page(queue(1), 0, 10).await.unwrap()), [6, 7]);
    assert_eq!(seqs(&store.page(queue(2), 0, 10).await.unwrap()), [3, 5]);
}

async fn queues_are_found_by_address_and_deleted_whole(store: &Subject) {
    change(
        store,
        vec![register(1), register(2), share(1, NOW.plus_seconds(60))],
    )
    .await;
    insert(store, vec![envelope(1, 1), envelope(2, 2)]).await;
    assert_eq!(store.find_address([1; 32]).await.unwrap(), Some(queue(1)));
    assert_eq!(store.find_address([3; 32]).await.unwrap(), None);
    assert_eq!(store.queue(queue(3)).await.unwrap(), None);
    change(store, vec![Change::DeleteQueue { queue: queue(1) }]).await;
    assert_eq!(store.find_address([1; 32]).await.unwrap(), None);
    assert_eq!(store.queue(queue(1)).await.unwrap(), None);
    assert!(store.page(queue(1), 0, 9).await.unwrap().is_empty());
    assert_eq!(one(store, claim(1, 1, NOW, 9)).await, Outcome::Missing);
    assert_eq!(one(store, share(1, NOW)).await, Outcome::Missing);
    assert_eq!(seqs(&store.page(queue(2), 0, 9).await.unwrap()), [2]);
}

async fn an_invite_is_claimed_once(store: &Subject) {
    change(store, vec![register(1), share(1, NOW.plus_seconds(60))]).await;
    let claims = (1..=64).map(|n| claim(1, n, NOW, u64::from(n))).collect();
    let outcomes = change(store, claims).await;
    assert_eq!(outcomes[0], Outcome::Claimed(Bytes::from_static(b"card")));
    let taken = Outcome::Taken {
        at: NOW,
        key: [1; 32],
        card: Some(Bytes::from_static(b"card")),
    };
    assert!(outcomes[1..].iter().all(|outcome| *outcome == taken));
    assert!(matches!(
        one(store, withdraw(1)).await,
        Outcome::Taken { at: NOW, .. }
    ));
}

async fn a_claim_stores_its_notice(store: &Subject) {
    change(store, vec![register(1), share(1, NOW.plus_seconds(60))]).await;
    change(store, vec![claim(1, 1, NOW, 7), claim(1, 2, NOW, 8)]).await;
    let page = store.page(queue(1), 0, 9).await.unwrap();
    assert_eq!(seqs(&page), [7]);
    assert_eq!(page[0].kind, Kind::Notice);
}

async fn invites_expire_and_are_withdrawn(store: &Subject) {
    change(store, vec![register(1), register(2), register(3)]).await;
    change(
        store,
        vec![share(1, NOW.plus_seconds(1)), share(2, NOW.plus_seconds(1))],
    )
    .await;
    assert_eq!(
        one(store, claim(1, 1, NOW.plus_seconds(1), 1)).await,
        Outcome::Missing
    );
    assert_eq!(one(store, withdraw(2)).await, Outcome::Done);
    assert_eq!(one(store, withdraw(2)).await, Outcome::Done);
    assert_eq!(one(store, claim(2, 1, NOW, 1)).await, Outcome::Withdrawn);
    assert_eq!(one(store, withdraw(3)).await, Outcome::Missing);
    let foreign = Change::Withdraw {
        invite: InviteId([1; 16]),
        queue: queue(3),
    };
    assert_eq!(one(store, foreign).await, Outcome::Missing);
    assert!(store.page(queue(2), 0, 9).await.unwrap().is_empty());
}

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

async fn vaults_compare_and_set(store: &Subject) {
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

async fn vaults_are_bounded_and_paged(store: &Subject) {
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

async fn vaults_with_nothing_but_a_head_are_swept(store: &Subject) {
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

async fn old_things_are_swept(store: &Subject) {
    let late = |seconds| NOW.plus_seconds(seconds);
    change(
        store,
        vec![
            register(1),
            register(2),
            register(3),
            register(4),
            share(1, late(10)),
            share(2, late(10)),
        ],
    )
    .await;
    change(store, vec![share(3, late(100)), claim(1, 1, late(5), 1)]).await;
    let old = Envelope {
        at: Timestamp(NOW.0 - 1),
        ..envelope(2, 2)
    };
    insert(store, vec![old, envelope(2, 3)]).await;
    let touch = Change::Touch {
        queues: vec![queue(1), queue(2), queue(3)],
        day: 20_500,
    };
    change(store, vec![touch]).await;
    let by = Deadlines {
        now: late(10),
        envelopes: NOW,
        claims: late(6),
        queues: 20_500,
        vaults: 0,
        limit: 1_000,
    };
    let swept = store.sweep(by).await.unwrap();
    assert_eq!(swept.envelopes, [(queue(2), 2)]);
    assert_eq!(swept.queues, [queue(4)]);
    assert_eq!(seqs(&store.page(queue(2), 0, 9).await.unwrap()), [3]);
    assert_eq!(store.find_address([4; 32]).await.unwrap(), None);
    // The claimed one's card is gone, but when it was opened is still known.
    let taken = Outcome::Taken {
        at: late(5),
        key: [1; 32],
        card: None,
    };
    assert_eq!(one(store, claim(1, 1, late(11), 9)).await, taken);
    assert_eq!(one(store, claim(2, 1, late(9), 9)).await, Outcome::Missing);
    assert!(matches!(
        one(store, claim(3, 1, late(9), 9)).await,
        Outcome::Claimed(_)
    ));
    let later = Deadlines {
        now: late(700),
        claims: late(100),
        ..by
    };
    store.sweep(later).await.unwrap();
    assert_eq!(one(store, claim(1, 1, late(11), 10)).await, Outcome::Missing);
    assert_eq!(store.sweep(later).await.unwrap(), Swept::default());
}

async fn it_stays_usable_after_scrubbing(store: &Subject) {
    change(store, vec![register(1)]).await;
    insert(store, vec![envelope(1, 1)]).await;
    store.scrub().await.unwrap();
    store.check().await.unwrap();
    insert(store, vec![envelope(1, 2)]).await;
    assert_eq!(seqs(&store.page(queue(1), 0, 9).await.unwrap()), [1, 2]);
    store.close().await.unwrap();
}

fn room(n: u8) -> RoomId {
    RoomId([n; 16])
}

fn person(n: u8) -> PublicKey {
    let mut bytes = [n; 65];
    bytes[0] = 4;
    PublicKey::try_from(&bytes[..]).unwrap()
}

const BOUNDS: RoomLimits = RoomLimits {
    idle_seconds: 60,
    life_seconds: 100,
    people: 3,
    history: 2,
};

fn make(n: u8) -> Change {
    Change::MakeRoom {
        room: room(n),
        token: [n; 32],
        creator: person(1),
        limits: BOUNDS,
        at: NOW,
    }
}

fn join(n: u8, by: u8, name: u8) -> Change {
    Change::JoinRoom {
        room: room(n),
        key: person(by),
        name_hash: [name; 32],
        name: Bytes::from(vec![name; 256]),
        session: [by; 16],
        at: NOW,
    }
}

fn said(by: u32, seq: u64) -> Bytes {
    event(&RoomEvent::Message {
        from: by,
        seq,
        body: Bytes::from(vec![seq as u8; 256]),
        signature: rly_protocol::Signature([1; 64]),
    })
}

fn post(n: u8, by: u32, seq: u64, at: Timestamp) -> Change {
    Change::PostRoom {
        room: room(n),
        number: by,
        seq,
        event: said(by, seq),
        at,
    }
}

fn leave(n: u8, by: u32, session: u8) -> Change {
    Change::LeaveRoom {
        room: room(n),
        number: by,
        session: [session; 16],
        at: NOW,
    }
}

fn end(n: u8, due: Option<Timestamp>) -> Change {
    Change::EndRoom { room: room(n), due }
}

fn joined(number: u32, seq: u64) -> Outcome {
    Outcome::Joined { number, seq }
}

/// The events of a room after a place.
async fn events(store: &Subject, n: u8, after: u64) -> Vec<(u64, RoomEvent)> {
    use rly_protocol::Decode;
    let page = store.shared_page(room_queue(&room(n)), after, 100).await.unwrap();
    let entry = |entry: SharedEntry| (entry.place, RoomEvent::from_bytes(&entry.body).unwrap());
    page.into_iter().map(entry).collect()
}

async fn rooms_are_made_once_and_end(store: &Subject) {
    assert_eq!(store.room(room(1)).await.unwrap(), None);
    assert_eq!(store.room_snapshot(room(1)).await.unwrap(), None);
    let outcomes = change(store, vec![make(1), make(1), make(2), make(3)]).await;
    assert_eq!(
        outcomes,
        [Outcome::Done, Outcome::Conflict, Outcome::Done, Outcome::Done]
    );
    let made = RoomRecord {
        token: [1; 32],
        creator: person(1),
        limits: BOUNDS,
        ends: NOW.plus_seconds(100),
        closes: NOW.plus_seconds(60),
        head: 0,
        floor: 0,
        people: 0,
    };
    assert_eq!(store.room(room(1)).await.unwrap(), Some(made.clone()));
    // Said late, it goes on until its life is over; and nothing is said when its time has come.
    change(store, vec![join(1, 1, 1), join(2, 1, 1), join(3, 1, 1)]).await;
    let late = NOW.plus_seconds(59);
    assert_eq!(one(store, post(1, 1, 1, late)).await, Outcome::Done);
    let record = store.room(room(1)).await.unwrap().unwrap();
    assert_eq!((record.closes, record.head, record.people), (made.ends, 2, 1));
    let over = NOW.plus_seconds(60);
    assert_eq!(one(store, post(2, 1, 1, over)).await, Outcome::Missing);
    assert_eq!(one(store, end(1, Some(over))).await, Outcome::Missing);
    assert_eq!(one(store, end(2, Some(over))).await, Outcome::Done);
    let by = Deadlines {
        now: over,
        envelopes: NOW,
        claims: NOW,
        queues: 0,
        vaults: 0,
        limit: 10,
    };
    let swept = store.sweep(by).await.unwrap();
    assert_eq!(swept.rooms, [room(3)]);
    assert_eq!(one(store, end(1, None)).await, Outcome::Done);
    for n in 1..=3 {
        assert_eq!(store.room(room(n)).await.unwrap(), None);
        assert_eq!(events(store, n, 0).await, []);
        assert_eq!(one(store, join(n, 1, 1)).await, Outcome::Missing);
        assert_eq!(one(store, end(n, None)).await, Outcome::Missing);
        assert_eq!(one(store, make(n)).await, Outcome::Done, "nothing of it is left");
        assert_eq!(store.room_snapshot(room(n)).await.unwrap().unwrap().people, []);
    }
}

async fn people_of_a_room_have_numbers_and_names_of_their_own(store: &Subject) {
    change(store, vec![make(1), make(2)]).await;
    let outcomes = change(
        store,
        vec![
            join(1, 1, 7),
            join(1, 2, 7),
            join(1, 1, 9),
            join(1, 3, 8),
            join(1, 4, 7),
            join(2, 4, 7),
        ],
    )
    .await;
    assert_eq!(
        outcomes,
        [
            joined(1, 0),
            joined(2, 0),
            joined(1, 0),
            joined(3, 0),
            Outcome::Full,
            joined(1, 0)
        ]
    );
    let snapshot = store.room_snapshot(room(1)).await.unwrap().unwrap();
    let of = |number: u32, name: u8, name_number: u16| RoomPerson {
        number,
        key: person(number as u8),
        name_hash: [name; 32],
        name_number,
        name: Bytes::from(vec![name; 256]),
        here: true,
    };
    assert_eq!(snapshot.people, [of(1, 7, 1), of(2, 7, 2), of(3, 8, 1)]);
    assert_eq!(snapshot.record.head, 3, "who was here has not come back");
    assert_eq!(
        events(store, 1, 1).await[0],
        (2, RoomEvent::Joined { person: of(2, 7, 2) })
    );

    // Only the connection that reads makes somebody go away.
    change(store, vec![leave(1, 2, 9), leave(1, 2, 2), leave(1, 2, 2)]).await;
    let snapshot = store.room_snapshot(room(1)).await.unwrap().unwrap();
    assert_eq!(
        snapshot
            .people
            .iter()
            .map(|person| person.here)
            .collect::<Vec<_>>(),
        [true, false, true]
    );
    assert_eq!(events(store, 1, 3).await, [(4, RoomEvent::Away { number: 2 })]);
    assert_eq!(one(store, join(1, 2, 9)).await, joined(2, 0));
    assert_eq!(events(store, 1, 4).await, [(5, RoomEvent::Back { number: 2 })]);
    assert_eq!(one(store, Change::NobodyReads).await, Outcome::Done);
    let snapshot = store.room_snapshot(room(1)).await.unwrap().unwrap();
    assert!(snapshot.people.iter().all(|person| !person.here));
}

async fn what_is_said_has_one_order_and_is_said_once(store: &Subject) {
    change(store, vec![make(1), join(1, 1, 1), join(1, 2, 2)]).await;
    let outcomes = change(
        store,
        vec![
            post(1, 1, 5, NOW),
            post(1, 2, 5, NOW),
            post(1, 1, 5, NOW),
            post(1, 1, 4, NOW),
            post(1, 1, 6, NOW),
            post(1, 9, 1, NOW),
            post(2, 1, 1, NOW),
        ],
    )
    .await;
    assert_eq!(
        outcomes,
        [
            Outcome::Done,
            Outcome::Done,
            Outcome::Conflict,
            Outcome::Conflict,
            Outcome::Done,
            Outcome::NotIn,
            Outcome::Missing
        ]
    );
    let places: Vec<_> = events(store, 1, 2).await;
    assert_eq!(
        places.iter().map(|(place, _)| *place).collect::<Vec<_>>(),
        [3, 4, 5]
    );
    assert!(matches!(places[1].1, RoomEvent::Message { from: 2, seq: 5, .. }));
    assert_eq!(one(store, join(1, 1, 1)).await, joined(1, 6));
    let page = store.shared_page(room_queue(&room(1)), 3, 1).await.unwrap();
    assert_eq!((page.len(), page[0].place, page[0].at), (1, 4, NOW));
}

async fn deleting_a_person_deletes_what_they_said(store: &Subject) {
    change(
        store,
        vec![
            make(1),
            join(1, 1, 7),
            join(1, 2, 7),
            post(1, 1, 1, NOW),
            post(1, 2, 1, NOW),
        ],
    )
    .await;
    let delete = |number| Change::DeletePerson {
        room: room(1),
        number,
        at: NOW,
    };
    assert_eq!(one(store, delete(1)).await, Outcome::Done);
    assert_eq!(one(store, delete(1)).await, Outcome::NotIn);
    let left = events(store, 1, 0).await;
    assert_eq!(
        left.iter().map(|(place, _)| *place).collect::<Vec<_>>(),
        [2, 4, 5]
    );
    assert_eq!(left[2].1, RoomEvent::Deleted { number: 1 });
    assert_eq!(one(store, post(1, 1, 2, NOW)).await, Outcome::NotIn);
    // Somebody new, with a number that nobody had, and a name that nobody has.
    assert_eq!(one(store, join(1, 1, 7)).await, joined(3, 0));
    let snapshot = store.room_snapshot(room(1)).await.unwrap().unwrap();
    assert_eq!(
        snapshot
            .people
            .iter()
            .map(|p| (p.number, p.name_number))
            .collect::<Vec<_>>(),
        [(2, 2), (3, 3)]
    );
    assert_eq!(snapshot.record.people, 2);
}

async fn a_room_keeps_as_much_as_its_history(store: &Subject) {
    change(store, vec![make(1), join(1, 1, 1)]).await;
    change(store, (1..=3).map(|seq| post(1, 1, seq, NOW)).collect()).await;
    change(store, vec![join(1, 2, 2), post(1, 1, 4, NOW)]).await;
    // Places: 1 joined, 2 to 4 said, 5 joined, 6 said; the last two messages are 4 and 6.
    let record = store.room(room(1)).await.unwrap().unwrap();
    assert_eq!((record.head, record.floor), (6, 3));
    assert_eq!(events(store, 1, 0).await.len(), 6, "readers may still be behind");
    let by = Deadlines {
        now: NOW,
        envelopes: NOW,
        claims: NOW,
        queues: 0,
        vaults: 0,
        limit: 10,
    };
    assert_eq!(store.sweep(by).await.unwrap().entries, 3);
    assert_eq!(store.sweep(by).await.unwrap().entries, 0);
    let left = events(store, 1, 0).await;
    assert_eq!(
        left.iter().map(|(place, _)| *place).collect::<Vec<_>>(),
        [4, 5, 6]
    );
    let record = store.room(room(1)).await.unwrap().unwrap();
    assert_eq!((record.head, record.floor), (6, 0), "nothing older is there");
}
