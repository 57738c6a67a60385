//! Refusals as HTTP answers: always `{"error":{"code","message"}}` with the code's status.

use axum::{Json, response::IntoResponse};
use http::{HeaderValue, StatusCode, header};
use rly_protocol::{ErrorCode, api::ErrorBody};
use rly_relay::Refusal;
use std::time::Duration;

/// An error answer.
#[derive(Clone, Debug)]
pub(crate) struct ApiRefusal {
    body: ErrorBody,
    code: ErrorCode,
    retry_after: Option<Duration>,
}

impl ApiRefusal {
    /// A finished body with the code it names; `retry_after` counts where the status allows a retry.
    pub(crate) fn new(code: ErrorCode, body: ErrorBody, retry_after: Option<Duration>) -> Self {
        Self {
            body,
            code,
            retry_after,
        }
    }
}

impl From<ErrorCode> for ApiRefusal {
    fn from(code: ErrorCode) -> Self {
        Self::new(code, ErrorBody::new(code), None)
    }
}

impl From<Refusal> for ApiRefusal {
    fn from(refusal: Refusal) -> Self {
        let mut body = ErrorBody::new(refusal.code);
        body.error.opened_at = refusal.opened_at;
        Self::new(refusal.code, body, refusal.retry_after)
    }
}

impl IntoResponse for ApiRefusal {
    fn into_response(self) -> axum::response::Response {
        let status = StatusCode::from_u16(self.code.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut answer = (status, Json(self.body)).into_response();
        let headers = answer.headers_mut();
        if matches!(
            status,
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE
        ) {
            // Whole seconds, rounded up: a retry too early would be refused again.
            let wait = self
                .retry_after
                .map_or(1, |wait| wait.as_millis().div_ceil(1000).max(1));
            if let Ok(wait) = HeaderValue::from_str(&wait.to_string()) {
                headers.insert(header::RETRY_AFTER, wait);
            }
        }
        if status == StatusCode::UPGRADE_REQUIRED {
            headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        }
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        answer
    }
}
