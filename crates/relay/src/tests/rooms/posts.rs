//! What one connection says at once.

use super::*;

impl Client {
    /// Says all of these at once, and only then that nothing more has come. The numbers of the requests.
    async fn say_at_once(&mut self, key: &SigningKey, seqs: &[u64]) -> Vec<Req> {
        let mut reqs = Vec::new();
        for &seq in seqs {
            let (req, body) = (self.new_req(), body(seq));
            let signature = sign(key, &post_message(&ROOM, seq, &sha(&body)));
            let post = ClientFrame::RoomPost {
                req,
                room: ROOM,
                seq,
                body,
                signature,
            };
            self.incoming.handle(post.to_message()).await.unwrap();
            reqs.push(req);
        }
        reqs
    }
}

#[tokio::test]
async fn what_is_said_at_once_is_written_at_once() {
    let server = Server::any().await;
    let (ada, bob) = (new_key(), new_key());
    server.room(&ada).await;
    let (mut a, mut b) = (server.inside(&ada, 1).await, server.inside(&bob, 2).await);
    server.at_rest().await;
    let before = server.relay.metrics();
    // The third repeats the second.
    let reqs = a.say_at_once(&ada, &[1, 2, 2, 3]).await;
    assert!(a.incoming.waits());
    assert_eq!(server.relay.metrics().commits, before.commits);
    a.incoming.rest();
    assert!(!a.incoming.waits());
    let mut codes = Vec::new();
    for req in reqs {
        codes.push(a.answer(req).await.err().map(|(code, _)| code));
    }
    assert_eq!(codes, [None, None, Some(ErrorCode::RoomReplayed), None]);
    let after = server.relay.metrics();
    assert_eq!(after.commits, before.commits + 1);
    assert_eq!(after.accepted, before.accepted + 3);
    for reader in [&mut a, &mut b] {
        let said = reader.transcript(3).await;
        assert_eq!(said.iter().map(|(_, _, seq)| *seq).collect::<Vec<_>>(), [1, 2, 3]);
    }
}

#[tokio::test]
async fn what_was_said_comes_before_what_is_asked_next() {
    let server = Server::any().await;
    let (ada, bob, eve) = (new_key(), new_key(), new_key());
    server.room(&ada).await;
    let mut b = server.inside(&bob, 2).await;
    // Without a rest in between: a leaving, and the end of a connection.
    let mut a = server.inside(&ada, 1).await;
    let reqs = a.say_at_once(&ada, &[1, 2]).await;
    a.ask(|req| ClientFrame::RoomLeave { req, room: ROOM })
        .await
        .unwrap();
    for req in reqs {
        a.answer(req).await.unwrap();
    }
    let mut e = server.inside(&eve, 3).await;
    e.say_at_once(&eve, &[1]).await;
    drop(e);
    assert_eq!(
        b.transcript(3)
            .await
            .iter()
            .map(|(_, _, seq)| *seq)
            .collect::<Vec<_>>(),
        [1, 2, 1]
    );
    // Who deletes themselves deletes what they have just said.
    b.say_at_once(&bob, &[1]).await;
    b.ask(|req| ClientFrame::RoomDelete { req, room: ROOM })
        .await
        .unwrap();
    let key = new_key();
    let mut late = server.inside(&key, 4).await;
    late.say(&key, 1).await.unwrap();
    let said = late.transcript(4).await;
    assert!(said.iter().all(|(_, from, _)| *from != 1), "{said:?}");
}

#[tokio::test]
async fn nobody_waits_for_a_flood_to_end() {
    let server = Server::any().await;
    let ada = new_key();
    server.room(&ada).await;
    let mut a = server.inside(&ada, 1).await;
    let reqs = a.say_at_once(&ada, &(1..=100).collect::<Vec<_>>()).await;
    for req in &reqs[..64] {
        a.answer(*req).await.unwrap();
    }
    a.incoming.rest();
    for req in &reqs[64..] {
        a.answer(*req).await.unwrap();
    }
    assert_eq!(a.transcript(100).await.len(), 100);
}
