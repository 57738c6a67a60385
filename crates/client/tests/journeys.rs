//! The main job, from a letter to a conversation, between machines.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod world;

use rly_client::Input;
use rly_protocol::ErrorCode;
use rly_view::{Answer, Command, Connection, FailureCode, InviteState, MessageState, Note, Phase};
use world::World;

#[test]
fn a_letter_becomes_a_conversation() {
    let mut world = World::new(1, 2);
    assert_eq!(world.devices[0].state.phase, Phase::NoSim);
    let link = world.invite(0, "Person 0", Some("Dear friend")).unwrap();
    assert!(link.starts_with("https://rly.example/i#"));
    world.settle();
    let letter = world.open(1, &link).unwrap();
    world.settle();
    assert!(matches!(
        world.devices[0].state.invites[0].state,
        InviteState::Opened { .. }
    ));
    assert_eq!(world.devices[1].state.letters[0].name, "Person 0");

    let invite = world.devices[0].state.invites[0].id.clone();
    world.reply(1, &letter, "Person 1", "Hello back").unwrap();
    world.settle();
    assert_eq!(world.devices[0].state.connection, Connection::Online);
    assert!(world.devices[0].state.invites.is_empty());
    assert_eq!(world.devices[0].state.conversations[0].began_with, invite);
    assert!(world.devices[1].state.letters.is_empty());
    assert_eq!(world.texts(0, "Person 1", true), ["Dear friend"]);
    assert_eq!(world.texts(0, "Person 1", false), ["Hello back"]);
    for n in 0..120 {
        world.say(0, "Person 1", &format!("from 0: {n}"));
        world.say(1, "Person 0", &format!("from 1: {n}"));
    }
    world.settle();
    assert_eq!(world.texts(1, "Person 0", true).len(), 121);
    world.assert_agreement(0, 1);
    assert_eq!(world.relay.waiting(), 0, "everything is acknowledged");
    assert!(world.notes(0, "Person 1").is_empty());
}

#[test]
fn an_answer_may_be_only_a_contact() {
    let mut world = World::new(2, 2);
    let link = world.invite(0, "Person 0", None).unwrap();
    let letter = world.open(1, &link).unwrap();
    world.reply(1, &letter, "Person 1", "").unwrap();
    world.settle();
    assert!(world.texts(0, "Person 1", true).is_empty());
    world.say(0, "Person 1", "now you");
    world.settle();
    world.assert_agreement(0, 1);
}

#[test]
fn a_link_works_once() {
    let mut world = World::new(3, 3);
    let link = world.invite(0, "Person 0", None).unwrap();
    world.open(1, &link).unwrap();
    assert_eq!(world.open(2, &link), Err(ErrorCode::InviteUsed));
}

#[test]
fn a_link_can_be_withdrawn_but_not_after_it_was_opened() {
    let mut world = World::new(4, 2);
    let link = world.invite(0, "Person 0", None).unwrap();
    world.settle();
    let id = world.devices[0].state.invites[0].id.clone();
    assert!(matches!(
        world.run(0, Command::WithdrawInvite { id }),
        Ok(Answer::Done)
    ));
    assert!(world.devices[0].state.invites.is_empty());
    assert!(world.open(1, &link).is_err());

    let link = world.invite(0, "Person 0", None).unwrap();
    world.open(1, &link).unwrap();
    let id = world.devices[0].state.invites[0].id.clone();
    let outcome = world.run(0, Command::WithdrawInvite { id });
    assert_eq!(outcome.err(), Some(FailureCode::InviteUsed));
}

#[test]
fn ones_own_link_is_told() {
    let mut world = World::new(5, 1);
    let link = world.invite(0, "Person 0", None).unwrap();
    let letter = world.open(0, &link).unwrap();
    assert_eq!(
        world.reply(0, &letter, "Person 0", "me"),
        Err(FailureCode::OwnLink)
    );
}

#[test]
fn a_repeated_command_changes_nothing() {
    let mut world = World::new(6, 2);
    world.meet(0, 1);
    let (conversation, id) = (world.with(0, "Person 1"), world.id());
    for _ in 0..3 {
        let send = Command::Send {
            conversation: conversation.clone(),
            id: id.clone(),
            text: "once".into(),
        };
        assert!(world.run(0, send).is_ok());
    }
    let (id, name) = (world.id(), Some("Person 0".to_owned()));
    let link = |answer| match answer {
        Ok(Answer::Invite { link, .. }) => link,
        _ => panic!("no invite"),
    };
    let invite = Command::CreateInvite {
        id,
        letter: None,
        name,
        ttl_seconds: 60,
    };
    let first = link(world.run(0, invite.clone()));
    assert_eq!(first, link(world.run(0, invite)));
    let letter = world.open(1, &first).unwrap();
    let conversation = world.reply(1, &letter, "Person 1", "again").unwrap();
    assert_eq!(
        world.reply(1, &letter, "Person 1", "again").unwrap(),
        conversation
    );
    world.settle();
    assert_eq!(world.texts(1, "Person 0", false), ["Dear friend", "once"]);
    world.assert_agreement(0, 1);
}

#[test]
fn two_links_between_the_same_people_are_one_conversation() {
    let mut world = World::new(7, 2);
    let link_0 = world.invite(0, "Person 0", Some("letter of 0")).unwrap();
    let link_1 = world.invite(1, "Person 1", Some("letter of 1")).unwrap();
    let letter_0 = world.open(1, &link_0).unwrap();
    let letter_1 = world.open(0, &link_1).unwrap();
    world.command(
        1,
        Command::Reply {
            letter: letter_0.clone(),
            name: None,
            text: "answer of 1".into(),
        },
    );
    world.command(
        0,
        Command::Reply {
            letter: letter_1.clone(),
            name: None,
            text: "answer of 0".into(),
        },
    );
    world.settle();
    assert_eq!(world.devices[0].state.conversations.len(), 1);
    assert_eq!(world.devices[1].state.conversations.len(), 1);
    // An answer to one's own link does not push out the letter: by it other devices know that it is answered.
    assert_eq!(world.devices[0].state.conversations[0].began_with, letter_1);
    assert_eq!(world.devices[1].state.conversations[0].began_with, letter_0);
    for n in 0..5 {
        world.say(0, "Person 1", &format!("a{n}"));
        world.say(1, "Person 0", &format!("b{n}"));
    }
    world.settle();
    let mut from_0 = world.texts(1, "Person 0", false);
    from_0.sort();
    assert_eq!(
        from_0,
        ["a0", "a1", "a2", "a3", "a4", "answer of 0", "letter of 0"]
    );
    assert!(
        world.notes(0, "Person 1").is_empty(),
        "{:?}",
        world.notes(0, "Person 1")
    );
}

#[test]
fn what_is_written_offline_is_sent_later() {
    let mut world = World::new(8, 2);
    world.meet(0, 1);
    world.set_offline(0, true);
    world.set_offline(1, true);
    world.say(0, "Person 1", "from the train");
    world.reload(0);
    world.say(0, "Person 1", "still on the train");
    world.say(1, "Person 0", "from the cellar");
    assert_eq!(world.states(0, "Person 1")[1], MessageState::Sending);
    world.set_offline(0, false);
    world.settle();
    assert_eq!(world.states(0, "Person 1")[1], MessageState::Sent);
    world.set_offline(1, false);
    world.settle();
    world.assert_agreement(0, 1);
}

#[test]
fn an_answer_that_is_sent_once_more_is_delivered() {
    // With one and the other kept in one batch, and in two.
    for seed in 0..8 {
        let mut world = World::new(370 + seed, 2);
        let link = world.invite(0, "Person 0", Some("Dear friend")).unwrap();
        world.settle();
        world.set_offline(0, true);
        let letter = world.open(1, &link).unwrap();
        world.reply(1, &letter, "Person 1", "Hello back").unwrap();
        world.settle();
        // The server came back from an older copy, and says so: what has no receipt goes out again.
        let then = world.relay.backup();
        world.relay.roll_back(then, true);
        world.cut(1);
        world.say(1, "Person 0", "and more");
        world.settle();
        world.set_offline(0, false);
        world.settle();
        assert_eq!(world.texts(0, "Person 1", false), ["Hello back", "and more"]);
        world.assert_delivered(1, "Person 0");
    }
}

#[test]
fn a_blocked_contact_does_not_get_through() {
    let mut world = World::new(9, 2);
    world.meet(0, 1);
    let conversation = world.with(0, "Person 1");
    world
        .run(
            0,
            Command::Block {
                conversation: conversation.clone(),
            },
        )
        .unwrap();
    world.settle();
    world.say(1, "Person 0", "are you there?");
    world.settle();
    assert_eq!(world.states(1, "Person 0").last(), Some(&MessageState::Failed));
    assert_eq!(world.texts(0, "Person 1", false), ["Hello back"]);
    let id = world.id();
    let send = Command::Send {
        conversation: conversation.clone(),
        id,
        text: "no".into(),
    };
    assert_eq!(world.run(0, send).err(), Some(FailureCode::Blocked));
    world
        .run(0, Command::DeleteConversation { conversation })
        .unwrap();
    assert!(world.devices[0].state.conversations.is_empty());
    world.reload(0);
    world.settle();
    assert!(world.devices[0].state.conversations.is_empty());
}

#[test]
fn what_nobody_fetches_fails_and_can_be_tried_again() {
    let mut world = World::new(10, 2);
    world.meet(0, 1);
    world.close(1);
    world.say(0, "Person 1", "lost for long");
    world.settle();
    world.pass(31 * 86_400);
    assert_eq!(world.states(0, "Person 1").last(), Some(&MessageState::Failed));
    world.relay.drop_waiting(5);
    world.reload(1);
    world.settle();
    let conversation = world.with(0, "Person 1");
    let id = world.shown(0, "Person 1").last().unwrap().id.clone();
    world.run(0, Command::Retry { conversation, id }).unwrap();
    world.settle();
    assert_eq!(
        world.texts(1, "Person 0", false).last().map(String::as_str),
        Some("lost for long")
    );
    assert_eq!(world.states(0, "Person 1").last(), Some(&MessageState::Delivered));
}

#[test]
fn a_lost_envelope_is_shown_as_a_gap_and_sent_again() {
    let mut world = World::new(11, 2);
    world.meet(0, 1);
    world.close(1);
    world.say(0, "Person 1", "stays");
    world.settle();
    world.say(0, "Person 1", "is dropped by the server");
    world.settle();
    world.relay.drop_waiting(1);
    world.say(0, "Person 1", "comes after");
    world.settle();
    world.reload(1);
    world.settle();
    assert!(
        world.notes(1, "Person 0").contains(&Note::Gap(1)),
        "{:?}",
        world.notes(1, "Person 0")
    );
    assert_eq!(
        world.texts(1, "Person 0", false),
        ["Dear friend", "stays", "comes after", "is dropped by the server"]
    );
    world.assert_delivered(0, "Person 1");
}

#[test]
fn messages_read_from_storage_are_not_older_than_what_was_told() {
    let mut world = World::new(13, 2);
    world.meet(0, 1);
    world.say(0, "Person 1", "hello");
    // A page asks for messages; before storage has answered, the receipt comes.
    let stale = world.stored_messages(0, "Person 1");
    let conversation = world.with(0, "Person 1");
    let read = world.begin_read(
        0,
        Command::LoadMessages {
            conversation,
            before: None,
            limit: 10,
        },
    );
    world.settle();
    let messages = world.finish_read(0, read, stale);
    assert_eq!(
        messages.last().and_then(|message| message.state),
        Some(MessageState::Delivered)
    );
}

#[test]
fn messages_that_change_in_the_batch_in_which_they_were_read_are_not_older_than_what_was_told() {
    let mut world = World::new(13, 2);
    world.meet(0, 1);
    world.close(1);
    world.say(0, "Person 1", "hello");
    world.settle();
    let rows = world.stored_messages(0, "Person 1");
    let conversation = world.with(0, "Person 1");
    let load = Command::LoadMessages {
        conversation,
        before: None,
        limit: 10,
    };
    let (from, id) = world.begin_read(0, load);
    // Storage has answered, and the receipt comes before the machine is asked what to do.
    let (now, more) = (world.clock(0), false);
    let device = &mut world.devices[0];
    device
        .machine
        .handle(Input::Rows { id, rows, more }, now, &mut device.rng);
    world.reload(1);
    while world.step() {}
    let Some(Ok(Answer::Messages { messages, .. })) = world.devices[0].answers.remove(&from) else {
        panic!("no messages");
    };
    let last = messages.last().and_then(|message| message.state);
    assert_eq!(last, Some(MessageState::Delivered));
}

#[test]
fn a_new_name_is_told() {
    let mut world = World::new(12, 2);
    world.meet(0, 1);
    world
        .run(
            0,
            Command::SetName {
                name: "  Renée ".into(),
            },
        )
        .unwrap();
    world.settle();
    assert_eq!(world.devices[1].state.conversations[0].name, "Renée");
    assert_eq!(
        world.run(0, Command::SetName { name: " ".into() }).err(),
        Some(FailureCode::NameInvalid)
    );
}
