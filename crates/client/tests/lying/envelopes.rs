//! Envelopes and frames: changed, replayed, reordered, dropped, made up.

use crate::{DAY, mailbox, still_talk, world::World};
use bytes::Bytes;
use rly_client::Input;
use rly_protocol::{
    EnvelopeId, ErrorCode,
    frame::{Kind, ServerFrame},
};
use rly_view::{Connection, MessageState, Note, Phase};

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
