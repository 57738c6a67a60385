//! Nodes of a cluster, on a real PostgreSQL and a real Kafka: `./test cluster` starts both.

use super::*;
use crate::{
    KafkaConfig, KafkaError, PostgresStore, StartError,
    store::{
        fresh_database,
        shared::{Appended, Held, Move, Record},
    },
};
use rdkafka::{
    ClientConfig, Offset, TopicPartitionList,
    admin::{AdminClient, AdminOptions, AlterConfig, ResourceSpecifier},
    client::DefaultClientContext,
};
use rly_protocol::frame::{Kind, vault_id_message};

/// What the nodes of one cluster share.
pub(crate) struct Place {
    database: String,
    prefix: String,
}

fn brokers() -> String {
    std::env::var("RLY_TEST_KAFKA")
        .unwrap_or_else(|_| panic!("RLY_TEST_KAFKA is what scripts/kafka prints; ./test cluster sets it"))
}

fn admin() -> AdminClient<DefaultClientContext> {
    ClientConfig::new()
        .set("bootstrap.servers", brokers())
        .create()
        .unwrap()
}

impl Place {
    pub async fn new() -> Self {
        // RUST_LOG=debug shows what nodes and librdkafka say. Another test may have been first.
        let _ = tracing_subscriber::fmt()
            .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
            .with_test_writer()
            .try_init();
        let prefix = format!("t{:032x}", u128::from_be_bytes(crate::keys::random()));
        Self {
            database: fresh_database().await,
            prefix,
        }
    }

    async fn store(&self) -> PostgresStore {
        PostgresStore::open(&self.database).await.unwrap()
    }

    fn kafka(&self) -> KafkaConfig {
        KafkaConfig {
            brokers: brokers(),
            options: Vec::new(),
            node: None,
            prefix: self.prefix.clone(),
            partitions: 4,
        }
    }

    fn topic(&self) -> String {
        format!("{}.queues", self.prefix)
    }

    async fn start(&self, secret: [u8; 32]) -> Result<Server, StartError> {
        let clock = Arc::new(TestClock(AtomicU64::new(1_800_000_000_000)));
        let config = RelayConfig {
            origin: ORIGIN.into(),
            limits: Limits::free(),
            rooms: crate::RoomMakers::Anyone,
        };
        let keyring = Keyring::from_secret(secret).unwrap();
        let (store, kafka) = (self.store().await, self.kafka());
        let relay = Relay::start_node(config, keyring, store, kafka, clock.clone()).await?;
        Ok(Server { relay, clock })
    }

    pub async fn node(&self) -> Server {
        self.start(SECRET).await.unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs servers: ./test cluster"]
async fn what_is_sent_through_one_node_is_read_on_another() {
    let place = Place::new().await;
    let (a, b) = (place.node().await, place.node().await);
    let mailbox = a.register().await;
    let (mut reader, mut sender) = (a.connect().await, b.connect().await);
    for n in 0..3 {
        sender.send(mailbox.address, n).await.unwrap();
    }
    reader.subscribe(&mailbox).await;
    // Sent again: known, wherever it is by now.
    sender.send(mailbox.address, 1).await.unwrap();
    let mut last = 0;
    for n in 0..200 {
        if n >= 3 {
            sender.post(mailbox.address, n).await;
        }
        if n % 7 == 0 {
            sender.post(mailbox.address, n).await;
        }
    }
    for n in 0..200 {
        let arrived = reader.arrived().await;
        assert_eq!((arrived.id, &arrived.body), (envelope_id(n), &body(n)));
        assert!(arrived.seq > last);
        last = arrived.seq;
        reader.ack(mailbox.queue, last).await;
    }
    // The body is gone, its name is known, and it does not come again.
    sender.send(mailbox.address, 199).await.unwrap();
    sender.send(mailbox.address, 200).await.unwrap();
    assert_eq!(reader.arrived().await.id, envelope_id(200));
    a.relay.stop().await;
    b.relay.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs servers: ./test cluster"]
async fn a_reader_moves_to_another_node_and_the_first_is_told() {
    let place = Place::new().await;
    let (a, b) = (place.node().await, place.node().await);
    let mailbox = a.register().await;
    let (mut first, mut second) = (a.connect().await, b.connect().await);
    let mut sender = a.connect().await;
    first.subscribe(&mailbox).await;
    sender.send(mailbox.address, 1).await.unwrap();
    assert_eq!(first.arrived().await.id, envelope_id(1));
    second.subscribe(&mailbox).await;
    let queue = mailbox.queue;
    first
        .wait(|frame| (*frame == ServerFrame::Replaced { queue }).then_some(()))
        .await;
    let arrived = second.arrived().await;
    assert_eq!(arrived.id, envelope_id(1));
    second.ack(queue, arrived.seq).await;
    sender.send(mailbox.address, 2).await.unwrap();
    let arrived = second.arrived().await;
    assert_eq!(arrived.id, envelope_id(2));
    // What is not yet stored as acknowledged would come again.
    b.settle().await;
    // Back again, while the second one is still there.
    first.subscribe(&mailbox).await;
    second
        .wait(|frame| (*frame == ServerFrame::Replaced { queue }).then_some(()))
        .await;
    sender.send(mailbox.address, 3).await.unwrap();
    let ids = [first.arrived().await.id, first.arrived().await.id];
    assert_eq!(ids, [envelope_id(2), envelope_id(3)]);
    assert!(
        first
            .pending()
            .iter()
            .all(|frame| !matches!(frame, ServerFrame::Deliver { .. }))
    );
    a.relay.stop().await;
    b.relay.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs servers: ./test cluster"]
async fn what_a_node_took_is_delivered_after_it_is_gone() {
    let place = Place::new().await;
    let (a, b) = (place.node().await, place.node().await);
    let mailbox = a.register().await;
    let mut sender = b.connect().await;
    for n in 0..100 {
        sender.post(mailbox.address, n).await;
    }
    for req in 1..=100 {
        sender.answer(req).await.unwrap();
    }
    b.relay.stop().await;
    let mut reader = a.connect().await;
    reader.subscribe(&mailbox).await;
    for n in 0..100 {
        assert_eq!(reader.arrived().await.id, envelope_id(n));
    }
    a.relay.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs servers: ./test cluster"]
async fn an_invite_is_opened_once_whichever_node_is_asked() {
    let place = Place::new().await;
    let (a, b) = (place.node().await, place.node().await);
    let mailbox = a.register().await;
    let shared = b.share(&mailbox, 600).await;
    let mut reader = a.connect().await;
    reader.subscribe(&mailbox).await;
    let keys: Vec<_> = (0..16).map(|_| new_key()).collect();
    let claims = keys.iter().enumerate().map(|(n, key)| {
        let node = if n % 2 == 0 { &a } else { &b };
        node.import(&shared.invite, key)
    });
    let results = futures_util::future::join_all(claims).await;
    let opened = results.iter().filter(|result| result.is_ok()).count();
    assert_eq!(opened, 1, "{results:?}");
    let used = results.iter().filter_map(|result| result.as_ref().err());
    assert!(
        used.into_iter()
            .all(|refusal| refusal.code == ErrorCode::InviteUsed)
    );
    let kind = reader.wait(|frame| match frame {
        ServerFrame::Deliver { kind, .. } => Some(*kind),
        _ => None,
    });
    assert_eq!(kind.await, Kind::Notice);
    a.relay.stop().await;
    b.relay.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs servers: ./test cluster"]
async fn a_vault_has_one_user_in_the_whole_cluster() {
    let place = Place::new().await;
    let (a, b) = (place.node().await, place.node().await);
    let key = new_key();
    let vault = crate::vaults::vault_id(&public(&key));
    let hash = crate::engine::hash(&vault_id_message(&public(&key)));
    assert_eq!(vault.0, hash[..16]);
    let (mut first, mut second) = (a.connect().await, b.connect().await);
    for client in [&mut first, &mut second] {
        let signature = client.sign(&key, &vault);
        let key = public(&key);
        let open = |req| ClientFrame::OpenVault { req, key, signature };
        client.ask(open).await.unwrap();
    }
    let told = |frame: &ServerFrame| (*frame == ServerFrame::Replaced { queue: vault }).then_some(());
    first.wait(told).await;
    let read = |req| ClientFrame::VaultRead {
        req,
        queue: vault,
        from: 0,
    };
    assert_eq!(first.ask(read).await.unwrap_err().0, ErrorCode::ProofInvalid);
    second.ask(read).await.unwrap();
    a.relay.stop().await;
    b.relay.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs servers: ./test cluster"]
async fn a_full_mailbox_refuses_and_takes_again_once_it_was_read() {
    let place = Place::new().await;
    let node = place.node().await;
    let mailbox = node.register().await;
    let mut sender = node.connect().await;
    for n in 0..1_000 {
        sender.post(mailbox.address, n).await;
    }
    for req in 1..=1_000 {
        sender.answer(req).await.unwrap();
    }
    assert_eq!(
        sender.send(mailbox.address, 1_000).await.unwrap_err().0,
        ErrorCode::QueueFull
    );
    let mut reader = node.connect().await;
    reader.subscribe(&mailbox).await;
    let mut last = 0;
    for n in 0..1_000 {
        let arrived = reader.arrived().await;
        assert_eq!(arrived.id, envelope_id(n));
        last = arrived.seq;
    }
    reader.ack(mailbox.queue, last).await;
    node.settle().await;
    while let Err((code, _)) = sender.send(mailbox.address, 1_000).await {
        assert_eq!(code, ErrorCode::QueueFull);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(reader.arrived().await.id, envelope_id(1_000));
    node.relay.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs servers: ./test cluster"]
async fn a_mailbox_deleted_on_one_node_is_gone_on_the_other() {
    let place = Place::new().await;
    let (a, b) = (place.node().await, place.node().await);
    let mailbox = a.register().await;
    let (mut reader, mut sender) = (a.connect().await, b.connect().await);
    sender.send(mailbox.address, 1).await.unwrap();
    reader.subscribe(&mailbox).await;
    reader.arrived().await;
    let queue = mailbox.queue;
    reader
        .ask(|req| ClientFrame::DeleteQueue { req, queue })
        .await
        .unwrap();
    let mut n = 2;
    while let Ok(()) = sender.send(mailbox.address, n).await {
        n += 1;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(
        sender.send(mailbox.address, n).await.unwrap_err().0,
        ErrorCode::NoQueue
    );
    a.relay.stop().await;
    b.relay.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs servers: ./test cluster"]
async fn nodes_with_other_keys_are_refused() {
    let place = Place::new().await;
    let node = place.node().await;
    let other = place.start([8; 32]).await.map(|_| ());
    assert_eq!(other, Err(StartError::Keyring));
    node.relay.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs servers: ./test cluster"]
async fn wrong_settings_and_wrong_logs_stop_the_start_with_one_line() {
    let place = Place::new().await;
    place.node().await.relay.stop().await;
    let topic = place.topic();
    let options = AdminOptions::new();
    let set = |name: &'static str, value: &'static str| {
        // All of them: what is not named goes back to its default.
        let all = [
            ("cleanup.policy", "delete"),
            ("retention.ms", "-1"),
            ("retention.bytes", "-1"),
            ("flush.messages", "1"),
        ];
        let mut change = AlterConfig::new(ResourceSpecifier::Topic(&topic));
        for (of, usual) in all {
            change = change.set(of, if of == name { value } else { usual });
        }
        let admin = admin();
        let options = &options;
        async move { admin.alter_configs([&change], options).await.unwrap() }
    };
    for (name, value) in [
        ("retention.ms", "604800000"),
        ("cleanup.policy", "compact"),
        ("flush.messages", "1000"),
    ] {
        set(name, value).await;
        let mut refused = place.start(SECRET).await.map(|_| ());
        // The broker makes it known a moment later.
        for _ in 0..50 {
            if refused.is_err() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
            refused = place.start(SECRET).await.map(|_| ());
        }
        let error = refused.unwrap_err();
        assert!(
            matches!(&error, StartError::Log(KafkaError::Topic { setting, .. }) if *setting == name),
            "{error}"
        );
        assert_eq!(error.to_string().lines().count(), 1);
    }
    set("retention.ms", "-1").await;
    let other = Place {
        database: place.database.clone(),
        prefix: format!("{}other", place.prefix),
    };
    let error = other.start(SECRET).await.map(|_| ()).unwrap_err();
    assert!(
        matches!(&error, StartError::Log(KafkaError::OtherLog { .. })),
        "{error}"
    );

    let mut nowhere = place.kafka();
    nowhere.brokers = "127.0.0.1:1".into();
    let config = RelayConfig {
        origin: ORIGIN.into(),
        limits: Limits::free(),
        rooms: crate::RoomMakers::Anyone,
    };
    let keyring = Keyring::from_secret(SECRET).unwrap();
    let clock = Arc::new(crate::SystemClock);
    let started = Relay::start_node(config, keyring, place.store().await, nowhere, clock).await;
    let error = started.map(|_| ()).unwrap_err();
    assert!(
        matches!(&error, StartError::Log(KafkaError::Unreachable(..))),
        "{error}"
    );
    assert_eq!(error.to_string().lines().count(), 1);
}

/// What was confirmed is gone from the log before it was stored: nobody can bring it back but those who
/// sent it, and they are told.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs servers: ./test cluster"]
async fn a_gap_in_the_log_makes_the_store_another_one() {
    let place = Place::new().await;
    let node = place.node().await;
    let mailbox = node.register().await;
    let mut sender = node.connect().await;
    sender.send(mailbox.address, 1).await.unwrap();
    let mut reader = node.connect().await;
    reader.subscribe(&mailbox).await;
    reader.arrived().await;
    let before = *node.relay.engine().incarnation.lock();
    node.relay.stop().await;
    // As if the database were an older one: the log was trimmed to where it is no more.
    let mut offsets = TopicPartitionList::new();
    for partition in 0..4 {
        offsets
            .add_partition_offset(&place.topic(), partition, Offset::End)
            .unwrap();
    }
    admin()
        .delete_records(&offsets, &AdminOptions::new())
        .await
        .unwrap();
    let pool = sqlx::PgPool::connect(&place.database).await.unwrap();
    sqlx::query("UPDATE partitions SET next_offset = 0")
        .execute(&pool)
        .await
        .unwrap();

    let node = place.node().await;
    let mut reader = node.connect().await;
    reader.subscribe(&mailbox).await;
    reader.arrived().await;
    let stopping = ErrorCode::Stopping.number();
    let told = |frame: &ServerFrame| match frame {
        ServerFrame::Goodbye { code, .. } => Some(*code == stopping),
        _ => None,
    };
    assert!(reader.wait(told).await);
    assert_ne!(*node.relay.engine().incarnation.lock(), before);
    assert!(node.relay.metrics().log_gaps >= 1);
    // And it goes on.
    let (mut reader, mut sender) = (node.connect().await, node.connect().await);
    sender.send(mailbox.address, 2).await.unwrap();
    reader.subscribe(&mailbox).await;
    assert_eq!(reader.arrived().await.id, envelope_id(1));
    assert_eq!(reader.arrived().await.id, envelope_id(2));
    node.relay.stop().await;
}

fn record(n: u64, queue: QueueId) -> Record {
    Record {
        queue,
        id: envelope_id(n),
        at: Timestamp(1_800_000_000_000),
        body: body(n),
    }
}

/// The store's side of fencing, without a log.
#[tokio::test]
#[ignore = "needs servers: ./test cluster"]
async fn a_consumer_that_was_replaced_writes_nothing() {
    let place = Place::new().await;
    let server = Server::with(Arc::new(place.store().await), Limits::free()).await;
    let mailbox = server.register().await;
    let store = place.store().await;
    assert_eq!(store.bind_log("log", 2).await.unwrap(), ("log".into(), 2));
    assert_eq!(store.bind_log("other", 3).await.unwrap(), ("log".into(), 2));
    let append = async |moves: &[(Held, i64)], ids: &[u64]| {
        let moves: Vec<Move> = (moves.iter())
            .map(|(held, to)| Move { held: *held, to: *to })
            .collect();
        let records: Vec<Record> = ids.iter().map(|n| record(*n, mailbox.queue)).collect();
        store.append(moves.into(), records.into()).await.unwrap()
    };
    let mut first = store.take("first", &[0, 1]).await.unwrap();
    first.sort_by_key(|held| held.partition);
    assert_eq!(append(&[(first[0], 3)], &[1, 2, 3]).await, Appended::Stored(3));
    // The same batch once more, as after an answer that was lost: refused, whatever is in it.
    assert_eq!(
        append(&[(first[0], 3)], &[1, 2, 3]).await,
        Appended::Fenced(vec![])
    );
    let zombie = Held { next: 3, ..first[0] };
    let second = store.take("second", &[0]).await.unwrap()[0];
    assert_eq!((second.partition, second.next), (0, 3));
    assert!(second.epoch > zombie.epoch);
    let both = [(zombie, 5), (first[1], 7)];
    assert_eq!(append(&both, &[4, 5]).await, Appended::Fenced(vec![1]));
    // Nothing of it was stored, not even what was its own.
    assert_eq!(append(&[(first[1], 7)], &[]).await, Appended::Stored(0));
    // A repeated envelope is known, one to nowhere is dropped, the rest is stored.
    let records: Vec<Record> = vec![
        record(3, mailbox.queue),
        record(4, mailbox.queue),
        record(4, mailbox.queue),
        record(9, QueueId([9; 16])),
    ];
    let step = Move { held: second, to: 7 };
    let appended = store.append([step].into(), records.into()).await.unwrap();
    assert_eq!(appended, Appended::Stored(1));
    let page = store.page(mailbox.queue, 0, 10).await.unwrap();
    let ids: Vec<_> = page.iter().map(|envelope| envelope.id).collect();
    assert_eq!(ids, [1, 2, 3, 4].map(envelope_id));
    assert!(page.windows(2).all(|pair| pair[0].seq < pair[1].seq));
    // Acknowledged, and then it comes once more: still known.
    let batch = crate::store::Batch {
        removed: vec![(mailbox.queue, page[0].seq)],
        ..Default::default()
    };
    store.apply(batch.into()).await.unwrap();
    let step = Move {
        held: Held { next: 7, ..second },
        to: 8,
    };
    let again = store
        .append([step].into(), [record(1, mailbox.queue)].into())
        .await
        .unwrap();
    assert_eq!(again, Appended::Stored(0));
    assert_eq!(store.page(mailbox.queue, 0, 10).await.unwrap().len(), 3);
}
