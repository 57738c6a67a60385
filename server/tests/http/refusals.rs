//! What is not taken, and what is said then.

use crate::{
    common::{Key, ORIGIN},
    harness::{API, Server, post, share},
};
use axum::body::Body;
use http::{HeaderName, Request, StatusCode, header};
use rly_protocol::{
    ErrorCode,
    api::{Registered, Shared},
};
use rly_relay::Limits;
use serde_json::json;

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
