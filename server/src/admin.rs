//! Health and metrics, on a listener of their own.

use crate::error::ApiRefusal;
use axum::{
    Json, Router,
    extract::State,
    response::{IntoResponse, Response},
    routing::get,
};
use http::{HeaderValue, StatusCode, header};
use rly_protocol::{ErrorCode, api::ErrorBody};
use rly_relay::{Metrics, Relay};
use serde_json::json;
use std::{fmt::Write, time::Duration};
use tokio::time::timeout;

/// How long the relay may take to say that it is ready. It waits for its store only; of a broker it
/// knows.
const READY_TIME: Duration = Duration::from_secs(5);

/// The admin router.
pub fn router(relay: Relay) -> Router {
    Router::new()
        .route("/health/live", get(|| async { Json(json!({"status": "ok"})) }))
        .route("/health/ready", get(ready))
        .route("/metrics", get(metrics))
        .fallback(|| async { ApiRefusal::from(ErrorCode::NotFound) })
        .method_not_allowed_fallback(|| async { ApiRefusal::from(ErrorCode::MethodNotAllowed) })
        .with_state(relay)
}

async fn ready(State(relay): State<Relay>) -> Response {
    let part = match timeout(READY_TIME, relay.ready()).await {
        Ok(Ok(())) => return Json(json!({"status": "ok"})).into_response(),
        Ok(Err(part)) => part,
        Err(_) => "store".into(),
    };
    let ErrorBody { mut error } = ErrorBody::new(ErrorCode::Unavailable);
    error.message = format!("Not usable now: {part}.");
    let body = Json(json!({"status": "failing", "part": part, "error": error}));
    let mut answer = (StatusCode::SERVICE_UNAVAILABLE, body).into_response();
    answer
        .headers_mut()
        .insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    answer
}

async fn metrics(State(relay): State<Relay>) -> Response {
    let media_type = [(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
    (media_type, text(&relay.metrics())).into_response()
}

/// Prometheus' text format: gauges tell the present, counters count since the start.
fn text(now: &Metrics) -> String {
    let mut text = String::with_capacity(4096);
    let mut line = |name: &str, kind: &str, help: &str, value: u64| {
        // Writing to a String does not fail.
        let _ = writeln!(
            text,
            "# HELP rly_{name} {help}\n# TYPE rly_{name} {kind}\nrly_{name} {value}"
        );
    };
    line("connections", "gauge", "Websocket connections.", now.connections);
    line("queues", "gauge", "Queues in memory.", now.queues);
    line(
        "pending_envelopes",
        "gauge",
        "Envelopes neither committed nor acknowledged.",
        now.pending,
    );
    line(
        "log_partitions",
        "gauge",
        "Partitions that this node moves into the store.",
        now.partitions,
    );
    line(
        "log_lag_ms",
        "gauge",
        "Age of the oldest record of the last batch.",
        now.lag_ms,
    );
    for (name, help, value) in [
        ("mailboxes_made", "Mailboxes made.", now.registered),
        ("invites_made", "Invites made.", now.shared),
        ("invites_opened", "Invites opened.", now.claimed),
        ("envelopes_accepted", "Envelopes accepted.", now.accepted),
        (
            "envelopes_delivered",
            "Envelopes given to a reader.",
            now.delivered,
        ),
        (
            "envelopes_acknowledged",
            "Envelopes acknowledged by a reader.",
            now.acknowledged,
        ),
        (
            "envelopes_elided",
            "Envelopes acknowledged before they were written.",
            now.elided,
        ),
        ("envelopes_committed", "Envelopes committed.", now.committed),
        (
            "envelopes_expired",
            "Envelopes that nobody fetched in time.",
            now.expired,
        ),
        ("commits", "Commits.", now.commits),
        ("commit_failures", "Commits that failed.", now.commit_failures),
        ("rate_limited", "Requests refused for a rate.", now.rate_limited),
        (
            "queue_full",
            "Envelopes refused because a queue was full.",
            now.queue_full,
        ),
        (
            "slow_connections",
            "Connections cut because they read too slowly.",
            now.too_slow,
        ),
        (
            "log_published",
            "Envelopes that the log has taken.",
            now.published,
        ),
        (
            "log_publish_us",
            "Microseconds that the log took for them.",
            now.published_us,
        ),
        (
            "log_publish_failures",
            "Envelopes that the log did not take in time.",
            now.publish_failures,
        ),
        (
            "log_producers_replaced",
            "Producers that took nothing any more while the broker worked.",
            now.producers_replaced,
        ),
        (
            "log_moved",
            "Records moved from the log into the store.",
            now.moved,
        ),
        ("log_moved_bytes", "Their bytes.", now.moved_bytes),
        (
            "log_move_us",
            "Microseconds that the store took for them.",
            now.moved_us,
        ),
        (
            "log_repeated",
            "Records that were in the store, or whose mailbox is gone.",
            now.repeated_records,
        ),
        (
            "log_unreadable",
            "Records that are not ours.",
            now.unreadable_records,
        ),
        ("log_rebalances", "Partitions given and taken.", now.rebalances),
        (
            "log_fenced",
            "Partitions that another node had taken first.",
            now.fenced,
        ),
        (
            "log_gaps",
            "Gaps in the log: clients were told to send again.",
            now.log_gaps,
        ),
        ("log_trims", "How often the log was trimmed.", now.trims),
        ("wakes", "Wakes from other nodes.", now.wakes),
        (
            "wake_ms",
            "Milliseconds that they were on their way.",
            now.wakes_ms,
        ),
    ] {
        line(&format!("{name}_total"), "counter", help, value);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_metric_has_help_type_and_value() {
        let text = text(&Metrics {
            connections: 7,
            commits: 9,
            ..Metrics::default()
        });
        assert!(text.contains("# TYPE rly_connections gauge\nrly_connections 7\n"));
        assert!(text.contains("# TYPE rly_commits_total counter\nrly_commits_total 9\n"));
        assert_eq!(text.lines().count() % 3, 0);
    }
}
