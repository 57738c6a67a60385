//! Every public path.

use crate::{
    PageError, PublicUrl, TrustedProxies, api, error::ApiRefusal, fixed::Fixed, headers::secure, openapi,
    room_api, site::Site, websocket,
};
use axum::{
    Router,
    body::Body,
    extract::State,
    middleware::{self, Next},
    response::{IntoResponse, Redirect, Response},
    routing::{get, post},
};
use http::{HeaderMap, Method, Request, StatusCode, Uri, header};
use rly_protocol::ErrorCode;
use rly_relay::{Relay, Seats};
use std::{sync::Arc, time::Instant};
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;

/// API calls in work at one time, once their bodies are there; more are told to come back. 64 claims at
/// one moment are promised.
const API_CALLS: usize = 512;

/// What the routes work with.
pub struct Parts {
    pub(crate) relay: Relay,
    pub(crate) public: PublicUrl,
    pub(crate) proxies: TrustedProxies,
    pub(crate) api_calls: Semaphore,
    /// API calls of each client, from their heads on.
    pub(crate) callers: Seats,
    pub(crate) sockets: TaskTracker,
    fixed: Fixed,
}

impl Parts {
    /// Renders the pages and brings everything together.
    ///
    /// # Errors
    /// [`PageError`] for a page that cannot be served.
    pub async fn new(
        relay: Relay,
        public: PublicUrl,
        proxies: TrustedProxies,
        site: Site,
    ) -> Result<Self, PageError> {
        Ok(Self {
            callers: Seats::new(relay.limits().calls_per_peer),
            relay,
            public,
            proxies,
            api_calls: Semaphore::new(API_CALLS),
            sockets: TaskTracker::new(),
            fixed: Fixed::make(site).await?,
        })
    }
}

/// The public router.
pub fn router(parts: Arc<Parts>) -> Router {
    Router::new()
        .route("/api/register_sim", post(api::call))
        .route("/api/share_contact", post(api::call))
        .route("/api/import_contact", post(api::call))
        .route("/api/rooms", post(room_api::create))
        .route("/api/rooms/{id}", get(room_api::look))
        .route(openapi::PATH, get(document))
        .route("/ws", get(websocket::upgrade))
        .fallback(other)
        .method_not_allowed_fallback(|| async { ApiRefusal::from(ErrorCode::MethodNotAllowed) })
        .layer(middleware::from_fn_with_state(Arc::clone(&parts), finish))
        .with_state(parts)
}

async fn document(State(parts): State<Arc<Parts>>, headers: HeaderMap) -> Response {
    parts.fixed.openapi().answer(StatusCode::OK, &headers)
}

/// Files, pages, and everything that does not exist.
async fn other(State(parts): State<Arc<Parts>>, method: Method, uri: Uri, headers: HeaderMap) -> Response {
    let path = uri.path();
    if path == "/api" || path.starts_with("/api/") {
        return ApiRefusal::from(ErrorCode::NotFound).into_response();
    }
    if method != Method::GET && method != Method::HEAD {
        let mut answer = ApiRefusal::from(ErrorCode::MethodNotAllowed).into_response();
        answer
            .headers_mut()
            .insert(header::ALLOW, http::HeaderValue::from_static("GET,HEAD"));
        return answer;
    }
    if let Some(file) = parts.fixed.file(path) {
        return file.answer(StatusCode::OK, &headers);
    }
    if headers
        .get(header::HOST)
        .is_some_and(|host| parts.public.is_alias(host))
    {
        let rest = uri.path_and_query().map_or("/", |rest| rest.as_str());
        // Not for good: tomorrow the public address may be this one, and a browser that remembered
        // would go round in circles.
        let to = Redirect::temporary(&format!("{}{rest}", parts.public));
        return ([(header::CACHE_CONTROL, "no-store")], to).into_response();
    }
    let (status, page) = parts.fixed.page(path);
    page.answer(status, &headers)
}

/// Headers for all, and a line for whoever debugs. The path is not in it: what
/// people mistype there may be a secret.
async fn finish(State(parts): State<Arc<Parts>>, request: Request<Body>, next: Next) -> Response {
    let (start, method) = (Instant::now(), request.method().clone());
    let answer = secure(next.run(request).await, &parts.public);
    tracing::debug!(
        %method,
        status = answer.status().as_u16(),
        us = u64::try_from(start.elapsed().as_micros()).unwrap_or(u64::MAX),
        "answered"
    );
    answer
}
