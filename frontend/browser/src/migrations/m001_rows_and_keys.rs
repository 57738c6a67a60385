//! The first form: sealed rows under binary keys, and the key that seals them.

use wasm_bindgen::JsValue;
use web_sys::IdbDatabase;

pub(super) fn up(db: &IdbDatabase) -> Result<(), JsValue> {
    db.create_object_store("rows")?;
    db.create_object_store("keys")?;
    Ok(())
}
