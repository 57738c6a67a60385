//! The server is killed while people talk in rooms: what was confirmed is there afterwards, once, in one
//! order for everybody. Who has deleted everything stays gone, and so does a room that was ended.

use crate::{
    below,
    common::process::{PATIENCE, Place, Server},
    hosts::Hosts,
    rng,
    room::Person,
    setting,
    talk::Talk,
};
use rly_protocol::{ErrorCode, room::RoomLimits};
use rly_view::{FailureCode, RoomCommand, RoomPhase};
use std::time::{Duration, Instant};

/// Of a room that is ended in the test.
const LIMITS: RoomLimits = RoomLimits {
    idle_seconds: 3_600,
    life_seconds: 36_000,
    people: 2,
    history: 200,
};
/// What is confirmed before a kill: the least, and how much more at most.
const CONFIRMED: (usize, usize) = (40, 300);

/// Rooms that were ended, and one that somebody has left for good.
#[derive(Default)]
struct Ended {
    closed: Vec<String>,
    links: Vec<String>,
    left: Vec<Person>,
}

impl Ended {
    /// One room that its creator ends, and one that a guest leaves with all that they said.
    async fn more(&mut self, server: &Server) {
        let mut ada = Person::maker(server, LIMITS).await;
        ada.join("Ada").await.unwrap();
        ada.say("before the end").await.unwrap();
        let room = String::from(ada.room.id());
        self.links.push(ada.link());
        ada.command(RoomCommand::Close { room: room.clone() })
            .await
            .unwrap();
        self.closed.push(room);

        let mut ada = Person::maker(server, LIMITS).await;
        ada.join("Ada").await.unwrap();
        let mut bob = Person::guest(server, &ada.link()).await;
        bob.join("Bob").await.unwrap();
        bob.say("taken back").await.unwrap();
        ada.until(|room| !crate::room::texts(room).is_empty()).await;
        let room = String::from(bob.room.id());
        bob.command(RoomCommand::DeleteEverything { room }).await.unwrap();
        assert_eq!(bob.room.view().phase, RoomPhase::Deleted);
        self.left.push(ada);
    }

    async fn check(&mut self, server: &Server) {
        for room in &self.closed {
            let answer = server
                .request(server.host(), &format!("GET /api/rooms/{room}"), "", "")
                .await;
            assert_eq!(answer.code(), ErrorCode::NoRoom);
        }
        for link in &self.links {
            let (_, outcome) = Person::try_guest(server, link).await;
            assert_eq!(outcome.err(), Some(FailureCode::RoomGone));
        }
        for mut ada in std::mem::take(&mut self.left) {
            ada.turn_to(server.host()).await;
            ada.reload().await;
            // Her own words come after all that was there before.
            ada.say("alone").await.unwrap();
            ada.until(|room| !crate::room::texts(room).is_empty()).await;
            assert_eq!(ada.texts(), [("Ada".into(), 1, "alone".into())]);
            assert_eq!(ada.room.view().people.len(), 1);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_said_in_rooms_outlives_kills() {
    let rounds = setting("RLY_TEST_CRASHES", 20) as usize;
    let mut rng = rng("rooms");
    let place = Place::new();
    // Another port each time, and one origin, as behind a proxy.
    let start = || {
        place.start_with(|command| {
            let any = "1000000/1000000";
            let limits = ["joins", "posts_per_person", "rooms", "sends_per_peer"];
            let limits = limits.map(|name| format!("{name}={any}")).join(",");
            command
                .env("RLY_PUBLIC_URL", "http://rly.example")
                .env("RLY_LIMITS", limits + ",rooms_per_peer=1000000");
        })
    };
    let mut server = start();
    let hosts = Hosts::default();
    let mut talk = Talk::start(&server, hosts.clone(), 3, 4, Duration::from_millis(20)).await;
    talk.run();
    let mut ended = Ended::default();
    for round in 0..rounds {
        hosts.are([server.host()]);
        let target = talk.confirmed() + (CONFIRMED.0 + below(&mut rng, CONFIRMED.1)) as u32;
        ended.more(&server).await;
        let begun = Instant::now();
        while talk.confirmed() < target {
            assert!(talk.is_alive(), "the checker has found something: see above");
            assert!(begun.elapsed() < PATIENCE, "it hangs");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        hosts.are([]);
        // Every fourth time it is asked to end.
        if round % 4 == 3 {
            server.signal("TERM");
            assert_eq!(tokio::task::block_in_place(|| server.wait()), Some(0));
        } else {
            server.kill();
        }
        server = tokio::task::block_in_place(start);
        ended.check(&server).await;
    }
    hosts.are([server.host()]);
    let confirmed = talk.finish().await;
    eprintln!("rooms: {rounds} ends of the server, {confirmed} messages confirmed");
}
