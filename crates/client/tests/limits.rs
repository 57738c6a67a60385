//! What is bounded, and what others hand in: a full vault, re-joins without end, repetitions, names,
//! files of another server, rows that cannot be read.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod world;

use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};
use rly_client::{Input, Machine, table};
use rly_crypto::{Sim, SimFile};
use rly_protocol::{Decode, Timestamp, from_base64url};
use rly_view::{
    AnsweredLetter, Command, Connection, Content, FailureCode, FromWorker, Link, Note, SimView, name::UNNAMED,
};
use world::{ORIGIN, World, relay::DeviceIndex};

fn sim(world: &World, d: DeviceIndex) -> &SimView {
    world.devices[d].state.sim.as_ref().unwrap()
}

/// Both write, and hear each other.
fn assert_they_talk(world: &mut World, a: DeviceIndex, b: DeviceIndex, text: &str) {
    let (name_a, name_b) = (format!("Person {a}"), format!("Person {b}"));
    for (from, to) in [(a, &name_b), (b, &name_a)] {
        world.say(from, to, text);
    }
    world.settle();
    for (at, from) in [(b, &name_a), (a, &name_b)] {
        assert_eq!(
            world.texts(at, from, false).last().map(String::as_str),
            Some(text)
        );
    }
}

#[test]
fn more_than_a_vault_holds_stops_nobody() {
    let mut world = World::new(20, 2);
    world.meet(0, 1);
    let file = world.export(0);
    // More than 16 KiB each, so that each takes 64 KiB. All before the first of them is written.
    let long = "x".repeat(16_400);
    world.cut(0);
    for _ in 0..135 {
        world.invite(0, "Person 0", Some(&long)).unwrap();
    }
    world.settle();
    assert!(sim(&world, 0).vault_full && !sim(&world, 0).vault_current);
    let writes = world.relay.vault_writes;
    world.pass(3600);
    assert_eq!(
        world.relay.vault_writes, writes,
        "what does not fit is not tried again"
    );
    world.cut(0);
    world.settle();
    assert_eq!(world.devices[0].state.connection, Connection::Online);
    assert_they_talk(&mut world, 0, 1, "all the same");

    // What matters most is in it: the contact, and the newest links.
    let mut newest = world.devices[0].state.invites.clone();
    newest.sort_by_key(|invite| core::cmp::Reverse(invite.created_at));
    let restored = world.restore(&file);
    world.settle();
    assert!(world.line(restored, "Person 1").is_some());
    let there = world.devices[restored].state.invites.len();
    assert!((100..135).contains(&there), "{there} links");

    // With room, the rest follows.
    world.run(0, Command::UseHere).unwrap();
    world.settle();
    for invite in world.devices[0].state.invites.clone().into_iter().take(20) {
        world.run(0, Command::ForgetInvite { id: invite.id }).unwrap();
    }
    world.settle();
    assert!(!sim(&world, 0).vault_full && sim(&world, 0).vault_current);
}

#[test]
fn a_server_that_calls_the_vault_full_stops_nobody() {
    let mut world = World::new(21, 2);
    world.meet(0, 1);
    world.relay.faults.vault_bytes = Some(world.relay.vault_bytes() / 2);
    for _ in 0..3 {
        world.invite(0, "Person 0", Some("a letter")).unwrap();
    }
    world.settle();
    assert!(sim(&world, 0).vault_full && !sim(&world, 0).vault_current);
    let writes = world.relay.vault_writes;
    world.pass(3600);
    let more = world.relay.vault_writes - writes;
    assert!(more < 10, "{more} writes in an hour");
    // Neither a new connection nor a new start hangs on it.
    for start in [false, true] {
        if start {
            world.reload(0);
        } else {
            world.cut(0);
        }
        world.settle();
        assert_eq!(world.devices[0].state.connection, Connection::Online);
        assert_they_talk(&mut world, 0, 1, &format!("start {start}"));
    }
    world.relay.faults.vault_bytes = None;
    world.pass(2 * 3600);
    world.settle();
    assert!(!sim(&world, 0).vault_full && sim(&world, 0).vault_current);
}

#[test]
fn a_contact_that_asks_for_new_keys_without_end_gets_them_now_and_then() {
    let mut world = World::new(22, 2);
    world.meet(0, 1);
    let file = world.export(1);
    let rejoined = |world: &mut World| {
        let notes = world.notes(0, "Person 1");
        notes.into_iter().filter(|note| *note == Note::Rejoined).count()
    };
    let mut last = 1;
    for _ in 0..6 {
        last = world.restore(&file);
        while world.step() {}
    }
    assert_eq!(rejoined(&mut world), 3, "so many at once");
    // What waits is kept.
    world.close(0);
    world.reload(0);
    world.settle();
    assert_eq!(rejoined(&mut world), 4, "the newest, and none of those before it");
    world.say(last, "Person 0", "the newest device");
    world.say(0, "Person 1", "heard");
    world.settle();
    assert_eq!(
        world.texts(0, "Person 1", false).last().map(String::as_str),
        Some("the newest device")
    );
    assert_eq!(world.texts(last, "Person 0", false), ["heard"]);
}

#[test]
fn a_contact_that_renames_itself_is_told() {
    let mut world = World::new(24, 2);
    world.meet(0, 1);
    for bad in ["\u{200b}", "Person\u{202e}0", "Per\nson"] {
        let name = bad.into();
        let outcome = world.run(1, Command::SetName { name });
        assert_eq!(outcome.err(), Some(FailureCode::NameInvalid), "{bad:?}");
    }
    for name in ["Person 1", "Zoe", "Zoe"] {
        world.run(1, Command::SetName { name: name.into() }).unwrap();
        world.settle();
    }
    let renamed = Note::Renamed {
        from: "Person 1".into(),
        to: "Zoe".into(),
    };
    assert_eq!(world.notes(0, "Zoe"), [renamed]);
}

#[test]
fn a_sim_of_another_server_is_not_taken() {
    let mut world = World::new(25, 1);
    world
        .run(
            0,
            Command::CreateSim {
                name: "Person 0".into(),
                password: None,
            },
        )
        .unwrap();
    let file = world.export(0);
    let mut elsewhere = Machine::load(Vec::new(), "https://elsewhere.example".into()).unwrap();
    let rng = &mut ChaCha20Rng::seed_from_u64(25);
    let command = Command::ImportSim { file, password: None };
    elsewhere.handle(Input::Command { from: 1, command }, Timestamp(1), rng);
    let output = elsewhere.take_output(Timestamp(1), rng);
    let failure = output.answers[0].1.as_ref().err().unwrap();
    assert_eq!(failure.code, FailureCode::SimElsewhere);
    assert_eq!(failure.about.as_deref(), Some(ORIGIN));
    assert!(output.changes.is_empty());
}

#[test]
fn a_name_in_a_file_is_made_harmless() {
    let mut world = World::new(26, 0);
    let rng = &mut ChaCha20Rng::seed_from_u64(26);
    for (name, shown) in [("A\u{202e}da\n", "Ada"), ("\u{200b}", UNNAMED)] {
        let file = SimFile {
            sim: Sim::generate(rng),
            name: name.into(),
            origin: ORIGIN.into(),
            created_at: Timestamp(1),
        };
        let d = world.restore(&file.seal(None, rng));
        world.settle();
        assert_eq!(sim(&world, d).name, shown);
    }
}

#[test]
fn a_message_that_cannot_be_read_has_its_place() {
    let mut world = World::new(27, 2);
    world.meet(0, 1);
    for text in ["one", "two", "three"] {
        world.say(0, "Person 1", text);
    }
    world.settle();
    let whole = world.shown(0, "Person 1");
    let rows = world.stored_messages(0, "Person 1");
    for damaged in 0..rows.len() {
        for value in [Vec::new(), vec![1, 2, 3]] {
            let mut rows = rows.clone();
            rows[damaged].1 = value;
            let load = Command::LoadMessages {
                conversation: world.with(0, "Person 1"),
                before: None,
                limit: 100,
            };
            let read = world.begin_read(0, load);
            let shown = world.finish_read(0, read, rows);
            assert_eq!(shown.len(), whole.len());
            for (at, (now, then)) in shown.iter().zip(&whole).enumerate() {
                if at == damaged {
                    assert_eq!(
                        (now.order, &now.content),
                        (then.order, &Content::Note(Note::Damaged))
                    );
                    assert!(now.at.0 > 0);
                } else {
                    assert_eq!(now, then);
                }
            }
        }
    }
}

#[test]
fn an_answered_letter_leads_to_its_conversation_as_long_as_there_is_one() {
    let mut world = World::new(28, 2);
    let link = world.invite(0, "Person 0", Some("hello")).unwrap();
    let letter = world.open(1, &link).unwrap();
    let conversation = world.reply(1, &letter, "Person 1", "hello back").unwrap();
    world.settle();
    let answered = |world: &World| {
        let rows = world.devices[1].store.0.clone();
        let rows = rows.into_iter().filter(|(key, _)| key[0] == table::ANSWERED);
        rows.map(|(_, row)| AnsweredLetter::from_bytes(&row).unwrap())
            .collect::<Vec<_>>()
    };
    world.reload(1);
    let [row] = &answered(&world)[..] else {
        panic!("one row");
    };
    assert_eq!(row.conversation.to_vec(), from_base64url(&conversation).unwrap());
    assert_eq!(row.id.to_vec(), from_base64url(&letter).unwrap());
    let fragment = link.split_once('#').unwrap().1;
    assert_eq!(row.secret, Link::from_fragment(fragment).unwrap().secret);
    world
        .run(1, Command::DeleteConversation { conversation })
        .unwrap();
    assert!(answered(&world).is_empty());
}

#[test]
fn what_a_page_kept_is_known_to_a_messenger_that_runs() {
    let mut world = World::new(29, 2);
    world.meet(0, 1);
    let link = world.invite(0, "Person 0", Some("again")).unwrap();
    let letter = world.open(1, &link).unwrap();
    world.run(1, Command::KeepLetter { id: letter }).unwrap();
    let told = world.devices[1].machine.state(world.now);
    let FromWorker::State(state) = told else { panic!() };
    assert_eq!(state.letters.len(), 1);
    assert!(!sim(&world, 1).vault_current, "the vault is being written");
    world.settle();
    assert!(sim(&world, 1).vault_current);
}

#[test]
fn a_sim_that_is_deleted_takes_its_last_mailboxes_with_it() {
    for online in [true, false] {
        let mut world = World::new(30, 2);
        world.meet(0, 1);
        let mailboxes = world.relay.mailboxes();
        world.set_offline(0, !online);
        let conversation = world.with(0, "Person 1");
        world.command(0, Command::Block { conversation });
        world.run(0, Command::DeleteSim).unwrap();
        assert!(world.devices[0].store.0.is_empty());
        // Nobody waits for a server that is not there.
        let gone = mailboxes - world.relay.mailboxes();
        assert_eq!(gone, usize::from(online));
    }
}

#[test]
fn a_sim_is_deleted_though_the_server_does_not_answer() {
    let mut world = World::new(31, 2);
    world.meet(0, 1);
    let conversation = world.with(0, "Person 1");
    world.command(0, Command::Block { conversation });
    let from = world.command(0, Command::DeleteSim);
    assert!(!world.devices[0].answers.contains_key(&from));
    world.now = world.now.plus_seconds(6);
    world.input(0, Input::Timer);
    assert!(world.devices[0].answers.contains_key(&from));
    assert!(world.devices[0].store.0.is_empty());
}
