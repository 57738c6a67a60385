//! Small questions to the browser that need no port: where we are, what it can, two settings that
//! are no secret. Every function is for the browser only: call them in effects and handlers.

use leptos::prelude::{document, window};
#[cfg(feature = "rooms")]
use wasm_bindgen::closure::Closure;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;

/// Apps whose built-in browser forgets everything when it is closed, by a part of its user agent.
const IN_APP: [&str; 11] = [
    "Instagram",
    "FBAN/",
    "FBAV/",
    "Line/",
    "MicroMessenger",
    "BytedanceWebview",
    "musical_ly",
    "Snapchat",
    "Twitter for",
    "LinkedInApp",
    "Pinterest/",
];

/// Whether a user agent is an app's built-in browser, in which a SIM would soon be lost.
pub fn is_in_app(user_agent: &str) -> bool {
    IN_APP.iter().any(|app| user_agent.contains(app))
}

/// Whether a link leads to the computer that it is opened on.
pub fn is_loopback(url: &str) -> bool {
    let authority = url.split_once("://").map_or(url, |(_, rest)| rest);
    let host = authority.split(['/', '#', '?']).next().unwrap_or_default();
    let name = match host.strip_prefix('[') {
        Some(v6) => v6.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    name == "localhost" || name.ends_with(".localhost") || name == "::1" || name.starts_with("127.")
}

/// Whether this page is open in an app's built-in browser.
pub fn in_app() -> bool {
    window().navigator().user_agent().is_ok_and(|ua| is_in_app(&ua))
}

/// Whether there is a pointer that can hover: then a focused text box opens no keyboard on a screen.
pub fn has_pointer() -> bool {
    let query = window().match_media("(hover: hover)");
    query.ok().flatten().is_some_and(|query| query.matches())
}

/// Whether the page can be seen.
pub fn is_visible() -> bool {
    !document().hidden()
}

/// The fragment of the address, without `#`.
pub fn fragment() -> String {
    let hash = window().location().hash().unwrap_or_default();
    hash.strip_prefix('#').unwrap_or(&hash).to_owned()
}

/// The whole address.
pub fn address() -> String {
    window().location().href().unwrap_or_default()
}

/// Loads the page anew.
pub fn reload() {
    // It cannot fail in a page that is shown; and then nothing is to be done.
    let _ = window().location().reload();
}

/// Leaves links to pages that are not of these to the browser: the router would find nothing there.
#[cfg(feature = "rooms")]
pub fn let_go(ours: fn(&str) -> bool) {
    let on_click = Closure::<dyn Fn(web_sys::Event)>::new(move |event: web_sys::Event| {
        let clicked = event
            .target()
            .and_then(|target| target.dyn_into::<web_sys::Element>().ok());
        let link = clicked.and_then(|element| element.closest("a[href]").ok().flatten());
        let href = link
            .and_then(|link| link.get_attribute("href"))
            .unwrap_or_default();
        let path = href.split(['#', '?']).next().unwrap_or_default();
        if path.starts_with('/') && !ours(path) {
            // On its way down, before anybody else hears of it.
            event.stop_propagation();
        }
    });
    let _ = document().add_event_listener_with_callback_and_bool(
        "click",
        on_click.into_js_value().unchecked_ref(),
        true,
    );
}

/// Whether the system has a sheet to share with.
pub fn can_share() -> bool {
    js_sys::Reflect::has(&window().navigator(), &JsValue::from_str("share")).unwrap_or(false)
}

/// Opens the system's sheet to share a link.
pub async fn share(url: String) {
    let data = web_sys::ShareData::new();
    data.set_url(&url);
    // Closing the sheet is an error to the browser, not to a person.
    let _ = JsFuture::from(window().navigator().share_with_data(&data)).await;
}

/// The text of the file chosen in an input.
pub async fn file_text(input: &web_sys::HtmlInputElement) -> Option<String> {
    let file = input.files()?.get(0)?;
    JsFuture::from(file.text()).await.ok()?.as_string()
}

/// Moves the focus to an element.
pub fn focus(element: &web_sys::Element) {
    if let Some(element) = element.dyn_ref::<web_sys::HtmlElement>() {
        // An element that is gone takes no focus.
        let _ = element.focus();
    }
}

/// A small setting of this browser that is no secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Setting {
    /// `light` or `dark`; the system's look otherwise.
    Look,
    /// The language's tag.
    Language,
    /// That there is a SIM here: enough to choose the first screen before the worker has come.
    HasSim,
}

impl Setting {
    fn key(self) -> &'static str {
        match self {
            Self::Look => "rly-look",
            Self::Language => "rly-language",
            Self::HasSim => "rly-sim",
        }
    }

    /// What it is set to.
    pub fn read(self) -> Option<String> {
        storage()?.get_item(self.key()).ok().flatten()
    }

    /// Sets it, or takes it away. A browser that refuses storage does without.
    pub fn write(self, value: Option<&str>) {
        // Reading is from memory; writing goes to another process, even of what is there.
        if self.read().as_deref() == value {
            return;
        }
        let Some(storage) = storage() else { return };
        let _ = match value {
            Some(value) => storage.set_item(self.key(), value),
            None => storage.remove_item(self.key()),
        };
    }
}

fn storage() -> Option<web_sys::Storage> {
    window().local_storage().ok().flatten()
}

/// Shows the look that was chosen.
pub fn apply_look() {
    let Some(root) = document().document_element() else {
        return;
    };
    let _ = match Setting::Look.read().as_deref() {
        Some(look @ ("light" | "dark")) => root.set_attribute("data-theme", look),
        _ => root.remove_attribute("data-theme"),
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn built_in_browsers_are_known() {
        for ua in [
            "Mozilla/5.0 (iPhone; CPU iPhone OS 17_0 like Mac OS X) AppleWebKit/605.1.15 Mobile/15E148 Instagram 300.0",
            "Mozilla/5.0 (Linux; Android 14) Chrome/119.0 Mobile Safari/537.36 [FB_IAB/FB4A;FBAV/440.0;]",
            "Mozilla/5.0 (Linux; Android 14) Chrome/86.0 Mobile Safari/537.36 MicroMessenger/8.0.40",
            "Mozilla/5.0 (iPhone; CPU iPhone OS 17_0) AppleWebKit/605.1.15 Twitter for iPhone/10.1",
            "Mozilla/5.0 (iPhone) AppleWebKit/605.1.15 Safari Line/13.1.0",
        ] {
            assert!(is_in_app(ua), "{ua}");
        }
        for ua in [
            "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36",
            "Mozilla/5.0 (iPhone; CPU iPhone OS 17_0 like Mac OS X) AppleWebKit/605.1.15 Version/17.0 Mobile/15E148 Safari/604.1",
            "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
        ] {
            assert!(!is_in_app(ua), "{ua}");
        }
    }

    #[test]
    fn loopback_is_known_in_all_its_names() {
        for url in [
            "http://127.0.0.1:3000/i#x",
            "http://127.1.2.3/",
            "http://localhost:3000",
            "http://a.localhost/",
            "http://[::1]:3000/i#x",
        ] {
            assert!(is_loopback(url), "{url}");
        }
        for url in [
            "https://rly.example/i#127.0.0.1",
            "http://192.168.1.4:3000",
            "https://localhost.example",
        ] {
            assert!(!is_loopback(url), "{url}");
        }
    }
}
