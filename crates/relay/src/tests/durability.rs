use super::*;
use crate::{StartError, StoreError};
use std::collections::HashSet;

#[tokio::test]
async fn a_restart_keeps_everything_confirmed_and_no_number_comes_twice() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rly.db");
    let mut numbers = HashSet::new();
    let server = Server::sqlite(&path).await;
    let mailbox = server.register().await;
    let shared = server.share(&mailbox, 600).await;
    server.relay.stop().await;
    for round in 0..4 {
        let server = Server::sqlite(&path).await;
        let (mut reader, mut sender) = (server.connect().await, server.connect().await);
        for n in 0..10 {
            sender.send(mailbox.address, round * 10 + n).await.unwrap();
        }
        reader.subscribe(&mailbox).await;
        // Of the ten before, five were acknowledged.
        let waiting = if round == 0 { 10 } else { 15 };
        let mut seqs = Vec::new();
        for n in 0..waiting {
            let arrived = reader.arrived().await;
            let first = if round == 0 { 0 } else { round * 10 - 5 };
            assert_eq!(arrived.id, envelope_id(first + n));
            seqs.push(arrived.seq);
        }
        assert!(seqs.is_sorted());
        let new = if round == 0 { &seqs[..] } else { &seqs[5..] };
        assert!(
            new.iter().all(|seq| numbers.insert(*seq)),
            "a number was used twice"
        );
        reader.ack(mailbox.queue, seqs[seqs.len() - 6]).await;
        if round % 2 == 0 {
            server.relay.stop().await;
        } else {
            // As after kill -9: nobody closes anything.
            server.settle().await;
        }
    }
    let server = Server::sqlite(&path).await;
    server.import(&shared.invite, &new_key()).await.unwrap();
    server.relay.stop().await;
}

#[tokio::test]
async fn repeated_envelopes_are_known_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rly.db");
    let server = Server::sqlite(&path).await;
    let mailbox = server.register().await;
    server.connect().await.send(mailbox.address, 1).await.unwrap();
    server.relay.stop().await;
    let server = Server::sqlite(&path).await;
    let mut sender = server.connect().await;
    sender.send(mailbox.address, 1).await.unwrap();
    sender.send(mailbox.address, 2).await.unwrap();
    let mut reader = server.connect().await;
    reader.subscribe(&mailbox).await;
    for n in 1..3 {
        assert_eq!(reader.arrived().await.id, envelope_id(n));
    }
    server.settle().await;
    assert_eq!(reader.pending(), []);
    server.relay.stop().await;
}

#[tokio::test]
async fn stopping_answers_says_goodbye_and_leaves_no_log() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rly.db");
    let server = Server::sqlite(&path).await;
    let mailbox = server.register().await;
    let (mut reader, mut sender) = (server.connect().await, server.connect().await);
    reader.subscribe(&mailbox).await;
    for n in 0..50 {
        sender.post(mailbox.address, n).await;
    }
    server.relay.stop().await;
    for req in 1..=50 {
        sender.answer(req).await.unwrap();
    }
    match sender.next().await {
        Some(ServerFrame::Goodbye { code, retry_after }) => {
            assert_eq!(code, ErrorCode::Stopping.number());
            assert!(retry_after > 0);
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(sender.next().await, None);
    let refused = server.relay.connect(PEER).map(|_| ()).unwrap_err();
    assert_eq!(refused.code, ErrorCode::Stopping);
    assert!(server.relay.ready().await.is_err());
    let request = RegisterSim {
        reader_key: public(&new_key()),
    };
    let refused = server.relay.register_sim(PEER, request).await.unwrap_err();
    assert_eq!(refused.code, ErrorCode::Stopping);
    let log = folder.path().join("rly.db-wal");
    assert_eq!(std::fs::metadata(log).map_or(0, |log| log.len()), 0);

    let server = Server::sqlite(&path).await;
    let mut reader = server.connect().await;
    reader.subscribe(&mailbox).await;
    for n in 0..50 {
        assert_eq!(reader.arrived().await.id, envelope_id(n));
    }
    server.relay.stop().await;
}

#[tokio::test]
async fn acknowledged_bytes_leave_the_disk() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::sqlite(&folder.path().join("rly.db")).await;
    let mailbox = server.register().await;
    let (mut reader, mut sender) = (server.connect().await, server.connect().await);
    let marker = b"the very ciphertext that must not stay";
    for (n, size) in [256, 4096, 65_536, 256].into_iter().enumerate() {
        let mut body = vec![0; size];
        let end = size - marker.len();
        body[..marker.len()].copy_from_slice(marker);
        body[end..].copy_from_slice(marker);
        let (address, id) = (mailbox.address, envelope_id(n as u64));
        let body = Bytes::from(body);
        sender
            .ask(|req| ClientFrame::Send {
                req,
                address,
                id,
                body,
            })
            .await
            .unwrap();
    }
    let found = || {
        let files = std::fs::read_dir(folder.path()).unwrap();
        let mut bytes = files.map(|file| std::fs::read(file.unwrap().path()).unwrap());
        bytes.any(|bytes| bytes.windows(marker.len()).any(|window| window == marker))
    };
    assert!(found(), "the test looks in the wrong place");
    reader.subscribe(&mailbox).await;
    let mut last = 0;
    for _ in 0..4 {
        last = reader.arrived().await.seq;
    }
    reader.ack(mailbox.queue, last).await;
    server.settle().await;
    crate::sweeper::sweep(server.relay.engine()).await;
    assert!(!found());
    server.relay.stop().await;
}

#[tokio::test]
async fn a_store_belongs_to_its_keys() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rly.db");
    Server::sqlite(&path).await.relay.stop().await;
    let store = Arc::new(SqliteStore::open(&path).await.unwrap());
    let config = RelayConfig {
        origin: ORIGIN.into(),
        limits: Limits::default(),
        rooms: crate::RoomMakers::Anyone,
    };
    let other = Keyring::from_secret([8; 32]).unwrap();
    let started = Relay::start(config, other, store, Arc::new(crate::SystemClock)).await;
    assert_eq!(started.map(|_| ()), Err(StartError::Keyring));
}

#[test]
fn futures_can_move_between_threads() {
    fn check<T: Send>(_: impl FnOnce(Relay) -> T) {}
    check(|relay| async move { relay.ready().await });
    check(|relay| async move { relay.stop().await });
    check(|relay| async move {
        let (mut incoming, mut outgoing) = relay.connect(PEER).unwrap().split();
        let _ = tokio::join!(incoming.handle(Bytes::new()), outgoing.next());
    });
}

#[tokio::test]
async fn a_missing_folder_is_said_in_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let error = SqliteStore::open(&folder.path().join("no/such/rly.db"))
        .await
        .map(|_| ())
        .unwrap_err();
    assert!(matches!(error, StoreError::Disk(_)), "{error}");
    assert_eq!(error.to_string().lines().count(), 1);
}
