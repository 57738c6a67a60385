//! What nobody should send, from a seed: requests over every route and method, frames of every type,
//! and bytes that are neither. Whatever it is, the answer is a refusal with a stable code or the end of
//! that connection; the server neither fails, nor panics, nor hangs, nor grows.

mod frames;
mod http;

use crate::{
    below,
    common::{
        Key,
        process::{PATIENCE, Place, Server, delivered, envelope},
    },
    rng, setting,
};
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};
use rand_core::RngCore;
use rly_protocol::api::{Registered, Shared};
use std::{
    collections::BTreeMap,
    fs,
    sync::{Arc, Mutex},
    time::Instant,
};

/// Files that the three readers of the database may open when they are first needed.
const READERS: usize = 6;
/// Tasks at one time.
const AT_ONCE: usize = 8;
/// Frames on one socket.
const FRAMES: usize = 12;
/// How much memory may be kept after all of it, beyond what a first tenth took.
const GROWTH: usize = 32 << 20;

const TARGETS: [&str; 18] = [
    "/",
    "/letter",
    "/i",
    "/chat",
    "/settings",
    "/r",
    "/rooms",
    "/favicon.svg",
    "/assets/boot.0123456789abcdef.js",
    "/nothing",
    "/api",
    "/api/openapi.json",
    "/api/register_sim",
    "/api/share_contact",
    "/api/import_contact",
    "/api/rooms",
    "/api/rooms/AAAAAAAAAAAAAAAAAAAAAA",
    "/ws",
];
const METHODS: [&str; 11] = [
    "GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT", "BREW", "get",
];

/// True things, to be bent.
struct Known {
    key: Key,
    mailbox: Registered,
    shared: Shared,
}

/// What was sent and what came back, by name.
#[derive(Clone, Default)]
struct Tally(Arc<Mutex<BTreeMap<String, u64>>>);

impl Tally {
    fn count(&self, what: impl Into<String>) {
        *self.0.lock().unwrap().entry(what.into()).or_default() += 1;
    }
}

fn pick<'a, T: ?Sized>(rng: &mut ChaCha20Rng, from: &[&'a T]) -> &'a T {
    from[below(rng, from.len())]
}

fn one_in(rng: &mut ChaCha20Rng, n: usize) -> bool {
    below(rng, n) == 0
}

fn noise(rng: &mut ChaCha20Rng, most: usize) -> Vec<u8> {
    let mut bytes = vec![0; below(rng, most + 1)];
    rng.fill_bytes(&mut bytes);
    bytes
}

/// Somebody else each time, so that nobody is refused for the number of requests alone.
fn peer(rng: &mut ChaCha20Rng) -> String {
    let n = rng.next_u32();
    format!("10.{}.{}.{}", n >> 16 & 0xff, n >> 8 & 0xff, n & 0xff)
}

fn bend(rng: &mut ChaCha20Rng, bytes: &mut Vec<u8>) {
    match below(rng, 5) {
        0 => bytes.truncate(below(rng, bytes.len() + 1)),
        1 => bytes.extend(noise(rng, 40)),
        2 if !bytes.is_empty() => {
            let at = below(rng, bytes.len());
            bytes[at] ^= 1 << below(rng, 8);
        }
        3 if !bytes.is_empty() => {
            // A length or a count that lies.
            let at = below(rng, bytes.len());
            let end = (at + 4).min(bytes.len());
            bytes[at..end].fill(0xff);
        }
        _ => {
            let at = below(rng, bytes.len() + 1);
            bytes.splice(at..at, noise(rng, 9));
        }
    }
}

/// Resident memory and open files. Nothing, where there is no /proc.
fn size(server: &Server) -> (usize, usize) {
    let folder = format!("/proc/{}", server.pid());
    let status = fs::read_to_string(format!("{folder}/status")).unwrap_or_default();
    let memory = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib: usize = memory.map_or(0, |text| text.trim().trim_end_matches(" kB").parse().unwrap());
    let files = fs::read_dir(format!("{folder}/fd")).map_or(0, |files| files.count());
    (kib << 10, files)
}

/// The size once every connection has ended.
async fn settled(server: &Server, files: usize) -> (usize, usize) {
    let start = Instant::now();
    loop {
        let now = size(server);
        if now.1 <= files || start.elapsed() > PATIENCE {
            return now;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
}

/// `count` requests and frames, several at a time; each task has its own part of the seed.
async fn storm(server: &Arc<Server>, known: &Arc<Known>, tally: &Tally, seed: u64, count: usize) {
    let mut tasks = tokio::task::JoinSet::new();
    for task in 0..AT_ONCE {
        let (server, known, tally) = (server.clone(), known.clone(), tally.clone());
        let mut rng = ChaCha20Rng::seed_from_u64(seed ^ task as u64);
        tasks.spawn(async move {
            let mut left = count / AT_ONCE;
            while left > 0 {
                match below(&mut rng, 20) {
                    0 => {
                        frames::babble(&server, &mut rng, &tally).await;
                        left -= 1;
                    }
                    1 => {
                        frames::talk(&server, &mut rng, &known, &tally).await;
                        left = left.saturating_sub(FRAMES);
                    }
                    _ => {
                        let (text, whole, name) = http::request(&mut rng, &known, server.host());
                        tally.count(format!("request {name}"));
                        http::ask(server.host(), &text, whole, &tally).await;
                        left -= 1;
                    }
                }
            }
        });
    }
    while let Some(ended) = tasks.join_next().await {
        ended.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_is_sent_is_refused_and_does_no_harm() {
    let count = setting("RLY_TEST_HOSTILE", 8_000) as usize;
    let mut rng = rng("hostile");
    let place = Place::new();
    let server = Arc::new(place.start_with(|command| {
        command.env("RLY_TRUSTED_PROXIES", "127.0.0.1");
    }));
    let key = Key::generate();
    let mailbox = server.register(&key).await;
    let shared = server.share(&mailbox, b"card").await;
    let known = Arc::new(Known { key, mailbox, shared });
    let tally = Tally::default();
    let files = size(&server).1;
    storm(&server, &known, &tally, rng.next_u64(), count / 10).await;
    let before = settled(&server, files + READERS).await;
    storm(&server, &known, &tally, rng.next_u64(), count).await;
    let after = settled(&server, before.1 + READERS).await;

    let counted = tally.0.lock().unwrap().clone();
    let sum = |what: &str| -> u64 {
        let fit = counted.iter().filter(|(name, _)| name.starts_with(what));
        fit.map(|(_, n)| n).sum()
    };
    let (requests, frames) = (sum("request "), sum("frame "));
    eprintln!(
        "hostile: {requests} requests, {frames} frames, {} other; {before:?} -> {after:?}",
        sum("babble")
    );
    for (name, n) in counted.iter().filter(|(name, _)| !name.starts_with("request")) {
        eprintln!("  {n:6} {name}");
    }
    assert!(requests + frames >= 5_000 || count < 5_000);
    for target in TARGETS {
        for method in METHODS {
            let name = format!("request {method} {target}");
            assert!(counted.contains_key(&name) || count < 8_000, "no {name}");
        }
    }
    let kinds = counted.keys().filter(|name| name.starts_with("frame "));
    assert_eq!(kinds.count(), 10, "every type of frame");
    assert!(sum("pong") > 0 && sum("goodbye") > 0);

    let log = server.log();
    assert!(!log.contains("panicked") && !log.contains("ERROR"), "{log}");
    assert!(
        after.1 <= before.1 + READERS,
        "{} files, then {}",
        before.1,
        after.1
    );
    assert!(
        after.0 <= before.0 + GROWTH,
        "{} bytes, then {}",
        before.0,
        after.0
    );
    let start = Instant::now();
    while server.metric("rly_connections").await > 0 {
        assert!(start.elapsed() < PATIENCE, "sockets are left");
    }

    // And it still does what it is for.
    let key = Key::generate();
    let mailbox = server.register(&key).await;
    let invite = server.share(&mailbox, b"card").await.invite;
    assert_eq!(server.imported(&invite, &Key::generate()).await.card.0, b"card");
    let (mut reader, mut sender) = (server.socket().await, server.socket().await);
    reader.subscribe(&key, &mailbox).await;
    delivered(reader.next().await);
    sender.send(envelope(&mailbox, 1, 256)).await;
    assert_eq!(delivered(reader.next().await).1, vec![1; 256]);
}
