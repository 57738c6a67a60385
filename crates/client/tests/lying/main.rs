//! A server that lies: whatever it does with what it was given, it is refused or shown. SECURITY.md
//! names these tests.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod envelopes;
mod links;
mod refusals;
mod vault;
#[path = "../world/mod.rs"]
mod world;

use rly_protocol::QueueId;
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
