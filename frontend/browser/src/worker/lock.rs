//! The lock that makes one worker the leader. A browser frees it at once when its holder ends, in
//! whatever way.

use js_sys::{Function, Promise, Reflect};
use wasm_bindgen::{JsCast, JsValue, closure::Closure, prelude::wasm_bindgen};
use web_sys::DedicatedWorkerGlobalScope;

#[wasm_bindgen]
extern "C" {
    /// web-sys has it only behind its flag for unstable interfaces.
    type LockManager;

    #[wasm_bindgen(method, catch)]
    fn request(this: &LockManager, name: &str, granted: &Function) -> Result<Promise, JsValue>;
}

/// Calls `lead` once this worker holds the lock, which it keeps until it ends.
pub(super) fn when_leader(
    scope: &DedicatedWorkerGlobalScope,
    name: &str,
    lead: impl FnOnce() + 'static,
) -> Result<(), JsValue> {
    let locks: LockManager = Reflect::get(&scope.navigator(), &"locks".into())?.unchecked_into();
    let granted = Closure::once_into_js(move || {
        lead();
        // Never settled, so the lock is never given back.
        Promise::new(&mut |_, _| {})
    });
    // A refusal is a rejection that nobody handles, which boot.js makes an error for the page.
    let _ = locks.request(name, granted.unchecked_ref())?;
    Ok(())
}
