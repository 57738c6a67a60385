//! The vault, and devices that are kept apart: rolled back, emptied, swapped.

use crate::{still_talk, world::World};
use rly_view::{Command, Note, Phase};

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
