//! `rly-server verify` against running servers: honest ones, changed ones, and what stands between.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use common::{make_site, sha256};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::{ServerConfig, ServerConnection, StreamOwned, pki_types::PrivatePkcs8KeyDer};
use serde_json::Value;
use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Arc,
    thread,
};
use tempfile::TempDir;

/// A folder with a site and its manifest.
struct Build(TempDir);

impl Build {
    fn make() -> Self {
        let build = Self(tempfile::tempdir().unwrap());
        make_site(&build.site());
        let printed = command(&build.site()).arg("manifest").output().unwrap();
        assert_eq!(printed.status.code(), Some(0), "{printed:?}");
        fs::write(build.site().join("served.json"), printed.stdout).unwrap();
        build
    }

    fn site(&self) -> PathBuf {
        self.0.path().join("site")
    }

    fn asset(&self, name: &str) -> PathBuf {
        self.site().join("assets").join(name)
    }

    fn serve(&self) -> Server {
        Server::start(&self.site(), &self.0.path().join("data"))
    }

    /// Exit code and everything that was said.
    fn verify(&self, url: &str) -> (Option<i32>, String) {
        self.verify_with(url, |_| {})
    }

    fn verify_with(&self, url: &str, change: impl FnOnce(&mut Command)) -> (Option<i32>, String) {
        let mut command = command(&self.site());
        command.args(["verify", url]);
        change(&mut command);
        let output = command.output().unwrap();
        let said = String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap();
        (output.status.code(), said)
    }
}

fn command(site: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rly-server"));
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("RLY_")) {
        command.env_remove(name);
    }
    command.env("RLY_SITE_DIR", site);
    command
}

struct Server {
    process: Child,
    origin: String,
}

impl Server {
    fn start(site: &Path, data: &Path) -> Self {
        let mut process = command(site)
            .args([
                "--addr",
                "127.0.0.1:0",
                "--admin-addr",
                "127.0.0.1:0",
                "--data-dir",
            ])
            .arg(data)
            .env("RUST_LOG", "off")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let origin = line
            .trim_end()
            .strip_prefix("Rly Chat is ready: ")
            .unwrap()
            .into();
        Self { process, origin }
    }

    fn host(&self) -> String {
        self.origin.strip_prefix("http://").unwrap().into()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended before.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Passes requests on to `host`, and the answers back as `change` makes them. One request for each connection.
fn between(host: String, change: impl Fn(String, Vec<u8>) -> Vec<u8> + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let origin = format!("http://{}", listener.local_addr().unwrap());
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let request = head(&mut stream);
            let answer = pass_on(&host, &request);
            stream.write_all(&change(request, answer)).unwrap();
        }
    });
    origin
}

/// A request without a body, up to its end.
fn head(stream: &mut impl Read) -> String {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap() > 0 {
        head.push(byte[0]);
    }
    String::from_utf8(head).unwrap()
}

fn pass_on(host: &str, request: &str) -> Vec<u8> {
    let mut server = TcpStream::connect(host).unwrap();
    let request = request.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n");
    server.write_all(request.as_bytes()).unwrap();
    let mut answer = Vec::new();
    server.read_to_end(&mut answer).unwrap();
    answer
}

/// Replaces in an answer, whose length must stay what it is.
fn replaced(answer: Vec<u8>, from: &str, to: &str) -> Vec<u8> {
    let at = answer
        .windows(from.len())
        .position(|part| part == from.as_bytes());
    match at {
        Some(at) => [&answer[..at], to.as_bytes(), &answer[at + from.len()..]].concat(),
        None => answer,
    }
}

#[test]
fn a_server_of_this_build_is_told_as_such() {
    let build = Build::make();
    let server = build.serve();
    let (code, said) = build.verify(&server.origin);
    assert_eq!(code, Some(0), "{said}");

    // The manifest names what there is: pages, the page for unknown paths, files, the API's description.
    let manifest: Value =
        serde_json::from_slice(&fs::read(build.site().join("served.json")).unwrap()).unwrap();
    let answers = manifest["answers"].as_object().unwrap();
    for path in [
        "/",
        "/letter",
        "/i",
        "/chat",
        "/settings",
        "/r",
        "/rooms",
        "/-",
        "/favicon.svg",
        "/api/openapi.json",
    ] {
        assert!(answers.contains_key(path), "{path}");
    }
    let files = fs::read_dir(build.site().join("assets")).unwrap();
    for name in files.map(|file| file.unwrap().file_name().into_string().unwrap()) {
        let (name, encoding) = match name.rsplit_once('.') {
            Some((name, "br")) => (name, "br"),
            Some((name, "gz")) => (name, "gzip"),
            _ => (name.as_str(), "identity"),
        };
        let hash = &answers[&format!("/assets/{name}")]["encodings"][encoding]["sha256"];
        assert!(hash.is_string(), "{name}: {encoding}");
    }
    assert!(said.contains(&format!("{} paths", answers.len())), "{said}");
}

#[test]
fn a_changed_file_is_found_in_whatever_encoding_it_is_changed() {
    let (build, other) = (Build::make(), Build::make());
    // A page's script in one encoding, as only some browsers would get it.
    fs::write(other.asset("boot.0123456789abcdef.js.br"), "changed").unwrap();
    // Another script under the old name, with a manifest that fits.
    let changed = "changed";
    fs::write(other.asset("worker.0123456789abcdef.js"), changed).unwrap();
    let listed = other.site().join("manifest.json");
    let list = fs::read_to_string(&listed).unwrap();
    fs::write(
        &listed,
        list.replace(&sha256(b"content of worker.js"), &sha256(changed.as_bytes())),
    )
    .unwrap();
    let server = other.serve();
    let (code, said) = build.verify(&server.origin);
    assert_eq!(code, Some(1), "{said}");
    let differences: Vec<_> = said.lines().filter(|line| line.starts_with('/')).collect();
    assert_eq!(
        differences,
        [
            "/assets/boot.0123456789abcdef.js (br): the content is another",
            "/assets/worker.0123456789abcdef.js (identity): the content is another",
        ],
        "{said}"
    );
}

#[test]
fn a_server_of_another_build_is_found() {
    let (build, other) = (Build::make(), Build::make());
    let old = other.asset("app.0123456789abcdef.wasm");
    fs::rename(&old, other.asset("app.fedcba9876543210.wasm")).unwrap();
    let listed = other.site().join("manifest.json");
    let list = fs::read_to_string(&listed).unwrap();
    fs::write(
        &listed,
        list.replace("app.0123456789abcdef.wasm", "app.fedcba9876543210.wasm"),
    )
    .unwrap();
    let server = other.serve();
    let (code, said) = build.verify(&server.origin);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("/assets/app.0123456789abcdef.wasm (identity): the status is 404, not 200"));
    // Every page names the file, but for those of rooms, which are another module.
    assert!(!said.contains("\n/r (") && !said.contains("\n/rooms ("), "{said}");
    for path in ["/", "/letter", "/i", "/chat", "/settings", "/-"] {
        assert!(
            said.contains(&format!("\n{path} (gzip): the content is another\n")),
            "{said}"
        );
    }
}

#[test]
fn what_stands_between_is_found() {
    let build = Build::make();
    let server = build.serve();
    let unchanged = between(server.host(), |_, answer| answer);
    assert_eq!(build.verify(&unchanged).0, Some(0));

    for (path, from, to, difference) in [
        (
            "GET /i ",
            "script-src 'self'",
            "script-src *     ",
            "/i (br): the header content-security-policy is",
        ),
        (
            "GET /chat ",
            "text/html",
            "text/xml!",
            "/chat (br): the header content-type is",
        ),
        (
            "GET /settings ",
            "\r\n\r\n",
            "\r\nReferrer-Policy: unsafe-url\r\n\r\n",
            "/settings (br): the header referrer-policy is \"no-referrer, unsafe-url\", not \"no-referrer\"",
        ),
        (
            "GET /letter ",
            "\r\n\r\n",
            "\r\nSet-Cookie: a=b\r\n\r\n",
            "/letter (br): there is a header set-cookie",
        ),
        (
            "GET / ",
            "</html>",
            "</htm1>",
            "/ (identity): the content is another",
        ),
        (
            "GET /- ",
            "404 Not Found",
            "200 OK",
            "/- (br): the status is 200, not 404",
        ),
    ] {
        let changed = between(server.host(), move |request, answer| {
            if request.starts_with(path) {
                replaced(answer, from, to)
            } else {
                answer
            }
        });
        let (code, said) = build.verify(&changed);
        assert_eq!(code, Some(1), "{path}: {said}");
        assert!(said.contains(difference), "{path}: {said}");
    }

    // A proxy that takes the compression away.
    let host = server.host();
    let plain = between(server.host(), move |request, _| {
        pass_on(
            &host,
            &request.replace("accept-encoding: br", "accept-encoding: identity"),
        )
    });
    let (code, said) = build.verify(&plain);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("/ (br): it comes as identity"), "{said}");
}

#[test]
fn https_is_spoken_and_certificates_are_checked() {
    let build = Build::make();
    let server = build.serve();
    let key = KeyPair::generate().unwrap();
    let mut authority = CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let root = authority.self_signed(&key).unwrap();
    let issuer = Issuer::new(authority, key);
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(["localhost".to_owned()])
        .unwrap()
        .signed_by(&key, &issuer)
        .unwrap();
    let trusted = build.0.path().join("root.pem");
    fs::write(&trusted, root.pem()).unwrap();

    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![certificate.der().clone()],
            PrivatePkcs8KeyDer::from(key.serialize_der()).into(),
        )
        .unwrap();
    let config = Arc::new(config);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let host = server.host();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let connection = ServerConnection::new(Arc::clone(&config)).unwrap();
            let mut stream = StreamOwned::new(connection, stream.unwrap());
            // Whoever does not trust us hangs up.
            let mut first = [0];
            if stream.read(&mut first).is_ok_and(|read| read > 0) {
                let request = format!("{}{}", char::from(first[0]), head(&mut stream));
                stream.write_all(&pass_on(&host, &request)).unwrap();
                stream.conn.send_close_notify();
                stream.flush().unwrap();
            }
        }
    });
    let url = format!("https://localhost:{port}");
    let (code, said) = build.verify_with(&url, |command| {
        command.env("SSL_CERT_FILE", &trusted);
    });
    assert_eq!(code, Some(0), "{said}");
    let (code, said) = build.verify_with(&url, |command| {
        command.env_remove("SSL_CERT_FILE");
    });
    assert_eq!(code, Some(2), "{said}");
    assert!(
        said.contains("cannot be reached") && said.contains("certificate"),
        "{said}"
    );
}

#[test]
fn what_cannot_be_asked_is_code_2() {
    let build = Build::make();
    // A port that was free a moment ago.
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (code, said) = build.verify(&format!("http://{port}"));
    assert_eq!((code, said.lines().count()), (Some(2), 1), "{said}");
    assert!(said.contains("cannot be reached"), "{said}");
    let (code, said) = build.verify("chat.example.org");
    assert_eq!((code, said.lines().count()), (Some(2), 1), "{said}");
    for content in [None, Some("{}")] {
        let path = build.site().join("served.json");
        match content {
            None => fs::remove_file(&path).unwrap(),
            Some(content) => fs::write(&path, content).unwrap(),
        }
        let (code, said) = build.verify(&format!("http://{port}"));
        assert_eq!((code, said.lines().count()), (Some(2), 1), "{said}");
        assert!(said.contains("served.json"), "{said}");
    }
}
