use super::*;
use rly_protocol::{
    Decode, InviteId,
    frame::{Kind, Notice},
};

fn code(result: Result<Imported, crate::Refusal>) -> ErrorCode {
    result.unwrap_err().code
}

async fn withdraw(reader: &mut Client, queue: QueueId, invite: InviteId) -> Result<(), (ErrorCode, u32)> {
    let answer = reader
        .ask(|req| ClientFrame::WithdrawInvite { req, queue, invite })
        .await;
    answer.map(|_| ())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_64_claims_at_once_one_wins() {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(&folder.path().join("rly.db")).await.unwrap();
    // With the limits that everybody has.
    let server = Arc::new(Server::with(Arc::new(store), Limits::default()).await);
    let mailbox = server.register().await;
    let shared = server.share(&mailbox, 60).await;
    let claims = (0..64).map(|_| {
        let (server, invite) = (server.clone(), shared.invite.clone());
        tokio::spawn(async move { server.import(&invite, &new_key()).await })
    });
    let claims: Vec<_> = claims.collect();
    let mut won = 0;
    for claim in claims {
        match claim.await.unwrap() {
            Ok(imported) => {
                assert_eq!(
                    (imported.address, &imported.card.0[..]),
                    (mailbox.address, &b"sealed card"[..])
                );
                won += 1;
            }
            Err(refusal) => {
                assert_eq!(refusal.code, ErrorCode::InviteUsed);
                assert!(refusal.opened_at.is_some());
            }
        }
    }
    assert_eq!(won, 1);
    // One notice, and the queue goes on behind it.
    let (mut reader, mut sender) = (server.connect().await, server.connect().await);
    reader.subscribe(&mailbox).await;
    let notice = reader.arrived().await;
    assert_eq!(
        Notice::from_bytes(&notice.body),
        Ok(Notice::InviteOpened {
            invite: shared.invite_id,
            at: server.clock.now()
        })
    );
    sender.send(mailbox.address, 1).await.unwrap();
    assert_eq!(reader.arrived().await.id, envelope_id(1));
}

#[tokio::test]
async fn the_sharer_is_told_at_once_and_in_order() {
    let server = Server::memory().await;
    let mailbox = server.register().await;
    let shared = server.share(&mailbox, 60).await;
    let (mut reader, mut sender) = (server.connect().await, server.connect().await);
    reader.subscribe(&mailbox).await;
    sender.post(mailbox.address, 1).await;
    let (winner, loser) = (new_key(), new_key());
    let (imported, lost) = tokio::join!(
        server.import(&shared.invite, &winner),
        server.import(&shared.invite, &loser)
    );
    imported.unwrap();
    assert_eq!(code(lost), ErrorCode::InviteUsed);
    sender.post(mailbox.address, 2).await;
    assert_eq!(reader.arrived().await.id, envelope_id(1));
    let notice = reader.wait(|frame| match frame {
        ServerFrame::Deliver { kind, body, .. } => Some((*kind, body.clone())),
        _ => None,
    });
    let (kind, body) = notice.await;
    assert_eq!(kind, Kind::Notice);
    assert!(matches!(
        Notice::from_bytes(&body),
        Ok(Notice::InviteOpened { .. })
    ));
    let last = reader.arrived().await;
    assert_eq!(last.id, envelope_id(2));
    reader.ack(mailbox.queue, last.seq).await;
    // A repeated claim tells nobody anything.
    server.import(&shared.invite, &winner).await.unwrap();
    server.settle().await;
    assert_eq!(reader.pending(), []);
}

#[tokio::test]
async fn the_claimant_may_repeat_for_ten_minutes() {
    let server = Server::any().await;
    let mailbox = server.register().await;
    let shared = server.share(&mailbox, 86_400).await;
    let key = new_key();
    let opened_at = server.clock.now();
    server.import(&shared.invite, &key).await.unwrap();
    server.clock.advance(600);
    crate::sweeper::sweep(server.relay.engine()).await;
    let again = server.import(&shared.invite, &key).await.unwrap();
    assert_eq!(again.address, mailbox.address);
    server.clock.advance(1);
    for _ in 0..2 {
        let refused = server.import(&shared.invite, &key).await.unwrap_err();
        assert_eq!(
            (refused.code, refused.opened_at),
            (ErrorCode::InviteUsed, Some(opened_at))
        );
        crate::sweeper::sweep(server.relay.engine()).await;
    }
}

#[tokio::test]
async fn invites_end() {
    let server = Server::any().await;
    let mailbox = server.register().await;
    let shared = server.share(&mailbox, 5).await;
    assert_eq!(shared.expires_at, server.clock.now().plus_seconds(5));
    server.clock.advance(5);
    assert_eq!(
        code(server.import(&shared.invite, &new_key()).await),
        ErrorCode::InviteExpired
    );
    crate::sweeper::sweep(server.relay.engine()).await;
    assert_eq!(
        code(server.import(&shared.invite, &new_key()).await),
        ErrorCode::InviteExpired
    );
    server.clock.advance(86_400);
    crate::sweeper::sweep(server.relay.engine()).await;
    assert_eq!(
        code(server.import(&shared.invite, &new_key()).await),
        ErrorCode::InviteExpired
    );
}

#[tokio::test]
async fn invites_are_withdrawn_by_their_reader_alone() {
    let server = Server::any().await;
    let (mailbox, other) = (server.register().await, server.register().await);
    let (open, used) = (server.share(&mailbox, 60).await, server.share(&mailbox, 60).await);
    server.import(&used.invite, &new_key()).await.unwrap();
    let mut reader = server.connect().await;
    let refused = withdraw(&mut reader, mailbox.queue, open.invite_id)
        .await
        .unwrap_err();
    assert_eq!(refused.0, ErrorCode::ProofInvalid);
    reader.subscribe(&other).await;
    let refused = withdraw(&mut reader, other.queue, open.invite_id)
        .await
        .unwrap_err();
    assert_eq!(refused.0, ErrorCode::InviteExpired);
    reader.subscribe(&mailbox).await;
    withdraw(&mut reader, mailbox.queue, open.invite_id)
        .await
        .unwrap();
    let refused = withdraw(&mut reader, mailbox.queue, used.invite_id)
        .await
        .unwrap_err();
    assert_eq!(refused.0, ErrorCode::InviteUsed);
    assert_eq!(
        code(server.import(&open.invite, &new_key()).await),
        ErrorCode::InviteWithdrawn
    );
}

#[tokio::test]
async fn what_is_wrong_with_a_request_is_named() {
    let server = Server::any().await;
    let mailbox = server.register().await;
    let good = ShareContact {
        address_token: mailbox.token.clone(),
        card: Blob(vec![1; 100]),
        ttl_seconds: 60,
    };
    let invite = server
        .relay
        .share_contact(PEER, good.clone())
        .await
        .unwrap()
        .invite;
    for (request, expected) in [
        (
            ShareContact {
                address_token: invite.clone(),
                ..good.clone()
            },
            ErrorCode::TokenInvalid,
        ),
        (
            ShareContact {
                card: Blob(vec![]),
                ..good.clone()
            },
            ErrorCode::CardInvalid,
        ),
        (
            ShareContact {
                card: Blob(vec![0; 65_537]),
                ..good.clone()
            },
            ErrorCode::CardInvalid,
        ),
        (
            ShareContact {
                ttl_seconds: 0,
                ..good.clone()
            },
            ErrorCode::TtlInvalid,
        ),
        (
            ShareContact {
                ttl_seconds: 30 * 86_400 + 1,
                ..good.clone()
            },
            ErrorCode::TtlInvalid,
        ),
    ] {
        let refused = server.relay.share_contact(PEER, request).await.unwrap_err();
        assert_eq!(refused.code, expected);
    }
    for bad in ["", "a.b.c", mailbox.token.as_str(), &invite[..invite.len() - 2]] {
        assert_eq!(
            code(server.import(bad, &new_key()).await),
            ErrorCode::InviteInvalid
        );
    }
    // None of that has used it up.
    server.import(&invite, &new_key()).await.unwrap();
}
