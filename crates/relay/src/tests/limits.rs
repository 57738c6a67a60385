use super::{
    vaults::{put, vault_of},
    *,
};

async fn limited(limits: Limits) -> Server {
    Server::with(Arc::new(MemoryStore::default()), limits).await
}

#[tokio::test]
async fn a_slow_reader_is_cut_and_loses_nothing() {
    let server = Server::memory().await;
    let mailbox = server.register().await;
    let (mut reader, mut sender) = (server.connect().await, server.connect().await);
    reader.subscribe(&mailbox).await;
    for n in 0..300 {
        sender.post(mailbox.address, n).await;
    }
    let frames = reader.pending();
    assert!(
        matches!(frames[..], [ServerFrame::Goodbye { code, .. }] if code == ErrorCode::TooSlow.number()),
        "{} frames",
        frames.len()
    );
    assert_eq!(reader.next().await, None);
    let message = ClientFrame::Ping { nonce: 1 }.to_message();
    assert_eq!(reader.incoming.handle(message).await, Err(ErrorCode::TooSlow));
    for req in 1..=300 {
        sender.answer(req).await.unwrap();
    }
    let mut reader = server.connect().await;
    reader.subscribe(&mailbox).await;
    for n in 0..300 {
        assert_eq!(reader.arrived().await.id, envelope_id(n));
    }
    assert_eq!(server.relay.metrics().too_slow, 1);
}

#[tokio::test]
async fn catching_up_never_cuts() {
    let server = Server::any().await;
    let mailbox = server.register().await;
    let (mut reader, mut sender) = (server.connect().await, server.connect().await);
    for n in 0..900 {
        sender.post(mailbox.address, n).await;
    }
    server.settle().await;
    reader.subscribe(&mailbox).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    for n in 0..900 {
        assert_eq!(reader.arrived().await.id, envelope_id(n));
    }
}

#[tokio::test]
async fn quotas_refuse_until_there_is_room() {
    let server = limited(Limits {
        queue_envelopes: 3,
        ..Limits::free()
    })
    .await;
    let mailbox = server.register().await;
    let (mut reader, mut sender) = (server.connect().await, server.connect().await);
    for n in 0..3 {
        sender.send(mailbox.address, n).await.unwrap();
    }
    let (code, retry_after) = sender.send(mailbox.address, 3).await.unwrap_err();
    assert_eq!(code, ErrorCode::QueueFull);
    assert!(retry_after > 0);
    sender.send(mailbox.address, 2).await.unwrap();
    reader.subscribe(&mailbox).await;
    let first = reader.arrived().await;
    reader.ack(mailbox.queue, first.seq).await;
    sender.send(mailbox.address, 3).await.unwrap();
}

#[tokio::test]
async fn the_byte_quota_counts_too() {
    let server = limited(Limits {
        queue_bytes: 600,
        ..Limits::free()
    })
    .await;
    let mailbox = server.register().await;
    let mut sender = server.connect().await;
    for n in 0..2 {
        sender.send(mailbox.address, n).await.unwrap();
    }
    assert_eq!(
        sender.send(mailbox.address, 3).await.unwrap_err().0,
        ErrorCode::QueueFull
    );
}

#[tokio::test]
async fn rates_say_when_to_try_again() {
    let server = limited(Limits {
        sends_per_address: Rate::new(2.0, 3.0),
        ..Limits::free()
    })
    .await;
    let (mailbox, other) = (server.register().await, server.register().await);
    let mut sender = server.connect().await;
    for n in 0..3 {
        sender.send(mailbox.address, n).await.unwrap();
    }
    let refused = sender.send(mailbox.address, 3).await;
    assert_eq!(refused, Err((ErrorCode::RateLimited, 500)));
    sender.send(other.address, 3).await.unwrap();
    server.clock.advance(1);
    sender.send(mailbox.address, 3).await.unwrap();
    assert_eq!(server.relay.metrics().rate_limited, 1);
}

#[tokio::test]
async fn peers_have_rates_of_their_own() {
    let server = limited(Limits {
        sends_per_peer: Rate::new(1.0, 2.0),
        registrations: Rate::new(1.0, 1.0),
        ..Limits::free()
    })
    .await;
    let mailbox = server.register().await;
    let request = RegisterSim {
        reader_key: public(&new_key()),
    };
    let refused = server
        .relay
        .register_sim(PEER, request.clone())
        .await
        .unwrap_err();
    assert_eq!(refused.code, ErrorCode::RateLimited);
    assert_eq!(refused.retry_after, Some(Duration::from_secs(1)));
    let elsewhere = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 2));
    server.relay.register_sim(elsewhere, request).await.unwrap();

    // Two connections of one peer share.
    let (mut one, mut two) = (server.connect().await, server.connect().await);
    one.send(mailbox.address, 1).await.unwrap();
    two.send(mailbox.address, 2).await.unwrap();
    assert_eq!(
        one.send(mailbox.address, 3).await.unwrap_err().0,
        ErrorCode::RateLimited
    );
}

/// Whatever they are for.
#[tokio::test]
async fn one_peer_has_so_many_bytes_stored() {
    let server = limited(Limits {
        bytes_per_peer: Rate::new(100.0, 2_000.0),
        ..Limits::free()
    })
    .await;
    // Each mailbox counts as 256 bytes.
    let mailbox = server.register().await;
    let key = new_key();
    let vault = vault_of(&key);
    let mut client = server.connect().await;
    client.open_vault(&key).await.unwrap();
    client.write(vault, 0, vec![put(0, 1_000)]).await.unwrap();
    client.send(mailbox.address, 1).await.unwrap();
    client.send(mailbox.address, 2).await.unwrap();
    // 232 are left.
    let wait = |missing: u32| (ErrorCode::RateLimited, missing * 10);
    assert_eq!(client.send(mailbox.address, 3).await, Err(wait(24)));
    assert_eq!(client.write(vault, 1, vec![put(0, 300)]).await, Err(wait(68)));
    let share = ShareContact {
        address_token: mailbox.token.clone(),
        card: Blob(vec![1; 44]),
        ttl_seconds: 60,
    };
    let refused = server.relay.share_contact(PEER, share.clone()).await.unwrap_err();
    assert_eq!(refused.code, ErrorCode::RateLimited);
    let elsewhere = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 2));
    server.relay.share_contact(elsewhere, share).await.unwrap();
    server.clock.advance(1);
    client.send(mailbox.address, 3).await.unwrap();
}

#[tokio::test]
async fn envelopes_have_fixed_sizes_and_addresses_must_exist() {
    let server = Server::any().await;
    let mailbox = server.register().await;
    let mut sender = server.connect().await;
    for (size, good) in [
        (0, false),
        (255, false),
        (256, true),
        (257, false),
        (65_536, true),
    ] {
        let address = mailbox.address;
        let id = envelope_id(size as u64);
        let body = Bytes::from(vec![0; size]);
        let result = sender
            .ask(|req| ClientFrame::Send {
                req,
                address,
                id,
                body,
            })
            .await;
        match result {
            Ok(_) => assert!(good, "{size}"),
            Err(error) => assert_eq!((good, error), (false, (ErrorCode::EnvelopeInvalid, 0)), "{size}"),
        }
    }
    let nowhere = Address([3; 16]);
    assert_eq!(sender.send(nowhere, 1).await, Err((ErrorCode::NoQueue, 0)));
}

#[tokio::test]
async fn keys_must_be_points() {
    let server = Server::any().await;
    let mut bytes = [1; 65];
    bytes[0] = 4;
    let off_curve = PublicKey::try_from(&bytes[..]).unwrap();
    let request = RegisterSim {
        reader_key: off_curve,
    };
    let refused = server.relay.register_sim(PEER, request).await.unwrap_err();
    assert_eq!(refused.code, ErrorCode::KeyInvalid);
}

#[tokio::test]
async fn connections_are_counted() {
    let server = limited(Limits {
        connections: 1,
        ..Limits::free()
    })
    .await;
    let first = server.connect().await;
    let refused = server.relay.connect(PEER).map(|_| ()).unwrap_err();
    assert_eq!(refused.code, ErrorCode::TooManyConnections);
    assert!(refused.retry_after.is_some());
    drop(first);
    server.connect().await;
}

#[tokio::test]
async fn one_peer_does_not_take_all_connections() {
    let server = limited(Limits {
        connections_per_peer: 2,
        ..Limits::free()
    })
    .await;
    let (first, _second) = (server.connect().await, server.connect().await);
    let refused = server.relay.connect(PEER).map(|_| ()).unwrap_err();
    assert_eq!(refused.code, ErrorCode::TooManyConnections);
    assert!(refused.retry_after.is_some());
    let elsewhere = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 2));
    server.relay.connect(elsewhere).map(|_| ()).unwrap();
    drop(first);
    server.connect().await;
}

#[tokio::test]
async fn idle_queues_leave_memory_and_come_back() {
    let server = Server::memory().await;
    let mailbox = server.register().await;
    let mut sender = server.connect().await;
    sender.send(mailbox.address, 1).await.unwrap();
    let engine = server.relay.engine();
    crate::sweeper::sweep(engine).await;
    assert_eq!(server.relay.metrics().queues, 1);
    server.clock.advance(700);
    crate::sweeper::sweep(engine).await;
    assert_eq!(server.relay.metrics().queues, 0);
    sender.send(mailbox.address, 1).await.unwrap();
    sender.send(mailbox.address, 2).await.unwrap();
    let mut reader = server.connect().await;
    reader.subscribe(&mailbox).await;
    for n in 1..3 {
        assert_eq!(reader.arrived().await.id, envelope_id(n));
    }
    server.settle().await;
    assert_eq!(reader.pending(), []);
}

#[tokio::test]
async fn what_nobody_fetches_expires() {
    let server = Server::any().await;
    let mailbox = server.register().await;
    let mut sender = server.connect().await;
    sender.send(mailbox.address, 1).await.unwrap();
    server.clock.advance(29 * 86_400);
    sender.send(mailbox.address, 2).await.unwrap();
    server.clock.advance(2 * 86_400);
    server.settle().await;
    crate::sweeper::sweep(server.relay.engine()).await;
    assert_eq!(server.relay.metrics().expired, 1);
    let mut reader = server.connect().await;
    reader.subscribe(&mailbox).await;
    assert_eq!(reader.arrived().await.id, envelope_id(2));
    drop(reader);

    // Used within 400 days, it stays; then it goes.
    server.clock.advance(300 * 86_400);
    sender.send(mailbox.address, 3).await.unwrap();
    server.settle().await;
    crate::sweeper::sweep(server.relay.engine()).await;
    server.clock.advance(300 * 86_400);
    server.settle().await;
    crate::sweeper::sweep(server.relay.engine()).await;
    sender.send(mailbox.address, 4).await.unwrap();
    server.settle().await;
    crate::sweeper::sweep(server.relay.engine()).await;
    server.clock.advance(402 * 86_400);
    server.settle().await;
    crate::sweeper::sweep(server.relay.engine()).await;
    assert_eq!(
        sender.send(mailbox.address, 5).await,
        Err((ErrorCode::NoQueue, 0))
    );
}
