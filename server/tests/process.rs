//! The server as a process: starting, refusing to start, sockets, stopping, being killed.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use bytes::Bytes;
use common::{
    Key,
    process::{PATIENCE, Place, Server, Socket, delivered, envelope},
};
use futures_util::{SinkExt, StreamExt, stream::FuturesUnordered};
use rly_protocol::{
    ErrorCode,
    frame::{ClientFrame, Proof, ServerFrame},
};
use serde_json::{Value, json};
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    time::timeout,
};
use tokio_tungstenite::{
    client_async,
    tungstenite::{self, Message, client::IntoClientRequest},
};

#[tokio::test]
async fn messages_arrive_in_order_and_outlive_a_kill() {
    let place = Place::new();
    let key = Key::generate();
    let server = place.start();
    let mailbox = server.register(&key).await;

    let mut reader = server.socket().await;
    reader.subscribe(&key, &mailbox).await;
    let mut sender = server.socket().await;
    sender.send(envelope(&mailbox, 1, 256)).await;
    let (first, body) = delivered(reader.next().await);
    assert_eq!(body, vec![1; 256]);
    assert_eq!(sender.next().await, Some(ServerFrame::Done { req: 1 }));
    reader
        .send(ClientFrame::Ack {
            queue: mailbox.queue,
            seq: first,
        })
        .await;
    // An answer after the acknowledgement shows that it was taken.
    reader.send(ClientFrame::Ping { nonce: 7 }).await;
    assert_eq!(reader.next().await, Some(ServerFrame::Pong { nonce: 7 }));
    drop(reader);

    for n in 2..=9 {
        sender.send(envelope(&mailbox, n, 1024)).await;
        assert_eq!(sender.next().await, Some(ServerFrame::Done { req: n }));
    }
    server.signal("KILL");
    assert_eq!(server.wait(), None);

    let server = place.start();
    let mut reader = server.socket().await;
    reader.subscribe(&key, &mailbox).await;
    let mut last = first;
    let mut bodies = Vec::new();
    while bodies.last() != Some(&9) {
        let (seq, body) = delivered(reader.next().await);
        assert!(seq > last);
        last = seq;
        bodies.push(body[0]);
    }
    // The first one was acknowledged, but a kill may come before that is written.
    bodies.retain(|&n| n != 1);
    assert_eq!(bodies, (2..=9).collect::<Vec<u8>>());
    reader
        .send(ClientFrame::Ack {
            queue: mailbox.queue,
            seq: last,
        })
        .await;
    reader.send(ClientFrame::Ping { nonce: 8 }).await;
    assert_eq!(reader.next().await, Some(ServerFrame::Pong { nonce: 8 }));

    let stopping = Instant::now();
    server.signal("TERM");
    assert_eq!(reader.goodbye().await, ErrorCode::Stopping);
    assert_eq!(server.wait(), Some(0));
    assert!(stopping.elapsed() < Duration::from_secs(10));

    // Nothing was kept that was acknowledged.
    let server = place.start();
    let mut reader = server.socket().await;
    reader.subscribe(&key, &mailbox).await;
    reader.send(ClientFrame::Ping { nonce: 9 }).await;
    assert_eq!(reader.next().await, Some(ServerFrame::Pong { nonce: 9 }));
}

#[tokio::test]
async fn a_foreign_proof_reads_nothing() {
    let place = Place::new();
    let server = place.start();
    let mailbox = server.register(&Key::generate()).await;
    let mut socket = server.socket().await;
    let proof: Proof = Key::generate().prove(&socket.origin, &socket.nonce, &mailbox.queue);
    socket
        .send(ClientFrame::Subscribe {
            req: 1,
            queue: mailbox.queue,
            proof,
        })
        .await;
    match socket.next().await {
        Some(ServerFrame::Error { req: 1, code, .. }) => assert_eq!(code, ErrorCode::ProofInvalid.number()),
        other => panic!("no error but {other:?}"),
    }
}

#[tokio::test]
async fn what_is_no_frame_ends_the_connection_with_a_goodbye() {
    let place = Place::new();
    let server = place.start();
    for message in [
        Message::Text("hello".into()),
        Message::Binary(Bytes::from_static(&[1, 0xff])),
        Message::Binary(Bytes::new()),
    ] {
        let mut socket = server.socket().await;
        socket.stream.send(message.clone()).await.unwrap();
        assert_eq!(socket.goodbye().await, ErrorCode::FrameInvalid, "{message:?}");
    }
    let mut socket = server.socket().await;
    socket
        .stream
        .send(Message::Binary(Bytes::from_static(&[9, 1])))
        .await
        .unwrap();
    assert_eq!(socket.goodbye().await, ErrorCode::VersionUnsupported);
    // Larger than any frame: cut without reading it.
    let mut socket = server.socket().await;
    let large = Message::Binary(Bytes::from(vec![1; rly_protocol::limits::FRAME_MAX + 1]));
    let _ = socket.stream.send(large).await;
    assert_eq!(socket.next().await, None);
}

#[tokio::test]
async fn a_page_of_another_website_gets_no_socket() {
    let place = Place::new();
    let server = place.start();
    let tcp = TcpStream::connect(server.host()).await.unwrap();
    let mut request = format!("ws://{}/ws", server.host())
        .into_client_request()
        .unwrap();
    request
        .headers_mut()
        .insert("origin", "https://evil.example".parse().unwrap());
    match client_async(request, tcp).await {
        Err(tungstenite::Error::Http(answer)) => assert_eq!(answer.status(), 403),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_slow_reader_is_cut_and_loses_nothing() {
    const COUNT: u32 = 900;
    let place = Place::new();
    let key = Key::generate();
    let server = place.start();
    let mailbox = server.register(&key).await;
    let mut slow = Socket::open(&server, Some(4096)).await;
    slow.subscribe(&key, &mailbox).await;

    let mut sender = server.socket().await;
    for n in 1..=COUNT {
        sender.send(envelope(&mailbox, n, 16_384)).await;
        assert_eq!(sender.next().await, Some(ServerFrame::Done { req: n }));
    }
    assert_eq!(server.metric("rly_slow_connections_total").await, 1);

    let mut reader = server.socket().await;
    reader.subscribe(&key, &mailbox).await;
    for n in 1..=COUNT {
        assert_eq!(delivered(reader.next().await).1[0], n as u8);
    }
    drop(slow);
}

#[tokio::test]
async fn ready_and_live_once_the_line_is_printed() {
    let place = Place::new();
    let server = place.start();
    for path in ["/health/live", "/health/ready"] {
        let (status, body) = server.http(&server.admin, &format!("GET {path}"), "").await;
        assert_eq!(status, 200);
        assert_eq!(serde_json::from_str::<Value>(&body).unwrap()["status"], "ok");
    }
    let (status, page) = server.http(server.host(), "GET /", "").await;
    assert_eq!(status, 200);
    assert!(page.contains("</html>"));
    let (status, nothing) = server.http(server.host(), "HEAD /", "").await;
    assert_eq!((status, nothing.as_str()), (200, ""));
    server.signal("INT");
    assert_eq!(server.wait(), Some(0));
}

#[tokio::test]
async fn a_request_that_never_ends_holds_up_neither_others_nor_the_stop() {
    let place = Place::new();
    let server = place.start();
    let mut stuck = TcpStream::connect(server.host()).await.unwrap();
    let head = "POST /api/register_sim HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 99\r\n\r\n{";
    stuck.write_all(head.as_bytes()).await.unwrap();
    server.register(&Key::generate()).await;
    let stopping = Instant::now();
    server.signal("TERM");
    assert_eq!(server.wait(), Some(0));
    assert!(stopping.elapsed() < Duration::from_secs(10));
}

/// A connection from an address of this machine.
async fn connected(server: &Server, from: &str) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(format!("{from}:0").parse().unwrap()).unwrap();
    socket.connect(server.host().parse().unwrap()).await.unwrap()
}

/// A request that has begun, from an address of this machine.
async fn begun(server: &Server, from: &str) -> TcpStream {
    let mut stream = connected(server, from).await;
    let head = "POST /api/register_sim HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 99\r\n\r\n{";
    stream.write_all(head.as_bytes()).await.unwrap();
    stream
}

#[tokio::test]
async fn who_sends_512_slow_bodies_keeps_nobody_out() {
    let place = Place::new();
    // Each may have many here; what nobody may have is everybody's turn.
    let server = place.start_with(|command| {
        command.env("RLY_LIMITS", "calls_per_peer=1000,connections_per_peer=1000");
    });
    let mut stuck = Vec::new();
    for _ in 0..520 {
        stuck.push(begun(&server, "127.0.0.2").await);
    }
    server.register(&Key::generate()).await;
}

#[tokio::test]
async fn one_address_has_so_many_connections_and_calls() {
    let place = Place::new();
    let server = place.start_with(|command| {
        command.env("RLY_LIMITS", "calls_per_peer=3,connections_per_peer=5");
    });
    // Connections that ask nothing: a refused call would free its place.
    let mut idle = Vec::new();
    for _ in 0..5 {
        idle.push(connected(&server, "127.0.0.2").await);
    }
    // Closed without a word; what was sent to it may come back as a reset.
    let mut one_more = begun(&server, "127.0.0.2").await;
    let mut answer = Vec::new();
    let _ = timeout(PATIENCE, one_more.read_to_end(&mut answer))
        .await
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&answer), "");
    // From elsewhere: three calls are waited for, the fourth is too many.
    let mut stuck = Vec::new();
    for _ in 0..4 {
        stuck.push(begun(&server, "127.0.0.3").await);
    }
    let mut answers: FuturesUnordered<_> = stuck
        .iter_mut()
        .map(async |stream| {
            let mut answer = vec![0; 512];
            let n = timeout(PATIENCE, stream.read(&mut answer))
                .await
                .unwrap()
                .unwrap();
            String::from_utf8_lossy(&answer[..n]).into_owned()
        })
        .collect();
    let answer = answers.next().await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 429"), "{answer}");
    drop(answers);
    // Others are free to come, also by socket.
    let mut sockets = Vec::new();
    for _ in 0..5 {
        sockets.push(server.socket().await);
    }
    let request = format!("ws://{}/ws", server.host())
        .into_client_request()
        .unwrap();
    let tcp = TcpStream::connect(server.host()).await.unwrap();
    match client_async(request, tcp).await {
        Err(tungstenite::Error::Http(answer)) => {
            assert_eq!(answer.status(), 503);
            assert!(answer.headers().contains_key("retry-after"));
        }
        other => panic!("{other:?}"),
    }
    drop(sockets);
    server.register(&Key::generate()).await;
}

/// Soft and hard limit of open files.
fn open_files(server: &Server) -> (String, String) {
    let limits = fs::read_to_string(format!("/proc/{}/limits", server.pid())).unwrap();
    let line = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"))
        .unwrap();
    let mut words = line.split_whitespace().map(Into::into);
    (words.next().unwrap(), words.next().unwrap())
}

#[cfg(target_os = "linux")]
#[test]
fn as_many_files_as_may_be_are_open_and_too_few_are_said() {
    let place = Place::new();
    let start = |limits: &str| {
        let plain = place.command();
        let mut shell = Command::new("sh");
        shell
            .args(["-c", &format!("{limits} && exec \"$0\"")])
            .arg(plain.get_program())
            .current_dir(place.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        for (name, value) in plain.get_envs() {
            match value {
                Some(value) => shell.env(name, value),
                None => shell.env_remove(name),
            };
        }
        Server::of(shell)
    };
    let few = start("ulimit -S -n 256 && ulimit -H -n 2000");
    assert_eq!(open_files(&few), ("2000".into(), "2000".into()));
    let said = few.log();
    let warnings = said
        .lines()
        .filter(|line| line.contains("fewer files may be open"));
    assert_eq!(warnings.count(), 1, "{said}");
}

#[tokio::test]
async fn below_the_floor_of_free_disk_space_nothing_new_is_taken() {
    let place = Place::embedded();
    let server = place.start_with(|command| {
        command.env("RLY_LIMITS", format!("disk_free={}", u64::MAX));
    });
    let key = Key::generate();
    let refused = server
        .post("/api/register_sim", &json!({"reader_key": key.json()}))
        .await;
    assert_eq!(refused.code(), ErrorCode::Unavailable);
    assert_eq!(server.ready().await, (503, Some("disk".into())));
    drop(server);
    let server = place.start();
    server.register(&key).await;
    assert_eq!(server.ready().await, (200, None));
}

#[test]
fn mistakes_stop_the_start_with_one_line_and_code_2() {
    let place = Place::new();
    for (name, value, words) in [
        ("RLY_ADDRESS", "127.0.0.1:1", "unknown variable RLY_ADDRESS"),
        ("RLY_ADDR", "localhost", "invalid value 'localhost'"),
        ("RLY_ROOMS", "some", "invalid value 'some'"),
        ("RLY_PUBLIC_URL", "https://a.example/chat", "without path"),
        ("RLY_TRUSTED_PROXIES", "proxy", "'proxy'"),
        ("RLY_KAFKA_BROKERS", "127.0.0.1:9092", "RLY_KAFKA_BROKERS is set"),
        (
            "RLY_DATABASE_URL",
            "postgres://u:hush@h/d",
            "RLY_DATABASE_URL is set",
        ),
        ("RLY_SITE_DIR", "/nowhere", "/nowhere/manifest.json"),
        ("RLY_KEY_FILE", "/nowhere/key", "/nowhere/key"),
        ("RLY_DATA_DIR", "/proc/data", "/proc/data"),
    ] {
        let line = place.refused(|command| {
            command.env(name, value);
        });
        assert!(line.contains(words), "{line}");
        assert!(!line.contains("hush"), "{line}");
    }
    let line = place.refused(|command| {
        command.arg("--nonsense");
    });
    assert!(line.contains("--nonsense"), "{line}");
}

#[test]
fn help_explains_every_option() {
    let Output { status, stdout, .. } = Place::new().command().arg("--help").output().unwrap();
    let help = String::from_utf8(stdout).unwrap();
    assert!(status.success());
    for name in [
        "ADDR",
        "ADMIN_ADDR",
        "PUBLIC_URL",
        "DATA_DIR",
        "DATABASE_URL",
        "KAFKA_BROKERS",
        "KAFKA_OPTIONS",
        "KAFKA_PREFIX",
        "KAFKA_PARTITIONS",
        "KEY_FILE",
        "OLD_KEY_FILES",
        "TRUSTED_PROXIES",
        "ROOMS",
        "LIMITS",
        "NODE_ID",
        "SMTP_URL",
        "SITE_DIR",
    ] {
        assert!(help.contains(&format!("RLY_{name}")), "{name}");
    }
}

#[test]
fn a_data_folder_serves_one_server_and_one_key() {
    let place = Place::new();
    let server = place.start();
    assert!(place.refused(|_| {}).contains("another server uses"));
    let port = server.host().to_owned();
    let other = Place::new();
    let line = other.refused(|command| {
        command.env("RLY_ADDR", &port);
    });
    assert!(line.contains("cannot listen"), "{line}");
    server.signal("TERM");
    assert_eq!(server.wait(), Some(0));

    let key = file_of_32_bytes(&place.data());
    let original = fs::read(&key).unwrap();
    fs::write(&key, [9; 32]).unwrap();
    place.refused(|_| {});
    fs::write(&key, [9; 31]).unwrap();
    assert!(place.refused(|_| {}).contains("exactly 32 bytes"));
    fs::remove_file(&key).unwrap();
    assert!(place.refused(|_| {}).contains("is missing"));
    fs::write(&key, original).unwrap();
    drop(place.start());

    for entry in fs::read_dir(place.data()).unwrap() {
        let path = entry.unwrap().path();
        if path.to_string_lossy().contains("sqlite") {
            fs::write(path, "this is no database, whatever its name says".repeat(100)).unwrap();
        }
    }
    place.refused(|_| {});
}

fn file_of_32_bytes(folder: &Path) -> PathBuf {
    let mut paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    paths
        .find(|path| fs::metadata(path).unwrap().len() == 32)
        .unwrap()
}
