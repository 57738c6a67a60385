//! What the server refuses for good is made good, or said.

use crate::{still_talk, world::World};
use rly_protocol::ErrorCode;
use rly_view::{InviteState, MessageState, Note};

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
