//! What nobody should send, from a seed: requests over every route and method, frames of every type,
//! and bytes that are neither. Whatever it is, the answer is a refusal with a stable code or the end of
//! that connection; the server neither fails, nor panics, nor hangs, nor grows.

use crate::{
    below,
    common::{
        Key,
        process::{Answer, PATIENCE, Place, Server, Socket, delivered, envelope},
    },
    rng, setting,
};
use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};
use rand_core::RngCore;
use rly_protocol::{
    Address, EnvelopeId, ErrorCode, InviteId, PublicKey, QueueId, Signature, Timestamp,
    api::{Registered, Shared},
    frame::{ClientFrame, Proof, ServerFrame, Ticket, VaultEntry},
    limits::{ENVELOPE_SIZES, FRAME_MAX},
};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    fs,
    sync::{Arc, Mutex},
    time::Instant,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};
use tokio_tungstenite::tungstenite::Message;

/// Files that the three readers of the database may open when they are first needed.
const READERS: usize = 6;
/// Tasks at one time.
const AT_ONCE: usize = 8;
/// Frames on one socket.
const FRAMES: usize = 12;
/// How much memory may be kept after all of it, beyond what a first tenth took.
const GROWTH: usize = 32 << 20;

const TARGETS: [&str; 14] = [
    "/",
    "/letter",
    "/i",
    "/chat",
    "/settings",
    "/favicon.svg",
    "/assets/boot.0123456789abcdef.js",
    "/nothing",
    "/api",
    "/api/openapi.json",
    "/api/register_sim",
    "/api/share_contact",
    "/api/import_contact",
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

/// A value of a type that nobody expects there.
fn foreign(rng: &mut ChaCha20Rng) -> Value {
    match below(rng, 9) {
        0 => Value::Null,
        1 => json!(true),
        2 => json!(-1),
        3 => json!(u64::MAX),
        4 => json!(1.5e300),
        5 => json!([[], {}, ""]),
        6 => json!({"a": {"b": {"c": []}}}),
        7 => json!("\u{202e}\u{0}\u{feff}\u{1f600}"),
        _ => json!("A".repeat(below(rng, 200_000))),
    }
}

fn body(rng: &mut ChaCha20Rng, known: &Known, target: &str) -> Vec<u8> {
    let mut value = match target {
        "/api/share_contact" => json!({
            "address_token": known.mailbox.address_token, "card": "Y2FyZA", "ttl_seconds": 60
        }),
        "/api/import_contact" => json!({"invite": known.shared.invite, "claim_key": known.key.json()}),
        _ => json!({"reader_key": known.key.json()}),
    };
    let fields: Vec<String> = value.as_object().unwrap().keys().cloned().collect();
    let field = &fields[below(rng, fields.len())];
    match below(rng, 12) {
        0 => return Vec::new(),
        1 => return noise(rng, 300),
        2 => {
            return [r#"{"a":"#, "["][below(rng, 2)]
                .repeat(below(rng, 20_000))
                .into_bytes();
        }
        3 => {
            // A field twice.
            let text = value.to_string();
            let again = json!({ field: foreign(rng) }).to_string();
            return format!("{},{}", text.trim_end_matches('}'), &again[1..]).into_bytes();
        }
        4 => return foreign(rng).to_string().into_bytes(),
        5 => {
            let lone = pick(
                rng,
                &[
                    r#"{"reader_key":"\ud800"}"#,
                    "\u{feff}{}",
                    "{}{}",
                    "{'a':1}",
                    "NaN",
                    "{\"a\":01}",
                ],
            );
            return lone.as_bytes().to_vec();
        }
        6 => {
            value.as_object_mut().unwrap().remove(field);
        }
        7 => value["more"] = foreign(rng),
        8 | 9 => value[field] = foreign(rng),
        _ => {
            let mut text = value[field].to_string().into_bytes();
            bend(rng, &mut text);
            value[field] = String::from_utf8_lossy(&text).trim_matches('"').into();
        }
    }
    let mut text = value.to_string().into_bytes();
    if one_in(rng, 4) {
        bend(rng, &mut text);
    }
    text
}

/// A request as bytes; whether it is whole, so that an answer is owed; and what it is called.
fn request(rng: &mut ChaCha20Rng, known: &Known, host: &str) -> (Vec<u8>, bool, String) {
    let (target, method) = (pick(rng, &TARGETS), pick(rng, &METHODS));
    // Where most of the code is.
    let (target, method) = if one_in(rng, 3) {
        (TARGETS[10 + below(rng, 3)], "POST")
    } else {
        (target, method)
    };
    let name = format!("{method} {target}");
    let mut whole = true;
    let mut path = target.as_bytes().to_vec();
    if one_in(rng, 6) {
        match below(rng, 8) {
            0 => path.extend_from_slice(b"/../../etc/passwd"),
            1 => path.extend_from_slice(b"%00%ff%2e%2e%2f"),
            2 => path.extend_from_slice(b"?invite=x&%zz=%"),
            3 => path.extend(b"/x".repeat(below(rng, 6_000))),
            4 => path = b"*".to_vec(),
            5 => path = format!("http://evil.example{target}").into_bytes(),
            6 => {
                path.extend(noise(rng, 20));
                whole = false;
            }
            _ => path.extend_from_slice("/\u{202e}ü".as_bytes()),
        }
    }
    let body = body(rng, known, target);
    let mut head = [method.as_bytes(), b" ", &path, b" HTTP/1.1\r\n"].concat();
    let mut add = |name: &str, value: &[u8]| {
        head.extend_from_slice(name.as_bytes());
        head.extend_from_slice(b": ");
        head.extend_from_slice(value);
        head.extend_from_slice(b"\r\n");
    };
    if !one_in(rng, 40) {
        let host = if one_in(rng, 20) { "localhost:1" } else { host };
        add("Host", host.as_bytes());
    }
    add("Connection", b"close");
    add("X-Forwarded-For", peer(rng).as_bytes());
    let kinds = [
        "application/json; charset=utf-8",
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "",
    ];
    let kind = if one_in(rng, 6) {
        pick(rng, &kinds)
    } else {
        "application/json"
    };
    add("Content-Type", kind.as_bytes());
    if one_in(rng, 6) {
        let origins = [
            "https://evil.example",
            "null",
            "http://127.0.0.1:1",
            "file://",
            "\u{fc}",
        ];
        add("Origin", pick(rng, &origins).as_bytes());
    }
    if one_in(rng, 5) {
        match below(rng, 12) {
            0 => add("Accept", b"text/html"),
            1 => add("Referer", b"http://127.0.0.1/letter"),
            2 => add("If-None-Match", b"\"\", W/*, \x80"),
            3 => add("Accept-Encoding", b"br;q=x, gzip;q=-1, ,;;=,*"),
            4 => add("Range", b"bytes=9-1,-"),
            5 => add(
                "X-Forwarded-For",
                &noise(rng, 60)
                    .into_iter()
                    .map(|b| b.clamp(32, 126))
                    .collect::<Vec<_>>(),
            ),
            6 => add("Cookie", &b"a=b; ".repeat(below(rng, 2_000))),
            7 => (0..below(rng, 200)).for_each(|n| add(&format!("X-{n}"), b"x")),
            8 => add("Expect", b"100-continue"),
            9 => add("Upgrade", b"h2c, websocket"),
            10 => add("Sec-WebSocket-Key", b"nonsense"),
            _ => add("Content-Encoding", b"br"),
        }
    }
    match below(rng, 14) {
        0 => {
            // More is promised than comes.
            add(
                "Content-Length",
                (body.len() + 1 + below(rng, 99)).to_string().as_bytes(),
            );
            whole = false;
        }
        1 => {
            let lengths = ["-1", "x", "0x10", "18446744073709551616", "1, 2", " "];
            add("Content-Length", pick(rng, &lengths).as_bytes());
            whole = false;
        }
        2 => {
            add("Content-Length", b"3");
            add("Transfer-Encoding", b"chunked");
            whole = false;
        }
        3 => {
            add("Transfer-Encoding", b"chunked");
            let mut text = [head, b"\r\n".to_vec()].concat();
            for part in body.chunks(1 + below(rng, 4_000)) {
                text.extend(format!("{:x}\r\n", part.len()).into_bytes());
                text.extend_from_slice(part);
                text.extend_from_slice(b"\r\n");
            }
            if one_in(rng, 2) {
                bend(rng, &mut text);
                return (text, false, name);
            }
            text.extend_from_slice(b"0\r\n\r\n");
            return (text, whole, name);
        }
        _ => add("Content-Length", body.len().to_string().as_bytes()),
    }
    head.extend_from_slice(b"\r\n");
    let mut text = [head, body].concat();
    if one_in(rng, 8) {
        bend(rng, &mut text);
        whole = false;
    }
    (text, whole, name)
}

/// Sends it and judges what comes back.
async fn ask(host: &str, text: &[u8], whole: bool, tally: &Tally) {
    let mut stream = TcpStream::connect(host).await.unwrap();
    let sent = stream.write_all(text).await;
    if !whole && sent.is_ok() {
        // Nothing more comes: otherwise the server rightly waits for the rest.
        let _ = stream.shutdown().await;
    }
    let mut bytes = Vec::new();
    // Who refuses early may reset what it did not read; what it said before counts.
    let _ = timeout(PATIENCE, stream.read_to_end(&mut bytes))
        .await
        .unwrap_or_else(|_| panic!("no end after {:?}", String::from_utf8_lossy(text)));
    let shown = || String::from_utf8_lossy(&text[..text.len().min(2_000)]).into_owned();
    // Asked whether to go on, then the answer.
    let go_on = b"HTTP/1.1 100 Continue\r\n\r\n";
    let bytes = bytes.strip_prefix(go_on).unwrap_or(&bytes);
    let Some(answer) = Answer::parse(bytes) else {
        assert!(
            !whole || sent.is_err() || bytes.is_empty() && text.len() > 16_000,
            "no answer to {}",
            shown()
        );
        tally.count("closed");
        return;
    };
    tally.count(format!("status {}", answer.status));
    assert!(answer.status < 500, "{answer:?} to {}", shown());
    let kind = answer.header("content-type").unwrap_or_default();
    if answer.status >= 400 && kind == "application/json" && !answer.body.is_empty() {
        assert_ne!(answer.code(), ErrorCode::Internal, "{}", shown());
    } else if answer.status >= 400 {
        // A page; no content after HEAD; or no HTTP that could be answered otherwise.
        let finished = answer.body.ends_with("</html><!>");
        assert!(finished || answer.body.is_empty(), "{answer:?} to {}", shown());
    }
}

fn frame(rng: &mut ChaCha20Rng, known: &Known, ticket: &Ticket) -> ClientFrame {
    let req = rng.next_u32();
    let mut id = [0; 16];
    rng.fill_bytes(&mut id);
    let mine = !one_in(rng, 3);
    let queue = if mine { known.mailbox.queue } else { QueueId(id) };
    let address = if mine { known.mailbox.address } else { Address(id) };
    let mut raw = [0; 64];
    rng.fill_bytes(&mut raw);
    let signature = Signature(if one_in(rng, 2) { raw } else { [0; 64] });
    let seq = [0, 1, u64::MAX, u64::from(rng.next_u32())][below(rng, 4)];
    match below(rng, 10) {
        0 => {
            let mut ticket = ticket.clone();
            if one_in(rng, 2) {
                ticket.expires = Timestamp(seq);
            }
            let proof = if one_in(rng, 2) {
                Proof::Ticket { ticket }
            } else {
                Proof::Signed { signature }
            };
            ClientFrame::Subscribe { req, queue, proof }
        }
        1 => ClientFrame::Unsubscribe { req, queue },
        2 => ClientFrame::Ack { queue, seq },
        3 => {
            let sizes = [
                ENVELOPE_SIZES[below(rng, 5)],
                below(rng, 70_000),
                0,
                1,
                255,
                257,
                65_537,
            ];
            ClientFrame::Send {
                req,
                address,
                id: EnvelopeId(id),
                body: Bytes::from(vec![id[0]; sizes[below(rng, sizes.len())]]),
            }
        }
        4 => ClientFrame::DeleteQueue {
            req,
            // Its own it could rightly delete.
            queue: QueueId(id),
        },
        5 => {
            let invite = if mine {
                known.shared.invite_id
            } else {
                InviteId(id)
            };
            ClientFrame::WithdrawInvite { req, queue, invite }
        }
        6 => {
            let mut key = [4; 65];
            key[1..].copy_from_slice(&raw);
            let off_curve = PublicKey::try_from(&key[..]).unwrap();
            ClientFrame::OpenVault {
                req,
                key: if mine { known.key.public() } else { off_curve },
                signature,
            }
        }
        7 => ClientFrame::VaultRead {
            req,
            queue,
            from: seq as u32,
        },
        8 => {
            let entries = (0..below(rng, 70)).map(|_| VaultEntry {
                slot: [0, 1, 16_384, 16_385, u32::MAX][below(rng, 5)],
                blob: Bytes::from(noise(rng, 3_000)),
            });
            ClientFrame::VaultWrite {
                req,
                queue,
                expected: seq,
                entries: entries.collect(),
            }
        }
        _ => ClientFrame::Ping { nonce: seq },
    }
}

/// `form`: a frame by its form, whatever is in it; otherwise it may be none.
fn message(rng: &mut ChaCha20Rng, known: &Known, ticket: &Ticket, form: bool, tally: &Tally) -> Message {
    let frame = frame(rng, known, ticket);
    let mut bytes = frame.to_message().to_vec();
    tally.count(format!("frame {:#04x}", bytes[1]));
    match below(rng, 24) {
        _ if form => {}
        0 => return Message::Text("{\"type\":\"subscribe\"}".into()),
        1 => return Message::Binary(noise(rng, 600).into()),
        2 => bytes[0] = rng.next_u32() as u8,
        3 => bytes[1] = rng.next_u32() as u8,
        4 => bytes.resize(FRAME_MAX + 1 + below(rng, 9), 1),
        5 => return Message::Ping(noise(rng, 125).into()),
        6 => return Message::Pong(noise(rng, 125).into()),
        7..=11 => bend(rng, &mut bytes),
        _ => {}
    }
    Message::Binary(bytes.into())
}

/// Frames in any order on one socket, then a ping: it is answered, or the server has said goodbye.
async fn talk(server: &Server, rng: &mut ChaCha20Rng, known: &Known, tally: &Tally) {
    let peer = peer(rng);
    let mut socket = Socket::open_as(server, &peer, None).await;
    let mut ticket = Ticket {
        expires: Timestamp(u64::MAX),
        mac: [0; 32],
    };
    if one_in(rng, 2) {
        socket.ask_to_read(0, &known.key, &known.mailbox).await.unwrap();
        while let Some(frame) = socket.next().await {
            if let ServerFrame::Subscribed { ticket: true_one, .. } = frame {
                ticket = true_one;
                break;
            }
        }
    }
    // One that is no frame ends the connection, and what comes after it is not looked at.
    let form = one_in(rng, 2);
    for _ in 0..FRAMES {
        let message = message(rng, known, &ticket, form, tally);
        // Who was refused early is cut while it still sends.
        let _ = socket.stream.send(message).await;
    }
    let nonce = rng.next_u64();
    let _ = socket.try_send(ClientFrame::Ping { nonce }).await;
    let mut said_goodbye = None;
    loop {
        let message = timeout(PATIENCE, socket.stream.next()).await.expect("silence");
        let frame = match message {
            Some(Ok(Message::Binary(frame))) => {
                ServerFrame::from_message(frame).expect("a frame of the server")
            }
            Some(Ok(_)) => continue,
            // Cut in the middle of sending, for what is no frame at all.
            None | Some(Err(_)) => break,
        };
        assert_eq!(said_goodbye, None, "after the goodbye: {frame:?}");
        match frame {
            ServerFrame::Pong { nonce: back } if back == nonce => {
                tally.count("pong");
                return;
            }
            ServerFrame::Error { code, .. } => {
                let code = ErrorCode::from_number(code).expect("a known code");
                assert!(
                    !matches!(code, ErrorCode::Internal | ErrorCode::Unavailable),
                    "{code}"
                );
                tally.count(format!("error {code}"));
            }
            ServerFrame::Goodbye { code, .. } => {
                let code = ErrorCode::from_number(code).expect("a known code");
                let fit = [
                    ErrorCode::FrameInvalid,
                    ErrorCode::VersionUnsupported,
                    ErrorCode::TooLarge,
                ];
                assert!(fit.contains(&code), "{code}");
                tally.count(format!("goodbye {code}"));
                said_goodbye = Some(code);
            }
            _ => {}
        }
    }
    tally.count("socket ended");
}

/// What is no websocket frame (RFC 6455, section 5), on an open websocket.
async fn babble(server: &Server, rng: &mut ChaCha20Rng, tally: &Tally) {
    let mut stream = TcpStream::connect(server.host()).await.unwrap();
    let open = format!(
        "GET /ws HTTP/1.1\r\nHost: {}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nX-Forwarded-For: {}\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        server.host(),
        peer(rng)
    );
    stream.write_all(open.as_bytes()).await.unwrap();
    let bytes: Vec<u8> = match below(rng, 10) {
        0 => vec![0x82, 0x02, 1, 0x0a],
        1 => vec![0x83, 0x80, 0, 0, 0, 0],
        2 => vec![0xf2, 0x80, 0, 0, 0, 0],
        3 => vec![0x09, 0x80, 0, 0, 0, 0],
        4 => [&[0x89, 0xfe, 0x00, 0xff, 0, 0, 0, 0][..], &[0; 255]].concat(),
        5 => vec![0x81, 0x82, 0, 0, 0, 0, 0xff, 0xfe],
        6 => [&[0x82, 0xff][..], &u64::MAX.to_be_bytes(), &[0; 4]].concat(),
        7 => vec![0x80, 0x80, 0, 0, 0, 0],
        8 => vec![0x88, 0x82, 0, 0, 0, 0, 0, 0],
        _ => noise(rng, 400),
    };
    let _ = stream.write_all(&bytes).await;
    let _ = stream.shutdown().await;
    let mut answer = Vec::new();
    let _ = timeout(PATIENCE, stream.read_to_end(&mut answer))
        .await
        .expect("no end");
    assert!(
        answer.starts_with(b"HTTP/1.1 101"),
        "{:?}",
        String::from_utf8_lossy(&answer)
    );
    tally.count("babble");
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
                        babble(&server, &mut rng, &tally).await;
                        left -= 1;
                    }
                    1 => {
                        talk(&server, &mut rng, &known, &tally).await;
                        left = left.saturating_sub(FRAMES);
                    }
                    _ => {
                        let (text, whole, name) = request(&mut rng, &known, server.host());
                        tally.count(format!("request {name}"));
                        ask(server.host(), &text, whole, &tally).await;
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
