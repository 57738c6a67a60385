//! IndexedDB's events as futures.
//!
//! The handlers are the two functions of a promise, so no closure has to be kept alive, and what
//! waits goes on in a microtask of the event: the transaction is still active there. Nothing else
//! may be awaited between the requests of one transaction.

use crate::StoreError;
use js_sys::Promise;
use wasm_bindgen::JsValue;
use wasm_bindgen_futures::JsFuture;
use web_sys::{IdbOpenDbRequest, IdbRequest, IdbTransaction};

/// The result of a request.
pub(crate) async fn result(request: &IdbRequest) -> Result<JsValue, StoreError> {
    let promise = Promise::new(&mut |resolve, reject| {
        request.set_onsuccess(Some(&resolve));
        request.set_onerror(Some(&reject));
    });
    let ended = JsFuture::from(promise).await;
    finish(request, ended)
}

/// The database of a request to open it; [`StoreError::Blocked`] if another tab keeps an older
/// version of it open although it was asked not to.
pub(crate) async fn opened(request: &IdbOpenDbRequest) -> Result<JsValue, StoreError> {
    let promise = Promise::new(&mut |resolve, reject| {
        request.set_onsuccess(Some(&resolve));
        request.set_onerror(Some(&reject));
        // Resolved without a result, which tells it from an error.
        request.set_onblocked(Some(&resolve));
    });
    let ended = JsFuture::from(promise).await;
    if ended.is_ok() && request.ready_state() == web_sys::IdbRequestReadyState::Pending {
        return Err(StoreError::Blocked);
    }
    finish(request, ended)
}

fn finish(request: &IdbRequest, ended: Result<JsValue, JsValue>) -> Result<JsValue, StoreError> {
    match ended {
        Ok(_) => request.result().map_err(|error| StoreError::from_js(&error)),
        Err(_) => Err(match request.error() {
            Ok(Some(error)) => StoreError::from_js(&error),
            _ => StoreError::Refused,
        }),
    }
}

/// Waits until a transaction is on the disk.
pub(crate) async fn completed(transaction: &IdbTransaction) -> Result<(), StoreError> {
    let promise = Promise::new(&mut |resolve, reject| {
        transaction.set_oncomplete(Some(&resolve));
        // A failed request aborts its transaction, so this hears of every failure.
        transaction.set_onabort(Some(&reject));
    });
    match JsFuture::from(promise).await {
        Ok(_) => Ok(()),
        Err(_) => Err(transaction
            .error()
            .map_or(StoreError::Refused, |error| StoreError::from_js(&error))),
    }
}
