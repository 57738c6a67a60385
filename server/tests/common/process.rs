//! The server as a process, and sockets to it.

use super::{Key, make_site};
use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use rly_protocol::{
    EnvelopeId, ErrorCode, Incarnation,
    api::{Imported, Registered, Shared},
    frame::{ClientFrame, ServerFrame},
};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::{
    io::{self, BufRead, BufReader, Read},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::{Arc, Mutex},
    time::Duration,
};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    time::timeout,
};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, client_async,
    tungstenite::{Message, client::IntoClientRequest},
};

/// After this long something hangs. No test depends on how long anything takes otherwise.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A folder with site and data, and the options that every start has.
pub struct Place(TempDir, Vec<(&'static str, String)>);

impl Place {
    /// For an embedded server, or for nodes of a cluster of their own, as `RLY_TEST_RELAY` says.
    pub fn new() -> Self {
        match std::env::var("RLY_TEST_RELAY").as_deref() {
            Ok("cluster") => {
                let server = |name| std::env::var(name).expect("./test cluster sets this");
                Self::cluster(&server("RLY_TEST_POSTGRES"), &server("RLY_TEST_KAFKA"))
            }
            _ => Self::embedded(),
        }
    }

    pub fn embedded() -> Self {
        let folder = tempfile::tempdir().unwrap();
        make_site(&folder.path().join("site"));
        Self(folder, Vec::new())
    }

    /// With a fresh database and fresh topics there.
    pub fn cluster(postgres: &str, kafka: &str) -> Self {
        let mut place = Self::embedded();
        let name = format!("t{:016x}", rand_core::RngCore::next_u64(&mut rand_core::OsRng));
        let made = Command::new("psql")
            .args(["--quiet", "--no-psqlrc", postgres, "--command"])
            .arg(format!("CREATE DATABASE {name}"))
            .status()
            .expect("psql");
        assert!(made.success());
        let key = place.path().join("cluster.key");
        std::fs::write(&key, [7; 32]).unwrap();
        let (server, _) = postgres.rsplit_once('/').unwrap();
        place.1 = vec![
            ("RLY_DATABASE_URL", format!("{server}/{name}")),
            ("RLY_KAFKA_BROKERS", kafka.into()),
            ("RLY_KAFKA_PREFIX", name),
            ("RLY_KAFKA_PARTITIONS", "8".into()),
            ("RLY_KEY_FILE", key.display().to_string()),
        ];
        place
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// An option that every start has.
    pub fn option(&self, name: &str) -> &str {
        let found = self.1.iter().find(|(found, _)| *found == name);
        &found.unwrap_or_else(|| panic!("{name} is not set")).1
    }

    pub fn data(&self) -> PathBuf {
        self.0.path().join("data")
    }

    pub fn command(&self) -> Command {
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
            .envs(self.1.iter().cloned())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    pub fn start(&self) -> Server {
        self.start_with(|_| {})
    }

    pub fn start_with(&self, change: impl FnOnce(&mut Command)) -> Server {
        let mut command = self.command();
        change(&mut command);
        Server::of(command)
    }

    /// Runs a start that must fail, and gives what was said.
    pub fn refused(&self, change: impl FnOnce(&mut Command)) -> String {
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

/// An answer over HTTP.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Answer {
    /// The first answer in what came: a request that was bent may be two for the server.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let text = String::from_utf8_lossy(bytes);
        let (head, body) = text.split_once("\r\n\r\n")?;
        let status = head.strip_prefix("HTTP/1.")?.get(2..5)?.parse().ok()?;
        let mut answer = Self {
            status,
            head: head.to_owned(),
            body: body.to_owned(),
        };
        let length = answer
            .header("content-length")
            .and_then(|length| length.parse().ok());
        if let Some(length) = length.filter(|length| answer.body.is_char_boundary(*length)) {
            answer.body.truncate(length);
        }
        Some(answer)
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(':'));
        lines
            .find(|(found, _)| found.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.trim())
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    pub fn ok<T: DeserializeOwned>(&self) -> T {
        assert_eq!(self.status, 200, "{self:?}");
        serde_json::from_str(&self.body).unwrap()
    }

    /// The code of an error answer, which is as the contract has it.
    pub fn code(&self) -> ErrorCode {
        let name = self.json()["error"]["code"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        let code = ErrorCode::from_name(&name).unwrap_or_else(|| panic!("{self:?}"));
        assert_eq!(self.status, code.status(), "{self:?}");
        if matches!(self.status, 429 | 503) {
            let wait: u64 = self.header("retry-after").unwrap().parse().unwrap();
            assert!(wait >= 1, "{self:?}");
        }
        code
    }
}

pub struct Server {
    process: Child,
    host: String,
    /// What it is known as, which is another place behind a balancer.
    pub origin: String,
    pub admin: String,
    said: Arc<Mutex<Vec<u8>>>,
}

impl Server {
    pub fn of(mut command: Command) -> Self {
        let mut process = command.spawn().unwrap();
        // Whoever does not read a pipe blocks its writer.
        let said = Arc::<Mutex<Vec<u8>>>::default();
        let (into, mut log) = (said.clone(), process.stderr.take().unwrap());
        let listening = std::thread::spawn(move || {
            let mut part = [0; 8192];
            while let Ok(n @ 1..) = log.read(&mut part) {
                into.lock().unwrap().extend_from_slice(&part[..n]);
            }
        });
        let text = || String::from_utf8_lossy(&said.lock().unwrap()).into_owned();
        let mut line = String::new();
        let mut out = BufReader::new(process.stdout.take().unwrap());
        out.read_line(&mut line).unwrap();
        let Some(origin) = line.trim_end().strip_prefix("Rly Chat is ready: ") else {
            process.wait().unwrap();
            listening.join().unwrap();
            panic!("not ready: {}", text());
        };
        let [host, admin] = [" addr=", " admin="].map(|name| {
            loop {
                // Told before, but what is told comes another way.
                let ended = listening.is_finished();
                let said = text();
                let rest = said.split_once(name).map(|(_, rest)| rest);
                match rest.and_then(|rest| rest.split_once(char::is_whitespace)) {
                    Some((place, _)) => break place.to_owned(),
                    None => assert!(!ended, "it does not say where it is: {said}"),
                }
                std::thread::sleep(Duration::from_millis(5));
            }
        });
        std::thread::spawn(move || io::copy(&mut out, &mut io::sink()));
        Self {
            host,
            origin: origin.into(),
            admin,
            process,
            said,
        }
    }

    /// What it has written to stderr.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&self.said.lock().unwrap()).into_owned()
    }

    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    pub fn host(&self) -> &str {
        &self.host
    }

    /// One request by hand: status and body.
    pub async fn http(&self, host: &str, request: &str, body: &str) -> (u16, String) {
        let answer = self.request(host, request, "", body).await;
        (answer.status, answer.body)
    }

    /// The same with more headers, each with its line's end.
    pub async fn request(&self, host: &str, request: &str, headers: &str, body: &str) -> Answer {
        self::request(host, request, headers, body).await
    }

    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        self.post_as("127.0.0.1", path, body).await
    }

    /// The same from somewhere else: for a server that trusts this machine as a proxy.
    pub async fn post_as(&self, peer: &str, path: &str, body: &Value) -> Answer {
        let headers = format!("X-Forwarded-For: {peer}\r\n");
        self.request(self.host(), &format!("POST {path}"), &headers, &body.to_string())
            .await
    }

    pub async fn register(&self, key: &Key) -> Registered {
        self.post("/api/register_sim", &json!({"reader_key": key.json()}))
            .await
            .ok()
    }

    pub async fn share(&self, mailbox: &Registered, card: &[u8]) -> Shared {
        let card = rly_protocol::to_base64url(card);
        let body = json!({"address_token": mailbox.address_token, "card": card, "ttl_seconds": 3600});
        self.post("/api/share_contact", &body).await.ok()
    }

    pub async fn import(&self, invite: &str, key: &Key) -> Answer {
        let body = json!({"invite": invite, "claim_key": key.json()});
        self.post("/api/import_contact", &body).await
    }

    pub async fn imported(&self, invite: &str, key: &Key) -> Imported {
        self.import(invite, key).await.ok()
    }

    /// Status and failing part.
    pub async fn ready(&self) -> (u16, Option<String>) {
        let (status, body) = self.http(&self.admin, "GET /health/ready", "").await;
        let body: Value = serde_json::from_str(&body).unwrap();
        (status, body["part"].as_str().map(Into::into))
    }

    pub async fn socket(&self) -> Socket {
        Socket::open(self, None).await
    }

    pub async fn metric(&self, name: &str) -> u64 {
        let (_, text) = self.http(&self.admin, "GET /metrics", "").await;
        let line = text
            .lines()
            .find(|line| line.starts_with(&format!("{name} ")))
            .unwrap();
        line.split(' ').nth(1).unwrap().parse().unwrap()
    }

    pub fn signal(&self, name: &str) {
        let pid = self.process.id().to_string();
        let sent = Command::new("kill")
            .args([&format!("-{name}"), &pid])
            .status()
            .unwrap();
        assert!(sent.success());
    }

    /// Kills it as a power cut would, but for the kernel.
    pub fn kill(mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    pub fn wait(mut self) -> Option<i32> {
        self.process.wait().unwrap().code()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended before.
        let _ = self.process.kill();
        let _ = self.process.wait();
        if std::thread::panicking() {
            let log = self.log();
            let lines: Vec<&str> = log.lines().collect();
            let last = &lines[lines.len().saturating_sub(200)..];
            eprintln!("{} said last:\n{}", self.origin, last.join("\n"));
        }
    }
}

/// One request, with more headers, each with its line's end.
pub async fn request(host: &str, request: &str, headers: &str, body: &str) -> Answer {
    let text = format!(
        "{request} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nContent-Type: application/json\r\n\
         {headers}Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let bytes = exchange(host, text.as_bytes()).await;
    Answer::parse(&bytes).unwrap_or_else(|| panic!("no answer to {request}"))
}

/// Sends bytes as they are and reads until the other side closes.
pub async fn exchange(host: &str, bytes: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(host).await.unwrap();
    // Who refuses early stops to read.
    let _ = stream.write_all(bytes).await;
    let mut answer = Vec::new();
    // A reset after the answer is the end as well.
    let _ = timeout(PATIENCE, stream.read_to_end(&mut answer))
        .await
        .unwrap_or_else(|_| panic!("no end of the answer to {}", String::from_utf8_lossy(bytes)));
    answer
}

pub struct Socket {
    pub stream: WebSocketStream<MaybeTlsStream<TcpStream>>,
    pub nonce: [u8; 32],
    pub incarnation: Incarnation,
    pub origin: String,
}

impl Socket {
    pub async fn open(server: &Server, receive_buffer: Option<u32>) -> Self {
        Self::try_open(server.host(), None, receive_buffer)
            .await
            .expect("a socket")
    }

    /// From somewhere else: for a server that trusts this machine as a proxy.
    pub async fn open_as(server: &Server, peer: &str, receive_buffer: Option<u32>) -> Self {
        Self::try_open(server.host(), Some(peer), receive_buffer)
            .await
            .expect("a socket")
    }

    /// With the greeting, for a client of its own.
    pub async fn open_raw(host: &str, peer: &str) -> (Self, ServerFrame) {
        let origin = format!("http://{host}");
        Self::reach(host, &origin, Some(peer), None)
            .await
            .expect("a socket")
    }

    /// `None`: nobody is there.
    pub async fn try_open(host: &str, peer: Option<&str>, receive_buffer: Option<u32>) -> Option<Self> {
        let origin = format!("http://{host}");
        Some(Self::reach(host, &origin, peer, receive_buffer).await?.0)
    }

    /// The same for a page of this origin, with the greeting.
    pub async fn reach(
        host: &str,
        origin: &str,
        peer: Option<&str>,
        receive_buffer: Option<u32>,
    ) -> Option<(Self, ServerFrame)> {
        let socket = TcpSocket::new_v4().unwrap();
        if let Some(bytes) = receive_buffer {
            socket.set_recv_buffer_size(bytes).unwrap();
        }
        let tcp = socket.connect(host.parse().unwrap()).await.ok()?;
        let mut request = format!("ws://{host}/ws").into_client_request().unwrap();
        let headers = request.headers_mut();
        headers.insert("origin", origin.parse().unwrap());
        if let Some(peer) = peer {
            headers.insert("x-forwarded-for", peer.parse().unwrap());
        }
        let (stream, _) = client_async(request, MaybeTlsStream::Plain(tcp)).await.ok()?;
        let mut socket = Self {
            stream,
            nonce: [0; 32],
            incarnation: Incarnation([0; 16]),
            origin: origin.into(),
        };
        let hello = socket.next().await?;
        match &hello {
            ServerFrame::Hello {
                min: 1,
                max: 1,
                nonce,
                incarnation,
                ..
            } => {
                socket.nonce = *nonce;
                socket.incarnation = *incarnation;
            }
            other => panic!("no hello but {other:?}"),
        }
        Some((socket, hello))
    }

    pub async fn send(&mut self, frame: ClientFrame) {
        self.try_send(frame).await.unwrap();
    }

    pub async fn try_send(
        &mut self,
        frame: ClientFrame,
    ) -> Result<(), tokio_tungstenite::tungstenite::Error> {
        self.stream.send(Message::Binary(frame.to_message())).await
    }

    /// The next frame; `None` once the socket is closed.
    pub async fn next(&mut self) -> Option<ServerFrame> {
        loop {
            match timeout(PATIENCE, self.stream.next()).await.expect("silence")? {
                Ok(Message::Binary(frame)) => return Some(ServerFrame::from_message(frame).unwrap()),
                Ok(Message::Close(_)) | Err(_) => return None,
                Ok(_) => {}
            }
        }
    }

    /// Subscribes; what it is answered is for [`next`](Self::next).
    pub async fn ask_to_read(&mut self, req: u32, key: &Key, mailbox: &Registered) -> Option<()> {
        let queue = mailbox.queue;
        let proof = key.prove(&self.origin, &self.nonce, &queue);
        self.try_send(ClientFrame::Subscribe { req, queue, proof })
            .await
            .ok()
    }

    pub async fn subscribe(&mut self, key: &Key, mailbox: &Registered) {
        self.ask_to_read(1, key, mailbox).await.unwrap();
        match self.next().await {
            Some(ServerFrame::Subscribed { req: 1, .. }) => {}
            other => panic!("not subscribed but {other:?}"),
        }
    }

    /// Reads until the goodbye, then until the close.
    pub async fn goodbye(mut self) -> ErrorCode {
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

pub fn envelope(mailbox: &Registered, n: u32, size: usize) -> ClientFrame {
    let mut id = [0; 16];
    id[..4].copy_from_slice(&n.to_be_bytes());
    ClientFrame::Send {
        req: n,
        address: mailbox.address,
        id: EnvelopeId(id),
        body: Bytes::from(vec![n as u8; size]),
    }
}

pub fn delivered(frame: Option<ServerFrame>) -> (u64, Bytes) {
    match frame {
        Some(ServerFrame::Deliver { seq, body, .. }) => (seq, body),
        other => panic!("no delivery but {other:?}"),
    }
}
