//! What the server must not know is nowhere: after real people's devices have talked through it, its
//! database, logs, metrics and process are searched for everything that they used. And what was
//! acknowledged or deleted leaves the disk.

use crate::{
    common::{
        Key,
        process::{Place, Server},
    },
    device::{Device, until},
    rng,
};
use bytes::Bytes;
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};
use rand_core::RngCore;
use rly_crypto::{SimFile, open_card};
use rly_protocol::{
    EnvelopeId,
    frame::{ClientFrame, Proof, ServerFrame, VaultEntry},
    limits::ENVELOPE_SIZES,
    to_base64url,
};
use rly_view::{Answer, Command, Link};
use std::{
    collections::BTreeMap,
    fs,
    path::Path,
    time::{Duration, Instant},
};

/// Something to look for, in every form in which it might have been written down.
#[derive(Default)]
struct Needles(BTreeMap<String, Vec<Vec<u8>>>);

impl Needles {
    fn text(&mut self, what: &str, text: &str) {
        // Long texts may have been cut: a part is enough.
        let part: String = text.chars().take(24).collect();
        let json = serde_json::to_string(&part).unwrap();
        let forms = [
            part.as_bytes().to_vec(),
            json.trim_matches('"').into(),
            // As base64 has it from the beginning, whatever follows.
            base64(&part.as_bytes()[..part.len() / 3 * 3]).into_bytes(),
            hex(part.as_bytes()).into_bytes(),
        ];
        self.0.entry(format!("{what} {text}")).or_default().extend(forms);
    }

    fn bytes(&mut self, what: &str, bytes: &[u8]) {
        assert!(bytes.len() >= 15, "{what} is too short to look for");
        let whole = to_base64url(bytes);
        // Without the last characters, which hold less than six bits.
        let base64url = &whole[..bytes.len() / 3 * 4];
        let list: Vec<String> = bytes[..12].iter().map(|byte| byte.to_string()).collect();
        let forms = [
            bytes.to_vec(),
            base64url.into(),
            base64(&bytes[..bytes.len() / 3 * 3]).into_bytes(),
            hex(bytes).into_bytes(),
            hex(bytes).to_uppercase().into_bytes(),
            // As Rust prints bytes.
            list.join(", ").into_bytes(),
        ];
        self.0
            .entry(format!("{what} {}", hex(bytes)))
            .or_default()
            .extend(forms);
    }

    /// What of it is there.
    fn find(&self, place: &[u8]) -> Vec<&str> {
        let there = |form: &Vec<u8>| memory_find(place, form);
        let found = self.0.iter().filter(|(_, forms)| forms.iter().any(there));
        found.map(|(what, _)| what.as_str()).collect()
    }
}

fn memory_find(place: &[u8], form: &[u8]) -> bool {
    let (first, rest) = form.split_first().unwrap();
    let mut from = 0;
    while let Some(at) = place[from..].iter().position(|byte| byte == first) {
        from += at + 1;
        if place[from..].starts_with(rest) {
            return true;
        }
    }
    false
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn base64(bytes: &[u8]) -> String {
    to_base64url(bytes).replace('-', "+").replace('_', "/")
}

/// The files of the database.
fn database(data: &Path) -> Vec<u8> {
    let files = ["", "-wal", "-shm", "-journal"].map(|ending| data.join(format!("rly.sqlite{ending}")));
    files
        .iter()
        .flat_map(|file| fs::read(file).unwrap_or_default())
        .collect()
}

/// What people write and are called.
const NAMES: [&str; 2] = ["Wilhelmine Überbein-Zacharias", "Балтазар Коперник"];
const LETTER: &str = "Dearest, the password of the safe is quetzalcoatl seventeen";

#[tokio::test]
async fn nothing_of_what_people_use_is_found_on_the_server() {
    let mut rng = rng("secrets");
    let place = Place::new();
    let server = place.start_with(|command| {
        command
            .env("RUST_LOG", "trace")
            .env("RLY_TRUSTED_PROXIES", "127.0.0.1");
    });
    let peers = ["203.0.113.77", "2001:db8:77:78::79"];
    let mut device = async |n: usize| {
        let own = ChaCha20Rng::seed_from_u64(rng.next_u64());
        Device::new(&server, peers[n], own).await
    };
    let (mut a, mut b) = (device(0).await, device(1).await);

    // From a letter to a conversation.
    let id = a.id();
    let invite = Command::CreateInvite {
        id,
        letter: Some(LETTER.into()),
        name: Some(NAMES[0].into()),
        ttl_seconds: 3_600,
    };
    let Answer::Invite { link: url, .. } = a.run(&server, invite).await else {
        panic!("no invite");
    };
    let link = Link::from_fragment(url.split_once('#').unwrap().1).unwrap();
    let letter = b.open(&server, &link).await;
    let reply = Command::Reply {
        letter,
        name: Some(NAMES[1].into()),
        text: "An answer that only one may read".into(),
    };
    b.run(&server, reply).await;
    until(&server, &mut a, &mut b, "the contact", |a, b| {
        !a.state.conversations.is_empty() && !b.state.conversations.is_empty()
    })
    .await;
    let mut texts = vec!["An answer that only one may read".to_owned()];
    for n in 0..20 {
        for (device, from) in [(&mut a, "a"), (&mut b, "b")] {
            let text = format!("{n} confidential words from {from} about the harvest moon");
            let send = Command::Send {
                conversation: device.state.conversations[0].id.clone(),
                id: device.id(),
                text: text.clone(),
            };
            device.run(&server, send).await;
            texts.push(text);
        }
    }
    until(&server, &mut a, &mut b, "the last words", |a, b| {
        a.state.conversations[0].unread > 20 && b.state.conversations[0].unread >= 20
    })
    .await;
    // A link that stays unopened, and one that is taken back.
    for n in 0..2 {
        let id = a.id();
        let invite = Command::CreateInvite {
            id: id.clone(),
            letter: Some(format!("{n} letters that wait for somebody else")),
            name: None,
            ttl_seconds: 3_600,
        };
        let Answer::Invite { id, .. } = a.run(&server, invite).await else {
            panic!("no invite");
        };
        if n == 0 {
            a.run(&server, Command::WithdrawInvite { id }).await;
        }
    }

    // What may be nowhere on the server, and what may be in no log.
    let (mut secret, mut unlogged) = (Needles::default(), Needles::default());
    for text in texts.iter().map(String::as_str).chain(NAMES).chain([
        LETTER,
        "0 letters that wait",
        "1 letters that wait",
    ]) {
        secret.text("text", text);
    }
    secret.bytes("link secret", &link.secret);
    for device in [&mut a, &mut b] {
        let Answer::SimFile { text, .. } = device.run(&server, Command::ExportSim).await else {
            panic!("no SIM");
        };
        let (file, _) = SimFile::open(&text, None).unwrap();
        let sim = &file.sim;
        secret.bytes("seed", sim.seed());
        secret.bytes("SIM key", &sim.public_key().as_bytes()[1..]);
        secret.bytes(
            "vault reader key",
            &sim.vault_reader_key().public_key().as_bytes()[1..],
        );
        unlogged.bytes(
            "vault",
            &rly_crypto::vault_id(&sim.vault_reader_key().public_key()).0,
        );
    }
    let card = open_card(&link.secret, &b.traffic.imported[0].0.card.0)
        .unwrap()
        .decode_card()
        .unwrap();
    assert_eq!(card.letter.as_deref(), Some(LETTER));
    secret.bytes("outer key", &card.outer_key);
    secret.bytes("KeyPackage", &card.key_package[..200]);
    let mut addresses = 0;
    for device in [&a, &b] {
        let traffic = &device.traffic;
        for (mailbox, reader) in &traffic.registered {
            secret.bytes("address", &mailbox.address.0);
            secret.text("address token", &mailbox.address_token);
            secret.text(
                "signature of a token",
                mailbox.address_token.rsplit('.').next().unwrap(),
            );
            unlogged.bytes("queue", &mailbox.queue.0);
            unlogged.bytes("reader key", &reader.as_bytes()[1..]);
            addresses += 1;
        }
        for shared in &traffic.shared {
            secret.text(
                "signature of an invite",
                shared.invite.rsplit('.').next().unwrap(),
            );
            unlogged.bytes("invite", &shared.invite_id.0);
        }
        for (_, claim) in &traffic.imported {
            secret.bytes("claim key", &claim.as_bytes()[1..]);
        }
        for frame in &traffic.sent {
            match frame {
                ClientFrame::Subscribe {
                    proof: Proof::Signed { signature },
                    ..
                }
                | ClientFrame::OpenVault { signature, .. } => secret.bytes("proof", &signature.0),
                ClientFrame::Send { id, body, .. } => {
                    unlogged.bytes("envelope", &id.0);
                    unlogged.bytes("envelope's body", &body[..64]);
                }
                ClientFrame::VaultWrite { entries, .. } => {
                    for entry in entries.iter().filter(|entry| entry.blob.len() > 64) {
                        unlogged.bytes("vault slot", &entry.blob[..64]);
                    }
                }
                _ => {}
            }
        }
        for frame in &traffic.received {
            match frame {
                ServerFrame::Subscribed { ticket, .. } => secret.bytes("ticket", &ticket.mac),
                ServerFrame::Hello { nonce, .. } => secret.bytes("nonce", nonce),
                _ => {}
            }
        }
    }
    assert!(addresses >= 4, "{addresses} mailboxes");
    for peer in peers {
        secret.text("IP address", peer);
    }

    let data = place.data();
    let process = |name: &str| fs::read(format!("/proc/{}/{name}", server.pid())).unwrap_or_default();
    let (_, metrics) = server.http(&server.admin, "GET /metrics", "").await;
    let (_, ready) = server.http(&server.admin, "GET /health/ready", "").await;
    let check = |when: &str, database: &[u8], log: &str| {
        assert_eq!(secret.find(database), [""; 0], "in the database, {when}");
        assert_eq!(secret.find(log.as_bytes()), [""; 0], "in the log, {when}");
        assert_eq!(unlogged.find(log.as_bytes()), [""; 0], "in the log, {when}");
    };
    let running = database(&data);
    // The search finds what is there by design.
    assert!(
        unlogged
            .find(&running)
            .iter()
            .any(|what| what.starts_with("queue"))
    );
    check("running", &running, &server.log());
    for (name, content) in [
        ("metrics", metrics.into_bytes()),
        ("readiness", ready.into_bytes()),
        ("command line", process("cmdline")),
        ("environment", process("environ")),
    ] {
        assert_eq!(secret.find(&content), [""; 0], "{name}");
        assert_eq!(unlogged.find(&content), [""; 0], "{name}");
    }
    let log = server.log();
    assert!(
        log.contains("TRACE") || log.contains("DEBUG"),
        "the log is not at its most verbose"
    );
    for file in fs::read_dir(&data).unwrap() {
        let path = file.unwrap().path();
        let mode = std::os::unix::fs::PermissionsExt::mode(&fs::metadata(&path).unwrap().permissions());
        assert_eq!(mode & 0o777, 0o600, "{}", path.display());
    }
    server.signal("TERM");
    assert_eq!(server.wait(), Some(0));
    check("stopped", &database(&data), &log);
    eprintln!("secrets: {} things looked for", secret.0.len() + unlogged.0.len());
}

/// In everything below, so that it is easy to look for.
struct Marker([u8; 16]);

impl Marker {
    fn fill(&self, size: usize) -> Vec<u8> {
        self.0.repeat(size.div_ceil(16))[..size].to_vec()
    }

    /// How often it is on the disk. Any alignment will do.
    fn count(&self, data: &Path) -> usize {
        let files = database(data);
        files.windows(16).filter(|window| *window == self.0).count()
    }
}

/// Sends one envelope of each size, several times.
async fn fill(server: &Server, mailbox: &rly_protocol::api::Registered, marker: &Marker, count: u32) {
    let mut sender = server.socket().await;
    for n in 0..count {
        let send = ClientFrame::Send {
            req: n,
            address: mailbox.address,
            id: EnvelopeId((u128::from(n) << 32).to_be_bytes()),
            body: Bytes::from(marker.fill(ENVELOPE_SIZES[n as usize % 5])),
        };
        sender.send(send).await;
        assert_eq!(sender.next().await, Some(ServerFrame::Done { req: n }));
    }
}

/// Promise 5: what is acknowledged or deleted leaves the disk within 60 s.
#[tokio::test]
async fn what_is_acknowledged_or_deleted_leaves_the_disk() {
    let mut rng = rng("scrubbing");
    let mut marker = Marker([0; 16]);
    rng.fill_bytes(&mut marker.0);
    let place = Place::new();
    let server = place.start();
    let data = place.data();
    let (key, other) = (Key::generate(), Key::generate());
    let (mailbox, doomed) = (server.register(&key).await, server.register(&other).await);
    fill(&server, &mailbox, &marker, 400).await;
    fill(&server, &doomed, &marker, 100).await;
    let withdrawn = server.share(&mailbox, &marker.fill(60_000)).await;
    assert!(marker.count(&data) > 100_000, "the test looks in the wrong place");

    let mut reader = server.socket().await;
    reader.subscribe(&key, &mailbox).await;
    let mut last = 0;
    for _ in 0..400 {
        last = crate::common::process::delivered(reader.next().await).0;
    }
    let queue = mailbox.queue;
    let withdraw = ClientFrame::WithdrawInvite {
        req: 2,
        queue,
        invite: withdrawn.invite_id,
    };
    reader.send(withdraw).await;
    assert_eq!(reader.next().await, Some(ServerFrame::Done { req: 2 }));
    // A vault's slot that is written over.
    let vault = rly_crypto::vault_id(&key.public());
    let signature = key.sign(&reader.origin, &reader.nonce, &vault);
    let open = ClientFrame::OpenVault {
        req: 3,
        key: key.public(),
        signature,
    };
    reader.send(open).await;
    assert!(matches!(
        reader.next().await,
        Some(ServerFrame::Subscribed { .. })
    ));
    for (expected, blob) in [marker.fill(40_000), vec![7; 300]].into_iter().enumerate() {
        let write = ClientFrame::VaultWrite {
            req: 4,
            queue: vault,
            expected: expected as u64,
            entries: vec![VaultEntry {
                slot: 1,
                blob: blob.into(),
            }],
        };
        reader.send(write).await;
        assert!(matches!(
            reader.next().await,
            Some(ServerFrame::VaultWritten { .. })
        ));
    }
    // Acknowledged in parts, as a reader does, and the rest of a mailbox deleted with it.
    for upto in (last - 399..=last).step_by(7).chain([last]) {
        reader.send(ClientFrame::Ack { queue, seq: upto }).await;
    }
    let mut owner = server.socket().await;
    owner.subscribe(&other, &doomed).await;
    let delete = ClientFrame::DeleteQueue {
        req: 5,
        queue: doomed.queue,
    };
    owner.send(delete).await;
    loop {
        match owner.next().await.expect("a connection") {
            ServerFrame::Done { req: 5 } => break,
            ServerFrame::Deliver { .. } => {}
            other => panic!("{other:?}"),
        }
    }

    let start = Instant::now();
    while marker.count(&data) > 0 {
        assert!(
            start.elapsed() < Duration::from_secs(60),
            "{} are left",
            marker.count(&data)
        );
        tokio::time::sleep(Duration::from_secs(3)).await;
    }
    // What is left is not less than the rest needs.
    drop(reader);
    server.kill();
    let server = place.start();
    server.socket().await.subscribe(&key, &mailbox).await;
}
