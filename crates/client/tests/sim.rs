//! One SIM on several devices: files, vault, take-over, re-joining, old profiles.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod world;

use rly_view::{Answer, Command, FailureCode, MessageState, Note, Phase};
use world::World;

#[test]
fn a_file_of_the_first_day_restores_every_contact() {
    let mut world = World::new(1, 6);
    world
        .run(
            0,
            Command::CreateSim {
                name: "Person 0".into(),
                password: Some("long and secret".into()),
            },
        )
        .unwrap();
    let file = world.export(0);
    for other in 1..6 {
        world.meet(0, other);
        world.say(0, &format!("Person {other}"), "before");
    }
    let link = world.invite(0, "Person 0", Some("an open letter")).unwrap();
    world.settle();
    world.close(0);
    // Sent while nobody is there, with keys that are lost: it comes after the re-join.
    world.say(1, "Person 0", "are you there?");
    world.settle();

    let restored = world.add_device();
    let import = |password: Option<&str>| Command::ImportSim {
        file: file.clone(),
        password: password.map(Into::into),
    };
    assert_eq!(
        world.run(restored, import(None)).err(),
        Some(FailureCode::PasswordNeeded)
    );
    assert_eq!(
        world.run(restored, import(Some("wrong"))).err(),
        Some(FailureCode::PasswordWrong)
    );
    assert!(matches!(
        world.run(restored, import(Some("long and secret"))),
        Ok(Answer::Done)
    ));
    world.settle();
    assert_eq!(world.devices[restored].state.phase, Phase::Ready);
    assert_eq!(world.devices[restored].state.conversations.len(), 5);
    for other in 1..6 {
        let name = format!("Person {other}");
        world.say(restored, &name, "I am back");
        world.say(other, "Person 0", "welcome back");
        world.settle();
        assert_eq!(
            world.texts(other, "Person 0", false).last().map(String::as_str),
            Some("I am back")
        );
        assert_eq!(
            world.texts(restored, &name, false).last().map(String::as_str),
            Some("welcome back")
        );
        assert!(world.notes(other, "Person 0").contains(&Note::Rejoined));
    }
    assert_eq!(
        world.texts(restored, "Person 1", false),
        ["are you there?", "welcome back"]
    );
    // The open link of the lost device still works.
    let opener = world.add_device();
    let letter = world.open(opener, &link).unwrap();
    world.reply(opener, &letter, "Late reader", "found it").unwrap();
    world.settle();
    assert_eq!(world.texts(restored, "Late reader", false), ["found it"]);
}

#[test]
fn the_older_of_two_devices_notices_and_stops() {
    let mut world = World::new(2, 2);
    world.meet(0, 1);
    let file = world.export(0);
    let second = world.add_device();
    world
        .run(second, Command::ImportSim { file, password: None })
        .unwrap();
    world.settle();
    assert_eq!(world.devices[0].state.phase, Phase::Replaced);
    assert_eq!(world.devices[second].state.phase, Phase::Ready);
    let (conversation, id) = (world.with(0, "Person 1"), world.id());
    let send = Command::Send {
        conversation,
        id,
        text: "from the old one".into(),
    };
    assert_eq!(world.run(0, send).err(), Some(FailureCode::Replaced));
    world.say(second, "Person 1", "from the new one");
    world.settle();
    assert_eq!(
        world.texts(1, "Person 0", false).last().map(String::as_str),
        Some("from the new one")
    );

    world.run(0, Command::UseHere).unwrap();
    world.settle();
    assert_eq!(world.devices[0].state.phase, Phase::Ready);
    assert_eq!(world.devices[second].state.phase, Phase::Replaced);
    world.say(0, "Person 1", "back again");
    world.say(1, "Person 0", "good");
    world.settle();
    assert_eq!(
        world.texts(1, "Person 0", false).last().map(String::as_str),
        Some("back again")
    );
    assert_eq!(
        world.texts(0, "Person 1", false).last().map(String::as_str),
        Some("good")
    );
}

#[test]
fn what_the_older_device_writes_meanwhile_does_not_push_out_the_newer_one() {
    for seed in 0..40 {
        let mut world = World::new(1_000 + seed, 2);
        world.meet(0, 1);
        let file = world.export(0);
        let second = world.add_device();
        world
            .run(second, Command::ImportSim { file, password: None })
            .unwrap();
        // The older one writes the vault between what the newer one reads and what it writes.
        for n in 0..6 {
            let name = format!("Name {n}");
            world.command(0, Command::SetName { name });
            world.command(0, Command::Wake);
            for _ in 0..seed % 7 {
                world.step();
            }
        }
        world.settle();
        assert_eq!(world.devices[second].state.phase, Phase::Ready, "seed {seed}");
        assert_eq!(world.devices[0].state.phase, Phase::Replaced, "seed {seed}");
        world.say(second, "Person 1", "from the new one");
        world.settle();
        let name = world.devices[1].state.conversations[0].name.clone();
        let texts = world.texts(1, &name, false);
        assert_eq!(texts.last().map(String::as_str), Some("from the new one"));
    }
}

#[test]
fn what_an_earlier_connection_still_said_takes_no_mailbox_away() {
    let mut world = World::new(30, 2);
    world.meet(0, 1);
    // Said before the earlier connection ended, and taken by the server after the later one was there.
    for queue in world.relay.mailboxes_of(0) {
        world.relay.take_reader_away(queue);
    }
    world.say(1, "Person 0", "are you there?");
    world.settle();
    let texts = world.texts(0, "Person 1", false);
    assert_eq!(texts.last().map(String::as_str), Some("are you there?"));
    world.assert_delivered(1, "Person 0");
    assert_eq!(world.devices[0].state.phase, Phase::Ready);
}

#[test]
fn an_old_profile_takes_no_receipt_for_what_it_does_not_know() {
    let mut world = World::new(543, 2);
    world.meet(0, 1);
    // Copied while it ran: no later start has told the vault.
    let old = world.devices[0].store.clone();
    let before = world.relay.sent.len();
    world.say(0, "Person 1", "first");
    while world.relay.sent.len() == before && world.step() {}
    world.set_offline(0, true);
    world.settle();
    world.devices[0].store = old;
    world.reload(0);
    world.say(0, "Person 1", "in the same place");
    world.set_offline(0, false);
    world.settle();
    world.assert_delivered(0, "Person 1");
    let texts = world.texts(1, "Person 0", false);
    assert_eq!(texts, ["Dear friend", "first", "in the same place"]);
}

#[test]
fn what_an_old_profile_said_in_a_taken_place_is_not_called_delivered_by_what_follows() {
    let mut world = World::new(34_648, 2);
    world.meet(0, 1);
    let old = world.devices[0].store.clone();
    let before = world.relay.sent.len();
    world.say(0, "Person 1", "first");
    while world.relay.sent.len() == before && world.step() {}
    // Neither its receipt nor what takes its place arrives.
    world.relay.faults.drop = 1000;
    world.set_offline(0, true);
    world.settle();
    world.devices[0].store = old;
    world.reload(0);
    world.set_offline(0, false);
    world.say(0, "Person 1", "in the same place");
    world.settle();
    assert_eq!(world.states(0, "Person 1").last(), Some(&MessageState::Sent));
    world.relay.faults.drop = 0;
    world.say(0, "Person 1", "after it");
    world.settle();
    assert_eq!(world.notes(1, "Person 0"), [Note::Fork]);
    let texts = world.texts(1, "Person 0", false);
    assert_eq!(texts, ["Dear friend", "first", "after it", "in the same place"]);
    world.assert_delivered(0, "Person 1");
}

#[test]
fn an_old_profile_that_is_put_back_holds_what_it_sends_and_rejoins() {
    let mut world = World::new(3, 2);
    world.meet(0, 1);
    let old = world.devices[0].store.clone();
    world.reload(0);
    world.settle();
    for n in 0..5 {
        world.say(0, "Person 1", &format!("later {n}"));
        world.say(1, "Person 0", &format!("answer {n}"));
    }
    world.settle();
    world.devices[0].store = old;
    world.reload(0);
    // Written at once: it waits until the vault has told whose state this is.
    world.say(0, "Person 1", "at once");
    let start = world.now;
    while world.step() {}
    assert_eq!(world.now, start, "nothing had to be waited for");
    // Held back: had a key been used twice, the contact would have met something unreadable.
    assert_eq!(world.notes(0, "Person 1"), [Note::RejoinedHere]);
    assert_eq!(world.notes(1, "Person 0"), [Note::Rejoined]);
    assert!(!world.line(0, "Person 1").unwrap().rejoining);
    assert_eq!(
        world.texts(1, "Person 0", false).last().map(String::as_str),
        Some("at once")
    );
    world.settle();
    world.say(0, "Person 1", "with new keys");
    world.say(1, "Person 0", "yes");
    world.settle();
    assert_eq!(
        world.texts(1, "Person 0", false).last().map(String::as_str),
        Some("with new keys")
    );
    assert_eq!(
        world.texts(0, "Person 1", false).last().map(String::as_str),
        Some("yes")
    );
}

#[test]
fn both_lose_everything_and_find_each_other_again() {
    let mut world = World::new(4, 2);
    world.meet(0, 1);
    let (file_0, file_1) = (world.export(0), world.export(1));
    world.close(0);
    world.close(1);
    let (a, b) = (world.add_device(), world.add_device());
    world.command(
        a,
        Command::ImportSim {
            file: file_0,
            password: None,
        },
    );
    world.command(
        b,
        Command::ImportSim {
            file: file_1,
            password: None,
        },
    );
    world.settle();
    world.say(a, "Person 1", "you too?");
    world.say(b, "Person 0", "me too");
    world.settle();
    assert_eq!(world.texts(b, "Person 0", false), ["you too?"]);
    assert_eq!(world.texts(a, "Person 1", false), ["me too"]);
}

#[test]
fn an_opened_letter_is_in_the_vault() {
    let mut world = World::new(5, 2);
    world
        .run(
            1,
            Command::CreateSim {
                name: "Person 1".into(),
                password: None,
            },
        )
        .unwrap();
    let file = world.export(1);
    let link = world.invite(0, "Person 0", Some("keep me")).unwrap();
    let letter = world.open(1, &link).unwrap();
    world.run(1, Command::KeepLetter { id: letter.clone() }).unwrap();
    world.settle();
    world.close(1);
    let restored = world.add_device();
    world
        .run(restored, Command::ImportSim { file, password: None })
        .unwrap();
    world.settle();
    assert_eq!(world.devices[restored].state.letters.len(), 1);
    assert_eq!(
        world.devices[restored].state.letters[0].preview.as_deref(),
        Some("keep me")
    );
    world.reply(restored, &letter, "Person 1", "found").unwrap();
    world.settle();
    assert_eq!(world.texts(0, "Person 1", false), ["found"]);
}

#[test]
fn whether_the_vault_has_everything_is_told() {
    let mut world = World::new(6, 2);
    world.meet(0, 1);
    let current = |world: &World| world.devices[0].state.sim.as_ref().unwrap().vault_current;
    assert!(current(&world));
    world.set_offline(0, true);
    world.run(0, Command::SetName { name: "Zoe".into() }).unwrap();
    assert!(!current(&world), "nobody has it yet");
    world.reload(0);
    assert!(!current(&world), "nor after the next start");
    world.set_offline(0, false);
    world.settle();
    assert!(current(&world));
    world.reload(0);
    assert!(current(&world), "known from what was confirmed");
}

#[test]
fn the_longest_letter_fits_into_the_vault() {
    let mut world = World::new(8, 2);
    world
        .run(
            1,
            Command::CreateSim {
                name: "Person 1".into(),
                password: None,
            },
        )
        .unwrap();
    let file = world.export(1);
    let long = "x".repeat(rly_protocol::limits::TEXT_MAX);
    let link = world.invite(0, "Person 0", Some(&long)).unwrap();
    let letter = world.open(1, &link).unwrap();
    world.run(1, Command::KeepLetter { id: letter.clone() }).unwrap();
    world.settle();
    let restored = world.add_device();
    world
        .run(restored, Command::ImportSim { file, password: None })
        .unwrap();
    world.settle();
    world.reply(restored, &letter, "Person 1", &long).unwrap();
    world.settle();
    assert_eq!(world.texts(restored, "Person 0", false), [long.as_str()]);
    assert_eq!(world.texts(0, "Person 1", false), [long.as_str()]);
}

#[test]
fn who_was_blocked_and_comes_back_on_a_new_device_is_told() {
    let mut world = World::new(9, 2);
    world.meet(0, 1);
    let file = world.export(1);
    let conversation = world.with(0, "Person 1");
    world.run(0, Command::Block { conversation }).unwrap();
    world.settle();
    let restored = world.add_device();
    world
        .run(restored, Command::ImportSim { file, password: None })
        .unwrap();
    world.settle();
    world.say(restored, "Person 0", "hello?");
    world.settle();
    assert_eq!(
        world.states(restored, "Person 0"),
        [rly_view::MessageState::Failed]
    );
}

#[test]
fn a_server_that_rolls_the_vault_back_takes_nothing_away() {
    let mut world = World::new(10, 3);
    let link = world.invite(0, "Person 0", Some("to be answered")).unwrap();
    world.settle();
    let then = world.relay.backup();
    let letter = world.open(1, &link).unwrap();
    world.reply(1, &letter, "Person 1", "answered").unwrap();
    world.settle();
    world.meet(0, 2);
    world.relay.roll_back_vaults(&then);
    world.reload(0);
    world.settle();
    assert_eq!(world.devices[0].state.phase, Phase::Ready);
    assert!(
        world.devices[0].state.invites.is_empty(),
        "the link became a conversation"
    );
    for other in [1, 2] {
        let name = format!("Person {other}");
        world.say(0, &name, "still here");
        world.say(other, "Person 0", "so am I");
        world.settle();
        assert_eq!(
            world.texts(other, "Person 0", false).last().map(String::as_str),
            Some("still here")
        );
        assert_eq!(
            world.texts(0, &name, false).last().map(String::as_str),
            Some("so am I")
        );
    }
}

#[test]
fn a_deleted_sim_leaves_nothing() {
    let mut world = World::new(6, 2);
    world.meet(0, 1);
    world.run(0, Command::DeleteSim).unwrap();
    assert_eq!(world.devices[0].state.phase, Phase::NoSim);
    assert!(world.devices[0].store.0.is_empty());
}

#[test]
fn damaged_files_are_told_apart() {
    let mut world = World::new(7, 1);
    for (file, code) in [
        ("", FailureCode::FileInvalid),
        ("rly-sim-1.AAAA", FailureCode::FileInvalid),
        ("<script>alert(1)</script>", FailureCode::FileInvalid),
    ] {
        let import = Command::ImportSim {
            file: file.into(),
            password: None,
        };
        assert_eq!(world.run(0, import).err(), Some(code), "{file}");
    }
}

#[test]
fn what_was_deleted_on_another_device_does_not_come_back() {
    let mut world = World::new(11, 5);
    for other in 1..3 {
        world.meet(0, other);
    }
    let file = world.export(0);
    let open = world.invite(0, "Person 0", Some("to be withdrawn")).unwrap();
    let link = world.invite(3, "Person 3", Some("to be put away")).unwrap();
    let letter = world.open(0, &link).unwrap();
    world.run(0, Command::KeepLetter { id: letter.clone() }).unwrap();
    world.settle();
    let then = world.relay.backup();
    let second = world.restore(&file);
    world.settle();
    let conversation = world.with(second, "Person 1");
    world
        .run(second, Command::DeleteConversation { conversation })
        .unwrap();
    let id = world.devices[second].state.invites[0].id.clone();
    world.run(second, Command::WithdrawInvite { id }).unwrap();
    let id = world.devices[second].state.letters[0].id.clone();
    world.run(second, Command::DropLetter { id }).unwrap();
    world.settle();

    world.run(0, Command::UseHere).unwrap();
    world.settle();
    assert!(world.line(0, "Person 1").is_none());
    assert!(world.devices[0].state.invites.is_empty());
    assert!(world.devices[0].state.letters.is_empty());
    assert!(world.open(4, &open).is_err());
    let rows = &world.devices[0].store.0;
    let conversations = rows
        .keys()
        .filter(|key| key[0] == rly_client::table::CONVERSATIONS);
    assert_eq!(conversations.count(), 1, "its messages are gone with it");
    world.say(0, "Person 2", "you stay");
    world.settle();
    assert_eq!(
        world.texts(2, "Person 0", false).last().map(String::as_str),
        Some("you stay")
    );
    // Nor with an old vault, nor on a third device.
    world.relay.roll_back_vaults(&then);
    world.reload(0);
    world.settle();
    world.try_run(0, Command::UseHere);
    world.settle();
    assert_eq!(world.devices[0].state.conversations.len(), 1);
    let third = world.restore(&file);
    world.settle();
    assert_eq!(world.devices[third].state.conversations.len(), 1);
    assert!(world.devices[third].state.invites.is_empty());
}
