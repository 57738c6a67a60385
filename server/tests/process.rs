//! The server as a process: starting, refusing to start, sockets, stopping, being killed.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use bytes::Bytes;
use common::{Key, make_site};
use futures_util::{SinkExt, StreamExt};
use rly_protocol::{
    EnvelopeId, ErrorCode,
    api::Registered,
    frame::{ClientFrame, Proof, ServerFrame},
};
use serde_json::{Value, json};
use std::{
    fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    time::timeout,
};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, client_async,
    tungstenite::{self, Message, client::IntoClientRequest},
};

const PATIENCE: Duration = Duration::from_secs(30);

/// A folder with site and data, and the options that every start has.
struct Place(TempDir);

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        make_site(&folder.path().join("site"));
        Self(folder)
    }

    fn data(&self) -> PathBuf {
        self.0.path().join("data")
    }

    fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rly-server"));
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("RLY_")) {
            command.env_remove(name);
        }
        command
            .current_dir(self.0.path())
            .env("RLY_ADDR", "127.0.0.1:0")
            .env("RLY_ADMIN_ADDR", "127.0.0.1:0")
            .env("RLY_DATA_DIR", self.data())
            .env("RLY_SITE_DIR", self.0.path().join("site"))
            .env("RUST_LOG", "info")
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    fn start(&self) -> Server {
        Server::of(self.command())
    }

    /// Runs a start that must fail, and gives what was said.
    fn refused(&self, change: impl FnOnce(&mut Command)) -> String {
        let mut command = self.command();
        change(&mut command);
        let Output {
            status,
            stdout,
            stderr,
        } = command.output().unwrap();
        let said = String::from_utf8(stderr).unwrap();
        assert_eq!(status.code(), Some(2), "{said}");
        assert!(stdout.is_empty());
        let lines: Vec<_> = said
            .lines()
            .filter(|line| line.starts_with("rly-server: "))
            .collect();
        assert_eq!(lines.len(), 1, "{said}");
        lines[0].to_owned()
    }
}

struct Server {
    process: Child,
    origin: String,
    admin: String,
}

impl Server {
    fn of(mut command: Command) -> Self {
        let mut process = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let origin = line
            .trim_end()
            .strip_prefix("Rly Chat is ready: ")
            .unwrap_or_else(|| {
                let mut said = String::new();
                std::io::Read::read_to_string(process.stderr.as_mut().unwrap(), &mut said).unwrap();
                panic!("not ready: {said}")
            });
        let mut log = BufReader::new(process.stderr.take().unwrap());
        let mut line = String::new();
        while !line.contains("admin=") {
            line.clear();
            assert_ne!(log.read_line(&mut line).unwrap(), 0);
        }
        let admin = line
            .split("admin=")
            .nth(1)
            .unwrap()
            .split_whitespace()
            .next()
            .unwrap();
        // Whoever does not read a pipe blocks its writer.
        std::thread::spawn(move || std::io::copy(&mut log, &mut std::io::sink()));
        Self {
            origin: origin.into(),
            admin: admin.into(),
            process,
        }
    }

    fn host(&self) -> &str {
        self.origin.strip_prefix("http://").unwrap()
    }

    /// One request by hand: status and body.
    async fn http(&self, host: &str, request: &str, body: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(host).await.unwrap();
        let text = format!(
            "{request} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(text.as_bytes()).await.unwrap();
        let mut answer = String::new();
        timeout(PATIENCE, stream.read_to_string(&mut answer))
            .await
            .unwrap()
            .unwrap();
        let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
        let body = answer.split_once("\r\n\r\n").unwrap().1;
        (status, body.to_owned())
    }

    async fn register(&self, key: &Key) -> Registered {
        let body = json!({"reader_key": key.json()}).to_string();
        let (status, body) = self.http(self.host(), "POST /api/register_sim", &body).await;
        assert_eq!(status, 200, "{body}");
        serde_json::from_str(&body).unwrap()
    }

    async fn socket(&self) -> Socket {
        Socket::open(self, None).await
    }

    async fn metric(&self, name: &str) -> u64 {
        let (_, text) = self.http(&self.admin, "GET /metrics", "").await;
        let line = text
            .lines()
            .find(|line| line.starts_with(&format!("{name} ")))
            .unwrap();
        line.split(' ').nth(1).unwrap().parse().unwrap()
    }

    fn signal(&self, name: &str) {
        let pid = self.process.id().to_string();
        let sent = Command::new("kill")
            .args([&format!("-{name}"), &pid])
            .status()
            .unwrap();
        assert!(sent.success());
    }

    fn wait(mut self) -> Option<i32> {
        self.process.wait().unwrap().code()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended before.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

struct Socket {
    stream: WebSocketStream<MaybeTlsStream<TcpStream>>,
    nonce: [u8; 32],
    origin: String,
}

impl Socket {
    async fn open(server: &Server, receive_buffer: Option<u32>) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        if let Some(bytes) = receive_buffer {
            socket.set_recv_buffer_size(bytes).unwrap();
        }
        let tcp = socket.connect(server.host().parse().unwrap()).await.unwrap();
        let mut request = format!("ws://{}/ws", server.host())
            .into_client_request()
            .unwrap();
        request
            .headers_mut()
            .insert("origin", server.origin.parse().unwrap());
        let (stream, _) = client_async(request, MaybeTlsStream::Plain(tcp)).await.unwrap();
        let mut socket = Self {
            stream,
            nonce: [0; 32],
            origin: server.origin.clone(),
        };
        match socket.next().await {
            Some(ServerFrame::Hello {
                min: 1,
                max: 1,
                nonce,
                ..
            }) => socket.nonce = nonce,
            other => panic!("no hello but {other:?}"),
        }
        socket
    }

    async fn send(&mut self, frame: ClientFrame) {
        self.stream
            .send(Message::Binary(frame.to_message()))
            .await
            .unwrap();
    }

    /// The next frame; `None` once the socket is closed.
    async fn next(&mut self) -> Option<ServerFrame> {
        loop {
            match timeout(PATIENCE, self.stream.next()).await.expect("silence")? {
                Ok(Message::Binary(frame)) => return Some(ServerFrame::from_message(frame).unwrap()),
                Ok(Message::Close(_)) | Err(_) => return None,
                Ok(_) => {}
            }
        }
    }

    async fn subscribe(&mut self, key: &Key, mailbox: &Registered) {
        let (queue, proof) = (
            mailbox.queue,
            key.prove(&self.origin, &self.nonce, &mailbox.queue),
        );
        self.send(ClientFrame::Subscribe { req: 1, queue, proof }).await;
        match self.next().await {
            Some(ServerFrame::Subscribed { req: 1, .. }) => {}
            other => panic!("not subscribed but {other:?}"),
        }
    }

    /// Reads until the goodbye, then until the close.
    async fn goodbye(mut self) -> ErrorCode {
        loop {
            match self.next().await {
                Some(ServerFrame::Goodbye { code, .. }) => {
                    assert!(self.next().await.is_none(), "a frame after the goodbye");
                    return ErrorCode::from_number(code).unwrap();
                }
                Some(_) => {}
                None => panic!("closed without a goodbye"),
            }
        }
    }
}

fn envelope(mailbox: &Registered, n: u32, size: usize) -> ClientFrame {
    let mut id = [0; 16];
    id[..4].copy_from_slice(&n.to_be_bytes());
    ClientFrame::Send {
        req: n,
        address: mailbox.address,
        id: EnvelopeId(id),
        body: Bytes::from(vec![n as u8; size]),
    }
}

fn delivered(frame: Option<ServerFrame>) -> (u64, Bytes) {
    match frame {
        Some(ServerFrame::Deliver { seq, body, .. }) => (seq, body),
        other => panic!("no delivery but {other:?}"),
    }
}

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
        "KEY_FILE",
        "TRUSTED_PROXIES",
        "ROOMS",
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
