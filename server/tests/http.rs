//! The public and admin routers, over a real relay on a SQLite file.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use axum::{Router, body::Body, response::Response};
use bytes::Bytes;
use common::{Key, ORIGIN, make_site};
use http::{HeaderMap, HeaderName, Method, Request, StatusCode, header};
use http_body_util::BodyExt;
use rly_protocol::{
    ErrorCode, Timestamp,
    api::{Imported, Registered, Shared},
};
use rly_relay::{Keyring, Limits, Relay, RelayConfig, SqliteStore, SystemClock};
use rly_server::{Parts, PublicUrl, Remote, Site, TrustedProxies, admin_router, public_router};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::{collections::HashSet, sync::Arc};
use tempfile::TempDir;
use tower::ServiceExt;

struct Server {
    public: Router,
    admin: Router,
    relay: Relay,
    _folder: TempDir,
}

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

impl Answer {
    async fn of(response: Response) -> Self {
        let (head, body) = response.into_parts();
        Self {
            status: head.status,
            headers: head.headers,
            body: body.collect().await.unwrap().to_bytes(),
        }
    }

    fn json<T: DeserializeOwned>(&self) -> T {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {:?}", self.body))
    }

    fn ok<T: DeserializeOwned>(&self) -> T {
        assert_eq!(self.status, StatusCode::OK, "{:?}", self.body);
        self.json()
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// Checks that this is exactly an error as the contract has it.
    fn refused(&self, code: ErrorCode) -> Value {
        let value: Value = self.json();
        assert_eq!(value["error"]["code"], code.name());
        assert_eq!(self.status.as_u16(), code.status());
        assert_eq!(self.header("content-type"), Some("application/json"));
        assert_eq!(value["error"]["message"], code.message());
        assert_eq!(self.header("serverfnerror"), None);
        value["error"].clone()
    }
}

impl Server {
    async fn start() -> Self {
        Self::with(ORIGIN, Limits::default()).await
    }

    async fn with(origin: &str, limits: Limits) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let site = folder.path().join("site");
        make_site(&site);
        let store = SqliteStore::open(&folder.path().join("rly.sqlite"))
            .await
            .unwrap();
        let config = RelayConfig {
            origin: origin.into(),
            limits,
            rooms: rly_relay::RoomMakers::Anyone,
        };
        let keyring = Keyring::from_secret(Keyring::generate()).unwrap();
        let relay = Relay::start(config, keyring, Arc::new(store), Arc::new(SystemClock))
            .await
            .unwrap();
        let public: PublicUrl = origin.parse().unwrap();
        let site = Site::load(&site).unwrap();
        let parts = Parts::new(relay.clone(), public, TrustedProxies::default(), site)
            .await
            .unwrap();
        Self {
            public: public_router(Arc::new(parts)),
            admin: admin_router(relay.clone()),
            relay,
            _folder: folder,
        }
    }

    async fn send(&self, mut request: Request<Body>) -> Answer {
        request.extensions_mut().insert(Remote([192, 0, 2, 1].into()));
        Answer::of(self.public.clone().oneshot(request).await.unwrap()).await
    }

    async fn get(&self, path: &str) -> Answer {
        self.send(Request::get(path).body(Body::empty()).unwrap()).await
    }

    async fn get_with(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        let request = headers.iter().fold(Request::get(path), |request, (name, value)| {
            request.header(*name, *value)
        });
        self.send(request.body(Body::empty()).unwrap()).await
    }

    async fn post(&self, path: &str, body: &Value) -> Answer {
        self.send(post(path, body)).await
    }

    async fn admin(&self, path: &str) -> Answer {
        let request = Request::get(path).body(Body::empty()).unwrap();
        Answer::of(self.admin.clone().oneshot(request).await.unwrap()).await
    }

    async fn register(&self, key: &Key) -> Registered {
        self.post("/api/register_sim", &json!({"reader_key": key.json()}))
            .await
            .ok()
    }

    async fn share(&self, mailbox: &Registered) -> Shared {
        self.post("/api/share_contact", &share(&mailbox.address_token, 60))
            .await
            .ok()
    }

    async fn claim(&self, invite: &str, key: &Key) -> Answer {
        self.post(
            "/api/import_contact",
            &json!({"invite": invite, "claim_key": key.json()}),
        )
        .await
    }
}

fn post(path: &str, body: &Value) -> Request<Body> {
    Request::post(path)
        .header(header::CONTENT_TYPE, "application/json")
        .body(Body::from(body.to_string()))
        .unwrap()
}

fn share(token: &str, ttl: u64) -> Value {
    json!({"address_token": token, "card": "Y2FyZA", "ttl_seconds": ttl})
}

/// The whole of it, as the design has it, and what makes a policy for Trusted Types necessary.
const CSP: &str = "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; connect-src 'self'; \
    style-src 'self'; img-src 'self' blob: data:; worker-src 'self'; manifest-src 'self'; base-uri 'none'; \
    form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types default";

const API: [&str; 3] = ["/api/register_sim", "/api/share_contact", "/api/import_contact"];

#[tokio::test]
async fn a_link_is_made_opened_once_and_then_used() {
    let server = Server::start().await;
    let mailbox = server.register(&Key::generate()).await;
    let invite = server.share(&mailbox).await;
    assert!(invite.expires_at > Timestamp(1_700_000_000_000));

    let first = Key::generate();
    let opened: Imported = server.claim(&invite.invite, &first).await.ok();
    assert_eq!(opened.address, mailbox.address);
    assert_eq!(opened.card.0, b"card");
    let again: Imported = server.claim(&invite.invite, &first).await.ok();
    assert_eq!(again.card, opened.card);

    let used = server
        .claim(&invite.invite, &Key::generate())
        .await
        .refused(ErrorCode::InviteUsed);
    assert!(used["opened_at"].as_str().unwrap().parse::<Timestamp>().is_ok());
}

#[tokio::test]
async fn of_64_claims_at_one_moment_one_succeeds() {
    let server = Server::start().await;
    let invite = server.share(&server.register(&Key::generate()).await).await;
    let claims = (0..64).map(|_| {
        let (router, key) = (server.public.clone(), Key::generate());
        let mut request = post(
            "/api/import_contact",
            &json!({"invite": invite.invite, "claim_key": key.json()}),
        );
        request.extensions_mut().insert(Remote([192, 0, 2, 1].into()));
        tokio::spawn(async move { router.oneshot(request).await.unwrap().status() })
    });
    let mut statuses = Vec::new();
    for claim in claims.collect::<Vec<_>>() {
        statuses.push(claim.await.unwrap());
    }
    let count = |status| statuses.iter().filter(|&&s| s == status).count();
    assert_eq!((count(StatusCode::OK), count(StatusCode::CONFLICT)), (1, 63));
}

#[tokio::test]
async fn looking_at_an_invite_never_claims_it() {
    let server = Server::start().await;
    let invite = server
        .share(&server.register(&Key::generate()).await)
        .await
        .invite;
    let body = json!({"invite": invite, "claim_key": Key::generate().json()}).to_string();
    for method in [
        Method::GET,
        Method::HEAD,
        Method::OPTIONS,
        Method::PUT,
        Method::DELETE,
    ] {
        for path in [
            "/i",
            "/api/import_contact",
            &format!("/api/import_contact?invite={invite}"),
        ] {
            let request = Request::builder()
                .method(method.clone())
                .uri(path)
                .header(header::CONTENT_TYPE, "application/json");
            let answer = server.send(request.body(Body::from(body.clone())).unwrap()).await;
            let page = path == "/i" && (method == Method::GET || method == Method::HEAD);
            let expected = if page {
                StatusCode::OK
            } else {
                StatusCode::METHOD_NOT_ALLOWED
            };
            assert_eq!(answer.status, expected, "{method} {path}");
        }
    }
    server.claim(&invite, &Key::generate()).await.ok::<Imported>();
}

#[tokio::test]
async fn what_is_not_well_formed_is_refused_with_its_code() {
    let server = Server::start().await;
    let mailbox = server.register(&Key::generate()).await;
    let key = Key::generate().json();
    let off_curve = format!("B{}", "A".repeat(86));
    for (path, body, code) in [
        (API[0], json!({}), ErrorCode::BadRequest),
        (API[0], json!([]), ErrorCode::BadRequest),
        (API[0], json!({"reader_key": "AAAA"}), ErrorCode::BadRequest),
        (API[0], json!({"reader_key": off_curve}), ErrorCode::KeyInvalid),
        (
            API[1],
            json!({"address_token": mailbox.address_token}),
            ErrorCode::BadRequest,
        ),
        (API[1], share("a.b.c", 60), ErrorCode::TokenInvalid),
        (API[1], share(&mailbox.address_token, 0), ErrorCode::TtlInvalid),
        (
            API[1],
            share(&mailbox.address_token, 31 * 86_400),
            ErrorCode::TtlInvalid,
        ),
        (
            API[1],
            json!({"address_token": mailbox.address_token, "card": "", "ttl_seconds": 60}),
            ErrorCode::CardInvalid,
        ),
        (
            API[2],
            json!({"invite": "", "claim_key": key}),
            ErrorCode::InviteInvalid,
        ),
        (
            API[2],
            json!({"invite": mailbox.address_token, "claim_key": key}),
            ErrorCode::InviteInvalid,
        ),
        ("/api/import_contact/", json!({}), ErrorCode::NotFound),
        ("/api/nothing", json!({}), ErrorCode::NotFound),
        ("/api", json!({}), ErrorCode::NotFound),
    ] {
        server.post(path, &body).await.refused(code);
    }
    for body in ["", "{", "reader_key=x", "\u{0}"] {
        let request = Request::post(API[0]).header(header::CONTENT_TYPE, "application/json");
        server
            .send(request.body(Body::from(body)).unwrap())
            .await
            .refused(ErrorCode::BadRequest);
    }
}

#[tokio::test]
async fn only_our_pages_and_json_change_anything() {
    let server = Server::start().await;
    let body = json!({"reader_key": Key::generate().json()});
    let send = async |name: HeaderName, value: &str| {
        let mut request = post(API[0], &body);
        request.headers_mut().insert(name, value.parse().unwrap());
        server.send(request).await
    };
    for origin in [
        "https://evil.example",
        "null",
        "http://127.0.0.1:3001",
        "http://localhost:3000",
        "",
    ] {
        send(header::ORIGIN, origin)
            .await
            .refused(ErrorCode::ForeignOrigin);
    }
    send(header::ORIGIN, ORIGIN).await.ok::<Registered>();
    for media_type in [
        "text/plain",
        "application/x-www-form-urlencoded",
        "application/jsonp",
        "",
    ] {
        send(header::CONTENT_TYPE, media_type)
            .await
            .refused(ErrorCode::UnsupportedMediaType);
    }
    send(header::CONTENT_TYPE, "Application/JSON; charset=utf-8")
        .await
        .ok::<Registered>();
    let mut request = post(API[0], &body);
    request.headers_mut().remove(header::CONTENT_TYPE);
    server
        .send(request)
        .await
        .refused(ErrorCode::UnsupportedMediaType);
}

#[tokio::test]
async fn a_browser_s_form_headers_make_no_redirect() {
    let server = Server::start().await;
    for body in [json!({"reader_key": Key::generate().json()}), json!({})] {
        let mut request = post(API[0], &body);
        let headers = request.headers_mut();
        headers.insert(header::ACCEPT, "text/html".parse().unwrap());
        headers.insert(header::REFERER, format!("{ORIGIN}/letter").parse().unwrap());
        let answer = server.send(request).await;
        assert_eq!(answer.header("location"), None);
        assert!(!answer.status.is_redirection(), "{}", answer.status);
        assert_eq!(answer.header("content-type"), Some("application/json"));
    }
}

#[tokio::test]
async fn bodies_are_bounded() {
    let server = Server::start().await;
    let mailbox = server.register(&Key::generate()).await;
    let card = |bytes: usize| {
        json!({"address_token": mailbox.address_token, "ttl_seconds": 60,
            "card": rly_protocol::to_base64url(&vec![7; bytes])})
    };
    server.post(API[1], &card(65_536)).await.ok::<Shared>();
    server
        .post(API[1], &card(65_537))
        .await
        .refused(ErrorCode::CardInvalid);
    server
        .post(API[1], &card(200_000))
        .await
        .refused(ErrorCode::TooLarge);
}

#[tokio::test]
async fn too_often_tells_when_to_come_back() {
    let limits = Limits {
        registrations: rly_relay::Rate::new(0.1, 1.0),
        ..Limits::default()
    };
    let server = Server::with(ORIGIN, limits).await;
    server.register(&Key::generate()).await;
    let answer = server
        .post(API[0], &json!({"reader_key": Key::generate().json()}))
        .await;
    answer.refused(ErrorCode::RateLimited);
    let wait: u64 = answer.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=10).contains(&wait), "{wait}");
}

#[tokio::test]
async fn a_stopped_relay_is_told_as_such() {
    let server = Server::start().await;
    server.relay.stop().await;
    let answer = server
        .post(API[0], &json!({"reader_key": Key::generate().json()}))
        .await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(answer.header("retry-after").is_some());
}

#[tokio::test]
async fn every_answer_carries_the_security_headers() {
    let server = Server::start().await;
    let mut answers = Vec::new();
    for path in [
        "/",
        "/i",
        "/nothing",
        "/api/nothing",
        "/api/openapi.json",
        "/ws",
        "/assets/boot.0123456789abcdef.js",
        "/assets/worker.0123456789abcdef.js",
    ] {
        answers.push((path, server.get(path).await));
    }
    answers.push((API[0], server.post(API[0], &json!({})).await));
    answers.push((API[0], server.get(API[0]).await));
    for (path, answer) in answers {
        let policies: Vec<_> = answer.headers.get_all("content-security-policy").iter().collect();
        assert_eq!(policies, [CSP], "{path}");
        for (name, value) in [
            ("x-content-type-options", "nosniff"),
            ("referrer-policy", "no-referrer"),
            ("cross-origin-opener-policy", "same-origin"),
            ("cross-origin-embedder-policy", "require-corp"),
            ("cross-origin-resource-policy", "same-origin"),
        ] {
            assert_eq!(answer.header(name), Some(value), "{path}");
        }
        assert!(answer.header("permissions-policy").unwrap().contains("camera=()"));
        assert_eq!(answer.header("strict-transport-security"), None, "{path}");
        assert_eq!(answer.header("set-cookie"), None, "{path}");
    }
    let https = Server::with("https://chat.example.org", Limits::default()).await;
    // Subdomains may be others' affair.
    let answer = https.get("/").await;
    assert_eq!(
        answer.header("strict-transport-security"),
        Some("max-age=63072000")
    );
}

#[tokio::test]
async fn pages_are_finished_and_the_same_for_everybody() {
    let server = Server::start().await;
    let mut seen = HashSet::new();
    for path in ["/", "/letter", "/i", "/chat", "/settings", "/r", "/rooms"] {
        let plain = server.get(path).await;
        assert_eq!(plain.status, StatusCode::OK, "{path}");
        assert_eq!(plain.header("content-type"), Some("text/html; charset=utf-8"));
        assert_eq!(plain.header("cache-control"), Some("no-cache"));
        let html = std::str::from_utf8(&plain.body).unwrap();
        // Leptos puts a marker behind each element.
        assert!(html.trim_end_matches("<!>").ends_with("</html>"), "{path}");
        assert!(html.contains("/assets/boot.0123456789abcdef.js"), "{path}");
        assert!(!html.contains("nonce") && !html.contains("__RESOLVED"), "{path}");
        let other = server
            .get_with(
                path,
                &[
                    ("cookie", "a=b"),
                    ("accept-language", "de"),
                    ("user-agent", "x"),
                    ("x-forwarded-for", "1.2.3.4"),
                    ("host", "127.0.0.1:3000"),
                ],
            )
            .await;
        assert_eq!(plain.body, other.body, "{path}");
        assert_eq!(plain.header("etag"), other.header("etag"));
        let query = server.get(&format!("{path}?utm=1")).await;
        assert_eq!(plain.body, query.body, "{path}");
        let etag = plain.header("etag").unwrap();
        let known = server.get_with(path, &[("if-none-match", etag)]).await;
        assert_eq!((known.status, known.body.len()), (StatusCode::NOT_MODIFIED, 0));
        assert!(seen.insert(plain.body), "{path} is another page's");
    }
    // Two servers render the same bytes: what is published can be compared.
    let twin = Server::start().await;
    assert_eq!(twin.get("/").await.body, server.get("/").await.body);
}

#[tokio::test]
async fn pages_come_compressed() {
    let server = Server::start().await;
    let plain = server.get("/").await.body;
    let brotli = server.get_with("/", &[("accept-encoding", "gzip, br")]).await;
    assert_eq!(brotli.header("content-encoding"), Some("br"));
    let mut unpacked = Vec::new();
    brotli::BrotliDecompress(&mut &brotli.body[..], &mut unpacked).unwrap();
    assert_eq!(unpacked, plain);
    let gzip = server.get_with("/", &[("accept-encoding", "gzip")]).await;
    assert_eq!(gzip.header("content-encoding"), Some("gzip"));
    assert_eq!(gzip.header("vary"), Some("accept-encoding"));
    assert_ne!(gzip.header("etag"), brotli.header("etag"));
}

#[tokio::test]
async fn unknown_paths_are_a_finished_page_with_404() {
    let server = Server::start().await;
    for path in [
        "/nothing",
        "/chat/",
        "/chat/x",
        "/index.html",
        "/..%2fsecret",
        "/assets/",
        "/assets/../manifest.json",
    ] {
        let answer = server.get(path).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{path}");
        assert_eq!(answer.header("content-type"), Some("text/html; charset=utf-8"));
        assert!(answer.body.ends_with(b"</html><!>"), "{path}");
    }
    server.get("/api/nothing").await.refused(ErrorCode::NotFound);
    server
        .get("/api/register_sim")
        .await
        .refused(ErrorCode::MethodNotAllowed);
    server
        .post("/letter", &json!({}))
        .await
        .refused(ErrorCode::MethodNotAllowed);
    server
        .post("/api/openapi.json", &json!({}))
        .await
        .refused(ErrorCode::MethodNotAllowed);
}

#[tokio::test]
async fn files_are_kept_for_ever_and_come_compressed() {
    let server = Server::start().await;
    let path = "/assets/app.0123456789abcdef.wasm";
    let plain = server.get(path).await;
    assert_eq!(
        (plain.status, &plain.body[..]),
        (StatusCode::OK, &b"content of app.wasm"[..])
    );
    assert_eq!(plain.header("content-type"), Some("application/wasm"));
    assert_eq!(
        plain.header("cache-control"),
        Some("public, max-age=31536000, immutable")
    );
    let brotli = server.get_with(path, &[("accept-encoding", "br, gzip")]).await;
    assert_eq!(&brotli.body[..], b"brotli");
    let gzip = server.get_with(path, &[("accept-encoding", "gzip")]).await;
    assert_eq!(&gzip.body[..], b"gzip");
    // Others refer to the icon by its own name, whose content may change.
    let icon = server.get("/favicon.svg").await;
    assert_eq!(icon.header("content-type"), Some("image/svg+xml"));
    assert_eq!(icon.header("cache-control"), Some("no-cache"));
    for path in ["/boot.js", "/app.wasm", "/manifest.json"] {
        assert_eq!(server.get(path).await.status, StatusCode::NOT_FOUND, "{path}");
    }
}

#[test]
fn what_cargo_leptos_built_takes_the_place_of_the_page_s_files() {
    let folder = tempfile::tempdir().unwrap();
    make_site(folder.path());
    let site = || Site::load(folder.path()).unwrap();
    assert!(site().watched(folder.path()).is_err());
    std::fs::create_dir(folder.path().join("pkg")).unwrap();
    for file in ["app.js", "app.wasm"] {
        std::fs::write(folder.path().join("pkg").join(file), "new").unwrap();
    }
    let watched = site().watched(folder.path()).unwrap();
    assert_eq!(watched.assets().app_js, "/pkg/app.js");
    assert_eq!(watched.assets().app_wasm, "/pkg/app.wasm");
    assert_eq!(watched.assets().boot, site().assets().boot);
}

#[tokio::test]
async fn other_names_of_this_machine_lead_to_the_public_one() {
    let server = Server::start().await;
    for host in ["localhost:3000", "[::1]:3000"] {
        let answer = server.get_with("/letter?a=b", &[("host", host)]).await;
        assert_eq!(answer.status, StatusCode::TEMPORARY_REDIRECT);
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        assert_eq!(
            answer.header("location"),
            Some("http://127.0.0.1:3000/letter?a=b")
        );
        let file = server
            .get_with("/assets/boot.0123456789abcdef.js", &[("host", host)])
            .await;
        assert_eq!(file.status, StatusCode::OK);
    }
    for host in ["127.0.0.1:3000", "chat.example.org", "localhost:4000"] {
        assert_eq!(
            server.get_with("/", &[("host", host)]).await.status,
            StatusCode::OK
        );
    }
}

#[tokio::test]
async fn a_websocket_needs_an_upgrade() {
    let server = Server::start().await;
    let answer = server.get("/ws").await;
    answer.refused(ErrorCode::UpgradeRequired);
    assert_eq!(answer.header("upgrade"), Some("websocket"));
    server
        .post("/ws", &json!({}))
        .await
        .refused(ErrorCode::MethodNotAllowed);
}

#[tokio::test]
async fn health_and_metrics_tell_the_state() {
    let server = Server::start().await;
    server.register(&Key::generate()).await;
    assert_eq!(server.admin("/health/live").await.ok::<Value>()["status"], "ok");
    assert_eq!(server.admin("/health/ready").await.ok::<Value>()["status"], "ok");
    let metrics = server.admin("/metrics").await;
    assert!(
        metrics
            .header("content-type")
            .unwrap()
            .starts_with("text/plain; version=0.0.4")
    );
    let text = std::str::from_utf8(&metrics.body).unwrap();
    assert!(text.contains("\nrly_mailboxes_made_total 1\n"), "{text}");
    server.admin("/nothing").await.refused(ErrorCode::NotFound);
    assert_eq!(server.get("/metrics").await.status, StatusCode::NOT_FOUND);

    server.relay.stop().await;
    let failing = server.admin("/health/ready").await;
    assert_eq!(failing.status, StatusCode::SERVICE_UNAVAILABLE);
    let failing: Value = failing.json();
    assert_eq!(failing["error"]["code"], "unavailable");
    assert!(!failing["part"].as_str().unwrap().is_empty());
    assert_eq!(server.admin("/health/live").await.status, StatusCode::OK);
}

/// Every example of the document is posted; where it names what an earlier answer gave, that is put in.
#[tokio::test]
async fn the_openapi_document_tells_the_truth() {
    let server = Server::start().await;
    let answer = server.get("/api/openapi.json").await;
    assert_eq!(answer.header("content-type"), Some("application/json"));
    let document: Value = answer.ok();
    assert_eq!(document["openapi"], "3.1.0");
    let mut given = json!({});
    for path in API {
        let operation = &document["paths"][path]["post"];
        let mut example = operation["requestBody"]["content"]["application/json"]["example"].clone();
        for (field, value) in example.as_object_mut().unwrap() {
            if value.as_str().is_some_and(|value| value.starts_with('<')) {
                *value = given[field].clone();
            }
        }
        let got: Value = server.post(path, &example).await.ok();
        let schema = operation["responses"]["200"]["content"]["application/json"]["schema"]["$ref"]
            .as_str()
            .and_then(|name| document.pointer(name.trim_start_matches('#')))
            .unwrap();
        for field in schema["required"].as_array().unwrap() {
            let field = field.as_str().unwrap();
            given[field] = got[field].clone();
            assert!(!given[field].is_null(), "{path}: {field}");
        }
        assert_eq!(
            got.as_object().unwrap().len(),
            schema["properties"].as_object().unwrap().len()
        );
    }
    let made = &document["paths"]["/api/rooms"]["post"];
    let example = &made["requestBody"]["content"]["application/json"]["example"];
    let got: Value = server.post("/api/rooms", example).await.ok();
    for (field, schema) in [("", "RoomState"), ("limits", "RoomLimits")] {
        let got = if field.is_empty() { &got } else { &got[field] };
        let schema = &document["components"]["schemas"][schema];
        for field in schema["required"].as_array().unwrap() {
            assert!(!got[field.as_str().unwrap()].is_null(), "{field}");
        }
        assert_eq!(
            got.as_object().unwrap().len(),
            schema["properties"].as_object().unwrap().len()
        );
    }
    // Each code that is named exists, with the status that it is listed under.
    for operation in document["paths"].as_object().unwrap().values() {
        for (status, answer) in operation
            .as_object()
            .unwrap()
            .values()
            .flat_map(|operation| operation["responses"].as_object().into_iter().flatten())
        {
            let told = answer["description"].as_str().unwrap();
            for name in told.split('`').skip(1).step_by(2) {
                if let Some(code) = ErrorCode::from_name(name) {
                    assert_eq!(code.status().to_string(), *status, "{name}");
                } else {
                    assert!(["opened_at", "part"].contains(&name), "{name}");
                }
            }
        }
    }
}

#[tokio::test]
async fn rooms_are_made_and_looked_at() {
    let server = Server::start().await;
    let creator = Key::generate().json();
    let limits = json!({"idle_seconds": 300, "life_seconds": 43200, "people": 50, "history": 200});
    let room = |n: u8| json!(rly_protocol::RoomId([n; 16]));
    let token = json!(rly_protocol::api::Blob(vec![7; 32]));
    let body = |n| json!({"room": room(n), "token_hash": token, "creator": creator, "limits": limits});
    let made: Value = server.post("/api/rooms", &body(1)).await.ok();
    assert_eq!(
        (&made["room"], &made["limits"], &made["people"]),
        (&room(1), &limits, &json!(0))
    );
    let path = format!("/api/rooms/{}", room(1).as_str().unwrap());
    let seen: Value = server.get(&path).await.ok();
    assert_eq!(
        (&seen["closes_at"], &seen["ends_at"]),
        (&made["closes_at"], &made["ends_at"])
    );
    server
        .post("/api/rooms", &body(1))
        .await
        .refused(ErrorCode::RoomTaken);
    for nobody in [room(2).as_str().unwrap(), "x", "%ff"] {
        let answer = server.get(&format!("/api/rooms/{nobody}")).await;
        answer.refused(ErrorCode::NoRoom);
    }
    for (field, wrong, code) in [
        ("token_hash", json!("AAAA"), ErrorCode::RoomInvalid),
        (
            "creator",
            json!(rly_protocol::to_base64url(&[4; 65])),
            ErrorCode::KeyInvalid,
        ),
        (
            "limits",
            json!({"idle_seconds": 1, "life_seconds": 9, "people": 2, "history": 0}),
            ErrorCode::RoomInvalid,
        ),
        ("limits", json!({}), ErrorCode::BadRequest),
        ("more", json!(1), ErrorCode::BadRequest),
    ] {
        let mut body = body(3);
        body[field] = wrong;
        server.post("/api/rooms", &body).await.refused(code);
    }
    server
        .post(&path, &body(1))
        .await
        .refused(ErrorCode::MethodNotAllowed);
    server
        .get("/api/rooms")
        .await
        .refused(ErrorCode::MethodNotAllowed);
}
