//! The document around the pages.

use crate::{App, pages::rooms, text::ENGLISH};
use leptos::prelude::*;
use leptos_meta::MetaTags;

/// For search engines and previews of the start page; the same on all pages, so it tells nothing.
const DESCRIPTION: &str = "Private chat that starts with a link. No sign-up, no install, no phone number.";

/// Where the page finds its files: paths on this origin, hashed and immutable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assets {
    /// The boot module: the only script of the page.
    pub boot: String,
    /// The glue of the page's wasm.
    pub app_js: String,
    /// The page's wasm.
    pub app_wasm: String,
    /// The worker's script.
    pub worker_js: String,
    /// The worker's wasm.
    pub worker_wasm: String,
    /// The glue of the wasm that the pages of rooms have instead of the page's.
    pub rooms_js: String,
    /// That wasm.
    pub rooms_wasm: String,
    /// The script of the worker for rooms.
    pub room_worker_js: String,
    /// The wasm of the worker for rooms.
    pub room_worker_wasm: String,
    /// The style sheet.
    pub style: String,
    /// The icon.
    pub icon: String,
}

impl Assets {
    /// Those of the page with this path: see [`pages::rooms`](crate::pages::rooms).
    pub fn of(&self, path: &str) -> PageAssets {
        let rooms = rooms::has(path);
        let (app_js, app_wasm) = match rooms {
            true => (&self.rooms_js, &self.rooms_wasm),
            false => (&self.app_js, &self.app_wasm),
        };
        PageAssets {
            app_js: app_js.clone(),
            app_wasm: app_wasm.clone(),
            room_worker: rooms.then(|| (self.room_worker_js.clone(), self.room_worker_wasm.clone())),
            all: self.clone(),
        }
    }
}

/// Where one page finds its files.
#[derive(Clone, Debug)]
pub struct PageAssets {
    all: Assets,
    app_js: String,
    app_wasm: String,
    room_worker: Option<(String, String)>,
}

/// A whole document. There is no inline script and no style attribute in it, and nothing that
/// depends on who asks.
pub fn shell(assets: PageAssets) -> impl IntoView {
    let PageAssets {
        all: assets,
        app_js,
        app_wasm,
        room_worker,
    } = assets;
    let (rooms_js, rooms_wasm) = room_worker.unzip();
    view! {
        <!DOCTYPE html>
        <html
            lang="en"
            data-app=app_js.clone()
            data-app-wasm=app_wasm.clone()
            data-worker=assets.worker_js
            data-worker-wasm=assets.worker_wasm
            data-rooms=rooms_js
            data-rooms-wasm=rooms_wasm
        >
            <head>
                <meta charset="utf-8" />
                <meta name="viewport" content="width=device-width, initial-scale=1, interactive-widget=resizes-content" />
                <meta name="description" content=DESCRIPTION />
                <meta name="color-scheme" content="light dark" />
                <meta name="referrer" content="no-referrer" />
                <meta name="theme-color" media="(prefers-color-scheme: light)" content="#f6f1e7" />
                <meta name="theme-color" media="(prefers-color-scheme: dark)" content="#171a1d" />
                <link rel="icon" type="image/svg+xml" href=assets.icon />
                <link rel="manifest" href="/manifest.webmanifest" />
                <link rel="stylesheet" href=assets.style />
                <link rel="modulepreload" href=app_js.clone() />
                <link rel="preload" href=app_wasm.clone() r#as="fetch" r#type="application/wasm" crossorigin="anonymous" />
                <MetaTags />
                <script type="module" src=assets.boot></script>
            </head>
            <body>
                <App />
                // After the pages: it exists only here, never in what the browser makes.
                <noscript>
                    <p class="no-script">{ENGLISH.no_script}</p>
                </noscript>
            </body>
        </html>
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use leptos_meta::ServerMetaContext;
    use leptos_router::location::RequestUrl;

    fn render(path: &str) -> String {
        let file = |name: &str| format!("/{name}");
        let assets = Assets {
            boot: file("boot.js"),
            app_js: file("app.js"),
            app_wasm: file("app.wasm"),
            worker_js: file("worker.js"),
            worker_wasm: file("worker.wasm"),
            rooms_js: file("rooms.js"),
            rooms_wasm: file("rooms.wasm"),
            room_worker_js: file("room-worker.js"),
            room_worker_wasm: file("room-worker.wasm"),
            style: file("style.css"),
            icon: file("favicon.svg"),
        };
        Owner::new_root(None).with(|| {
            provide_context(RequestUrl::new(path));
            provide_context(ServerMetaContext::new().0);
            // Without the markers that Leptos puts behind each element.
            shell(assets.of(path)).to_html().replace("<!>", "")
        })
    }

    #[test]
    fn every_page_is_there_before_any_script() {
        for (path, words) in [
            ("/", ["href=\"/letter\"", "Create SIM", "Import SIM"]),
            (
                "/letter",
                [">Letter</label>", ">Your name</label>", "Create link"],
            ),
            ("/i", ["A letter for you", ">Open</button>", "It opens once"]),
            ("/chat", ["<main", "Chats</h1>", "Loading"]),
            (
                "/settings",
                ["Look", "Language", "Delete everything in this browser"],
            ),
            ("/r", ["<main", "A room</h1>", "Loading"]),
            ("/rooms", ["<main", "Make a room</h1>", "Create room"]),
            ("/-", ["Nothing here", "does not exist", "To the start"]),
        ] {
            let page = render(path);
            for word in words {
                assert!(page.contains(word), "{word} on {path}: {page}");
            }
            assert_eq!(page, render(path), "{path} is the same for everybody");
        }
    }

    #[test]
    fn the_pages_of_rooms_load_a_module_of_their_own() {
        for path in ["/r", "/rooms"] {
            let page = render(path);
            assert!(page.contains("\"/rooms.wasm\"") && page.contains("data-rooms=\"/room-worker.js\""));
            assert!(!page.contains("/app.wasm"), "{path}");
        }
        for path in ["/", "/letter", "/-"] {
            let page = render(path);
            assert!(page.contains("\"/app.wasm\""), "{path}");
            assert!(
                !page.contains("/rooms.wasm") && !page.contains("/room-worker"),
                "{path}"
            );
        }
    }

    #[test]
    fn nothing_is_inline_and_nothing_alarms() {
        for path in ["/", "/letter", "/i", "/chat", "/settings", "/r", "/rooms", "/-"] {
            let page = render(path);
            assert!(!page.contains("style=") && !page.contains("<style"), "{path}");
            assert_eq!(page.matches("<script").count(), 1, "{path}");
            assert!(page.contains("src=\"/boot.js\"></script>"), "{path}");
            assert!(!page.contains("role=\"alert\""), "{path}");
        }
    }
}
