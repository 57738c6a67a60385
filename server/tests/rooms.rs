//! Rooms end to end, but for the browser: machines of people over websockets to the server as a process.
//! How they outlive its end is in the proof (`proof/rooms.rs`).
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;
#[path = "common/room.rs"]
mod room;

use common::process::Place;
use rly_client::room::{Room, RoomEffect};
use rly_protocol::{
    Signature,
    frame::ClientFrame,
    room::{RoomLimits, post_message},
};
use rly_view::{
    FailureCode, MessageState, RoomCommand, RoomContact, RoomContentView, RoomEndView, RoomMessageView,
    RoomPhase, RoomView,
};
use room::{Person, text_of, texts};
use sha2::{Digest, Sha256};

const LIMITS: RoomLimits = RoomLimits {
    idle_seconds: 300,
    life_seconds: 3_600,
    people: 300,
    history: 200,
};

fn is_said(n: usize) -> impl Fn(&Room) -> bool {
    move |room| texts(room).len() >= n
}

fn person_named(view: &RoomView, name: &str, number: u16) -> u32 {
    let is_it = |p: &&rly_view::RoomPersonView| p.name == name && p.name_number == number;
    let person = view.people.iter().find(is_it);
    person.unwrap_or_else(|| panic!("no {name} {number}")).number
}

#[tokio::test]
async fn people_meet_in_a_room_and_it_ends_for_all() {
    let place = Place::new();
    let server = place.start();
    let mut ada = Person::maker(&server, LIMITS).await;
    let link = ada.link();
    assert_eq!(link.rsplit_once('#').unwrap().1.len(), 26);
    ada.join("Ada").await.unwrap();
    let mut bob = Person::guest(&server, &link).await;
    assert_eq!(bob.room.view().limits, LIMITS);
    // The second of two equal names has a number, beside the name.
    bob.join(" ada ").await.unwrap();
    ada.say("Hello").await.unwrap();
    bob.until(is_said(1)).await;
    bob.say("Hi Ada 👩‍👩‍👧").await.unwrap();
    ada.until(is_said(2)).await;
    bob.until(is_said(2)).await;
    let said = [
        ("Ada".into(), 1, "Hello".into()),
        ("ada".into(), 2, "Hi Ada 👩‍👩‍👧".into()),
    ];
    assert_eq!(ada.texts(), said);
    assert_eq!(bob.texts(), said);
    let own = texts(&bob.room).remove(1).0;
    assert_eq!((own.own, own.state), (true, Some(MessageState::Sent)));

    // Who comes late sees the history; who loads the page anew reads their own messages, too.
    let mut eve = Person::guest(&server, &link).await;
    eve.join("Eve").await.unwrap();
    eve.until(is_said(2)).await;
    assert_eq!(eve.texts(), said);
    bob.reload().await;
    bob.until(is_said(2)).await;
    assert_eq!(bob.texts(), said);
    assert_eq!(bob.room.view().people.len(), 3);
    bob.say("Back").await.unwrap();
    eve.until(is_said(3)).await;

    // Too long is not sent, and words that nobody may end a room with are for its maker.
    assert_eq!(
        bob.say(&"x".repeat(1_001)).await.err(),
        Some(FailureCode::TextInvalid)
    );
    let room = String::from(bob.room.id());
    let close = RoomCommand::Close { room: room.clone() };
    assert_eq!(
        bob.command(close.clone()).await.err(),
        Some(FailureCode::RoomNotCreator)
    );

    // Bob takes everything back.
    assert!(bob.command(RoomCommand::DeleteEverything { room }).await.is_ok());
    assert_eq!(
        (bob.room.view().phase, bob.row.is_none(), bob.over),
        (RoomPhase::Deleted, true, true)
    );
    eve.until(|room| texts(room).len() == 1 && room.view().people.len() == 2)
        .await;
    assert_eq!(eve.texts(), said[..1]);

    ada.command(close).await.unwrap();
    eve.until(Room::is_over).await;
    for person in [&ada, &eve] {
        let why = Some(RoomEndView::Creator);
        assert_eq!(person.room.view().phase, RoomPhase::Ended { why });
        assert!(person.row.is_none() && person.over && person.room.messages().is_empty());
    }
    let (_, outcome) = Person::try_guest(&server, &link).await;
    assert_eq!(outcome.err(), Some(FailureCode::RoomGone));
}

#[tokio::test]
async fn two_people_keep_each_other_as_contacts() {
    let place = Place::new();
    let server = place.start();
    let mut ada = Person::maker(&server, LIMITS).await;
    let link = ada.link();
    ada.join("Ada").await.unwrap();
    let mut bob = Person::guest(&server, &link).await;
    bob.join("Bob").await.unwrap();
    let mut eve = Person::guest(&server, &link).await;
    eve.join("Eve").await.unwrap();
    ada.until(|room| room.view().people.len() == 3).await;
    let of = |person: &Person, name: &str| person_named(&person.room.view(), name, 1);
    let keep = |person: u32| RoomCommand::KeepContact {
        room: String::new(),
        person,
        name: None,
    };
    let state = |room: &Room, number: u32| {
        let view = room.view();
        view.people.iter().find(|p| p.number == number).unwrap().contact
    };
    let (a, b) = (of(&ada, "Ada"), of(&ada, "Bob"));
    bob.command(keep(a)).await.unwrap();
    assert_eq!(state(&bob.room, a), RoomContact::Asked);
    ada.until(|room| state(room, b) == RoomContact::AsksYou).await;
    assert!(ada.wishes.is_empty(), "not without her word");
    ada.command(keep(b)).await.unwrap();
    let RoomEffect::MakeInvite { person, .. } = ada.wishes.remove(0) else {
        panic!("no invite")
    };
    assert_eq!(person, b);
    let invite = Some("https://rly.example/i#invite".to_owned());
    let (room, link) = (String::new(), invite.clone());
    let made = RoomCommand::InviteMade { room, person, link };
    ada.command(made).await.unwrap();
    // Ada's ask, the link and this go out one after the other, each when the one before is confirmed: what
    // she does not read nobody sends for her.
    ada.say("done").await.unwrap();
    ada.until(is_said(1)).await;
    while bob.wishes.is_empty() {
        bob.turn().await;
    }
    let RoomEffect::OpenInvite { person, link, .. } = bob.wishes.remove(0) else {
        panic!("no link")
    };
    assert_eq!((person, Some(link)), (a, invite));
    let (room, conversation) = (String::new(), Some("c".into()));
    let made = RoomCommand::ContactMade {
        room,
        person,
        conversation,
    };
    bob.command(made).await.unwrap();
    assert_eq!(
        (state(&bob.room, a), state(&ada.room, b)),
        (RoomContact::Kept, RoomContact::Kept)
    );
    // Nobody else sees any of it.
    eve.until(is_said(1)).await;
    let view = eve.room.view();
    assert!(eve.wishes.is_empty() && view.people.iter().all(|p| p.contact == RoomContact::None));
}

/// 200 people, each on a websocket of their own; each hashes what it shows.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_people_show_one_transcript() {
    const PEOPLE: usize = 200;
    const WORDS: usize = 2;
    let place = Place::new();
    let server = place.start_with(|command| {
        command.env("RLY_LIMITS", "joins=10000/10000,proofs=10000/10000");
    });
    let server = std::sync::Arc::new(server);
    let limits = RoomLimits {
        history: 500,
        ..LIMITS
    };
    let mut ada = Person::maker(&server, limits).await;
    let link = ada.link();
    ada.join("Ada").await.unwrap();
    let start = std::sync::Arc::new(tokio::sync::Barrier::new(PEOPLE));
    let mut people = tokio::task::JoinSet::new();
    for n in 0..PEOPLE {
        let (server, link, start) = (server.clone(), link.clone(), start.clone());
        people.spawn(async move {
            let mut person = Person::guest(&server, &link).await;
            // Many have the same name.
            person.join(&format!("Name {}", n % 20)).await.unwrap();
            start.wait().await;
            for word in 0..WORDS {
                person.say(&format!("{n} says {word}")).await.unwrap();
            }
            // Counted as they come: to make the whole view anew with each of so many takes minutes.
            let mut said = 0;
            while said < PEOPLE * WORDS {
                person.turn().await;
                said += (person.told.drain(..))
                    .filter(|message| text_of(message).is_some())
                    .count();
            }
            let messages = person.room.messages();
            let wrong = |message: &&RoomMessageView| {
                matches!(
                    message.content,
                    RoomContentView::Forged | RoomContentView::Missing { .. }
                )
            };
            assert_eq!(messages.iter().filter(wrong).count(), 0);
            let mut hash = Sha256::new();
            for message in &messages {
                if let Some(text) = text_of(message) {
                    let RoomMessageView {
                        order,
                        name,
                        name_number,
                        ..
                    } = message;
                    hash.update(format!("{order} {name} {name_number} {text}\n"));
                }
            }
            hash.finalize().to_vec()
        });
    }
    let mut hashes = people.join_all().await;
    hashes.dedup();
    assert_eq!(hashes.len(), 1, "one order");
}

#[tokio::test]
async fn wrong_secrets_full_rooms_and_forgeries_are_told_apart() {
    let place = Place::new();
    let server = place.start();
    let mut ada = Person::maker(&server, RoomLimits { people: 2, ..LIMITS }).await;
    let link = ada.link();
    ada.join("Ada").await.unwrap();
    // A code with one other letter is another room.
    let (rest, last) = link.split_at(link.len() - 1);
    let other = format!("{rest}{}", if last == "a" { "b" } else { "a" });
    let (_, outcome) = Person::try_guest(&server, &other).await;
    assert_eq!(outcome.err(), Some(FailureCode::RoomGone));
    let mut bob = Person::guest(&server, &link).await;
    bob.join("Bob").await.unwrap();
    let mut eve = Person::guest(&server, &link).await;
    assert_eq!(eve.join("Eve").await.err(), Some(FailureCode::RoomFull));

    // Bob's connection says something in Ada's name, and what he has said once more.
    bob.say("once").await.unwrap();
    ada.until(is_said(1)).await;
    let body = bytes::Bytes::from(vec![1; 256]);
    let hash = Sha256::digest(&body).into();
    let by_ada = ada.signer.sign(&post_message(&ada.room.id(), 9, &hash));
    let by_bob = bob.signer.sign(&post_message(&bob.room.id(), 1, &hash));
    let room = bob.room.id();
    let mut socket = bob.socket.take().unwrap();
    for (seq, signature, code) in [
        (9, by_ada, "room_signature_wrong"),
        (9, Signature([0; 64]), "room_signature_wrong"),
        (1, by_bob, "room_replayed"),
    ] {
        let body = body.clone();
        socket
            .send(ClientFrame::RoomPost {
                req: 77,
                room,
                seq,
                body,
                signature,
            })
            .await;
        loop {
            if let Some(rly_protocol::frame::ServerFrame::Error {
                req: 77, code: given, ..
            }) = socket.next().await
            {
                assert_eq!(rly_protocol::ErrorCode::from_number(given).unwrap().name(), code);
                break;
            }
        }
    }
}
