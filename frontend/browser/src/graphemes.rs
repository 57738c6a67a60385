//! Characters as a person counts them: extended grapheme clusters (Unicode annex 29). Browsers have the
//! tables for that, which would be tens of kilobytes here.

use js_sys::{Object, Reflect};
use wasm_bindgen::{JsValue, prelude::wasm_bindgen};

#[wasm_bindgen]
extern "C" {
    #[wasm_bindgen(js_namespace = Intl)]
    type Segmenter;

    #[wasm_bindgen(constructor, js_namespace = Intl, catch)]
    fn new(locales: &JsValue, options: &Object) -> Result<Segmenter, JsValue>;

    #[wasm_bindgen(method)]
    fn segment(this: &Segmenter, text: &str) -> JsValue;
}

/// How many characters a text has. Where the browser has no tables (Firefox before 125) code points are
/// counted: never fewer, so what is sent is short enough for everybody.
pub fn count(text: &str) -> usize {
    if text.bytes().all(|byte| byte.is_ascii() && byte != b'\r') {
        return text.len();
    }
    segments(text).unwrap_or_else(|_| text.chars().count())
}

fn segments(text: &str) -> Result<usize, JsValue> {
    let options = Object::new();
    Reflect::set(&options, &"granularity".into(), &"grapheme".into())?;
    let segments = Segmenter::new(&JsValue::UNDEFINED, &options)?.segment(text);
    let iterator = js_sys::try_iter(&segments)?.ok_or(JsValue::UNDEFINED)?;
    Ok(iterator.count())
}
