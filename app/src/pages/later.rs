//! Pages that come in files of their own, which the first ones do not wait for.

use crate::{browser, components::Alert, platform::LocalFuture, text::text};
use leptos::{prelude::*, task::spawn_local};

/// The file did not come: no connection, or a server that has a newer one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotLoaded;

/// The page at once where it is there: on the server, when it is hydrated, and once it was loaded. Who
/// follows a link before that waits a moment.
pub fn once_loaded(
    page: fn() -> Option<AnyView>,
    load: fn() -> LocalFuture<Result<(), NotLoaded>>,
) -> AnyView {
    if let Some(page) = page() {
        return page;
    }
    let t = text();
    let failed = RwSignal::new(None);
    let loaded = RwSignal::new(false);
    spawn_local(async move {
        // The person may have gone on by now.
        let _ = match load().await {
            Ok(()) => loaded.try_set(true).is_some(),
            Err(NotLoaded) => failed.try_set(Some(t.not_loaded.to_owned())).is_some(),
        };
    });
    let waiting = move || {
        view! {
            <main class="page narrow">
                <Alert words=failed />
                {move || match failed.get() {
                    None => view! { <p class="empty">{t.loading}</p> }.into_any(),
                    Some(_) => {
                        view! {
                            <button type="button" class="button" on:click=|_| browser::reload()>
                                {t.reload}
                            </button>
                        }
                            .into_any()
                    }
                }}
            </main>
        }
    };
    let show = move || match loaded.get().then(page).flatten() {
        Some(page) => page,
        None => waiting().into_any(),
    };
    show.into_any()
}
