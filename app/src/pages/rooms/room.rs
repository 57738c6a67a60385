use super::{
    outside::{CodeForm, JoinForm, Over},
    session::{Session, Stage},
    talk::Talk,
};
use crate::{
    browser,
    components::{Frame, LackNotice},
    pages::use_fragment,
    text::{room_text, text},
};
use leptos::prelude::*;
use leptos_router::hooks::use_navigate;
use rly_view::{FailureCode, RoomEndView, RoomPhase};

/// What the page is made of.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Starting,
    /// A code is asked for; and why.
    Code(Option<FailureCode>),
    Join,
    Talk,
    Ended(Option<RoomEndView>),
    Deleted,
}

/// One room.
#[component]
pub fn Room() -> impl IntoView {
    let (t, r) = (text(), room_text());
    let session = Session::new();
    let lack = session.check();
    let fragment = use_fragment();
    Effect::new(move || match fragment.get() {
        None => {}
        Some(code) if code.is_empty() => session.stage.set(Stage::NoCode),
        Some(code) => session.open(code),
    });
    let phase = session.part(|view| (view.phase, view.name.is_some()));
    let kind = Memo::new(move |before: Option<&Kind>| match session.stage.get() {
        Stage::Starting | Stage::Opening => Kind::Starting,
        Stage::NoCode => Kind::Code(None),
        Stage::Refused(code) => Kind::Code(Some(code)),
        Stage::Open => match phase.get() {
            None => Kind::Starting,
            Some((RoomPhase::Ended { why }, _)) => Kind::Ended(why),
            Some((RoomPhase::Deleted, _)) => Kind::Deleted,
            Some((RoomPhase::Outside, _)) => Kind::Join,
            Some((RoomPhase::Inside, _)) => Kind::Talk,
            // The form stays until the answer is there, so that it can say what is wrong.
            Some((RoomPhase::Connecting, _)) if before == Some(&Kind::Join) => Kind::Join,
            Some((RoomPhase::Connecting, _)) => Kind::Talk,
        },
    });
    let go = StoredValue::new_local(use_navigate());
    let enter = Callback::new(move |code: String| {
        if let Some(navigate) = go.try_get_value() {
            navigate(&format!("/r#{code}"), Default::default());
        }
    });
    let aside = move || !matches!(kind.get(), Kind::Talk);
    view! {
        <Frame title=r.title class="chat">
            {move || aside().then(|| view! { <div class="room-card"><h1>{r.title}</h1><LackNotice lack=lack /></div> })}
            {move || (!aside()).then(|| view! { <h1 class="visually-hidden">{r.title}</h1> })}
            {move || {
                session
                    .outdated
                    .get()
                    .then(|| {
                        view! {
                            <div class="banner" role="alert">
                                <p>{t.reload_newer}</p>
                                <button type="button" class="button" on:click=move |_| browser::reload()>
                                    {t.reload}
                                </button>
                            </div>
                        }
                    })
            }}
            {move || {
                session
                    .trouble
                    .get()
                    .map(|code| {
                        view! {
                            <div class="banner" role="alert">
                                <p>{(t.failure)(code)}</p>
                                <button type="button" class="button" on:click=move |_| session.again()>
                                    {t.try_again}
                                </button>
                            </div>
                        }
                    })
            }}
            {move || match kind.get() {
                Kind::Starting => view! { <p class="empty">{t.loading}</p> }.into_any(),
                Kind::Code(why) => view! { <CodeForm why=why on_code=enter session=session /> }.into_any(),
                Kind::Join => view! { <JoinForm session=session /> }.into_any(),
                Kind::Talk => view! { <Talk session=session /> }.into_any(),
                Kind::Ended(why) => {
                    view! { <Over title=r.ended_title why=(r.ended_why)(why) body=r.ended_body /> }.into_any()
                }
                Kind::Deleted => view! { <Over title=r.deleted_title why="" body=r.deleted_body /> }.into_any(),
            }}
        </Frame>
    }
}
