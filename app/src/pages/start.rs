use crate::{
    browser::Setting,
    components::{Envelope, Frame},
    state::messenger,
    text::text,
};
use leptos::prelude::*;
use leptos_router::hooks::use_navigate;

/// What it is, and the start.
#[component]
pub fn Start() -> impl IntoView {
    let t = text();
    let messenger = messenger();
    let has_sim = RwSignal::new(false);
    Effect::new(move || has_sim.set(Setting::HasSim.read().is_some()));
    let go = move |to: &'static str| {
        let navigate = use_navigate();
        move |_| navigate(to, Default::default())
    };
    let waits = move || !messenger.hydrated.get();
    view! {
        <Frame title=t.app class="start">
            <section class="hero">
                <div class="hero-words">
                    <h1>{t.start_title}</h1>
                    <p class="lead">{t.start_lead}</p>
                    <div class="actions">
                        <a class="button big" href="/letter">
                            {t.write_letter}
                        </a>
                        {move || {
                            has_sim
                                .get()
                                .then(|| {
                                    view! {
                                        <a class="button big quiet" href="/chat">
                                            {t.to_chats}
                                        </a>
                                    }
                                })
                        }}
                    </div>
                    <div class="actions minor">
                        <button
                            type="button"
                            class="button quiet"
                            disabled=waits
                            on:click=go("/chat#create")
                        >
                            {t.create_sim}
                        </button>
                        <button
                            type="button"
                            class="button quiet"
                            disabled=waits
                            on:click=go("/chat#import")
                        >
                            {t.import_sim}
                        </button>
                        // Its pages are another module: the browser loads it.
                        <a class="button quiet" href="/rooms" rel="external">
                            {t.make_room}
                        </a>
                    </div>
                    <p class="hint">{t.start_sim_hint}</p>
                </div>
                <div class="hero-picture" aria-hidden="true">
                    <Envelope />
                </div>
            </section>
            <section class="steps">
                <h2>{t.steps_title}</h2>
                <ol>
                    {t
                        .steps
                        .iter()
                        .map(|(title, body)| {
                            view! {
                                <li>
                                    <h3>{*title}</h3>
                                    <p>{*body}</p>
                                </li>
                            }
                        })
                        .collect_view()}
                </ol>
            </section>
            <section class="facts">
                <h2>{t.facts_title}</h2>
                <ul>
                    {t
                        .facts
                        .iter()
                        .map(|(title, body)| {
                            view! {
                                <li>
                                    <h3>{*title}</h3>
                                    <p>{*body}</p>
                                </li>
                            }
                        })
                        .collect_view()}
                </ul>
            </section>
        </Frame>
    }
}
