//! Cards and links: swapped, changed, answered by somebody else, at times that cannot be.

use crate::{DAY, mailbox, still_talk, world::World};
use rly_protocol::{
    Encode, EnvelopeId, InviteId, Timestamp,
    frame::{Kind, Notice},
};
use rly_view::{FailureCode, InviteState, Link, MessageState, Note};

#[test]
fn a_card_of_another_link_is_refused() {
    let mut world = World::new(1, 2);
    let link = world.invite(0, "Person 0", Some("the one")).unwrap();
    let other = world.invite(0, "Person 0", Some("the other")).unwrap();
    let (key, mut imported) = world.claim(&link).unwrap();
    imported.card = world.claim(&other).unwrap().1.card;
    let letter = world.keep_opened(1, &link, key, imported);
    assert!(
        world.devices[1].state.letters.is_empty(),
        "nothing of it is shown"
    );
    assert_eq!(
        world.reply(1, &letter, "Person 1", "yes"),
        Err(FailureCode::CardInvalid)
    );
}

#[test]
fn an_address_that_is_not_the_cards_is_refused() {
    let mut world = World::new(2, 2);
    let link = world.invite(0, "Person 0", Some("the one")).unwrap();
    let other = world.invite(0, "Person 0", None).unwrap();
    let (key, mut imported) = world.claim(&link).unwrap();
    imported.address = world.claim(&other).unwrap().1.address;
    let letter = world.keep_opened(1, &link, key, imported);
    assert!(world.devices[1].state.letters.is_empty());
    assert_eq!(
        world.reply(1, &letter, "Person 1", "yes"),
        Err(FailureCode::CardInvalid)
    );
}

#[test]
fn a_card_that_was_changed_is_refused() {
    let mut world = World::new(3, 2);
    let link = world.invite(0, "Person 0", Some("the one")).unwrap();
    let other = world.invite(0, "Person 0", None).unwrap();
    let (key, imported) = world.claim(&link).unwrap();
    let secret = |link: &str| {
        Link::from_fragment(link.split_once('#').unwrap().1)
            .unwrap()
            .secret
    };
    let open = |link: &str, card: &[u8]| rly_crypto::open_card(&secret(link), card).unwrap();
    let theirs = world.claim(&other).unwrap().1;
    let key_package = rly_crypto::verify_card(&open(&other, &theirs.card.0))
        .unwrap()
        .key_package;
    // Not even who has the link's secret can do it: the SIM key has signed.
    let signed = open(&link, &imported.card.0);
    let mut card = rly_crypto::verify_card(&signed).unwrap();
    let changes: [&dyn Fn(&mut rly_view::card::Card); 4] = [
        &|card| card.key_package = key_package.clone(),
        &|card| card.outer_key[0] ^= 1,
        &|card| card.name = "Somebody else".into(),
        &|card| card.letter = Some("Send money".into()),
    ];
    for change in changes {
        let before = card.clone();
        change(&mut card);
        let mut changed = signed.clone();
        changed.card = card.to_bytes().into();
        let sealed = rly_crypto::seal_card(&secret(&link), &changed, &mut world.rng).unwrap();
        let mut lie = imported.clone();
        lie.card.0 = sealed;
        let letter = world.keep_opened(1, &link, key, lie);
        assert!(world.devices[1].state.letters.is_empty());
        assert_eq!(
            world.reply(1, &letter, "Person 1", "yes"),
            Err(FailureCode::CardInvalid)
        );
        card = before;
    }
}

#[test]
fn a_link_that_is_answered_by_something_unreadable_says_so_and_goes_on_waiting() {
    let mut world = World::new(10, 2);
    let link = world.invite(0, "Person 0", Some("Dear friend")).unwrap();
    world.settle();
    let queue = mailbox(&world, 0);
    let letter = world.open(1, &link).unwrap();
    world.close(0);
    world.reply(1, &letter, "Person 1", "Hello back").unwrap();
    world.settle();
    let answer = world.relay.waiting_in(&queue).pop().unwrap().1;
    world.relay.tamper(|body| *body.last_mut().unwrap() ^= 1);
    world.reload(0);
    world.settle();
    let state = world.devices[0].state.invites[0].state;
    assert!(matches!(state, InviteState::Unreadable { .. }), "{state:?}");
    assert!(world.devices[0].state.conversations.is_empty());
    // It stays so, and is in the vault.
    world.reload(0);
    world.settle();
    assert_eq!(world.devices[0].state.invites[0].state, state);
    let file = world.export(0);
    world.close(0);
    let restored = world.restore(&file);
    world.settle();
    assert_eq!(world.devices[restored].state.invites[0].state, state);
    // The true answer still works.
    world
        .relay
        .deliver(queue, Kind::Envelope, EnvelopeId([1; 16]), answer);
    world.settle();
    assert!(world.devices[restored].state.invites.is_empty());
    assert_eq!(world.texts(restored, "Person 1", false), ["Hello back"]);
}

#[test]
fn a_second_answer_by_somebody_else_is_shown_and_not_taken() {
    let mut world = World::new(28, 3);
    let link = world.invite(0, "Person 0", Some("Dear friend")).unwrap();
    let (key, imported) = world.claim(&link).unwrap();
    for (d, text) in [(1, "first"), (2, "second")] {
        let letter = world.keep_opened(d, &link, key, imported.clone());
        world.reply(d, &letter, &format!("Person {d}"), text).unwrap();
        world.settle();
    }
    assert_eq!(world.devices[0].state.conversations.len(), 1);
    assert_eq!(world.texts(0, "Person 1", false), ["first"]);
    assert_eq!(world.notes(0, "Person 1"), [Note::Unreadable]);
    still_talk(&mut world, 0, 1, "Person 0", "Person 1");
}

#[test]
fn a_message_to_a_link_that_nobody_answered_says_so() {
    // The answer was lost, and what came after it not.
    let mut world = World::new(11, 2);
    let link = world.invite(0, "Person 0", None).unwrap();
    world.settle();
    let letter = world.open(1, &link).unwrap();
    world.close(0);
    world.reply(1, &letter, "Person 1", "lost").unwrap();
    world.settle();
    world.relay.drop_waiting(1);
    world.say(1, "Person 0", "not lost");
    world.settle();
    world.reload(0);
    world.settle();
    let state = world.devices[0].state.invites[0].state;
    assert!(matches!(state, InviteState::Unreadable { .. }), "{state:?}");
    assert!(
        world
            .states(1, "Person 0")
            .iter()
            .all(|state| *state == MessageState::Sent)
    );
}

#[test]
fn a_wrong_time_takes_no_link_away() {
    let mut world = World::new(14, 2);
    let link = world.invite(0, "Person 0", Some("Dear friend")).unwrap();
    for time in [
        Timestamp(u64::MAX),
        Timestamp(0),
        world.now.plus_seconds(1000 * DAY),
    ] {
        world.relay.faults.time = Some(time);
        world.reload(0);
        world.settle();
        assert_eq!(world.devices[0].state.invites[0].state, InviteState::Open);
    }
    let letter = world.open(1, &link).unwrap();
    world.reply(1, &letter, "Person 1", "in time").unwrap();
    world.settle();
    world.assert_agreement(0, 1);
}

#[test]
fn an_impossible_time_of_opening_is_not_shown() {
    for at in [Timestamp(0), Timestamp::MAX] {
        let mut world = World::new(15, 2);
        let link = world.invite(0, "Person 0", None).unwrap();
        world.settle();
        let queue = mailbox(&world, 0);
        let invite = Link::from_fragment(link.split_once('#').unwrap().1)
            .unwrap()
            .invite
            .clone();
        let invite: InviteId = invite.strip_prefix("jwt.").unwrap().parse().unwrap();
        let notice = Notice::InviteOpened { invite, at };
        world.relay.deliver(
            queue,
            Kind::Notice,
            EnvelopeId(invite.0),
            notice.to_bytes().into(),
        );
        let now = world.now;
        while world.step() {}
        assert_eq!(
            world.devices[0].state.invites[0].state,
            InviteState::Opened { at: now }
        );
    }
}

#[test]
fn an_answer_that_the_server_forgot_is_given_again() {
    for told in [true, false] {
        let mut world = World::new(26, 2);
        let link = world.invite(0, "Person 0", Some("Dear friend")).unwrap();
        world.settle();
        world.close(0);
        let letter = world.open(1, &link).unwrap();
        world.reply(1, &letter, "Person 1", "").unwrap();
        while world.step() {}
        world.say(1, "Person 0", "and a word");
        world.settle();
        // All that had come in since the mailboxes were made is gone.
        world.relay.forget_envelopes();
        let then = world.relay.backup();
        world.relay.roll_back(then, told);
        if !told {
            world.relay.set_generations(|generation| generation + 7);
        }
        world.cut(1);
        world.settle();
        world.reload(0);
        world.settle();
        world.pass(40);
        assert!(
            world.line(0, "Person 1").is_some(),
            "{told} {:?}",
            world.devices[0].state
        );
        assert_eq!(world.texts(0, "Person 1", false), ["and a word"], "told: {told}");
        still_talk(&mut world, 0, 1, "Person 0", "Person 1");
    }
}
