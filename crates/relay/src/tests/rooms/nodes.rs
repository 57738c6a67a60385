//! A room whose people are on several nodes of a cluster.

use super::{super::cluster::Place, *};

const PEOPLE: usize = 20;
const WORDS: u64 = 5;

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs servers: ./test cluster"]
async fn people_on_two_nodes_see_one_order_and_one_end() {
    let place = Place::new().await;
    let (a, b) = (place.node().await, place.node().await);
    let keys: Vec<_> = (0..PEOPLE).map(|_| new_key()).collect();
    a.room(&keys[0]).await;
    let (a_node, b_node) = (&a, &b);
    let talk = keys.iter().enumerate().map(|(n, key)| async move {
        let node = if n % 2 == 0 { a_node } else { b_node };
        let mut client = node.inside(key, n as u8).await;
        for seq in 1..=WORDS {
            client.say(key, seq).await.unwrap();
        }
        let said = client.transcript(PEOPLE * WORDS as usize).await;
        (client, said)
    });
    let (mut clients, transcripts): (Vec<_>, Vec<_>) =
        futures_util::future::join_all(talk).await.into_iter().unzip();
    assert!(transcripts[0].is_sorted(), "places rise");
    assert!(
        transcripts.iter().all(|said| *said == transcripts[0]),
        "one order on both nodes"
    );

    // What somebody takes back on one node is taken back on the other.
    let mut gone = clients.remove(1);
    let number = transcripts[0].iter().map(|(_, from, _)| *from).max().unwrap();
    assert_eq!(number as usize, PEOPLE);
    gone.ask(|req| ClientFrame::RoomDelete { req, room: ROOM })
        .await
        .unwrap();
    let deleted = |frame: &ServerFrame| match frame {
        ServerFrame::RoomHappened {
            event: RoomEvent::Deleted { number },
            ..
        } => Some(*number),
        _ => None,
    };
    let taken_back = clients[0].wait(deleted).await;
    assert_eq!(clients[2].wait(deleted).await, taken_back);

    // A node ends; its people go on elsewhere, where they are who they were.
    let on_b: Vec<_> = keys.iter().skip(3).step_by(2).collect();
    let mut places: Vec<_> = transcripts[0].iter().map(|(place, ..)| *place).collect();
    b.relay.stop().await;
    let c = place.node().await;
    let mut moved = c.connect().await;
    let joined = moved.join(on_b[0], 3, 0).await.unwrap();
    assert_eq!(joined.seq, WORDS, "the node knows what was said elsewhere");
    moved.say(on_b[0], WORDS + 1).await.unwrap();
    let (at, _, seq) = clients[0].transcript(1).await[0];
    assert_eq!(seq, WORDS + 1);
    places.push(at);
    assert!(places.is_sorted());

    // And it ends for all at once.
    clients[0]
        .ask(|req| ClientFrame::RoomClose { req, room: ROOM })
        .await
        .unwrap();
    assert_eq!(moved.ended().await, RoomEnd::Creator);
    assert_eq!(
        c.relay.room_state(PEER, ROOM).await.unwrap_err().code,
        ErrorCode::NoRoom
    );
    a.relay.stop().await;
    c.relay.stop().await;
}
