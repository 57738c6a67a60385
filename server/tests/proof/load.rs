//! Floods and slow readers: who floods is told to wait, who does not read is cut, and everybody else
//! gets what is theirs. Nothing here depends on how fast the machine is.
//!
//! The long ones run by `./test load` (or `cargo test --release -p rly-server --test proof load --
//! --ignored --nocapture --test-threads=1`), with
//! - `RLY_TEST_IDLE=10000` sockets that say nothing (`ulimit -n` permitting),
//! - `RLY_TEST_SLOW=1000` readers that do not read,
//! - `RLY_TEST_SOAK=60` minutes at 200 messages a second.

use crate::{
    common::{
        Key,
        process::{PATIENCE, Place, Server, Socket, delivered, envelope},
    },
    setting,
};
use futures_util::{SinkExt, StreamExt, future::join_all};
use rly_protocol::{
    ErrorCode,
    api::Registered,
    frame::{ClientFrame, ServerFrame},
};
use serde_json::json;
use std::{
    fs,
    sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
    time::{Duration, Instant},
};
use tokio::time::{interval, sleep, timeout};
use tokio_tungstenite::tungstenite::Message;

/// A server to which every test peer is somebody else.
fn start(place: &Place) -> Server {
    place.start_with(|command| {
        command.env("RLY_TRUSTED_PROXIES", "127.0.0.1");
    })
}

fn peer(n: usize) -> String {
    format!("10.7.{}.{}", n / 250, n % 250)
}

async fn register(server: &Server, from: usize) -> (Key, Registered) {
    let key = Key::generate();
    let body = json!({"reader_key": key.json()});
    let answer = server.post_as(&peer(from), "/api/register_sim", &body).await;
    (key, answer.ok())
}

/// Resident memory and open files of the server. Nothing, where there is no /proc.
fn size(server: &Server) -> (usize, usize) {
    let folder = format!("/proc/{}", server.pid());
    let status = fs::read_to_string(format!("{folder}/status")).unwrap_or_default();
    let memory = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib: usize = memory.map_or(0, |text| text.trim().trim_end_matches(" kB").parse().unwrap());
    let files = fs::read_dir(format!("{folder}/fd")).map_or(0, |files| files.count());
    (kib << 10, files)
}

/// Sends one after another and waits for each confirmation; how long each took to be delivered.
async fn pair(server: &Server, number: usize, count: u32, stop: Option<&AtomicBool>) -> Vec<Duration> {
    let (key, mailbox) = register(server, number).await;
    let mut reader = Socket::open_as(server, &peer(number), None).await;
    let mut sender = Socket::open_as(server, &peer(number), None).await;
    reader.subscribe(&key, &mailbox).await;
    let mut times = Vec::new();
    for n in 1..=count {
        if stop.is_some_and(|stop| stop.load(SeqCst)) {
            break;
        }
        let start = Instant::now();
        sender.send(envelope(&mailbox, n, 256)).await;
        let (seq, body) = delivered(reader.next().await);
        times.push(start.elapsed());
        assert_eq!(body[0], n as u8);
        let queue = mailbox.queue;
        reader.send(ClientFrame::Ack { queue, seq }).await;
        assert_eq!(sender.next().await, Some(ServerFrame::Done { req: n }));
        if stop.is_some() {
            // As a person writes, within what one address may.
            sleep(Duration::from_millis(25)).await;
        }
    }
    times
}

/// Fills a mailbox whose reader does not read, without waiting for each answer.
async fn pour(server: &Server, number: usize, mailbox: &Registered, count: u32, size: usize) {
    let mut sender = Socket::open_as(server, &peer(number), None).await;
    let (mut sent, mut confirmed) = (0, 0);
    while confirmed < count {
        while sent < count && sent < confirmed + 16 {
            sent += 1;
            sender.send(envelope(mailbox, sent, size)).await;
        }
        match sender.next().await {
            Some(ServerFrame::Done { .. }) => confirmed += 1,
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_readers_are_cut_and_nobody_else_notices() {
    const SLOW: usize = 8;
    const COUNT: u32 = 900;
    const SIZE: usize = 16_384;
    let place = Place::new();
    let server = start(&place);
    let (before, _) = size(&server);
    let mut slow = Vec::new();
    for n in 0..SLOW {
        let (key, mailbox) = register(&server, n).await;
        let mut socket = Socket::open_as(&server, &peer(n), Some(4096)).await;
        socket.subscribe(&key, &mailbox).await;
        slow.push((key, mailbox, socket));
    }
    let (most, over) = (AtomicU64::new(0), AtomicBool::new(false));
    let watch = async {
        while !over.load(SeqCst) {
            most.fetch_max(size(&server).0 as u64, SeqCst);
            sleep(Duration::from_millis(20)).await;
        }
    };
    let pouring = async {
        let each = slow.iter().enumerate();
        join_all(each.map(|(n, (_, mailbox, _))| pour(&server, 50 + n, mailbox, COUNT, SIZE))).await;
        over.store(true, SeqCst);
    };
    // They check all that they get.
    let pairs = join_all((0..8).map(|n| pair(&server, 100 + n, 200, None)));
    tokio::join!(watch, pouring, pairs);
    assert_eq!(server.metric("rly_slow_connections_total").await, SLOW as u64);
    // What waits for a reader is bounded for each, and so is what is not yet on the disk.
    let bound = before + SLOW * 256 * (SIZE + 1024) + (96 << 20);
    let most = most.load(SeqCst) as usize;
    eprintln!("load: {before} bytes before, {most} at most");
    assert!(most <= bound, "{most} bytes");
    for (n, (key, mailbox, socket)) in slow.into_iter().enumerate().take(2) {
        drop(socket);
        let mut reader = Socket::open_as(&server, &peer(n), None).await;
        reader.subscribe(&key, &mailbox).await;
        for n in 1..=COUNT {
            assert_eq!(delivered(reader.next().await).1[0], n as u8);
        }
    }
}

/// Reads and acknowledges on one socket for several mailboxes, and connects again when it was cut.
/// Ends when it has this many of each of the first ones.
async fn read_all(server: &Server, mailboxes: &[(Key, Registered)], wanted: &[u32]) {
    let mut got = vec![0; mailboxes.len()];
    let done = |got: &[u32]| wanted.iter().zip(got).all(|(wanted, got)| got >= wanted);
    while !done(&got) {
        let mut socket = Socket::open_as(server, &peer(0), None).await;
        for (req, (key, mailbox)) in mailboxes.iter().enumerate() {
            socket.ask_to_read(req as u32, key, mailbox).await.unwrap();
        }
        while let Some(frame) = socket.next().await {
            let ServerFrame::Deliver { queue, seq, body, .. } = frame else {
                continue;
            };
            let line = mailboxes
                .iter()
                .position(|(_, mailbox)| mailbox.queue == queue)
                .unwrap();
            if line < wanted.len() {
                let n = body[0];
                // Again after a cut, or the next one.
                assert!(u32::from(n) <= got[line] + 1, "{n} after {}", got[line]);
                got[line] = got[line].max(n.into());
            }
            if socket.try_send(ClientFrame::Ack { queue, seq }).await.is_err() || done(&got) {
                break;
            }
        }
    }
}

/// Writes as fast as it can without regard to answers: how many were confirmed and how many refused.
async fn flood(server: &Server, from: usize, mailbox: &Registered, first: u32, count: u32) -> (u64, u64) {
    let socket = Socket::open_as(server, &peer(from), None).await;
    let (mut sink, mut stream) = socket.stream.split();
    let write = async {
        for n in first..first + count {
            let frame = envelope(mailbox, n, 256).to_message();
            sink.send(Message::Binary(frame)).await.unwrap();
        }
    };
    let read = async {
        let (mut confirmed, mut refused) = (0, 0);
        while confirmed + refused < u64::from(count) {
            let message = timeout(PATIENCE, stream.next())
                .await
                .expect("silence")
                .unwrap()
                .unwrap();
            let Message::Binary(frame) = message else { continue };
            match ServerFrame::from_message(frame).unwrap() {
                ServerFrame::Done { .. } => confirmed += 1,
                ServerFrame::Error {
                    code, retry_after, ..
                } => {
                    let code = ErrorCode::from_number(code).unwrap();
                    assert!(
                        matches!(code, ErrorCode::RateLimited | ErrorCode::QueueFull),
                        "{code}"
                    );
                    assert!(retry_after > 0);
                    refused += 1;
                }
                other => panic!("{other:?}"),
            }
        }
        (confirmed, refused)
    };
    tokio::join!(write, read).1
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_is_held_back_and_contacts_get_through() {
    const CONTACTS: usize = 5;
    const MESSAGES: u32 = 40;
    const FLOOD: u32 = 2_500;
    let place = Place::new();
    let server = start(&place);
    // One person: a mailbox for each contact, and one whose writer has gone mad.
    let mut mailboxes = Vec::new();
    for _ in 0..=CONTACTS {
        mailboxes.push(register(&server, 0).await);
    }
    let flooded = mailboxes[CONTACTS].1.clone();
    let server = &server;
    let start = Instant::now();
    let contacts = join_all(
        mailboxes[..CONTACTS]
            .iter()
            .enumerate()
            .map(|(n, (_, mailbox))| async move {
                let mut sender = Socket::open_as(server, &peer(1 + n), None).await;
                for n in 1..=MESSAGES {
                    sender.send(envelope(mailbox, n, 1024)).await;
                    // Not one is refused or put off.
                    assert_eq!(sender.next().await, Some(ServerFrame::Done { req: n }));
                }
            }),
    );
    let floods = join_all((0..3).map(|n| flood(server, 20 + n, &flooded, 1 + n as u32 * FLOOD, FLOOD)));
    let reading = read_all(server, &mailboxes, &[MESSAGES; CONTACTS]);
    let ((), _, floods) = tokio::join!(reading, contacts, floods);
    let confirmed: u64 = floods.iter().map(|(confirmed, _)| confirmed).sum();
    let refused: u64 = floods.iter().map(|(_, refused)| refused).sum();
    // 1,200 at once, then 50 a second: however long it took.
    let allowed = 1_200 + 50 * (start.elapsed().as_secs() + 1);
    assert!(confirmed <= allowed, "{confirmed} of {allowed}");
    assert_eq!(confirmed + refused, u64::from(3 * FLOOD));
    eprintln!("load: flood on a mailbox: {confirmed} taken, {refused} refused");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_claims_is_held_back_and_links_still_open() {
    const FLOOD: usize = 1_000;
    let place = Place::new();
    let server = start(&place);
    let (key, mailbox) = register(&server, 0).await;
    let share = json!({"address_token": mailbox.address_token, "card": "Y2FyZA", "ttl_seconds": 60});
    let invite = async || {
        let answer = server.post_as(&peer(0), "/api/share_contact", &share).await;
        answer.ok::<rly_protocol::api::Shared>().invite
    };
    let (target, mut links) = (invite().await, Vec::new());
    for _ in 0..10 {
        links.push(invite().await);
    }
    let start = Instant::now();
    let import = |invite: &str| json!({"invite": invite, "claim_key": Key::generate().json()});
    let flood = async {
        let (mut taken, mut put_off) = (0, 0);
        for wave in 0..FLOOD / 20 {
            let body = import(if wave % 2 == 0 { target.as_str() } else { "a.b.c" });
            let wave = (0..20).map(|_| server.post_as("192.0.2.9", "/api/import_contact", &body));
            for answer in join_all(wave).await {
                match answer.status {
                    429 => {
                        assert_eq!(answer.code(), ErrorCode::RateLimited);
                        put_off += 1;
                    }
                    200 | 400 | 409 => taken += 1,
                    _ => panic!("{answer:?}"),
                }
            }
        }
        (taken, put_off)
    };
    let (server, import) = (&server, &import);
    let others = join_all(links.iter().enumerate().map(|(n, link)| async move {
        let answer = server
            .post_as(&peer(10 + n), "/api/import_contact", &import(link))
            .await;
        assert_eq!(answer.status, 200, "{answer:?}");
    }));
    let messages = pair(server, 40, 100, None);
    let ((taken, put_off), _, _) = tokio::join!(flood, others, messages);
    let allowed = 200 + 20 * (start.elapsed().as_secs() + 1);
    assert!(taken <= allowed, "{taken} of {allowed}");
    assert_eq!(taken + put_off, FLOOD as u64);
    let mut reader = Socket::open_as(server, &peer(0), None).await;
    reader.subscribe(&key, &mailbox).await;
    for _ in 0..=links.len() {
        delivered(reader.next().await);
    }
    eprintln!("load: flood of claims: {taken} answered, {put_off} put off");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "long: ./test load"]
async fn many_sockets_rest() {
    let count = setting("RLY_TEST_IDLE", 10_000) as usize;
    let place = Place::new();
    let server = start(&place);
    let (before, _) = size(&server);
    let mut sockets = Vec::with_capacity(count);
    for n in 0..count {
        sockets.push(Socket::open_as(&server, &peer(n % 60_000), None).await);
    }
    assert_eq!(server.metric("rly_connections").await, count as u64);
    let (after, files) = size(&server);
    eprintln!(
        "load: {count} idle sockets: {files} files, {:.1} KiB each",
        (after - before) as f64 / count as f64 / 1024.0
    );
    let times = pair(&server, 1, 500, None).await;
    eprintln!(
        "load: beside them a message takes {:?} (median)",
        middle(times, 0.5)
    );
    for (n, socket) in sockets.iter_mut().enumerate() {
        let nonce = n as u64;
        socket.send(ClientFrame::Ping { nonce }).await;
        assert_eq!(socket.next().await, Some(ServerFrame::Pong { nonce }));
    }
}

fn middle(mut times: Vec<Duration>, part: f64) -> Duration {
    times.sort_unstable();
    times[((times.len() - 1) as f64 * part) as usize]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "long: ./test load"]
async fn many_slow_readers_beside_quick_ones() {
    let count = setting("RLY_TEST_SLOW", 1_000) as usize;
    let place = Place::new();
    let server = start(&place);
    let measure = async |first: usize, stop: &AtomicBool| {
        let all = join_all((0..20).map(|n| pair(&server, first + n, u32::MAX, Some(stop)))).await;
        let times = all.concat();
        (times.len(), middle(times.clone(), 0.5), middle(times, 0.99))
    };
    let for_a_while = async |stop: &AtomicBool| {
        sleep(Duration::from_secs(20)).await;
        stop.store(true, SeqCst);
    };
    let stop = AtomicBool::new(false);
    let (alone, ()) = tokio::join!(measure(0, &stop), for_a_while(&stop));
    let mut slow = Vec::new();
    for n in 0..count {
        let (key, mailbox) = register(&server, 1_000 + n).await;
        let mut socket = Socket::open_as(&server, &peer(1_000 + n), Some(4096)).await;
        socket.subscribe(&key, &mailbox).await;
        slow.push((mailbox, socket));
    }
    let stop = AtomicBool::new(false);
    // A few a second for each, until their buffers are full and they are cut.
    let pour = async {
        let mut sender = Vec::new();
        for n in 0..10 {
            sender.push(Socket::open_as(&server, &peer(3_000 + n), None).await);
        }
        let mut n = 0;
        while !stop.load(SeqCst) {
            n += 1;
            for (line, (mailbox, _)) in slow.iter().enumerate() {
                let sender = &mut sender[line % 10];
                sender.send(envelope(mailbox, n, 16_384)).await;
                sender.next().await.unwrap();
            }
        }
        n
    };
    let (beside, (), rounds) = tokio::join!(measure(100, &stop), for_a_while(&stop), pour);
    eprintln!(
        "load: (messages, p50, p99) alone {alone:?}, beside {count} slow readers that get {rounds} each {beside:?}"
    );
    eprintln!(
        "load: p99 is {:.2} times as long; {} slow ones were cut; {} bytes",
        beside.2.as_secs_f64() / alone.2.as_secs_f64(),
        server.metric("rly_slow_connections_total").await,
        size(&server).0
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "long: ./test load"]
async fn a_long_run_takes_no_more_and_more() {
    const PAIRS: usize = 10;
    let minutes = setting("RLY_TEST_SOAK", 60);
    let place = Place::new();
    let server = start(&place);
    let (delivered_count, stop) = (AtomicU64::new(0), AtomicBool::new(false));
    let (server, delivered_count, stop) = (&server, &delivered_count, &stop);
    let run = join_all((0..PAIRS).map(|number| async move {
        let (key, mailbox) = register(server, number).await;
        let mut reader = Socket::open_as(server, &peer(number), None).await;
        let mut sender = Socket::open_as(server, &peer(number), None).await;
        reader.subscribe(&key, &mailbox).await;
        let mut tick = interval(Duration::from_millis(1000 * PAIRS as u64 / 200));
        let mut n = 0;
        while !stop.load(SeqCst) {
            tick.tick().await;
            n += 1;
            sender
                .send(envelope(&mailbox, n, [256, 1024, 4096][n as usize % 3]))
                .await;
            let (seq, body) = delivered(reader.next().await);
            assert_eq!(body[0], n as u8);
            let queue = mailbox.queue;
            // Every fourth one a moment later, so that it is stored first.
            if n % 4 == 0 {
                assert_eq!(sender.next().await, Some(ServerFrame::Done { req: n }));
                reader.send(ClientFrame::Ack { queue, seq }).await;
            } else {
                reader.send(ClientFrame::Ack { queue, seq }).await;
                assert_eq!(sender.next().await, Some(ServerFrame::Done { req: n }));
            }
            delivered_count.fetch_add(1, SeqCst);
        }
    }));
    let watch = async {
        let mut first = None;
        for minute in 1..=minutes {
            sleep(Duration::from_secs(60)).await;
            let now = size(server);
            let disk: u64 = ["", "-wal"]
                .iter()
                .filter_map(|ending| fs::metadata(place.data().join(format!("rly.sqlite{ending}"))).ok())
                .map(|file| file.len())
                .sum();
            eprintln!(
                "load: minute {minute}: {} messages, {} KiB of memory, {} files, {} KiB on the disk",
                delivered_count.load(SeqCst),
                now.0 >> 10,
                now.1,
                disk >> 10
            );
            // The first minutes fill caches.
            if minute == minutes.div_ceil(10) {
                first = Some(now);
            }
        }
        stop.store(true, SeqCst);
        (first.unwrap(), size(server))
    };
    let (_, (first, last)) = tokio::join!(run, watch);
    assert!(last.0 <= first.0 + (8 << 20), "memory grew: {first:?} {last:?}");
    assert!(last.1 <= first.1 + 2, "files grew: {first:?} {last:?}");
}
