use super::use_fragment;
use crate::{
    browser::Setting,
    components::{Conversation, CreateSim, Frame, ImportSim, LackNotice, Letters, PhaseBanner, Sidebar},
    state::messenger,
    text::text,
};
use leptos::prelude::*;
use leptos_router::{NavigateOptions, hooks::use_navigate};
use rly_view::Phase;

/// What the fragment asks for, when it is no conversation.
const CREATE: &str = "create";
const IMPORT: &str = "import";

/// What the page is made of.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Starting,
    NoSim,
    /// Only the banner, which says why.
    Barred,
    Messenger,
}

/// The messenger.
#[component]
pub fn Chat() -> impl IntoView {
    let t = text();
    let messenger = messenger();
    let lack = messenger.check_and_listen();
    let fragment = use_fragment();
    let current = Memo::new(move |_| {
        fragment
            .get()
            .filter(|fragment| !matches!(fragment.as_str(), "" | CREATE | IMPORT))
    });
    let dialog = Memo::new(move |_| fragment.get().filter(|f| matches!(f.as_str(), CREATE | IMPORT)));
    // Until the worker speaks, what was so the last time is shown.
    let guess = RwSignal::new(Kind::Starting);
    Effect::new(move || {
        if Setting::HasSim.read().is_none() {
            guess.set(Kind::NoSim);
        }
    });
    let kind = Memo::new(move |_| match messenger.phase() {
        _ if lack.with(Option::is_some) => Kind::Barred,
        Phase::Starting => guess.get(),
        Phase::NoSim => Kind::NoSim,
        Phase::StorageRefused | Phase::StorageDamaged | Phase::NeedsNewer => Kind::Barred,
        Phase::Restoring | Phase::Ready | Phase::Replaced | Phase::StorageFull => Kind::Messenger,
    });
    let go = StoredValue::new_local(use_navigate());
    let close = Callback::new(move |()| {
        if let Some(navigate) = go.try_get_value() {
            let replace = NavigateOptions {
                replace: true,
                scroll: false,
                ..NavigateOptions::default()
            };
            navigate("/chat", replace);
        }
    });
    let screen = move || {
        if current.with(Option::is_some) {
            "conversation"
        } else {
            "list"
        }
    };
    view! {
        <Frame title=t.chat_title class="chat">
            <h1 class="visually-hidden">{t.chat_title}</h1>
            <LackNotice lack=lack />
            <PhaseBanner />
            {move || match kind.get() {
                Kind::Barred => ().into_any(),
                Kind::Starting => view! { <p class="empty">{t.loading}</p> }.into_any(),
                Kind::NoSim => view! { <NoSim /> }.into_any(),
                Kind::Messenger => {
                    // The list and the conversation are much to draw in one task.
                    let drawn = RwSignal::new(false);
                    set_timeout(move || drawn.set(true), std::time::Duration::ZERO);
                    view! {
                        <div class="panes" data-screen=screen>
                            <Sidebar current=current.into() />
                            <section class="conversation">
                                {move || match current.get() {
                                    Some(_) if !drawn.get() => ().into_any(),
                                    Some(id) => view! { <Conversation id=id /> }.into_any(),
                                    None => {
                                        view! {
                                            <div class="empty">
                                                <h2>{t.pick_title}</h2>
                                                <p>{t.pick}</p>
                                            </div>
                                        }
                                            .into_any()
                                    }
                                }}
                            </section>
                        </div>
                    }
                        .into_any()
                }
            }}
        </Frame>
        {move || match dialog.get().as_deref() {
            Some(CREATE) => view! { <CreateSim on_close=close /> }.into_any(),
            Some(IMPORT) => view! { <ImportSim on_done=close on_close=close /> }.into_any(),
            _ => ().into_any(),
        }}
    }
}

#[component]
fn NoSim() -> impl IntoView {
    let t = text();
    let messenger = messenger();
    let go = move |to: &'static str| {
        let navigate = use_navigate();
        move |_| {
            let quiet = NavigateOptions {
                scroll: false,
                ..NavigateOptions::default()
            };
            navigate(to, quiet);
        }
    };
    let waits = move || !messenger.hydrated.get();
    view! {
        <section class="empty">
            <h2>{t.no_sim_title}</h2>
            <p>{t.no_sim}</p>
            <div class="actions centred">
                <a class="button big" href="/letter">
                    {t.write_letter}
                </a>
                <button type="button" class="button big quiet" disabled=waits on:click=go("/chat#create")>
                    {t.create_sim}
                </button>
                <button type="button" class="button big quiet" disabled=waits on:click=go("/chat#import")>
                    {t.import_sim}
                </button>
            </div>
            <Letters />
        </section>
    }
}
