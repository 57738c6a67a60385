//! Links, rooms, and the document that describes them.

use crate::{
    common::Key,
    harness::{API, Server, post},
};
use axum::body::Body;
use http::{Method, Request, StatusCode, header};
use rly_protocol::{ErrorCode, Timestamp, api::Imported};
use rly_server::Remote;
use serde_json::{Value, json};
use tower::ServiceExt;

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
