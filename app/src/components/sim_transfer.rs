use super::{Alert, CopyButton, Dialog, Qr, Secret};
use crate::{
    state::{Job, messenger},
    text::text,
};
use leptos::prelude::*;
use rly_view::{Answer, Command, FailureCode, Phase};

/// Shows the SIM, sealed, for another device.
#[component]
pub fn SimTransfer() -> impl IntoView {
    let t = text();
    let job = Job::new();
    let password = RwSignal::new(String::new());
    let code = RwSignal::new(None::<String>);
    let close = Callback::new(move |()| code.set(None));
    let messenger = messenger();
    // The other device has it: what is said about that must not be covered.
    Effect::new(move || {
        if messenger.phase() == Phase::Replaced {
            code.set(None);
        }
    });
    let show = move || {
        let secret = password.get_untracked();
        if secret.is_empty() {
            return job.complain((t.failure)(FailureCode::PasswordNeeded));
        }
        job.run(Command::ExportSealed { password: secret }, move |answer| {
            if let Answer::SimFile { text, .. } = answer {
                let _ = password.try_set(String::new());
                let _ = code.try_set(Some(text));
            }
        });
    };
    view! {
        <form
            class="stack"
            on:submit=move |ev| {
                ev.prevent_default();
                show();
            }
        >
            <p>{t.other_device_lead}</p>
            <Secret id="transfer-password" label=t.transfer_password value=password />
            <Alert words=job.error />
            <div class="actions">
                <button type="submit" class="button" disabled=move || job.blocked()>
                    {t.show_code}
                </button>
            </div>
        </form>
        {move || {
            code.get()
                .map(|code| {
                    let (shown, copied) = (code.clone(), code.clone());
                    view! {
                        <Dialog id="transfer-title" title=t.other_device on_close=close>
                            <p>{t.code_lead}</p>
                            <Qr value=code.clone() label=t.sim_qr />
                            <div class="field">
                                <label for="sim-code">{t.sim_code}</label>
                                <textarea
                                    id="sim-code"
                                    rows="4"
                                    readonly
                                    autocomplete="off"
                                    prop:value=shown.clone()
                                ></textarea>
                            </div>
                            <div class="actions">
                                <CopyButton
                                    label=t.copy_code
                                    value={
                                        let copied = copied.clone();
                                        Callback::new(move |()| copied.clone())
                                    }
                                />
                            </div>
                        </Dialog>
                    }
                })
        }}
    }
}
