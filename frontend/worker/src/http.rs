//! The HTTP API, by fetch.

use core::time::Duration;
use js_sys::{Promise, global};
use rly_client::{HttpError, HttpOk, HttpRequest, HttpResult};
use rly_protocol::{ErrorCode, api::ErrorBody};
use serde::{Serialize, de::DeserializeOwned};
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{
    AbortSignal, DedicatedWorkerGlobalScope, Headers, RequestCache, RequestCredentials, RequestInit,
    RequestRedirect, Response,
};

/// A server that says nothing for so long will not answer.
const PATIENCE_MS: u32 = 30_000;
/// The longest wait that a server may ask for, in seconds.
const LONGEST_WAIT: u64 = 86_400;

/// Makes a request.
pub(crate) async fn request(request: HttpRequest) -> HttpResult {
    match request {
        HttpRequest::Register(body) => post("/api/register_sim", &body).await.map(HttpOk::Registered),
        HttpRequest::Share(body) => post("/api/share_contact", &body).await.map(HttpOk::Shared),
    }
}

async fn post<T: DeserializeOwned>(path: &str, body: &impl Serialize) -> Result<T, HttpError> {
    let (status, wait, text) = exchange(path, body).await.map_err(|_| HttpError::Network)?;
    if (200..300).contains(&status) {
        return serde_json::from_str(&text).map_err(|_| HttpError::Network);
    }
    // Another body than ours is a proxy's: the server behind it was not reached.
    let refusal: ErrorBody = serde_json::from_str(&text).map_err(|_| HttpError::Network)?;
    let code = ErrorCode::from_name(&refusal.error.code).unwrap_or(if status >= 500 {
        ErrorCode::Internal
    } else {
        ErrorCode::BadRequest
    });
    Err(HttpError::Code(code, wait))
}

async fn exchange(path: &str, body: &impl Serialize) -> Result<(u16, Option<Duration>, String), JsValue> {
    let body = serde_json::to_string(body).map_err(|_| JsValue::UNDEFINED)?;
    let headers = Headers::new()?;
    headers.set("content-type", "application/json")?;
    let init = RequestInit::new();
    init.set_method("POST");
    init.set_headers(&headers);
    init.set_body(&body.into());
    init.set_cache(RequestCache::NoStore);
    init.set_credentials(RequestCredentials::Omit);
    init.set_redirect(RequestRedirect::Error);
    init.set_signal(Some(&AbortSignal::timeout_with_u32(PATIENCE_MS)));

    let scope: DedicatedWorkerGlobalScope = global().unchecked_into();
    let fetched: Promise = scope.fetch_with_str_and_init(path, &init);
    let response: Response = JsFuture::from(fetched).await?.unchecked_into();
    let wait = response.headers().get("retry-after")?;
    let wait = wait
        .and_then(|seconds| seconds.parse().ok())
        .map(|seconds: u64| Duration::from_secs(seconds.min(LONGEST_WAIT)));
    let text = JsFuture::from(response.text()?).await?;
    Ok((response.status(), wait, text.as_string().unwrap_or_default()))
}
