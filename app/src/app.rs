#[cfg(feature = "hydrate")]
use crate::pages::later::NotLoaded;
#[cfg(not(feature = "rooms"))]
use crate::pages::{ChatPage, Letter, Open, SettingsPage, Start};
#[cfg(any(feature = "ssr", feature = "rooms"))]
use crate::pages::{Make, Room};
use crate::{
    pages::{self, NotFound},
    state::Messenger,
    text::Language,
};
use leptos::{prelude::*, task::spawn_local};
use leptos_meta::provide_meta_context;
use leptos_router::{
    components::{FlatRoutes, Route, Router},
    path,
};

/// All pages. The same in the first moment of every browser as on the server.
#[component]
pub fn App() -> impl IntoView {
    provide_meta_context();
    let messenger = Messenger::provide();
    let language = RwSignal::new(Language::English);
    provide_context(language);
    Effect::new(move || {
        if let Some(chosen) = Language::chosen() {
            language.set(chosen);
        }
    });
    Effect::new(move || {
        if let Some(root) = document().document_element() {
            let _ = root.set_attribute("lang", language.get().tag());
        }
    });
    // The page is ready for a click when its buttons are: one turn after they were told so.
    Effect::new(move || {
        messenger.hydrated.set(true);
        set_timeout(
            || {
                if let Some(root) = document().document_element() {
                    let _ = root.set_attribute("data-hydrated", "true");
                }
            },
            core::time::Duration::ZERO,
        );
    });
    // Who has a messenger soon looks into it. By now nobody waits for anything else.
    #[cfg(not(feature = "rooms"))]
    let started = Memo::new(move |_| messenger.state.with(Option::is_some));
    #[cfg(not(feature = "rooms"))]
    Effect::new(move || {
        if started.get() {
            spawn_local(async {
                // Where it is needed and not there, it is said.
                let _ = pages::messenger::load().await;
            });
        }
    });
    // Languages are known only after hydration; another one builds the pages anew.
    let shown = Memo::new(move |_| language.get());
    let covered = move || messenger.dialogs.get() > 0;
    view! {
        <div
            class="app"
            inert=covered
            aria-hidden=move || covered().then_some("true")
        >
            {move || {
                shown.track();
                view! {
                    <Router>
                        <Pages />
                    </Router>
                }
            }}
        </div>
    }
}

/// The server knows every page,
#[cfg(feature = "ssr")]
#[component]
fn Pages() -> impl IntoView {
    view! {
        <FlatRoutes fallback=NotFound>
            <Route path=path!("/") view=Start />
            <Route path=path!("/letter") view=Letter />
            <Route path=path!("/i") view=Open />
            <Route path=path!("/chat") view=ChatPage />
            <Route path=path!("/settings") view=SettingsPage />
            <Route path=path!("/r") view=Room />
            <Route path=path!("/rooms") view=Make />
        </FlatRoutes>
    }
}

/// and a browser has them in two modules: see [`pages::rooms`].
#[cfg(all(not(feature = "ssr"), not(feature = "rooms")))]
#[component]
fn Pages() -> impl IntoView {
    view! {
        <FlatRoutes fallback=NotFound>
            <Route path=path!("/") view=Start />
            <Route path=path!("/letter") view=Letter />
            <Route path=path!("/i") view=Open />
            <Route path=path!("/chat") view=ChatPage />
            <Route path=path!("/settings") view=SettingsPage />
        </FlatRoutes>
    }
}

#[cfg(all(not(feature = "ssr"), feature = "rooms"))]
#[component]
fn Pages() -> impl IntoView {
    view! {
        <FlatRoutes fallback=NotFound>
            <Route path=path!("/r") view=Room />
            <Route path=path!("/rooms") view=Make />
        </FlatRoutes>
    }
}

/// Brings the page to life. `<html data-hydrated="true">` says when it is ready for a click.
///
/// # Errors
/// [`NotLoaded`], when a part of this page cannot be loaded.
#[cfg(feature = "hydrate")]
pub async fn hydrate(platform: std::rc::Rc<dyn crate::platform::Platform>) -> Result<(), NotLoaded> {
    #[cfg(not(feature = "rooms"))]
    if location()
        .pathname()
        .is_ok_and(|path| pages::messenger::has(&path))
    {
        pages::messenger::load().await?;
    }
    #[cfg(feature = "rooms")]
    crate::browser::let_go(pages::rooms::has);
    leptos::mount::hydrate_body(move || {
        provide_context(crate::state::Port::new(platform));
        view! { <App /> }
    });
    Ok(())
}
