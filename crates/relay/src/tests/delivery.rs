use super::*;
use rand_chacha::{ChaCha8Rng, rand_core::RngCore, rand_core::SeedableRng};

#[tokio::test]
async fn what_is_sent_arrives_in_order_and_once() {
    let server = Server::any().await;
    let mailbox = server.register().await;
    let (mut reader, mut sender) = (server.connect().await, server.connect().await);
    for n in 0..3 {
        sender.send(mailbox.address, n).await.unwrap();
    }
    reader.subscribe(&mailbox).await;
    sender.send(mailbox.address, 1).await.unwrap();
    for n in 3..6 {
        sender.send(mailbox.address, n).await.unwrap();
    }
    let mut last = 0;
    for n in 0..6 {
        let arrived = reader.arrived().await;
        assert_eq!((arrived.id, &arrived.body), (envelope_id(n), &body(n)));
        assert!(arrived.seq > last);
        last = arrived.seq;
    }
    reader.ack(mailbox.queue, last).await;
    sender.send(mailbox.address, 2).await.unwrap();
    server.settle().await;
    assert_eq!(reader.pending(), []);
    let metrics = server.relay.metrics();
    // A log takes repeated ones, too; the store knows them.
    let repeated = server.relay.engine().cluster.as_ref().map_or(0, |_| 2);
    assert_eq!(
        (metrics.accepted, metrics.acknowledged, metrics.pending),
        (6 + repeated, 6, 0)
    );
}

#[tokio::test]
async fn an_acknowledgement_before_the_commit_saves_the_write() {
    let server = Server::memory().await;
    let mailbox = server.register().await;
    let (mut reader, mut sender) = (server.connect().await, server.connect().await);
    reader.subscribe(&mailbox).await;
    let commits = server.relay.metrics().commits;
    for n in 0..100 {
        let req = sender.post(mailbox.address, n).await;
        let arrived = reader.arrived().await;
        reader.ack(mailbox.queue, arrived.seq).await;
        sender.answer(req).await.unwrap();
    }
    server.settle().await;
    let metrics = server.relay.metrics();
    // A slow machine may let one linger for too long; that is all.
    assert!(metrics.elided >= 95, "{metrics:?}");
    assert!(metrics.commits - commits <= 10, "{metrics:?}");
    assert_eq!(metrics.pending, 0);
}

#[tokio::test]
async fn the_last_subscriber_is_the_reader() {
    let server = Server::any().await;
    let mailbox = server.register().await;
    let mut sender = server.connect().await;
    let (mut first, mut second) = (server.connect().await, server.connect().await);
    first.subscribe(&mailbox).await;
    sender.send(mailbox.address, 1).await.unwrap();
    let arrived = first.arrived().await;
    second.subscribe(&mailbox).await;
    assert_eq!(
        first.next().await,
        Some(ServerFrame::Replaced { queue: mailbox.queue })
    );
    // What was not acknowledged comes again, to the second; the first has no say any more.
    first.ack(mailbox.queue, arrived.seq).await;
    assert_eq!(second.arrived().await, arrived);
    sender.send(mailbox.address, 2).await.unwrap();
    assert_eq!(second.arrived().await.id, envelope_id(2));
    assert_eq!(first.pending(), []);
    let delete = |req| ClientFrame::DeleteQueue {
        req,
        queue: mailbox.queue,
    };
    let refused = first.ask(delete).await.unwrap_err();
    assert_eq!(refused.0, ErrorCode::ProofInvalid);
}

#[tokio::test]
async fn unsubscribing_stops_and_dropping_too() {
    let server = Server::any().await;
    let mailbox = server.register().await;
    let (mut reader, mut sender) = (server.connect().await, server.connect().await);
    reader.subscribe(&mailbox).await;
    let queue = mailbox.queue;
    reader
        .ask(|req| ClientFrame::Unsubscribe { req, queue })
        .await
        .unwrap();
    sender.send(mailbox.address, 1).await.unwrap();
    assert_eq!(reader.pending(), []);
    reader.subscribe(&mailbox).await;
    assert_eq!(reader.arrived().await.id, envelope_id(1));
    drop(reader);
    sender.send(mailbox.address, 2).await.unwrap();
    assert_eq!(server.relay.metrics().connections, 1);
    let mut reader = server.connect().await;
    reader.subscribe(&mailbox).await;
    for n in 1..3 {
        assert_eq!(reader.arrived().await.id, envelope_id(n));
    }
}

#[tokio::test]
async fn proofs_and_tickets_are_checked() {
    let server = Server::any().await;
    let (mailbox, other) = (server.register().await, server.register().await);
    let mut reader = server.connect().await;
    let ticket = reader.subscribe(&mailbox).await;

    let mut again = server.connect().await;
    let signed = |signature| Proof::Signed { signature };
    let code = |result: Result<Ticket, (ErrorCode, u32)>| result.unwrap_err().0;
    let by_other = again.sign(&other.key, &mailbox.queue);
    let of_other_connection = reader.sign(&mailbox.key, &mailbox.queue);
    let of_other_queue = again.sign(&mailbox.key, &other.queue);
    for signature in [by_other, of_other_connection, of_other_queue, Signature([0; 64])] {
        let refused = again.subscribe_with(mailbox.queue, signed(signature)).await;
        assert_eq!(code(refused), ErrorCode::ProofInvalid);
    }
    let nowhere = QueueId([9; 16]);
    let signature = again.sign(&mailbox.key, &nowhere);
    let refused = again.subscribe_with(nowhere, signed(signature)).await;
    assert_eq!(code(refused), ErrorCode::NoQueue);

    let by_ticket = |ticket: &Ticket| Proof::Ticket {
        ticket: ticket.clone(),
    };
    let same = again
        .subscribe_with(mailbox.queue, by_ticket(&ticket))
        .await
        .unwrap();
    assert_eq!(same, ticket);
    let mut longer = ticket.clone();
    longer.expires = longer.expires.plus_seconds(1);
    let refused = again.subscribe_with(mailbox.queue, by_ticket(&longer)).await;
    assert_eq!(code(refused), ErrorCode::ProofInvalid);
    let refused = again.subscribe_with(other.queue, by_ticket(&ticket)).await;
    assert_eq!(code(refused), ErrorCode::ProofInvalid);
    server.clock.advance(86_400);
    let refused = again.subscribe_with(mailbox.queue, by_ticket(&ticket)).await;
    assert_eq!(code(refused), ErrorCode::TicketExpired);
}

#[tokio::test]
async fn frames_of_the_wrong_form_end_the_connection() {
    let server = Server::any().await;
    for (message, code) in [
        (&[1, 0x7f][..], ErrorCode::FrameInvalid),
        (&[1], ErrorCode::FrameInvalid),
        (&[], ErrorCode::FrameInvalid),
        (&[2, 0x0a, 0, 0, 0, 0, 0, 0, 0, 0], ErrorCode::VersionUnsupported),
        (&[1; rly_protocol::limits::FRAME_MAX + 1], ErrorCode::TooLarge),
    ] {
        let mut client = server.connect().await;
        let message = Bytes::copy_from_slice(message);
        assert_eq!(client.incoming.handle(message.clone()).await, Err(code));
        assert_eq!(client.incoming.handle(message).await, Err(code));
        match client.next().await {
            Some(ServerFrame::Goodbye { code: said, .. }) => assert_eq!(said, code.number()),
            other => panic!("{other:?}"),
        }
        assert_eq!(client.next().await, None);
    }
    let mut client = server.connect().await;
    client.give(ClientFrame::Ping { nonce: 7 }).await;
    assert_eq!(client.next().await, Some(ServerFrame::Pong { nonce: 7 }));
}

#[tokio::test]
async fn a_deleted_queue_is_gone_for_everybody() {
    let server = Server::any().await;
    let mailbox = server.register().await;
    let shared = server.share(&mailbox, 60).await;
    let (mut reader, mut sender) = (server.connect().await, server.connect().await);
    sender.send(mailbox.address, 1).await.unwrap();
    reader.subscribe(&mailbox).await;
    let queue = mailbox.queue;
    reader
        .ask(|req| ClientFrame::DeleteQueue { req, queue })
        .await
        .unwrap();
    assert_eq!(
        sender.send(mailbox.address, 2).await,
        Err((ErrorCode::NoQueue, 0))
    );
    let signature = reader.sign(&mailbox.key, &queue);
    let again = reader.subscribe_with(queue, Proof::Signed { signature }).await;
    assert_eq!(again.unwrap_err().0, ErrorCode::NoQueue);
    let refused = server.import(&shared.invite, &new_key()).await.unwrap_err();
    assert_eq!(refused.code, ErrorCode::InviteWithdrawn);
}

/// Readers come, go and replace each other while many tasks send: each reader gets each envelope
/// once and in order, and in the end nothing is missing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_seam_between_stored_and_live_does_not_show() {
    for seed in 0..6 {
        let folder = tempfile::tempdir().unwrap();
        let server = Server::sqlite(&folder.path().join("rly.db")).await;
        seam(&server, seed).await;
        server.relay.stop().await;
    }
}

const SENDERS: u64 = 4;
const EACH: u64 = 150;

async fn seam(server: &Server, seed: u64) {
    let mailbox = server.register().await;
    let mut tasks = Vec::new();
    for sender in 0..SENDERS {
        let mut client = server.connect().await;
        let address = mailbox.address;
        tasks.push(tokio::spawn(async move {
            let mut random = ChaCha8Rng::seed_from_u64(seed * 100 + sender);
            let mut open = VecDeque::new();
            for n in 0..EACH {
                open.push_back(client.post(address, sender * 1_000 + n).await);
                if open.len() > 16 {
                    client.answer(open.pop_front().unwrap()).await.unwrap();
                }
                if random.next_u32() % 16 == 0 {
                    tokio::time::sleep(Duration::from_millis(u64::from(random.next_u32() % 8))).await;
                }
            }
            for req in open {
                client.answer(req).await.unwrap();
            }
        }));
    }

    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut kept: Vec<Arrived> = Vec::new();
    while (kept.len() as u64) < SENDERS * EACH {
        let mut reader = server.connect().await;
        reader.subscribe(&mailbox).await;
        // Each time from the first that was not acknowledged, without gap, repetition or disorder.
        let acked = kept.len();
        let mut here = 0;
        let stay = 1 + random.next_u32() as usize % 120;
        while here < stay && (acked + here) < (SENDERS * EACH) as usize {
            let arrived = reader.arrived().await;
            if here == 0 {
                kept.truncate(acked);
            }
            if let Some(last) = kept.last() {
                assert!(arrived.seq > last.seq, "seed {seed}: disorder");
            }
            kept.push(arrived);
            here += 1;
        }
        // Acknowledge a part: the rest must come again.
        let part = random.next_u32() as usize % (here + 1);
        kept.truncate(acked + part);
        if part > 0 {
            reader.ack(mailbox.queue, kept[acked + part - 1].seq).await;
        }
    }
    for task in tasks {
        task.await.unwrap();
    }
    for sender in 0..SENDERS {
        let ids = (kept.iter()).filter(|arrived| {
            let n = u128::from_be_bytes(arrived.id.0) as u64;
            n / 1_000 == sender
        });
        let ids: Vec<_> = ids.map(|arrived| arrived.id).collect();
        let expected: Vec<_> = (0..EACH).map(|n| envelope_id(sender * 1_000 + n)).collect();
        assert_eq!(ids, expected, "seed {seed}: sender {sender}");
    }
}
