use crate::{
    browser,
    state::{Job, messenger},
    text::text,
    time::Local,
};
use leptos::prelude::*;
use rly_view::{Command, Connection, Phase};

/// A small sign of the connection's state: a dot and, unless all is well, words.
#[component]
pub fn ConnectionSign(
    /// Whose.
    connection: Memo<Connection>,
) -> impl IntoView {
    let t = text();
    let kind = move || match connection.get() {
        Connection::Idle => "idle",
        Connection::Connecting => "connecting",
        Connection::Online => "online",
        Connection::Waiting { .. } | Connection::NeedsNewer => "offline",
    };
    // Said aloud, so only what is news: not each try.
    let words = Memo::new(move |before: Option<&&'static str>| match connection.get() {
        Connection::Idle => "",
        Connection::Connecting if before == Some(&t.offline) => t.offline,
        Connection::Connecting => t.connecting,
        Connection::Online => t.online,
        Connection::Waiting { .. } => t.offline,
        Connection::NeedsNewer => t.reload_newer,
    });
    let more = move || match connection.get() {
        Connection::Waiting { until } => Some((t.next_try)(&Local::here(until).clock_seconds())),
        Connection::Connecting if words.get() == t.offline => Some(t.connecting.into()),
        _ => None,
    };
    view! {
        <p class="connection" data-connection=kind>
            <span class="dot" aria-hidden="true"></span>
            <span class="connection-words">
                <span role="status">{words}</span>
                {move || more().map(|more| format!(" {more}"))}
            </span>
        </p>
    }
}

/// A banner over everything while the messenger cannot go on by itself.
#[component]
pub fn PhaseBanner() -> impl IntoView {
    let t = text();
    let messenger = messenger();
    let job = Job::new();
    let phase = Memo::new(move |_| messenger.phase());
    let outdated = Memo::new(move |_| {
        messenger.state.with(|state| {
            state
                .as_ref()
                .is_some_and(|state| state.connection == Connection::NeedsNewer)
        })
    });
    let reload = move |words: &'static str| {
        view! {
            <div class="banner" role="alert">
                <p>{words}</p>
                <button type="button" class="button" on:click=move |_| browser::reload()>
                    {t.reload}
                </button>
            </div>
        }
    };
    move || match phase.get() {
        Phase::Replaced => view! {
            <div class="banner" role="alert">
                <div>
                    <p class="strong">{t.replaced}</p>
                    <p>{t.replaced_body}</p>
                    {move || job.error.get().map(|words| view! { <p>{words}</p> })}
                </div>
                <button
                    type="button"
                    class="button"
                    disabled=move || job.blocked()
                    on:click=move |_| job.run(Command::UseHere, |_| {})
                >
                    {t.use_here}
                </button>
            </div>
        }
        .into_any(),
        Phase::StorageRefused => view! {
            <div class="banner" role="alert">
                <p>{t.lack_storage}</p>
            </div>
        }
        .into_any(),
        Phase::StorageFull => view! {
            <div class="banner" role="alert">
                <p>{t.storage_full}</p>
            </div>
        }
        .into_any(),
        Phase::StorageDamaged => view! {
            <div class="banner" role="alert">
                <p>{t.storage_damaged}</p>
                <a class="button" href="/settings">
                    {t.settings}
                </a>
            </div>
        }
        .into_any(),
        Phase::NeedsNewer => reload(t.reload_newer).into_any(),
        Phase::Restoring => view! {
            <p class="notice" role="status">
                {t.restoring}
            </p>
        }
        .into_any(),
        Phase::Starting | Phase::NoSim | Phase::Ready if outdated.get() => reload(t.reload_newer).into_any(),
        Phase::Starting | Phase::NoSim | Phase::Ready => ().into_any(),
    }
}
