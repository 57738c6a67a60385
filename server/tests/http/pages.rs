//! Pages and files, and the headers of all that is answered.

use crate::{
    common::make_site,
    harness::{API, Server},
};
use http::StatusCode;
use rly_protocol::ErrorCode;
use rly_relay::Limits;
use rly_server::Site;
use serde_json::json;
use std::collections::HashSet;

/// The whole of it, as the design has it, and what makes a policy for Trusted Types necessary.
const CSP: &str = "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; connect-src 'self'; \
    style-src 'self'; img-src 'self' blob: data:; worker-src 'self'; manifest-src 'self'; base-uri 'none'; \
    form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types default";

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
