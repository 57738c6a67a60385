use super::Alert;
use crate::{
    state::{Job, messenger},
    text::text,
};
use leptos::prelude::*;
use rly_view::{Answer, Command};

/// Saves the SIM's file.
#[component]
pub fn DownloadSim() -> impl IntoView {
    let t = text();
    let messenger = messenger();
    let job = Job::new();
    let download = move |_| {
        job.run(Command::ExportSim, move |answer| {
            if let (Answer::SimFile { name, text }, Some(platform)) = (answer, messenger.platform()) {
                platform.download(&name, &text);
            }
        });
    };
    view! {
        <button type="button" class="button" disabled=move || job.blocked() on:click=download>
            {t.download_sim}
        </button>
        <Alert words=job.error />
    }
}

/// Reminds, until it was done once, that the SIM should be saved.
#[component]
pub fn ExportReminder() -> impl IntoView {
    let t = text();
    let messenger = messenger();
    let due = Memo::new(move |_| messenger.sim().is_some_and(|sim| sim.export_due));
    move || {
        due.get().then(|| {
            view! {
                <aside class="notice reminder">
                    <h2>{t.export_title}</h2>
                    <p>{t.export_body}</p>
                    <DownloadSim />
                </aside>
            }
        })
    }
}
