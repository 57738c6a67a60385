//! Rooms, and the entries that many read.

use super::*;

fn room(n: u8) -> RoomId {
    RoomId([n; 16])
}

fn person(n: u8) -> PublicKey {
    let mut bytes = [n; 65];
    bytes[0] = 4;
    PublicKey::try_from(&bytes[..]).unwrap()
}

const BOUNDS: RoomLimits = RoomLimits {
    idle_seconds: 60,
    life_seconds: 100,
    people: 3,
    history: 2,
};

fn make(n: u8) -> Change {
    Change::MakeRoom {
        room: room(n),
        token: [n; 32],
        creator: person(1),
        limits: BOUNDS,
        at: NOW,
    }
}

fn join(n: u8, by: u8, name: u8) -> Change {
    Change::JoinRoom {
        room: room(n),
        key: person(by),
        name_hash: [name; 32],
        name: Bytes::from(vec![name; 256]),
        session: [by; 16],
        at: NOW,
    }
}

fn said(by: u32, seq: u64) -> Bytes {
    event(&RoomEvent::Message {
        from: by,
        seq,
        body: Bytes::from(vec![seq as u8; 256]),
        signature: rly_protocol::Signature([1; 64]),
    })
}

fn post(n: u8, by: u32, seq: u64, at: Timestamp) -> Change {
    Change::PostRoom {
        room: room(n),
        number: by,
        seq,
        event: said(by, seq),
        at,
    }
}

fn leave(n: u8, by: u32, session: u8) -> Change {
    Change::LeaveRoom {
        room: room(n),
        number: by,
        session: [session; 16],
        at: NOW,
    }
}

fn end(n: u8, due: Option<Timestamp>) -> Change {
    Change::EndRoom { room: room(n), due }
}

fn joined(number: u32, seq: u64) -> Outcome {
    Outcome::Joined { number, seq }
}

/// The events of a room after a place.
async fn events(store: &Subject, n: u8, after: u64) -> Vec<(u64, RoomEvent)> {
    use rly_protocol::Decode;
    let page = store.shared_page(room_queue(&room(n)), after, 100).await.unwrap();
    let entry = |entry: SharedEntry| (entry.place, RoomEvent::from_bytes(&entry.body).unwrap());
    page.into_iter().map(entry).collect()
}

pub async fn rooms_are_made_once_and_end(store: &Subject) {
    assert_eq!(store.room(room(1)).await.unwrap(), None);
    assert_eq!(store.room_snapshot(room(1)).await.unwrap(), None);
    let outcomes = change(store, vec![make(1), make(1), make(2), make(3)]).await;
    assert_eq!(
        outcomes,
        [Outcome::Done, Outcome::Conflict, Outcome::Done, Outcome::Done]
    );
    let made = RoomRecord {
        token: [1; 32],
        creator: person(1),
        limits: BOUNDS,
        ends: NOW.plus_seconds(100),
        closes: NOW.plus_seconds(60),
        head: 0,
        floor: 0,
        people: 0,
    };
    assert_eq!(store.room(room(1)).await.unwrap(), Some(made.clone()));
    // Said late, it goes on until its life is over; and nothing is said when its time has come.
    change(store, vec![join(1, 1, 1), join(2, 1, 1), join(3, 1, 1)]).await;
    let late = NOW.plus_seconds(59);
    assert_eq!(one(store, post(1, 1, 1, late)).await, Outcome::Said(2));
    let record = store.room(room(1)).await.unwrap().unwrap();
    assert_eq!((record.closes, record.head, record.people), (made.ends, 2, 1));
    let over = NOW.plus_seconds(60);
    assert_eq!(one(store, post(2, 1, 1, over)).await, Outcome::Missing);
    assert_eq!(one(store, end(1, Some(over))).await, Outcome::Missing);
    assert_eq!(one(store, end(2, Some(over))).await, Outcome::Done);
    let by = Deadlines {
        now: over,
        envelopes: NOW,
        claims: NOW,
        queues: 0,
        vaults: 0,
        limit: 10,
    };
    let swept = store.sweep(by).await.unwrap();
    assert_eq!(swept.rooms, [room(3)]);
    assert_eq!(one(store, end(1, None)).await, Outcome::Done);
    for n in 1..=3 {
        assert_eq!(store.room(room(n)).await.unwrap(), None);
        assert_eq!(events(store, n, 0).await, []);
        assert_eq!(one(store, join(n, 1, 1)).await, Outcome::Missing);
        assert_eq!(one(store, end(n, None)).await, Outcome::Missing);
        assert_eq!(one(store, make(n)).await, Outcome::Done, "nothing of it is left");
        assert_eq!(store.room_snapshot(room(n)).await.unwrap().unwrap().people, []);
    }
}

pub async fn people_of_a_room_have_numbers_and_names_of_their_own(store: &Subject) {
    change(store, vec![make(1), make(2)]).await;
    let outcomes = change(
        store,
        vec![
            join(1, 1, 7),
            join(1, 2, 7),
            join(1, 1, 9),
            join(1, 3, 8),
            join(1, 4, 7),
            join(2, 4, 7),
        ],
    )
    .await;
    assert_eq!(
        outcomes,
        [
            joined(1, 0),
            joined(2, 0),
            joined(1, 0),
            joined(3, 0),
            Outcome::Full,
            joined(1, 0)
        ]
    );
    let snapshot = store.room_snapshot(room(1)).await.unwrap().unwrap();
    let of = |number: u32, name: u8, name_number: u16| RoomPerson {
        number,
        key: person(number as u8),
        name_hash: [name; 32],
        name_number,
        name: Bytes::from(vec![name; 256]),
        here: true,
    };
    assert_eq!(snapshot.people, [of(1, 7, 1), of(2, 7, 2), of(3, 8, 1)]);
    assert_eq!(snapshot.record.head, 3, "who was here has not come back");
    assert_eq!(
        events(store, 1, 1).await[0],
        (2, RoomEvent::Joined { person: of(2, 7, 2) })
    );

    // Only the connection that reads makes somebody go away.
    change(store, vec![leave(1, 2, 9), leave(1, 2, 2), leave(1, 2, 2)]).await;
    let snapshot = store.room_snapshot(room(1)).await.unwrap().unwrap();
    assert_eq!(
        snapshot
            .people
            .iter()
            .map(|person| person.here)
            .collect::<Vec<_>>(),
        [true, false, true]
    );
    assert_eq!(events(store, 1, 3).await, [(4, RoomEvent::Away { number: 2 })]);
    assert_eq!(one(store, join(1, 2, 9)).await, joined(2, 0));
    assert_eq!(events(store, 1, 4).await, [(5, RoomEvent::Back { number: 2 })]);
    // However often they come and go, the last of it is kept.
    change(
        store,
        vec![leave(1, 2, 2), join(1, 2, 2), leave(1, 3, 3), leave(1, 2, 2)],
    )
    .await;
    let away = [3, 2].map(|number| RoomEvent::Away { number });
    let [three, two] = away;
    assert_eq!(events(store, 1, 3).await, [(8, three), (9, two)]);
    assert_eq!(events(store, 1, 0).await.len(), 3 + 2, "who joined stays");
    assert_eq!(one(store, Change::NobodyReads).await, Outcome::Done);
    let snapshot = store.room_snapshot(room(1)).await.unwrap().unwrap();
    assert!(snapshot.people.iter().all(|person| !person.here));
}

pub async fn what_is_said_has_one_order_and_is_said_once(store: &Subject) {
    change(store, vec![make(1), join(1, 1, 1), join(1, 2, 2)]).await;
    let outcomes = change(
        store,
        vec![
            post(1, 1, 5, NOW),
            post(1, 2, 5, NOW),
            post(1, 1, 5, NOW),
            post(1, 1, 4, NOW),
            post(1, 1, 6, NOW),
            post(1, 9, 1, NOW),
            post(2, 1, 1, NOW),
        ],
    )
    .await;
    assert_eq!(
        outcomes,
        [
            Outcome::Said(3),
            Outcome::Said(4),
            Outcome::Conflict,
            Outcome::Conflict,
            Outcome::Said(5),
            Outcome::NotIn,
            Outcome::Missing
        ]
    );
    let places: Vec<_> = events(store, 1, 2).await;
    assert_eq!(
        places.iter().map(|(place, _)| *place).collect::<Vec<_>>(),
        [3, 4, 5]
    );
    assert!(matches!(places[1].1, RoomEvent::Message { from: 2, seq: 5, .. }));
    assert_eq!(one(store, join(1, 1, 1)).await, joined(1, 6));
    let page = store.shared_page(room_queue(&room(1)), 3, 1).await.unwrap();
    assert_eq!((page.len(), page[0].place, page[0].at), (1, 4, NOW));
}

pub async fn deleting_a_person_deletes_what_they_said(store: &Subject) {
    change(
        store,
        vec![
            make(1),
            join(1, 1, 7),
            join(1, 2, 7),
            post(1, 1, 1, NOW),
            post(1, 2, 1, NOW),
        ],
    )
    .await;
    let delete = |number| Change::DeletePerson {
        room: room(1),
        number,
        at: NOW,
    };
    assert_eq!(one(store, delete(1)).await, Outcome::Done);
    assert_eq!(one(store, delete(1)).await, Outcome::NotIn);
    let left = events(store, 1, 0).await;
    assert_eq!(
        left.iter().map(|(place, _)| *place).collect::<Vec<_>>(),
        [2, 4, 5]
    );
    assert_eq!(left[2].1, RoomEvent::Deleted { number: 1 });
    assert_eq!(one(store, post(1, 1, 2, NOW)).await, Outcome::NotIn);
    // Somebody new, with a number that nobody had, and a name that nobody has.
    assert_eq!(one(store, join(1, 1, 7)).await, joined(3, 0));
    let snapshot = store.room_snapshot(room(1)).await.unwrap().unwrap();
    assert_eq!(
        snapshot
            .people
            .iter()
            .map(|p| (p.number, p.name_number))
            .collect::<Vec<_>>(),
        [(2, 2), (3, 3)]
    );
    assert_eq!(snapshot.record.people, 2);
}

pub async fn a_room_keeps_as_much_as_its_history(store: &Subject) {
    change(store, vec![make(1), join(1, 1, 1)]).await;
    change(store, (1..=3).map(|seq| post(1, 1, seq, NOW)).collect()).await;
    change(store, vec![join(1, 2, 2), post(1, 1, 4, NOW)]).await;
    // Places: 1 joined, 2 to 4 said, 5 joined, 6 said; the last two messages are 4 and 6.
    let record = store.room(room(1)).await.unwrap().unwrap();
    assert_eq!((record.head, record.floor), (6, 3));
    assert_eq!(events(store, 1, 0).await.len(), 6, "readers may still be behind");
    let by = Deadlines {
        now: NOW,
        envelopes: NOW,
        claims: NOW,
        queues: 0,
        vaults: 0,
        limit: 10,
    };
    assert_eq!(store.sweep(by).await.unwrap().entries, 3);
    assert_eq!(store.sweep(by).await.unwrap().entries, 0);
    let left = events(store, 1, 0).await;
    assert_eq!(
        left.iter().map(|(place, _)| *place).collect::<Vec<_>>(),
        [4, 5, 6]
    );
    let record = store.room(room(1)).await.unwrap().unwrap();
    assert_eq!((record.head, record.floor), (6, 0), "nothing older is there");
}

/// Two nodes at once, one of them with its batches the other way round.
pub async fn rooms_are_written_in_every_order(nodes: [impl Store; 2]) {
    const ROOMS: u8 = 8;
    let both = [0, 1].map(|by| &nodes[by]);
    let batch = |changes| {
        Arc::new(Batch {
            changes,
            ..Batch::default()
        })
    };
    let begin = (1..=ROOMS).flat_map(|n| [make(n), join(n, 1, 1), join(n, 2, 2)]);
    both[0].apply(batch(begin.collect())).await.unwrap();
    let write = async |by: usize| {
        let mut said = Vec::new();
        for seq in 1..=50 {
            let mut rooms: Vec<_> = (1..=ROOMS).collect();
            if by == 1 {
                rooms.reverse();
            }
            let changes = rooms.iter().map(|n| post(*n, by as u32 + 1, seq, NOW)).collect();
            let outcomes = both[by].apply(batch(changes)).await.unwrap();
            said.extend(rooms.into_iter().zip(outcomes));
        }
        said
    };
    let (one, other) = tokio::join!(write(0), write(1));
    for n in 1..=ROOMS {
        let said = one.iter().chain(&other).filter(|(room, _)| *room == n);
        let mut places: Vec<_> = said
            .map(|(_, outcome)| match outcome {
                Outcome::Said(place) => *place,
                _ => 0,
            })
            .collect();
        places.sort_unstable();
        assert_eq!(places, Vec::from_iter(3..=102), "each place once");
    }
}
