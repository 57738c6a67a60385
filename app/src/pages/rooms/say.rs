use super::session::Session;
use crate::{
    components::{Alert, MessageBox, hand_over},
    state::Job,
    text::room_text,
};
use leptos::prelude::*;
use rly_protocol::limits::{ROOM_TEXT_CHARACTERS, TEXT_MAX};
use rly_view::RoomCommand;

/// Where something is said.
#[component]
pub fn Say(session: Session) -> impl IntoView {
    let r = room_text();
    let job = Job::new();
    let value = RwSignal::new(String::new());
    let counted = Memo::new(move |_| value.with(|text| session.count(text)));
    let over = move || counted.get() > ROOM_TEXT_CHARACTERS || value.with(String::len) > TEXT_MAX;
    let too_long = move || {
        let more = counted.get().saturating_sub(ROOM_TEXT_CHARACTERS);
        // A text of characters that take many bytes each may be too long before that.
        over().then(|| (r.over)(more.max(1)))
    };
    let send = move |text: String| {
        let command = RoomCommand::Send {
            room: session.room(),
            id: session.random_id(),
            text: text.clone(),
        };
        hand_over(value, job, text, session.run(command));
    };
    view! {
        <MessageBox value=value held=Signal::derive(over) on_send=send>
            <Alert words=job.error />
            <Alert words=Signal::derive(too_long) />
            <p class="hint counted">{move || (r.counted)(counted.get(), ROOM_TEXT_CHARACTERS)}</p>
        </MessageBox>
    }
}
