use super::session::Session;
use crate::{
    components::{Alert, Frame, GiveLink, LackNotice},
    pages::use_fragment,
    state::Job,
    text::{room_text, text},
};
use leptos::{html, prelude::*};
use leptos_router::{NavigateOptions, hooks::use_navigate};
use rly_protocol::room::RoomLimits;
use rly_view::{ROOM_PRESET, RoomAnswer, RoomCode, RoomCommand, TWO_PERSON_PRESET};

/// Make a room, and get its link.
#[component]
pub fn Make() -> impl IntoView {
    let (t, r) = (text(), room_text());
    let session = Session::new();
    let lack = session.check();
    let job = Job::new();
    let fields = Fields::new();
    let navigate = StoredValue::new_local(use_navigate());
    let go = move |to: &str| {
        if let Some(navigate) = navigate.try_get_value() {
            let replace = NavigateOptions {
                replace: true,
                ..NavigateOptions::default()
            };
            navigate(to, replace);
        }
    };
    // The address has the code of the room that was made, so that a reload shows its link again.
    let fragment = use_fragment();
    let made = Memo::new(move |_| {
        fragment
            .get()
            .and_then(|code| code.parse::<RoomCode>().ok().map(|code| code.to_text()))
    });
    Effect::new(move || {
        if let Some(code) = made.get()
            && session.link.with_untracked(String::is_empty)
        {
            session.open(code);
        }
    });

    let create = move || {
        let Some(limits) = fields.limits() else {
            return job.complain(r.whole_numbers);
        };
        job.start(async move {
            match session.run(RoomCommand::Create { limits }).await {
                Ok(RoomAnswer::Opened { link, view, .. }) => {
                    let code = link.rsplit_once('#').map(|(_, code)| code.to_owned());
                    session.opened(link, view);
                    go(&format!("/rooms#{}", code.unwrap_or_default()));
                    Ok(())
                }
                Ok(_) => Ok(()),
                Err(failure) => Err((t.failure)(failure.code).to_owned()),
            }
        });
    };
    let another = move |_| {
        session.link.set(String::new());
        go("/rooms");
    };
    let shown = Memo::new(move |_| made.get().is_some() && !session.link.with(String::is_empty));
    view! {
        <Frame title=r.make_title class="paper">
            <LackNotice lack=lack />
            {move || {
                if shown.get() {
                    let link = session.link.get_untracked();
                    let code = made.get_untracked().unwrap_or_default();
                    let groups = code.parse::<RoomCode>().map(|code| code.to_groups()).unwrap_or_default();
                    view! {
                        <section class="sheet">
                            <h1>{r.made_title}</h1>
                            <p class="lead">{r.made_lead}</p>
                            <div class="link-panel">
                                <GiveLink id="room-link" label=r.link qr=r.qr link=link>
                                    <p class="hint">
                                        {r.code_aloud} " " <bdi class="groups">{groups}</bdi>
                                    </p>
                                    <p class="strong">{r.for_all}</p>
                                    <p class="hint">{r.shown_again}</p>
                                </GiveLink>
                            </div>
                            <div class="actions no-print">
                                <a class="button big" href=format!("/r#{code}")>
                                    {r.enter}
                                </a>
                                <button type="button" class="button quiet" on:click=another>
                                    {r.another}
                                </button>
                            </div>
                        </section>
                    }
                        .into_any()
                } else {
                    view! {
                        <form
                            class="sheet stack"
                            novalidate
                            on:submit=move |ev| {
                                ev.prevent_default();
                                create();
                            }
                        >
                            <h1>{r.make_title}</h1>
                            <p class="lead">{r.make_lead}</p>
                            <Presets fields=fields />
                            <div class="pair">
                                <Number id="idle" label=r.idle_minutes hint=r.idle_hint value=fields.idle most=1440 least=1 />
                                <Number id="life" label=r.life_hours hint=r.life_hint value=fields.life most=24 least=1 />
                                <Number id="people" label=r.people_most hint=r.people_hint value=fields.people most=500 least=2 />
                                <Number id="history" label=r.history_most hint=r.history_hint value=fields.history most=500 least=0 />
                            </div>
                            <Alert words=job.error />
                            <div class="actions">
                                <button
                                    type="submit"
                                    class="button big"
                                    disabled=move || job.blocked() || lack.with(Option::is_some)
                                >
                                    {move || if job.busy.get() { r.creating } else { r.create }}
                                </button>
                                <a class="button quiet" href="/r">
                                    {r.open}
                                </a>
                            </div>
                        </form>
                    }
                        .into_any()
                }
            }}
        </Frame>
    }
}

/// What is typed.
#[derive(Clone, Copy)]
struct Fields {
    idle: RwSignal<String>,
    life: RwSignal<String>,
    people: RwSignal<String>,
    history: RwSignal<String>,
}

impl Fields {
    fn new() -> Self {
        let fields = Self {
            idle: RwSignal::new(String::new()),
            life: RwSignal::new(String::new()),
            people: RwSignal::new(String::new()),
            history: RwSignal::new(String::new()),
        };
        fields.set(ROOM_PRESET);
        fields
    }

    fn set(self, limits: RoomLimits) {
        self.idle.set((limits.idle_seconds / 60).to_string());
        self.life.set((limits.life_seconds / 3_600).to_string());
        self.people.set(limits.people.to_string());
        self.history.set(limits.history.to_string());
    }

    /// Nothing unless they are whole numbers within what can be.
    fn limits(self) -> Option<RoomLimits> {
        let number = |field: RwSignal<String>, least: u32, most: u32| {
            let number: u32 = field.with_untracked(|text| text.trim().parse().ok())?;
            (least..=most).contains(&number).then_some(number)
        };
        let limits = RoomLimits {
            idle_seconds: number(self.idle, 1, 1_440)? * 60,
            life_seconds: number(self.life, 1, 24)? * 3_600,
            people: number(self.people, 2, 500)? as u16,
            history: number(self.history, 0, 500)? as u16,
        };
        (limits.idle_seconds <= limits.life_seconds).then_some(limits)
    }
}

#[component]
fn Presets(fields: Fields) -> impl IntoView {
    let r = room_text();
    let choices = [(r.preset_room, ROOM_PRESET), (r.preset_two, TWO_PERSON_PRESET)];
    view! {
        <fieldset class="presets">
            <legend>{r.preset}</legend>
            {choices
                .into_iter()
                .enumerate()
                .map(|(n, (words, limits))| {
                    let id = format!("preset-{n}");
                    view! {
                        <label class="check" for=id.clone()>
                            <input
                                id=id.clone()
                                type="radio"
                                name="preset"
                                checked=n == 0
                                on:change=move |_| fields.set(limits)
                            />
                            {words}
                        </label>
                    }
                })
                .collect_view()}
        </fieldset>
    }
}

/// A box for a whole number.
#[component]
fn Number(
    id: &'static str,
    label: &'static str,
    hint: &'static str,
    value: RwSignal<String>,
    least: u32,
    most: u32,
) -> impl IntoView {
    let node = NodeRef::<html::Input>::new();
    let first = value.get_untracked();
    Effect::new(move |adopted: Option<bool>| {
        let Some(input) = node.get() else { return false };
        let wanted = value.get();
        // What was typed before the page was ready stays.
        if adopted != Some(true) && input.value() != wanted {
            value.set(input.value());
        } else if input.value() != wanted {
            input.set_value(&wanted);
        }
        true
    });
    let hint_id = format!("{id}-hint");
    view! {
        <div class="field">
            <label for=id>{label}</label>
            <input
                id=id
                type="number"
                inputmode="numeric"
                autocomplete="off"
                min=least.to_string()
                max=most.to_string()
                step="1"
                value=first
                aria-describedby=hint_id.clone()
                node_ref=node
                on:input=move |ev| value.set(event_target_value(&ev))
            />
            <p class="hint" id=hint_id>{hint}</p>
        </div>
    }
}
