//! The listener that is not public.

use crate::{common::Key, harness::Server};
use http::StatusCode;
use rly_protocol::ErrorCode;
use serde_json::Value;

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
