//! The HTTP API, by fetch.

use core::time::Duration;
use js_sys::{Promise, global};
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

/// Why there is no answer to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// The server was not reached.
    Network,
    /// It said no, and perhaps how long to wait.
    Code(ErrorCode, Option<Duration>),
}

/// Posts a body, or asks for what is there if there is none.
///
/// # Errors
/// [`Refused`].
pub async fn ask<T: DeserializeOwned>(path: &str, body: Option<&impl Serialize>) -> Result<T, Refused> {
    let body = body
        .map(serde_json::to_string)
        .transpose()
        .map_err(|_| Refused::Network)?;
    let (status, wait, text) = exchange(path, body).await.map_err(|_| Refused::Network)?;
    if (200..300).contains(&status) {
        return serde_json::from_str(&text).map_err(|_| Refused::Network);
    }
    // Another body than ours is a proxy's: the server behind it was not reached.
    let refusal: ErrorBody = serde_json::from_str(&text).map_err(|_| Refused::Network)?;
    let code = ErrorCode::from_name(&refusal.error.code).unwrap_or(if status >= 500 {
        ErrorCode::Internal
    } else {
        ErrorCode::BadRequest
    });
    Err(Refused::Code(code, wait))
}

async fn exchange(path: &str, body: Option<String>) -> Result<(u16, Option<Duration>, String), JsValue> {
    let init = RequestInit::new();
    if let Some(body) = body {
        let headers = Headers::new()?;
        headers.set("content-type", "application/json")?;
        init.set_method("POST");
        init.set_headers(&headers);
        init.set_body(&body.into());
    }
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
