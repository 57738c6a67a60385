//! A server that lies: whatever it does with what it was given, it is refused or shown. SECURITY.md
//! names these tests.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod world;

use bytes::Bytes;
use rly_client::Input;
use rly_protocol::{
    Encode, EnvelopeId, ErrorCode, InviteId, QueueId, Timestamp,
    frame::{Kind, Notice, ServerFrame},
};
use rly_view::{Command, Connection, FailureCode, InviteState, Link, MessageState, Note, Phase};
use world::World;

const DAY: u64 = 86_400;

/// The one mailbox that a device reads for its one conversation.
fn mailbox(world: &World, d: usize) -> QueueId {
    let mailboxes = world.relay.mailboxes_of(d);
    assert_eq!(mailboxes.len(), 1);
    mailboxes[0]
}

/// Both have the other's words, and new ones go both ways.
fn still_talk(world: &mut World, a: usize, b: usize, name_a: &str, name_b: &str) {
    let (one, two) = (
        format!("from {a} at {}", world.now.0),
        format!("from {b} at {}", world.now.0),
    );
    world.say(a, name_b, &one);
    world.say(b, name_a, &two);
    world.settle();
    world.pass(40);
    assert_eq!(world.texts(b, name_a, false).last(), Some(&one));
    assert_eq!(world.texts(a, name_b, false).last(), Some(&two));
    world.assert_delivered(a, name_b);
    world.assert_delivered(b, name_a);
}

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
fn an_envelope_that_was_changed_is_refused_and_comes_again() {
    let mut world = World::new(4, 2);
    world.meet(0, 1);
    world.close(1);
    world.say(0, "Person 1", "changed on its way");
    world.settle();
    let mut place = 0;
    world.relay.tamper(|body| {
        place = body.len() / 2;
        body[place] ^= 1;
    });
    assert!(place > 0);
    world.say(0, "Person 1", "not changed");
    world.settle();
    world.reload(1);
    world.settle();
    assert_eq!(
        world.texts(1, "Person 0", false),
        ["Dear friend", "not changed", "changed on its way"]
    );
    assert_eq!(world.notes(1, "Person 0"), [Note::Gap(1)]);
    world.assert_delivered(0, "Person 1");
}

#[test]
fn what_is_played_again_is_shown_once_under_any_id() {
    let mut world = World::new(5, 2);
    world.meet(0, 1);
    for n in 0..60 {
        world.say(0, "Person 1", &format!("from 0: {n}"));
        world.say(1, "Person 0", &format!("from 1: {n}"));
    }
    // A re-join and its Welcome as well.
    let old = world.devices[0].store.clone();
    world.reload(0);
    world.say(1, "Person 0", "once more");
    world.settle();
    world.devices[0].store = old;
    world.reload(0);
    world.settle();
    let (shown_0, shown_1) = (world.shown(0, "Person 1"), world.shown(1, "Person 0"));
    let all: Vec<_> = world.relay.sent.clone().into_iter().collect();
    assert!(all.len() > 120);
    for (n, (id, (address, body))) in all.into_iter().enumerate() {
        let queue = world.relay.mailbox_at(&address);
        let mut other = [0xee; 16];
        other[..8].copy_from_slice(&(n as u64).to_be_bytes());
        world.relay.deliver(queue, Kind::Envelope, id, body.clone());
        world
            .relay
            .deliver(queue, Kind::Envelope, EnvelopeId(other), body);
    }
    world.settle();
    assert_eq!(world.shown(0, "Person 1"), shown_0);
    assert_eq!(world.shown(1, "Person 0"), shown_1);
    still_talk(&mut world, 0, 1, "Person 0", "Person 1");
}

#[test]
fn what_comes_in_another_order_is_shown_in_the_senders() {
    let mut world = World::new(6, 2);
    world.meet(0, 1);
    world.close(1);
    for n in 0..40 {
        world.say(0, "Person 1", &format!("{n}"));
    }
    world.settle();
    world.relay.faults.shuffle = true;
    world.reload(1);
    world.settle();
    let expected: Vec<String> = (0..40).map(|n| n.to_string()).collect();
    assert_eq!(world.texts(1, "Person 0", false)[1..], expected);
    assert!(world.notes(1, "Person 0").is_empty());
}

#[test]
fn what_is_dropped_is_never_called_delivered() {
    let mut world = World::new(7, 2);
    world.meet(0, 1);
    world.relay.faults.drop = 1000;
    world.say(0, "Person 1", "into the void");
    world.settle();
    assert_eq!(world.states(0, "Person 1").last(), Some(&MessageState::Sent));
    world.pass(31 * DAY);
    assert_eq!(world.states(0, "Person 1").last(), Some(&MessageState::Failed));
}

#[test]
fn another_persons_envelope_is_not_taken() {
    let mut world = World::new(8, 3);
    world.meet(0, 1);
    let to_0 = mailbox(&world, 0);
    world.meet(0, 2);
    world.close(2);
    world.say(0, "Person 2", "for 2 alone");
    world.settle();
    let waiting = world.relay.sent.clone();
    let shown = world.shown(0, "Person 1");
    let to_1 = mailbox(&world, 1);
    for (n, (_, (_, body))) in waiting.into_iter().enumerate() {
        let mut id = [0xdd; 16];
        id[..8].copy_from_slice(&(n as u64).to_be_bytes());
        world
            .relay
            .deliver(to_0, Kind::Envelope, EnvelopeId(id), body.clone());
        world.relay.deliver(to_1, Kind::Envelope, EnvelopeId(id), body);
    }
    world.settle();
    assert_eq!(world.shown(0, "Person 1"), shown);
    assert_eq!(world.texts(1, "Person 0", false), ["Dear friend"]);
    still_talk(&mut world, 0, 1, "Person 0", "Person 1");
}

#[test]
fn what_is_made_up_is_not_taken() {
    let mut world = World::new(9, 2);
    world.meet(0, 1);
    let queue = mailbox(&world, 1);
    for size in [0, 1, 255, 256, 1024, 65_536] {
        world.relay.deliver(
            queue,
            Kind::Envelope,
            EnvelopeId([size as u8; 16]),
            vec![7; size].into(),
        );
        world.relay.deliver(
            queue,
            Kind::Notice,
            EnvelopeId([size as u8; 16]),
            vec![7; size].into(),
        );
    }
    world.settle();
    assert_eq!(world.texts(1, "Person 0", false), ["Dear friend"]);
    assert!(world.notes(1, "Person 0").is_empty());
    still_talk(&mut world, 0, 1, "Person 0", "Person 1");
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
fn sequence_numbers_of_the_server_decide_nothing() {
    let mut world = World::new(12, 2);
    world.meet(0, 1);
    let queue = mailbox(&world, 1);
    world.close(1);
    for n in 0..4 {
        world.say(0, "Person 1", &format!("{n}"));
    }
    world.settle();
    let waiting = world.relay.waiting_in(&queue);
    world.relay.drop_waiting(10);
    world.reload(1);
    world.settle();
    let seqs = [u64::MAX, 0, 0, 7];
    for (seq, (id, body)) in seqs
        .into_iter()
        .zip(waiting.clone())
        .chain(seqs.into_iter().zip(waiting))
    {
        let kind = Kind::Envelope;
        let deliver = ServerFrame::Deliver {
            queue,
            seq,
            kind,
            id,
            body,
        };
        world.server_says(1, deliver);
    }
    world.settle();
    assert_eq!(
        world.texts(1, "Person 0", false),
        ["Dear friend", "0", "1", "2", "3"]
    );
    assert!(world.notes(1, "Person 0").is_empty());
    still_talk(&mut world, 0, 1, "Person 0", "Person 1");
}

#[test]
fn frames_that_nobody_asked_for_change_nothing() {
    let mut world = World::new(13, 2);
    world.meet(0, 1);
    let queue = mailbox(&world, 0);
    let link = world.invite(0, "Person 0", None).unwrap();
    world.settle();
    for req in [0, 1, 2, 77, u32::MAX] {
        world.server_says(0, ServerFrame::Done { req });
        world.server_says(0, ServerFrame::error(req, ErrorCode::NoQueue, 0));
        world.server_says(0, ServerFrame::VaultWritten { req, generation: 99 });
        let entries = Vec::new();
        let page = ServerFrame::VaultPage {
            req,
            generation: 5,
            entries,
            more: true,
        };
        world.server_says(0, page);
        world.server_says(0, ServerFrame::Pong { nonce: 3 });
        world.server_says(0, ServerFrame::Replaced { queue });
    }
    world.settle();
    world.open(1, &link).unwrap();
    world.reload(0);
    world.settle();
    still_talk(&mut world, 0, 1, "Person 0", "Person 1");
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
fn wrong_generations_of_the_vault_take_nothing_away() {
    let mut world = World::new(16, 2);
    world.meet(0, 1);
    for generation in [0, 1, 1 << 60] {
        world.relay.set_generations(|_| generation);
        world.reload(0);
        world.settle();
        assert_eq!(world.devices[0].state.phase, Phase::Ready);
        still_talk(&mut world, 0, 1, "Person 0", "Person 1");
    }
    assert!(
        world.notes(0, "Person 1").contains(&Note::RejoinedHere),
        "and it is shown"
    );
}

#[test]
fn an_emptied_vault_takes_nothing_away_and_is_filled_again() {
    let mut world = World::new(17, 2);
    world.meet(0, 1);
    let link = world.invite(0, "Person 0", None).unwrap();
    world.settle();
    world.relay.empty_vaults();
    world.reload(0);
    world.settle();
    assert_eq!(world.devices[0].state.invites.len(), 1);
    still_talk(&mut world, 0, 1, "Person 0", "Person 1");
    assert!(world.notes(0, "Person 1").contains(&Note::RejoinedHere));
    let file = world.export(0);
    world.close(0);
    let restored = world.restore(&file);
    world.settle();
    assert_eq!(world.devices[restored].state.conversations.len(), 1);
    assert!(world.open(1, &link).is_ok());
}

#[test]
fn slots_of_the_vault_cannot_be_changed_or_swapped() {
    let mut world = World::new(18, 3);
    world.meet(0, 1);
    world.meet(0, 2);
    let file = world.export(0);
    world.close(0);
    // The first slot's bytes in the place of all others: the place is part of what is sealed.
    let mut first: Option<Vec<u8>> = None;
    world.relay.tamper_vaults(|slot, blob| match (&first, slot) {
        (None, 1..) => first = Some(blob.clone()),
        (Some(first), _) => blob.clone_from(first),
        _ => {}
    });
    let restored = world.restore(&file);
    world.settle();
    assert_eq!(world.devices[restored].state.phase, Phase::Ready);
    assert!(world.devices[restored].state.conversations.len() <= 1);
    for line in &world.devices[restored].state.conversations {
        assert!(["Person 1", "Person 2"].contains(&line.name.as_str()));
    }
}

#[test]
fn an_old_head_of_the_vault_stops_the_device_and_it_says_so() {
    let mut world = World::new(19, 2);
    world.meet(0, 1);
    let file = world.export(0);
    world.close(0);
    let then = world.relay.backup();
    let second = world.restore(&file);
    world.settle();
    world.relay.roll_back_vaults(&then);
    world.reload(second);
    world.settle();
    assert_eq!(world.devices[second].state.phase, Phase::Replaced);
    world.run(second, Command::UseHere).unwrap();
    world.settle();
    still_talk(&mut world, second, 1, "Person 0", "Person 1");
}

#[test]
fn a_server_that_hides_an_old_profile_is_found_out_by_the_contact() {
    let mut world = World::new(20, 2);
    world.meet(0, 1);
    let old = world.devices[0].store.clone();
    for n in 0..3 {
        world.say(0, "Person 1", &format!("later {n}"));
        world.settle();
    }
    // The vault would tell; the server takes any write as if nothing had been.
    world.relay.faults.any_generation = true;
    world.devices[0].store = old;
    world.reload(0);
    world.settle();
    world.say(0, "Person 1", "with used keys");
    world.settle();
    world.pass(40);
    assert!(world.notes(1, "Person 0").contains(&Note::Unreadable));
    assert!(world.notes(1, "Person 0").contains(&Note::RejoinedHere));
    assert_eq!(
        world.texts(1, "Person 0", false).last().map(String::as_str),
        Some("with used keys")
    );
    still_talk(&mut world, 0, 1, "Person 0", "Person 1");
}

#[test]
fn a_server_that_keeps_two_devices_of_a_sim_apart_is_found_out() {
    let mut world = World::new(21, 2);
    world.meet(0, 1);
    let file = world.export(0);
    let before = world.devices[0].store.clone();
    let second = world.restore(&file);
    world.settle();
    assert_eq!(world.devices[0].state.phase, Phase::Replaced);
    world.close(second);
    // As if the first had never been told.
    world.relay.faults.any_generation = true;
    world.devices[0].store = before;
    world.reload(0);
    world.settle();
    world.say(1, "Person 0", "which of you?");
    world.settle();
    world.pass(40);
    let notes = world.notes(0, "Person 1");
    assert!(
        notes.contains(&Note::Unreadable) && notes.contains(&Note::RejoinedHere),
        "{notes:?}"
    );
    assert_eq!(
        world.texts(0, "Person 1", false).last().map(String::as_str),
        Some("which of you?")
    );
    assert!(world.notes(1, "Person 0").contains(&Note::Rejoined));
}

#[test]
fn who_cannot_be_reached_any_more_is_told_on_both_sides() {
    let mut world = World::new(22, 2);
    world.meet(0, 1);
    world.invite(0, "Person 0", None).unwrap();
    world.settle();
    for queue in world.relay.mailboxes_of(0) {
        world.relay.forget_mailbox(&queue);
    }
    world.reload(0);
    world.settle();
    assert!(world.line(0, "Person 1").unwrap().unreachable);
    assert_eq!(world.devices[0].state.invites[0].state, InviteState::Gone);
    assert!(!world.line(1, "Person 0").unwrap().unreachable);
    // Not by a message alone: anything that is sent there tells.
    world.say(0, "Person 1", "do you hear me?");
    world.settle();
    assert!(
        world.line(1, "Person 0").unwrap().unreachable,
        "the receipt was refused"
    );
    world.say(1, "Person 0", "yes");
    world.settle();
    assert_eq!(world.states(1, "Person 0").last(), Some(&MessageState::Failed));
}

#[test]
fn a_refused_commit_is_made_good_by_new_keys() {
    let mut world = World::new(23, 2);
    world.meet(0, 1);
    // Who made the link commits first.
    for n in 1..50 {
        world.say(0, "Person 1", &format!("{n}"));
        world.settle();
    }
    let before = world.relay.sent.len();
    world.say(0, "Person 1", "the fiftieth");
    while world.relay.sent.len() == before && world.step() {}
    world.relay.faults.refuse = Some((ErrorCode::EnvelopeInvalid, 0));
    while world.relay.sent.len() < before + 2 && world.step() {}
    while world.step() {}
    world.relay.faults.refuse = None;
    world.settle();
    let notes = world.notes(0, "Person 1");
    assert!(
        notes.contains(&Note::RejoinedHere),
        "{notes:?} {:?}",
        world.line(0, "Person 1")
    );
    assert!(
        !world.notes(1, "Person 0").contains(&Note::Unreadable),
        "noticed before anything is unreadable"
    );
    still_talk(&mut world, 0, 1, "Person 0", "Person 1");
}

#[test]
fn a_refused_receipt_is_given_with_the_next_one() {
    for restart in [false, true] {
        let mut world = World::new(24, 2);
        world.meet(0, 1);
        world.say(1, "Person 0", "one");
        let sent = world.relay.sent.len();
        while world.relay.sent.len() == sent && world.step() {}
        world.relay.faults.refuse = Some((ErrorCode::EnvelopeInvalid, 0));
        while world.step() {}
        world.relay.faults.refuse = None;
        world.settle();
        assert_eq!(world.states(1, "Person 0").last(), Some(&MessageState::Sent));
        if restart {
            world.reload(0);
        } else {
            world.say(1, "Person 0", "two");
        }
        world.settle();
        world.assert_delivered(1, "Person 0");
    }
}

#[test]
fn a_refused_rejoin_is_asked_for_again() {
    let mut world = World::new(25, 2);
    world.meet(0, 1);
    let file = world.export(0);
    world.close(0);
    world.relay.faults.refuse = Some((ErrorCode::EnvelopeInvalid, 0));
    let restored = world.restore(&file);
    while world.step() {}
    assert!(world.line(restored, "Person 1").unwrap().rejoining);
    world.relay.faults.refuse = None;
    world.settle();
    still_talk(&mut world, restored, 1, "Person 0", "Person 1");
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

#[test]
fn what_comes_after_a_connection_was_given_up_wakes_nothing() {
    let mut world = World::new(29, 2);
    world.meet(0, 1);
    let file = world.export(0);
    world.restore(&file);
    world.settle();
    assert_eq!(world.devices[0].state.phase, Phase::Replaced);
    let queue = mailbox(&world, 2);
    for frame in [ServerFrame::Replaced { queue }, ServerFrame::Pong { nonce: 1 }] {
        world.input(0, Input::SocketFrame(frame.to_message()));
    }
    world.input(0, Input::SocketFrame(Bytes::from_static(b"nonsense")));
    assert_eq!(world.devices[0].state.connection, Connection::Idle);
}

#[test]
fn a_connection_that_speaks_nonsense_is_closed_and_tried_again() {
    let mut world = World::new(27, 2);
    world.meet(0, 1);
    for bytes in [vec![], vec![1], vec![9; 40], vec![1, 0x83, 0]] {
        world.input(0, Input::SocketFrame(Bytes::from(bytes)));
        world.settle();
        world.pass(60);
        still_talk(&mut world, 0, 1, "Person 0", "Person 1");
    }
}
