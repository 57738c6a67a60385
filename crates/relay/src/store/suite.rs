//! What every store must do, run on each of them.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod invites;
mod queues;
mod rooms;
mod vaults;

use super::*;
use invites::*;
use queues::*;
use rooms::*;
use std::sync::Arc;
use vaults::*;

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
    many_pages_at_once_are_each_their_own,
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

mod postgres_nodes {
    use super::*;

    #[ignore = "needs a server: ./test cluster"]
    #[tokio::test]
    async fn batches_over_the_same_rooms_never_wait_in_a_circle() {
        // A circle is noticed only when waiting for a lock has long failed.
        let url = fresh_database().await + "?options=-c%20deadlock_timeout%3D60s";
        let [one, another] = [PostgresStore::open(&url).await, PostgresStore::open(&url).await];
        rooms_are_written_in_every_order([one.unwrap(), another.unwrap()]).await;
    }

    /// Where the planner had counted when nothing waited, each batch of acknowledgements was compared with
    /// everything that waits, for as long as a statement may take.
    #[ignore = "needs a server: ./test cluster"]
    #[tokio::test]
    async fn what_was_counted_in_an_empty_moment_misleads_nobody() {
        use sqlx::{Connection, Executor, Row, SqlSafeStr};
        let url = fresh_database().await;
        PostgresStore::open(&url).await.unwrap();
        let mut db = sqlx::PgConnection::connect(&url).await.unwrap();
        let fill = |from: u32, to: u32, body: &str| {
            let sql = format!(
                "INSERT INTO envelopes (queue, id, seq, kind, created, body, done) \
                 SELECT uuid_send(md5((n % 16)::text)::uuid), uuid_send(md5(n::text)::uuid), n, 0, n, {body} \
                 FROM generate_series({from}, {to}) AS n"
            );
            sqlx::AssertSqlSafe(sql).into_sql_str()
        };
        db.execute(fill(1, 20_000, "NULL, 1")).await.unwrap();
        db.execute("VACUUM ANALYZE envelopes").await.unwrap();
        db.execute(fill(20_001, 25_000, "'x', NULL")).await.unwrap();
        // One plan for all, as a connection has it after a few times.
        let acknowledge = format!(
            "SET plan_cache_mode = force_generic_plan; PREPARE acknowledge AS {}",
            crate::store::ACKNOWLEDGE
        );
        db.execute(sqlx::AssertSqlSafe(acknowledge).into_sql_str())
            .await
            .unwrap();
        let plan = sqlx::raw_sql("EXPLAIN EXECUTE acknowledge(NULL, NULL)")
            .fetch_all(&mut db)
            .await
            .unwrap();
        let plan: Vec<String> = plan.iter().map(|line| line.get(0)).collect();
        let plan = plan.join("\n");
        assert!(
            plan.contains("Index Cond: ((queue = gone.queue) AND (seq = gone.seq))"),
            "{plan}"
        );
    }
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
