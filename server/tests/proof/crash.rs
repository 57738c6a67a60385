//! kill -9 under load: what was confirmed is there afterwards, once and in order; no sequence number
//! is used twice; claims stay claimed; the store stays the same one.

use crate::{
    below,
    common::{
        Key,
        process::{PATIENCE, Place, Server, Socket},
    },
    rng, setting,
};
use bytes::Bytes;
use rly_protocol::{
    Decode, EnvelopeId, ErrorCode, Incarnation, InviteId, QueueId,
    api::Registered,
    frame::{ClientFrame, Kind, Notice, ServerFrame, VaultEntry, vault_id_message},
    limits::ENVELOPE_SIZES,
};
use serde_json::json;
use sha2::{Digest, Sha256};
use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

/// How much is confirmed before a kill: the least, and how much more at most.
const CONFIRMED: (usize, usize) = (50, 700);
/// Envelopes to one mailbox in one round: all together enough for the most, and few enough that none is
/// ever full.
const ENVELOPES: u32 = 150;
/// Links, mailboxes and vault writes of one round: well below what one peer may.
const CLAIMS: usize = 24;
const END: u32 = u32::MAX;

/// What every reader has seen: which envelope a sequence number is.
type Seen = Arc<Mutex<HashMap<u64, (QueueId, EnvelopeId)>>>;

/// A mailbox, who writes to it, and who reads it.
struct Line {
    number: u32,
    key: Key,
    mailbox: Registered,
    writer: Writer,
    reader: Reading,
}

#[derive(Default)]
struct Writer {
    /// How many may be without an answer.
    window: usize,
    next: u32,
    /// Sent, no answer yet.
    open: VecDeque<u32>,
    confirmed: Vec<u32>,
    /// Sent again after a crash: the reader may have got it before, so it knows it by its id.
    repeated: HashSet<u32>,
}

#[derive(Default)]
struct Reading {
    /// Number and sequence number, as they came first.
    envelopes: Vec<(u32, u64)>,
    notices: Vec<(InviteId, u64)>,
}

fn id(line: u32, n: u32) -> EnvelopeId {
    EnvelopeId((u128::from(line) << 32 | u128::from(n)).to_be_bytes())
}

fn frame(line: &Line, n: u32) -> ClientFrame {
    let size = ENVELOPE_SIZES[n as usize % 3];
    ClientFrame::Send {
        req: n,
        address: line.mailbox.address,
        id: id(line.number, n),
        body: Bytes::from(vec![n as u8; size]),
    }
}

/// Writes until the server is gone.
async fn write(host: &str, line: &Line, writer: &mut Writer, confirmed: &AtomicUsize) {
    let Some(mut socket) = Socket::try_open(host, None, None).await else {
        return;
    };
    for n in writer.open.clone() {
        writer.repeated.insert(n);
        if socket.try_send(frame(line, n)).await.is_err() {
            return;
        }
    }
    let end = writer.next + ENVELOPES;
    loop {
        while writer.open.len() < writer.window && writer.next < end {
            let n = writer.next;
            writer.next += 1;
            writer.open.push_back(n);
            if socket.try_send(frame(line, n)).await.is_err() {
                return;
            }
        }
        match socket.next().await {
            Some(ServerFrame::Done { req }) => {
                let before = writer.open.len();
                writer.open.retain(|n| *n != req);
                assert_eq!(writer.open.len() + 1, before, "an answer to nothing");
                writer.confirmed.push(req);
                confirmed.fetch_add(1, SeqCst);
            }
            Some(other) => panic!("not confirmed but {other:?}"),
            None => return,
        }
    }
}

/// Reads and acknowledges until the server is gone, or the last envelope is there.
async fn read(host: &str, line: &Line, reading: &mut Reading, seen: &Seen) -> Option<Incarnation> {
    let mut socket = Socket::try_open(host, None, None).await?;
    socket.ask_to_read(1, &line.key, &line.mailbox).await?;
    let mut last = 0;
    loop {
        match socket.next().await? {
            ServerFrame::Subscribed { .. } => {}
            ServerFrame::Deliver {
                queue,
                seq,
                kind,
                id: envelope,
                body,
            } => {
                assert_eq!(queue, line.mailbox.queue);
                assert!(seq > last, "{seq} after {last}");
                last = seq;
                let before = seen.lock().unwrap().insert(seq, (queue, envelope));
                let again = before.is_some();
                assert!(
                    before.is_none_or(|before| before == (queue, envelope)),
                    "{seq} was used twice"
                );
                let end = envelope == id(line.number, END);
                match kind {
                    _ if again || end => {}
                    Kind::Envelope => {
                        let n = u128::from_be_bytes(envelope.0) as u32;
                        assert_eq!(envelope, id(line.number, n));
                        assert!(body.iter().all(|byte| *byte == n as u8));
                        reading.envelopes.push((n, seq));
                    }
                    Kind::Notice => {
                        let Notice::InviteOpened { invite, .. } = Notice::from_bytes(&body).unwrap();
                        reading.notices.push((invite, seq));
                    }
                }
                // Now it is stored.
                socket.try_send(ClientFrame::Ack { queue, seq }).await.ok()?;
                if end {
                    return Some(socket.incarnation);
                }
            }
            other => panic!("not delivered but {other:?}"),
        }
    }
}

/// A link, and how far it got.
struct Link {
    line: usize,
    invite: String,
    id: InviteId,
    card: Vec<u8>,
    /// Who asked to open it, and whether that was answered.
    claim: Option<(Key, bool)>,
}

/// What else is confirmed besides envelopes.
#[derive(Default)]
struct Deeds {
    links: Vec<Link>,
    mailboxes: Vec<(Key, Registered)>,
    deleted: Vec<Registered>,
    /// The vault's last confirmed generation; the value that may have been written after it.
    vault: (u64, Option<u64>),
}

/// Makes links, opens them, makes mailboxes and deletes them until the server is gone.
async fn act(server: &Shared, lines: &[Line], deeds: &mut Deeds, round: usize) -> Option<()> {
    for turn in 0..CLAIMS {
        let line = turn % lines.len();
        let card = format!("card {round} {turn}").into_bytes();
        let body = json!({
            "address_token": lines[line].mailbox.address_token,
            "card": rly_protocol::to_base64url(&card),
            "ttl_seconds": 3600,
        });
        let shared: rly_protocol::api::Shared = server.post("/api/share_contact", &body).await?;
        deeds.links.push(Link {
            line,
            invite: shared.invite,
            id: shared.invite_id,
            card,
            claim: None,
        });
        if turn % 4 != 0 {
            let link = deeds.links.last_mut()?;
            let key = Key::generate();
            link.claim = Some((key.clone(), false));
            let body = json!({"invite": link.invite, "claim_key": key.json()});
            let imported: rly_protocol::api::Imported = server.post("/api/import_contact", &body).await?;
            assert_eq!(imported.card.0, link.card);
            link.claim = Some((key, true));
        }
        if turn % 6 == 0 {
            let key = Key::generate();
            let body = json!({"reader_key": key.json()});
            let mailbox: Registered = server.post("/api/register_sim", &body).await?;
            deeds.mailboxes.push((key, mailbox));
        }
        if turn % 12 == 7 && deeds.mailboxes.len() > 1 {
            let (key, mailbox) = deeds.mailboxes.remove(0);
            let mut socket = Socket::try_open(&server.host, None, None).await?;
            socket.ask_to_read(1, &key, &mailbox).await?;
            socket.next().await?;
            let queue = mailbox.queue;
            socket
                .try_send(ClientFrame::DeleteQueue { req: 2, queue })
                .await
                .ok()?;
            // Without the answer it may be deleted or not: it is not looked at again.
            if let ServerFrame::Done { req: 2 } = socket.next().await? {
                deeds.deleted.push(mailbox);
            }
        }
    }
    Some(())
}

/// Where a server is, for tasks that outlive it.
#[derive(Clone)]
struct Shared {
    host: String,
}

impl Shared {
    /// `None`: the server died before it answered.
    async fn post<T: serde::de::DeserializeOwned>(&self, path: &str, body: &serde_json::Value) -> Option<T> {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let body = body.to_string();
        let text = format!(
            "POST {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n{body}",
            self.host,
            body.len()
        );
        let mut stream = tokio::net::TcpStream::connect(&self.host).await.ok()?;
        stream.write_all(text.as_bytes()).await.ok()?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.ok()?;
        let answer = crate::common::process::Answer::parse(&answer)?;
        // A head without its body is no answer either.
        let length: usize = answer.header("content-length")?.parse().ok()?;
        (answer.body.len() == length).then(|| answer.ok())
    }
}

fn vault_of(key: &Key) -> QueueId {
    let hash = Sha256::digest(vault_id_message(&key.public()));
    QueueId(*hash.first_chunk().unwrap())
}

/// Looks into the vault, then writes to it until the server is gone.
async fn keep(host: &str, key: &Key, vault: &mut (u64, Option<u64>)) -> Option<()> {
    let queue = vault_of(key);
    let mut socket = Socket::try_open(host, None, None).await?;
    let signature = key.sign(&socket.origin, &socket.nonce, &queue);
    let key = key.public();
    socket
        .try_send(ClientFrame::OpenVault {
            req: 1,
            key,
            signature,
        })
        .await
        .ok()?;
    socket.next().await?;
    socket
        .try_send(ClientFrame::VaultRead {
            req: 2,
            queue,
            from: 0,
        })
        .await
        .ok()?;
    let ServerFrame::VaultPage {
        generation, entries, ..
    } = socket.next().await?
    else {
        panic!("no page");
    };
    let (confirmed, open) = *vault;
    assert!(
        generation == confirmed || Some(generation) == open,
        "the vault is at {generation}, confirmed was {confirmed}"
    );
    let content = entries
        .first()
        .map_or(0, |entry| u64::from_be_bytes(*entry.blob.first_chunk().unwrap()));
    assert_eq!(content, generation, "half of a write");
    *vault = (generation, None);
    for _ in 0..CLAIMS {
        let expected = vault.0;
        vault.1 = Some(expected + 1);
        let blob = Bytes::copy_from_slice(&(expected + 1).to_be_bytes());
        let entries = vec![VaultEntry { slot: 0, blob }];
        let write = ClientFrame::VaultWrite {
            req: 3,
            queue,
            expected,
            entries,
        };
        socket.try_send(write).await.ok()?;
        match socket.next().await? {
            ServerFrame::VaultWritten { generation, .. } => *vault = (generation, None),
            other => panic!("not written but {other:?}"),
        }
    }
    Some(())
}

/// After a restart: everything that was confirmed about links and mailboxes still holds.
async fn check(server: &Server, deeds: &mut Deeds, from: usize) {
    for link in &mut deeds.links[from..] {
        // Its first opener may repeat that, whether it was answered or not.
        if let Some((key, answered)) = &mut link.claim {
            assert_eq!(server.imported(&link.invite, key).await.card.0, link.card);
            *answered = true;
            let other = server.import(&link.invite, &Key::generate()).await;
            assert_eq!(other.code(), ErrorCode::InviteUsed);
        }
    }
    for (n, (key, mailbox)) in deeds.mailboxes.iter().enumerate() {
        let mut socket = server.socket().await;
        if n % 4 == 0 {
            socket.subscribe(key, mailbox).await;
        }
    }
    let mut socket = server.socket().await;
    for mailbox in &deeds.deleted {
        let send = ClientFrame::Send {
            req: 1,
            address: mailbox.address,
            id: EnvelopeId([1; 16]),
            body: Bytes::from(vec![0; 256]),
        };
        socket.send(send).await;
        match socket.next().await {
            Some(ServerFrame::Error { code, .. }) => assert_eq!(code, ErrorCode::NoQueue.number()),
            other => panic!("not refused but {other:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_confirmed_outlives_kills() {
    let rounds = setting("RLY_TEST_CRASHES", 20) as usize;
    let mut rng = rng("crash");
    let place = Place::new();
    let server = place.start();
    let mut lines = Vec::new();
    for (number, window) in [1, 1, 1, 16, 16, 4].into_iter().enumerate() {
        let key = Key::generate();
        lines.push(Line {
            number: number as u32,
            mailbox: server.register(&key).await,
            key,
            writer: Writer {
                window,
                ..Writer::default()
            },
            reader: Reading::default(),
        });
    }
    let incarnation = server.socket().await.incarnation;
    server.kill();

    let (seen, vault_key) = (Seen::default(), Key::generate());
    let mut deeds = Deeds::default();
    let mut checked = 0;
    for round in 0..rounds {
        let server = place.start();
        assert_eq!(server.socket().await.incarnation, incarnation, "another store");
        check(&server, &mut deeds, checked).await;
        checked = deeds.links.len();
        let shared = Shared {
            host: server.host().to_owned(),
        };
        let confirmed = AtomicUsize::new(0);
        let target = CONFIRMED.0 + below(&mut rng, CONFIRMED.1);
        let (mut writers, mut readers) = (Vec::new(), Vec::new());
        for line in &mut lines {
            writers.push(std::mem::take(&mut line.writer));
            readers.push(std::mem::take(&mut line.reader));
        }
        {
            let (lines, shared, seen, confirmed) = (&lines, &shared, &seen, &confirmed);
            let write = futures_util::future::join_all(
                writers
                    .iter_mut()
                    .zip(lines)
                    .map(|(writer, line)| write(&shared.host, line, writer, confirmed)),
            );
            // Every other mailbox has nobody who reads it, another one in each round.
            let read = futures_util::future::join_all(
                (readers.iter_mut().zip(lines))
                    .filter(|(_, line)| (line.number as usize + round).is_multiple_of(2))
                    .map(|(reader, line)| read(&shared.host, line, reader, seen)),
            );
            let Deeds { vault, .. } = &mut deeds;
            let mut kept = *vault;
            let kill = async move {
                let start = Instant::now();
                while confirmed.load(SeqCst) < target {
                    assert!(start.elapsed() < PATIENCE, "it hangs");
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
                server.kill();
            };
            tokio::join!(
                write,
                read,
                kill,
                act(shared, lines, &mut deeds, round),
                keep(&shared.host, &vault_key, &mut kept),
            );
            deeds.vault = kept;
        }
        for (line, (writer, reader)) in lines.iter_mut().zip(writers.into_iter().zip(readers)) {
            (line.writer, line.reader) = (writer, reader);
        }
    }

    let server = place.start();
    check(&server, &mut deeds, checked).await;
    for link in deeds
        .links
        .iter_mut()
        .filter(|link| link.claim.is_none())
        .take(50)
    {
        let key = Key::generate();
        assert_eq!(server.imported(&link.invite, &key).await.card.0, link.card);
        link.claim = Some((key, true));
    }
    let mut total = 0;
    for line in &mut lines {
        // What has no answer yet, then the end: everything before it has come when that has.
        let mut socket = server.socket().await;
        for n in line.writer.open.clone().into_iter().chain([END]) {
            line.writer.repeated.insert(n);
            socket.send(frame(line, n)).await;
            assert_eq!(socket.next().await, Some(ServerFrame::Done { req: n }));
        }
        let mut reader = std::mem::take(&mut line.reader);
        let same = read(server.host(), line, &mut reader, &seen).await;
        assert_eq!(same, Some(incarnation));
        line.reader = reader;
        total += judge(line);
    }
    for link in &deeds.links {
        let notices = lines[link.line]
            .reader
            .notices
            .iter()
            .filter(|(id, _)| *id == link.id);
        assert_eq!(
            notices.count(),
            usize::from(link.claim.is_some()),
            "notices of one link"
        );
    }
    eprintln!(
        "crash: {rounds} kills, {total} envelopes confirmed, {} links",
        deeds.links.len()
    );
}

/// Everything confirmed has come, once, in the order sent.
fn judge(line: &Line) -> usize {
    let Line { writer, reader, .. } = line;
    let mut first = HashMap::new();
    for (n, seq) in &reader.envelopes {
        if let Some(before) = first.insert(*n, *seq) {
            assert!(writer.repeated.contains(n), "{n} came as {before} and {seq}");
            // The reader knows it by its id: what counts is when it came first.
            first.insert(*n, before.min(*seq));
        }
    }
    for n in &writer.confirmed {
        assert!(first.contains_key(n), "{n} was confirmed and is lost");
    }
    assert_eq!(
        first.len(),
        writer.next as usize,
        "all that was sent has come by now"
    );
    let mut order: Vec<(u64, u32)> = first.into_iter().map(|(n, seq)| (seq, n)).collect();
    order.sort_unstable();
    assert!(order.is_sorted_by_key(|(_, n)| *n), "another order than sent");
    writer.confirmed.len()
}

#[tokio::test]
async fn another_store_is_told_as_such() {
    let place = Place::new();
    let server = place.start();
    let first = server.socket().await.incarnation;
    server.kill();
    let server = place.start();
    assert_eq!(server.socket().await.incarnation, first);
    server.kill();
    // The key stays, the store is lost.
    for ending in ["", "-wal", "-shm"] {
        let _ = std::fs::remove_file(place.data().join(format!("rly.sqlite{ending}")));
    }
    let server = place.start();
    assert_ne!(server.socket().await.incarnation, first);
}
