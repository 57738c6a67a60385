mod nodes;
mod posts;

use super::*;
use rly_protocol::{
    RoomId,
    api::{CreateRoom, RoomState},
    limits::ROOM_NAME_SIZE,
    room::{RoomEnd, RoomEvent, RoomLimits, RoomPerson, join_message, post_message},
};
use sha2::{Digest, Sha256};

const ROOM: RoomId = RoomId([9; 16]);
const TOKEN: [u8; 32] = [3; 32];
const LIMITS: RoomLimits = RoomLimits {
    idle_seconds: 300,
    life_seconds: 3_600,
    people: 300,
    history: 200,
};

fn sha(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

fn sign(key: &SigningKey, message: &[u8]) -> Signature {
    let signature: Ecdsa = key.sign(message);
    Signature(signature.to_bytes().into())
}

type Answer = Result<(), (ErrorCode, u32)>;

/// What RoomJoined says.
#[derive(Debug)]
struct Joined {
    you: u32,
    seq: u64,
    head: u64,
    people: Vec<RoomPerson>,
}

impl Server {
    async fn room_of(
        &self,
        key: &SigningKey,
        room: RoomId,
        limits: RoomLimits,
    ) -> Result<RoomState, crate::Refusal> {
        let request = CreateRoom {
            room,
            token_hash: Blob(sha(&TOKEN).into()),
            creator: public(key),
            limits,
        };
        self.relay.create_room(PEER, request).await
    }

    async fn room(&self, key: &SigningKey) {
        self.room_of(key, ROOM, LIMITS).await.unwrap();
    }

    /// Somebody who has joined as the name that a byte stands for.
    async fn inside(&self, key: &SigningKey, name: u8) -> Client {
        let mut client = self.connect().await;
        client.join(key, name, 0).await.unwrap();
        client
    }

    /// Waits until nothing is pulled any more.
    async fn at_rest(&self) {
        self.settle().await;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

impl Client {
    async fn join(&mut self, key: &SigningKey, name: u8, after: u64) -> Result<Joined, (ErrorCode, u32)> {
        self.join_with(key, name, after, TOKEN).await
    }

    async fn join_with(
        &mut self,
        key: &SigningKey,
        name: u8,
        after: u64,
        token: [u8; 32],
    ) -> Result<Joined, (ErrorCode, u32)> {
        let sealed = vec![name; ROOM_NAME_SIZE];
        let message = join_message(ORIGIN, &self.nonce, &ROOM, &[name; 32], &sha(&sealed));
        let answer = self.ask(|req| ClientFrame::RoomJoin {
            req,
            room: ROOM,
            token,
            key: public(key),
            name_hash: [name; 32],
            name: sealed.into(),
            after,
            signature: sign(key, &message),
        });
        match answer.await? {
            ServerFrame::RoomJoined {
                you,
                seq,
                head,
                people,
                ..
            } => Ok(Joined {
                you,
                seq,
                head,
                people,
            }),
            other => panic!("{other:?}"),
        }
    }

    async fn say(&mut self, key: &SigningKey, seq: u64) -> Answer {
        let text = body(seq);
        let signature = sign(key, &post_message(&ROOM, seq, &sha(&text)));
        self.say_as(seq, text, signature).await
    }

    async fn say_as(&mut self, seq: u64, body: Bytes, signature: Signature) -> Answer {
        let post = self.ask(|req| ClientFrame::RoomPost {
            req,
            room: ROOM,
            seq,
            body,
            signature,
        });
        post.await.map(|_| ())
    }

    async fn happened(&mut self) -> (u64, RoomEvent) {
        self.wait(|frame| match frame {
            ServerFrame::RoomHappened { place, event, .. } => Some((*place, event.clone())),
            _ => None,
        })
        .await
    }

    /// Who said what under which place, until so many messages have come.
    async fn transcript(&mut self, messages: usize) -> Vec<(u64, u32, u64)> {
        let mut said = Vec::new();
        while said.len() < messages {
            if let (place, RoomEvent::Message { from, seq, .. }) = self.happened().await {
                said.push((place, from, seq));
            }
        }
        said
    }

    async fn ended(&mut self) -> RoomEnd {
        self.wait(|frame| match frame {
            ServerFrame::RoomEnded { room: ROOM, why } => Some(*why),
            _ => None,
        })
        .await
    }
}

#[tokio::test]
async fn a_room_is_made_once_and_shows_its_limits() {
    let server = Server::any().await;
    let ada = new_key();
    let state = server.room_of(&ada, ROOM, LIMITS).await.unwrap();
    assert_eq!((state.limits, state.people), (LIMITS, 0));
    assert_eq!(state.closes_at.0 - state.now.0, 300_000);
    assert_eq!(state.ends_at.0 - state.now.0, 3_600_000);
    let taken = server.room_of(&new_key(), ROOM, LIMITS).await.unwrap_err();
    assert_eq!(taken.code, ErrorCode::RoomTaken);
    let unknown = server.relay.room_state(PEER, RoomId([8; 16])).await.unwrap_err();
    assert_eq!(unknown.code, ErrorCode::NoRoom);
    for wrong in [
        RoomLimits {
            idle_seconds: 9,
            ..LIMITS
        },
        RoomLimits {
            idle_seconds: 3_601,
            ..LIMITS
        },
        RoomLimits {
            life_seconds: 86_401,
            ..LIMITS
        },
        RoomLimits { people: 1, ..LIMITS },
        RoomLimits {
            people: 501,
            ..LIMITS
        },
        RoomLimits {
            history: 501,
            ..LIMITS
        },
    ] {
        let refused = server.room_of(&ada, RoomId([7; 16]), wrong).await.unwrap_err();
        assert_eq!(refused.code, ErrorCode::RoomInvalid, "{wrong:?}");
    }
    let _in = server.inside(&ada, 1).await;
    assert_eq!(server.relay.room_state(PEER, ROOM).await.unwrap().people, 1);
}

#[tokio::test]
async fn makers_are_bounded_and_may_be_kept_out() {
    let limits = Limits {
        rooms_per_peer: 2,
        ..Limits::free()
    };
    let server = Server::with(Arc::new(MemoryStore::default()), limits).await;
    let ada = new_key();
    let short = RoomLimits {
        idle_seconds: 10,
        life_seconds: 10,
        ..LIMITS
    };
    server.room_of(&ada, RoomId([1; 16]), short).await.unwrap();
    server.room_of(&ada, RoomId([2; 16]), LIMITS).await.unwrap();
    let many = server.room_of(&ada, RoomId([3; 16]), LIMITS).await.unwrap_err();
    assert_eq!(many.code, ErrorCode::RoomsTooMany);
    assert!(many.retry_after.is_some());
    server.clock.advance(10);
    server.room_of(&ada, RoomId([3; 16]), LIMITS).await.unwrap();

    for (makers, code) in [
        (crate::RoomMakers::Off, ErrorCode::RoomsOff),
        (crate::RoomMakers::Accounts, ErrorCode::RoomsNeedAccount),
    ] {
        let config = RelayConfig {
            origin: ORIGIN.into(),
            limits: Limits::free(),
            rooms: makers,
        };
        let keyring = Keyring::from_secret(SECRET).unwrap();
        let store = Arc::new(MemoryStore::default());
        let clock = server.clock.clone();
        let relay = Relay::start(config, keyring, store, clock.clone()).await.unwrap();
        let off = Server { relay, clock };
        assert_eq!(off.room_of(&ada, ROOM, LIMITS).await.unwrap_err().code, code);
    }
}

#[tokio::test]
async fn people_join_talk_and_see_one_order() {
    let server = Server::any().await;
    let (ada, bob, eve) = (new_key(), new_key(), new_key());
    server.room(&ada).await;
    let mut a = server.connect().await;
    let joined = a.join(&ada, 1, 0).await.unwrap();
    assert_eq!((joined.you, joined.seq, joined.people.len()), (1, 0, 1));
    // The second with the same name gets a number.
    let mut b = server.connect().await;
    let joined = b.join(&bob, 1, 0).await.unwrap();
    let names: Vec<_> = joined
        .people
        .iter()
        .map(|p| (p.number, p.name_number, p.here))
        .collect();
    assert_eq!(names, [(1, 1, true), (2, 2, true)]);
    a.say(&ada, 1).await.unwrap();
    b.say(&bob, 1).await.unwrap();
    a.say(&ada, 7).await.unwrap();
    let said = a.transcript(3).await;
    assert_eq!(
        said.iter()
            .map(|(_, from, seq)| (*from, *seq))
            .collect::<Vec<_>>(),
        [(1, 1), (2, 1), (1, 7)]
    );
    assert_eq!(b.transcript(3).await, said);
    // Who comes late gets the history, own messages come back to who comes again, and only what is new
    // to who knows the rest.
    let mut late = server.inside(&eve, 2).await;
    assert_eq!(late.transcript(3).await, said);
    drop(a);
    assert_eq!(
        loop {
            if let (_, RoomEvent::Away { number }) = b.happened().await {
                break number;
            }
        },
        1
    );
    let mut again = server.connect().await;
    let joined = again.join(&ada, 9, said[0].0).await.unwrap();
    assert_eq!((joined.you, joined.seq), (1, 7));
    assert_eq!(joined.people[0].name_hash, [1; 32], "the name of the first time");
    assert_eq!(again.transcript(2).await, said[1..]);
    assert_eq!(
        loop {
            if let (_, RoomEvent::Back { number }) = b.happened().await {
                break number;
            }
        },
        1
    );
}

#[tokio::test]
async fn a_room_lets_in_who_knows_it_and_as_many_as_it_holds() {
    let server = Server::any().await;
    let ada = new_key();
    server
        .room_of(&ada, ROOM, RoomLimits { people: 2, ..LIMITS })
        .await
        .unwrap();
    let mut stranger = server.connect().await;
    let wrong = stranger.join_with(&new_key(), 1, 0, [4; 32]).await.unwrap_err();
    assert_eq!(wrong.0, ErrorCode::RoomSecretWrong);
    // A signature for another name.
    let key = new_key();
    let message = join_message(
        ORIGIN,
        &stranger.nonce,
        &ROOM,
        &[2; 32],
        &sha(&[1; ROOM_NAME_SIZE]),
    );
    let frame = |size: usize| {
        let (key, message) = (key.clone(), message.clone());
        move |req| ClientFrame::RoomJoin {
            req,
            room: ROOM,
            token: TOKEN,
            key: public(&key),
            name_hash: [1; 32],
            name: vec![1; size].into(),
            after: 0,
            signature: sign(&key, &message),
        }
    };
    assert_eq!(
        stranger.ask(frame(ROOM_NAME_SIZE)).await.unwrap_err().0,
        ErrorCode::RoomSignatureWrong
    );
    assert_eq!(
        stranger.ask(frame(ROOM_NAME_SIZE - 1)).await.unwrap_err().0,
        ErrorCode::RoomInvalid
    );
    let _a = server.inside(&ada, 1).await;
    let b = server.inside(&key, 1).await;
    assert_eq!(
        stranger.join(&new_key(), 1, 0).await.unwrap_err().0,
        ErrorCode::RoomFull
    );
    // Being away keeps one's place.
    drop(b);
    server.at_rest().await;
    assert_eq!(
        stranger.join(&new_key(), 1, 0).await.unwrap_err().0,
        ErrorCode::RoomFull
    );
    assert_eq!(server.connect().await.join(&key, 1, 0).await.unwrap().you, 2);
}

#[tokio::test]
async fn a_thousand_forged_replayed_and_foreign_messages_are_refused() {
    let server = Server::any().await;
    let (ada, bob) = (new_key(), new_key());
    server.room(&ada).await;
    let (mut a, mut b) = (server.inside(&ada, 1).await, server.inside(&bob, 2).await);
    let mut outside = server.connect().await;
    let (mut said, mut refused) = (0u64, 0);
    let other_room = RoomId([10; 16]);
    for round in 0..125u64 {
        said += 1;
        let text = body(said);
        let right = sign(&ada, &post_message(&ROOM, said, &sha(&text)));
        a.say_as(said, text.clone(), right).await.unwrap();
        let next = said + 1;
        let of = |key: &SigningKey, room: &RoomId, seq: u64, text: &[u8]| {
            sign(key, &post_message(room, seq, &sha(text)))
        };
        let mut bent = of(&ada, &ROOM, next, &text);
        bent.0[(round % 64) as usize] ^= 1 << (round % 8);
        let cases = [
            // Played again: the last one, an old one, and under an old number with a true signature.
            (said, right, ErrorCode::RoomReplayed),
            (
                1 + round / 2,
                of(&ada, &ROOM, 1 + round / 2, &text),
                ErrorCode::RoomReplayed,
            ),
            // Not signed, wrongly signed, by somebody else, for another number, room or text.
            (next, Signature([0; 64]), ErrorCode::RoomSignatureWrong),
            (next, bent, ErrorCode::RoomSignatureWrong),
            (next, of(&bob, &ROOM, next, &text), ErrorCode::RoomSignatureWrong),
            (
                next,
                of(&ada, &other_room, next, &text),
                ErrorCode::RoomSignatureWrong,
            ),
            (
                next,
                of(&ada, &ROOM, next, &body(next + 9)),
                ErrorCode::RoomSignatureWrong,
            ),
        ];
        for (seq, signature, code) in cases {
            assert_eq!(
                a.say_as(seq, text.clone(), signature).await.unwrap_err(),
                (code, 0),
                "{round}: {seq}"
            );
            refused += 1;
        }
        // The very bytes, through another person's connection, and through one that has not joined.
        let stolen = b.say_as(said, text.clone(), right).await.unwrap_err();
        assert_eq!(stolen, (ErrorCode::RoomSignatureWrong, 0));
        let foreign = outside.say_as(said, text, right).await.unwrap_err();
        assert_eq!(foreign, (ErrorCode::RoomNotJoined, 0));
        refused += 2;
    }
    assert!(refused >= 1_000, "{refused}");
    let wrong_size = Bytes::from_static(b"short");
    let signature = sign(&ada, &post_message(&ROOM, said + 1, &sha(&wrong_size)));
    assert_eq!(
        a.say_as(said + 1, wrong_size, signature).await.unwrap_err().0,
        ErrorCode::EnvelopeInvalid
    );
    // Nothing of it reached anybody.
    let heard = b.transcript(said as usize).await;
    assert!(
        heard
            .iter()
            .enumerate()
            .all(|(n, (_, from, seq))| (*from, *seq) == (1, n as u64 + 1))
    );
    server.at_rest().await;
    assert!(
        b.pending()
            .iter()
            .all(|frame| !matches!(frame, ServerFrame::RoomHappened { .. }))
    );
}

#[tokio::test]
async fn deleting_everything_takes_back_what_was_said() {
    let server = Server::any().await;
    let (ada, bob) = (new_key(), new_key());
    server.room(&ada).await;
    let (mut a, mut b) = (server.inside(&ada, 1).await, server.inside(&bob, 2).await);
    a.say(&ada, 1).await.unwrap();
    b.say(&bob, 1).await.unwrap();
    b.ask(|req| ClientFrame::RoomDelete { req, room: ROOM })
        .await
        .unwrap();
    assert_eq!(
        loop {
            if let (_, RoomEvent::Deleted { number }) = a.happened().await {
                break number;
            }
        },
        2
    );
    assert_eq!(b.say(&bob, 2).await.unwrap_err().0, ErrorCode::RoomNotJoined);
    let mut late = server.connect().await;
    let joined = late.join(&new_key(), 2, 0).await.unwrap();
    assert_eq!(joined.people.iter().map(|p| p.number).collect::<Vec<_>>(), [1, 3]);
    assert_eq!(late.transcript(1).await[0].1, 1);
    // Who joins again is somebody new.
    assert_eq!(b.join(&bob, 2, 0).await.unwrap().you, 4);
}

#[tokio::test]
async fn only_the_creator_ends_a_room_for_all() {
    let server = Server::any().await;
    let (ada, bob) = (new_key(), new_key());
    server.room(&ada).await;
    let (mut a, mut b) = (server.inside(&ada, 1).await, server.inside(&bob, 2).await);
    let close = |req| ClientFrame::RoomClose { req, room: ROOM };
    assert_eq!(b.ask(close).await.unwrap_err().0, ErrorCode::RoomNotCreator);
    assert_eq!(
        server.connect().await.ask(close).await.unwrap_err().0,
        ErrorCode::RoomNotJoined
    );
    a.ask(close).await.unwrap();
    assert_eq!(
        (a.ended().await, b.ended().await),
        (RoomEnd::Creator, RoomEnd::Creator)
    );
    assert_eq!(b.say(&bob, 1).await.unwrap_err().0, ErrorCode::NoRoom);
    assert_eq!(b.join(&bob, 2, 0).await.unwrap_err().0, ErrorCode::NoRoom);
    assert_eq!(
        server.relay.room_state(PEER, ROOM).await.unwrap_err().code,
        ErrorCode::NoRoom
    );
}

#[tokio::test]
async fn a_room_ends_when_it_is_idle_and_when_its_life_is_over() {
    let server = Server::any().await;
    let ada = new_key();
    server
        .room_of(
            &ada,
            ROOM,
            RoomLimits {
                idle_seconds: 60,
                life_seconds: 150,
                ..LIMITS
            },
        )
        .await
        .unwrap();
    let mut a = server.inside(&ada, 1).await;
    for seq in 1..=2 {
        server.clock.advance(59);
        a.say(&ada, seq).await.unwrap();
        server.at_rest().await;
        crate::rooms::look_once(server.relay.engine()).await;
        assert!(server.relay.room_state(PEER, ROOM).await.is_ok());
    }
    server.clock.advance(32);
    crate::rooms::look_once(server.relay.engine()).await;
    assert_eq!(a.ended().await, RoomEnd::Life);
    server.room_of(&ada, ROOM, LIMITS).await.unwrap();
    let mut a = server.inside(&ada, 1).await;
    server.clock.advance(301);
    assert_eq!(
        a.say(&ada, 1).await.unwrap_err().0,
        ErrorCode::NoRoom,
        "not even before somebody looks"
    );
    crate::rooms::look_once(server.relay.engine()).await;
    assert_eq!(a.ended().await, RoomEnd::Idle);
    // One that nobody reads is ended by the sweep.
    server.room_of(&ada, ROOM, LIMITS).await.unwrap();
    server.clock.advance(301);
    crate::sweeper::sweep(server.relay.engine()).await;
    assert_eq!(server.relay.engine().store.room(ROOM).await.unwrap(), None);
}

#[tokio::test]
async fn a_late_joiner_gets_the_history_and_no_more() {
    let server = Server::any().await;
    let ada = new_key();
    server
        .room_of(&ada, ROOM, RoomLimits { history: 5, ..LIMITS })
        .await
        .unwrap();
    let mut a = server.inside(&ada, 1).await;
    for seq in 1..=20 {
        a.say(&ada, seq).await.unwrap();
    }
    assert_eq!(a.transcript(20).await.len(), 20, "who is there misses nothing");
    let mut late = server.inside(&new_key(), 2).await;
    let seqs: Vec<_> = late.transcript(5).await.iter().map(|(_, _, seq)| *seq).collect();
    assert_eq!(seqs, [16, 17, 18, 19, 20]);
    crate::sweeper::sweep(server.relay.engine()).await;
    let mut later = server.inside(&new_key(), 3).await;
    assert_eq!(later.transcript(5).await.len(), 5);
}

/// 200 people, each of whom says something five times while all others do.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_people_see_one_order() {
    const PEOPLE: usize = 200;
    const WORDS: u64 = 5;
    let folder = tempfile::tempdir().unwrap();
    let server = match std::env::var("RLY_TEST_RELAY").as_deref() {
        Ok("cluster") => Server::any().await,
        _ => Server::sqlite(&folder.path().join("rly.db")).await,
    };
    let server = Arc::new(server);
    let keys: Vec<_> = (0..PEOPLE).map(|_| new_key()).collect();
    server
        .room_of(
            &keys[0],
            ROOM,
            RoomLimits {
                history: 500,
                ..LIMITS
            },
        )
        .await
        .unwrap();
    let all = PEOPLE * WORDS as usize;
    let mut people = Vec::new();
    let start = Arc::new(tokio::sync::Barrier::new(PEOPLE));
    for key in keys {
        let (server, start) = (server.clone(), start.clone());
        people.push(tokio::spawn(async move {
            let mut client = server.inside(&key, 1).await;
            start.wait().await;
            for seq in 1..=WORDS {
                client.say(&key, seq).await.unwrap();
            }
            let said = client.transcript(all).await;
            let mut hash = Sha256::new();
            for (place, from, seq) in &said {
                hash.update(place.to_be_bytes());
                hash.update(from.to_be_bytes());
                hash.update(seq.to_be_bytes());
            }
            (<[u8; 32]>::from(hash.finalize()), said)
        }));
    }
    let mut hashes = std::collections::HashSet::new();
    for person in people {
        let (hash, said) = person.await.unwrap();
        hashes.insert(hash);
        assert!(said.is_sorted(), "places rise");
    }
    assert_eq!(hashes.len(), 1, "one order");
}

#[tokio::test]
async fn a_restart_in_the_middle_loses_nothing_and_keeps_the_order() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rly.db");
    let (ada, bob) = (new_key(), new_key());
    let mut said = Vec::new();
    for round in 0..4u64 {
        let server = Server::sqlite(&path).await;
        if round == 0 {
            server.room(&ada).await;
        }
        let (mut a, mut b) = (server.connect().await, server.connect().await);
        let joined = a.join(&ada, 1, 0).await.unwrap();
        assert_eq!((joined.you, joined.seq), (1, 10 * round));
        assert_eq!(a.transcript(said.len()).await, said);
        b.join(&bob, 2, joined.head).await.unwrap();
        for seq in 1..=10 {
            a.say(&ada, 10 * round + seq).await.unwrap();
        }
        let new = b.transcript(10).await;
        said.extend(new);
        if round % 2 == 0 {
            server.relay.stop().await;
        } else {
            // As after kill -9: nobody leaves, nobody closes anything.
            server.settle().await;
            std::mem::forget((a, b));
        }
    }
    assert!(said.is_sorted());
    assert_eq!(
        said.iter().map(|(_, _, seq)| *seq).collect::<Vec<_>>(),
        (1..=40).collect::<Vec<_>>()
    );
}

#[tokio::test]
async fn nothing_of_a_room_is_left_on_the_disk_after_its_end() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rly.db");
    let server = Server::sqlite(&path).await;
    let (ada, bob) = (new_key(), new_key());
    server.room(&ada).await;
    let (mut a, mut b) = (server.inside(&ada, 0xa1).await, server.inside(&bob, 0xb2).await);
    let secret = Bytes::from(vec![0xc7; 256]);
    let signature = sign(&bob, &post_message(&ROOM, 1, &sha(&secret)));
    b.say_as(1, secret.clone(), signature).await.unwrap();
    a.say(&ada, 1).await.unwrap();
    let found = |what: &[u8]| {
        std::fs::read_dir(folder.path()).unwrap().any(|file| {
            let bytes = std::fs::read(file.unwrap().path()).unwrap();
            bytes.windows(what.len()).any(|window| window == what)
        })
    };
    let (key, token) = (public(&bob), sha(&TOKEN));
    let all = [
        &secret[..],
        &[0xa1; 32],
        &[0xb2; 32],
        &key.as_bytes()[..],
        &token,
        &ROOM.0,
        &signature.0,
    ];
    assert!(
        all.iter().all(|what| found(what)),
        "the search finds what is there"
    );
    b.ask(|req| ClientFrame::RoomDelete { req, room: ROOM })
        .await
        .unwrap();
    crate::sweeper::sweep(server.relay.engine()).await;
    for what in [&secret[..], &[0xb2; 32], &key.as_bytes()[..], &signature.0] {
        assert!(!found(what), "of a person who deleted everything");
    }
    a.ask(|req| ClientFrame::RoomClose { req, room: ROOM })
        .await
        .unwrap();
    crate::sweeper::sweep(server.relay.engine()).await;
    for what in all {
        assert!(!found(what), "of a room that has ended");
    }
}
