//! Everything of this browser was deleted: whoever holds something in memory has to forget it.

use wasm_bindgen::{JsCast, JsValue, closure::Closure};
use web_sys::{BroadcastChannel, MessageEvent};

const CHANNEL: &str = "rly-erased";

/// Tells the other workers.
pub(crate) fn tell_erased() {
    // Without the channel no other worker runs.
    if let Ok(channel) = BroadcastChannel::new(CHANNEL) {
        let _ = channel.post_message(&JsValue::NULL);
        channel.close();
    }
}

/// Calls `then` when another worker has deleted everything, as long as this one lives.
///
/// # Errors
/// What the browser threw.
pub fn erased(then: impl Fn() + 'static) -> Result<(), JsValue> {
    let channel = BroadcastChannel::new(CHANNEL)?;
    let on = Closure::<dyn Fn(MessageEvent)>::new(move |_: MessageEvent| then());
    channel.set_onmessage(Some(on.into_js_value().unchecked_ref()));
    // Held by the browser as long as it has a listener.
    Ok(())
}
