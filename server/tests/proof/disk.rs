//! A disk that is full, read-only or failing, under the real server with real SQLite: `faults.c` is
//! preloaded and lets system calls fail. Nothing is confirmed that does not last, everybody is told so
//! clearly, and it works again as soon as the disk does.

use crate::common::{
    Key,
    process::{PATIENCE, Place, Server, Socket},
};
use bytes::Bytes;
use rly_protocol::{
    EnvelopeId, ErrorCode,
    api::Registered,
    frame::{ClientFrame, ServerFrame},
};
use serde_json::json;
use std::{
    collections::BTreeSet,
    fs,
    path::PathBuf,
    process::Command,
    time::{Duration, Instant},
};

/// What the first byte of the control file says, and what the failing part may be called: what cannot
/// even be read may look like a damaged store.
const FAULTS: [(&str, &[&str]); 4] = [
    ("full", &["disk"]),
    ("read-only", &["disk"]),
    ("sync fails", &["disk"]),
    ("input and output fail", &["disk", "store"]),
];

/// A server on a disk that can be told to fail.
struct Disk {
    place: Place,
    library: PathBuf,
}

impl Disk {
    fn new() -> Self {
        let place = Place::new();
        let library = place.path().join("faults.so");
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/proof/faults.c");
        let compiled = Command::new("cc")
            .args(["-shared", "-fPIC", "-O1", "-o"])
            .arg(&library)
            .args([source, "-ldl"])
            .status()
            .expect("a C compiler");
        assert!(compiled.success());
        Self { place, library }
    }

    fn prepare(&self, command: &mut Command) {
        command
            .env("LD_PRELOAD", &self.library)
            .env("FAULTS", self.control());
    }

    fn control(&self) -> PathBuf {
        self.place.path().join("control")
    }

    fn start(&self) -> Server {
        self.place.start_with(|command| self.prepare(command))
    }

    fn fail(&self, how: &str) {
        // At once whole: the server reads it at any moment.
        let next = self.place.path().join("next");
        fs::write(&next, how).unwrap();
        fs::rename(next, self.control()).unwrap();
    }

    fn repair(&self) {
        fs::remove_file(self.control()).unwrap();
    }
}

fn send(mailbox: &Registered, n: u32) -> ClientFrame {
    ClientFrame::Send {
        req: n,
        address: mailbox.address,
        id: EnvelopeId(u128::from(n).to_be_bytes()),
        body: Bytes::from(n.to_be_bytes().repeat(64)),
    }
}

/// The answer to a request; deliveries that come before it are kept.
async fn answer(socket: &mut Socket, of: u32) -> Result<(), (ErrorCode, u32)> {
    loop {
        match socket.next().await.expect("a connection") {
            ServerFrame::Done { req } | ServerFrame::VaultWritten { req, .. } if req == of => return Ok(()),
            ServerFrame::Error {
                req,
                code,
                retry_after,
            } if req == of => return Err((ErrorCode::from_number(code).unwrap(), retry_after)),
            ServerFrame::Deliver { .. } | ServerFrame::Subscribed { .. } => {}
            other => panic!("not an answer: {other:?}"),
        }
    }
}

async fn until_ready(server: &Server) {
    let start = Instant::now();
    while server.ready().await.0 != 200 {
        assert!(
            start.elapsed() < PATIENCE,
            "it does not recover: {}",
            server.log()
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn open_files(server: &Server) -> usize {
    fs::read_dir(format!("/proc/{}/fd", server.pid()))
        .unwrap()
        .count()
}

#[tokio::test]
async fn nothing_is_confirmed_that_does_not_last_and_it_recovers_without_help() {
    let disk = Disk::new();
    let server = disk.start();
    let (key, claimant) = (Key::generate(), Key::generate());
    let mailbox = server.register(&key).await;
    let other = server.register(&Key::generate()).await;
    let mut confirmed = BTreeSet::new();
    let mut sender = server.socket().await;
    let mut n = 0;
    for (how, parts) in FAULTS {
        let failing = |(status, part): (u16, Option<String>)| {
            assert_eq!(status, 503, "{how}");
            assert!(part.is_some_and(|part| parts.contains(&part.as_str())), "{how}");
        };
        let invite = server.share(&mailbox, b"card").await.invite;
        for _ in 0..10 {
            n += 1;
            sender.send(send(&mailbox, n)).await;
            answer(&mut sender, n).await.unwrap();
            confirmed.insert(n);
        }
        assert_eq!(server.ready().await, (200, None), "{how}");
        let files = open_files(&server);
        disk.fail(how);

        // Nobody had to write for it to be noticed.
        failing(server.ready().await);
        let first_refused = n + 1;
        for _ in 0..20 {
            n += 1;
            sender.send(send(&mailbox, n)).await;
            let (code, retry_after) = answer(&mut sender, n).await.expect_err(how);
            assert_eq!(code, ErrorCode::Unavailable, "{how}");
            assert!(retry_after > 0, "{how}");
        }
        // To a reader that is there: given at once perhaps, but not confirmed.
        let key_body = json!({"reader_key": Key::generate().json()});
        let share = json!({"address_token": mailbox.address_token, "card": "Y2FyZA", "ttl_seconds": 60});
        let import = json!({"invite": invite, "claim_key": claimant.json()});
        for (path, body) in [
            ("/api/register_sim", &key_body),
            ("/api/share_contact", &share),
            ("/api/import_contact", &import),
        ] {
            assert_eq!(
                server.post(path, body).await.code(),
                ErrorCode::Unavailable,
                "{how} {path}"
            );
        }
        assert_eq!(server.http(&server.admin, "GET /health/live", "").await.0, 200);
        assert_eq!(server.http(server.host(), "GET /", "").await.0, 200);
        failing(server.ready().await);

        disk.repair();
        until_ready(&server).await;
        // The same identifiers again, as clients do.
        for again in first_refused..=n {
            sender.send(send(&mailbox, again)).await;
            answer(&mut sender, again)
                .await
                .unwrap_or_else(|error| panic!("{how}: {error:?}"));
            confirmed.insert(again);
        }
        server.imported(&invite, &claimant).await;
        server.share(&other, b"card").await;
        // Connections that failed are closed some time after; the three that read may be new.
        let start = Instant::now();
        while open_files(&server) > files + 6 {
            assert!(
                start.elapsed() < PATIENCE,
                "{how}: {files} files, then {}",
                open_files(&server)
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    // Once more, and killed while it fails: what is found then may be more than was confirmed, not less.
    disk.fail("sync fails");
    n += 1;
    sender.send(send(&mailbox, n)).await;
    answer(&mut sender, n).await.unwrap_err();
    server.kill();
    let refused = disk.place.refused(|command| disk.prepare(command));
    assert!(refused.contains("rly.sqlite"), "{refused}");
    disk.repair();
    let server = disk.start();
    assert!(!server.log().contains("panicked"));
    let mut sender = server.socket().await;
    sender.send(send(&mailbox, n)).await;
    answer(&mut sender, n).await.unwrap();
    confirmed.insert(n);
    let mut reader = server.socket().await;
    reader.subscribe(&key, &mailbox).await;
    let (mut got, mut notices) = (Vec::new(), 0);
    while got.len() < confirmed.len() {
        match reader.next().await {
            Some(ServerFrame::Deliver { body, .. }) if body.len() == 256 => {
                got.push(u32::from_be_bytes(*body.first_chunk().unwrap()));
            }
            Some(ServerFrame::Deliver { .. }) => notices += 1,
            other => panic!("{other:?}"),
        }
    }
    assert!(
        got.iter().eq(&confirmed),
        "lost, doubled or in another order: {got:?}"
    );
    assert_eq!(notices, FAULTS.len());
}

/// A reader is given an envelope at once. If the disk fails then, its sender hears that it is not safe;
/// sent again it comes once.
#[tokio::test]
async fn a_connected_reader_gets_it_once_whatever_the_disk_does() {
    let disk = Disk::new();
    let server = disk.start();
    let key = Key::generate();
    let mailbox = server.register(&key).await;
    let (mut reader, mut sender) = (server.socket().await, server.socket().await);
    reader.subscribe(&key, &mailbox).await;
    for (n, (how, _)) in FAULTS.iter().enumerate() {
        let n = n as u32 + 1;
        disk.fail(how);
        sender.send(send(&mailbox, n)).await;
        let first = match reader.next().await {
            Some(ServerFrame::Deliver { seq, .. }) => seq,
            other => panic!("{other:?}"),
        };
        assert_eq!(
            answer(&mut sender, n).await.unwrap_err().0,
            ErrorCode::Unavailable,
            "{how}"
        );
        disk.repair();
        until_ready(&server).await;
        sender.send(send(&mailbox, n)).await;
        answer(&mut sender, n).await.unwrap();
        reader
            .send(ClientFrame::Ack {
                queue: mailbox.queue,
                seq: first,
            })
            .await;
        reader.send(ClientFrame::Ping { nonce: n.into() }).await;
        let next = reader.next().await;
        assert_eq!(
            next,
            Some(ServerFrame::Pong { nonce: n.into() }),
            "{how}: given twice"
        );
    }
}

#[test]
fn a_disk_that_fails_at_the_start_is_said_in_one_line() {
    let disk = Disk::new();
    for (how, _) in FAULTS {
        disk.fail(how);
        let line = disk.place.refused(|command| disk.prepare(command));
        assert!(
            line.contains("rly.sqlite cannot be used: the disk"),
            "{how}: {line}"
        );
    }
    disk.repair();
    disk.start();
}
