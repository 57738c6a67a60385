use super::{Alert, Dialog, DownloadSim, Secret, TextArea, TextField};
use crate::{
    browser, lengths,
    state::{Job, messenger},
    text::text,
};
use leptos::{html, prelude::*};
use rly_view::{Command, name};

/// What was typed, unless nothing was.
fn given(secret: RwSignal<String>) -> Option<String> {
    let secret = secret.get_untracked();
    (!secret.is_empty()).then_some(secret)
}

/// Makes a SIM, and has it saved.
#[component]
pub fn CreateSim(#[prop(into)] on_close: Callback<()>) -> impl IntoView {
    let t = text();
    let messenger = messenger();
    let exists = Memo::new(move |_| messenger.sim().is_some());
    move || {
        if exists.get() {
            view! {
                <Dialog id="sim-title" title=t.created_title on_close=on_close>
                    <p>{t.created_lead}</p>
                    <div class="actions">
                        <DownloadSim />
                        <button type="button" class="button quiet" on:click=move |_| on_close.run(())>
                            {t.done}
                        </button>
                    </div>
                </Dialog>
            }
            .into_any()
        } else {
            view! {
                <Dialog id="sim-title" title=t.create_title on_close=on_close>
                    <CreateForm />
                </Dialog>
            }
            .into_any()
        }
    }
}

#[component]
fn CreateForm() -> impl IntoView {
    let t = text();
    let job = Job::new();
    let name = RwSignal::new(String::new());
    let password = RwSignal::new(String::new());
    let create = move || {
        let name = match lengths::name(t, &name.get_untracked()) {
            Ok(name) => name,
            Err(words) => return job.complain(words),
        };
        let password = given(password);
        job.run(Command::CreateSim { name, password }, |_| {});
    };
    view! {
        <form
            class="stack"
            on:submit=move |ev| {
                ev.prevent_default();
                create();
            }
        >
            <p>{t.create_lead}</p>
            <TextField id="sim-name" label=t.your_name value=name hint=t.name_hint />
            <Secret id="sim-password" label=t.password_optional value=password hint=t.password_hint />
            <Alert words=job.error />
            <div class="actions">
                <button type="submit" class="button" disabled=move || job.blocked()>
                    {t.create_sim}
                </button>
            </div>
        </form>
    }
}

/// Brings a SIM from its file or text.
#[component]
pub fn ImportSim(
    /// It is here.
    #[prop(into)]
    on_done: Callback<()>,
    #[prop(into)] on_close: Callback<()>,
) -> impl IntoView {
    let t = text();
    view! {
        <Dialog id="sim-title" title=t.import_title on_close=on_close>
            <ImportForm on_done=on_done />
        </Dialog>
    }
}

#[component]
fn ImportForm(on_done: Callback<()>) -> impl IntoView {
    let t = text();
    let messenger = messenger();
    let job = Job::new();
    let file = NodeRef::<html::Input>::new();
    let pasted = RwSignal::new(String::new());
    let password = RwSignal::new(String::new());
    let import = move || {
        let password = given(password);
        let input = file.get_untracked();
        let pasted = pasted.get_untracked().trim().to_owned();
        job.start(async move {
            let chosen = match &input {
                Some(input) => browser::file_text(input).await,
                None => None,
            };
            let file = chosen
                .or((!pasted.is_empty()).then_some(pasted))
                .ok_or_else(|| t.needs_file.to_owned())?;
            messenger
                .run(Command::ImportSim { file, password })
                .await
                .map_err(|failure| match failure.about {
                    // A file says what it likes: only what can be seen of it is shown.
                    Some(origin) => (t.sim_elsewhere)(&name::cleaned(&origin)),
                    None => (t.failure)(failure.code).to_owned(),
                })?;
            let _ = on_done.try_run(());
            Ok(())
        });
    };
    view! {
        <form
            class="stack"
            on:submit=move |ev| {
                ev.prevent_default();
                import();
            }
        >
            <p>{t.import_lead}</p>
            <div class="field">
                <label for="sim-file">{t.sim_file}</label>
                <input id="sim-file" type="file" node_ref=file />
            </div>
            <TextArea id="sim-text" label=t.sim_text value=pasted rows=2 />
            <Secret id="sim-password" label=t.password_optional value=password />
            <Alert words=job.error />
            <div class="actions">
                <button type="submit" class="button" disabled=move || job.blocked()>
                    {t.import_sim}
                </button>
            </div>
        </form>
    }
}
