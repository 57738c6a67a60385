//! The layer around the server functions. Leptos gives them path and body; everything else that
//! HTTP asks for is here: origin, content type, size, time, and the status of an error.

use crate::{error::ApiRefusal, peer::Remote, router::Parts};
use axum::{
    body::Body,
    extract::State,
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, StatusCode, header, request};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use leptos::prelude::provide_context;
use rly_app::api::{ApiError, Peer, RetryAfter};
use rly_protocol::ErrorCode;
use std::{sync::Arc, time::Duration};
use tokio::time::timeout;

/// A card of 64 KiB in base64, the token and room for more fields.
const BODY_MAX: usize = 128 << 10;
/// How long a body may take to arrive.
const BODY_TIME: Duration = Duration::from_secs(10);
/// How long the relay may take before the answer is that it cannot do it now.
pub(crate) const ANSWER_TIME: Duration = Duration::from_secs(15);
/// Said by leptos to leptos; other clients know the status.
const LEPTOS_ERROR: &str = "serverfnerror";

/// Carries a request to its server function, and the answer back.
pub(crate) async fn call(State(parts): State<Arc<Parts>>, request: Request<Body>) -> Response {
    answer(&parts, request)
        .await
        .unwrap_or_else(IntoResponse::into_response)
}

async fn answer(parts: &Parts, request: Request<Body>) -> Result<Response, ApiRefusal> {
    let (head, body) = request.into_parts();
    check(parts, &head.headers)?;
    let Some(remote) = head.extensions.get::<Remote>() else {
        return Err(ErrorCode::Internal.into());
    };
    let peer = parts.proxies.client(*remote, &head.headers);
    let Some(_seat) = parts.callers.take(peer) else {
        return Err(ErrorCode::RateLimited.into());
    };
    let body = read(body).await?;
    // Not before: who sends its body slowly would keep everybody else out.
    let Ok(_permit) = parts.api_calls.try_acquire() else {
        return Err(ErrorCode::Unavailable.into());
    };
    let wait = RetryAfter::default();
    let context = {
        let (relay, wait) = (parts.relay.clone(), wait.clone());
        move || {
            provide_context(relay.clone());
            provide_context(Peer(peer));
            provide_context(wait.clone());
        }
    };
    let call = leptos_axum::handle_server_fns_with_context(context, forward(head, body)?);
    match timeout(ANSWER_TIME, call).await {
        Ok(answer) => finish(answer.into_response(), &wait).await,
        Err(_) => Err(ErrorCode::Unavailable.into()),
    }
}

/// A page of another website can send requests here, but not without saying so.
pub(crate) fn check(parts: &Parts, headers: &HeaderMap) -> Result<(), ErrorCode> {
    let ours = |origin: &HeaderValue| parts.public.is_origin(origin);
    if !headers.get_all(header::ORIGIN).iter().all(ours) {
        return Err(ErrorCode::ForeignOrigin);
    }
    let json = |value: &HeaderValue| {
        let media_type = value.to_str().unwrap_or_default().split(';').next();
        media_type.is_some_and(|name| name.trim().eq_ignore_ascii_case("application/json"))
    };
    if !headers.get(header::CONTENT_TYPE).is_some_and(json) {
        return Err(ErrorCode::UnsupportedMediaType);
    }
    Ok(())
}

pub(crate) async fn read(body: Body) -> Result<Bytes, ErrorCode> {
    match timeout(BODY_TIME, Limited::new(body, BODY_MAX).collect()).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(ErrorCode::TooLarge),
        _ => Err(ErrorCode::BadRequest),
    }
}

/// The request as the server function sees it: without the headers that would make leptos redirect.
fn forward(head: request::Parts, body: Bytes) -> Result<Request<Body>, ErrorCode> {
    Request::builder()
        .method(head.method)
        .uri(head.uri)
        .header(header::CONTENT_TYPE, "application/json")
        .body(Body::from(body))
        .map_err(|_| ErrorCode::Internal)
}

async fn finish(answer: Response, RetryAfter(wait): &RetryAfter) -> Result<Response, ApiRefusal> {
    let (head, body) = answer.into_parts();
    let failed = head.headers.contains_key(LEPTOS_ERROR) || !head.status.is_success();
    let body = body.collect().await.map_err(|_| ErrorCode::Internal)?.to_bytes();
    if failed {
        return Err(refusal(&body, wait.get().copied()));
    }
    let mut answer = (StatusCode::OK, body).into_response();
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(answer)
}

fn refusal(body: &[u8], wait: Option<Duration>) -> ApiRefusal {
    match serde_json::from_slice::<ApiError>(body) {
        // "What came is not what was expected": in a browser a foreign answer, here the request.
        Ok(ApiError::Network) => ErrorCode::BadRequest.into(),
        Ok(error) => match error.code() {
            None | Some(ErrorCode::Internal) => internal(),
            Some(code) => ApiRefusal::new(code, error.into(), wait),
        },
        Err(_) => internal(),
    }
}

fn internal() -> ApiRefusal {
    tracing::error!("a server function failed in a way that has no code");
    ErrorCode::Internal.into()
}
