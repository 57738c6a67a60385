use super::{Alert, Confirm, Dialog, Open};
use crate::{
    state::{Job, messenger},
    text::text,
};
use leptos::prelude::*;
use rly_view::{Command, ConversationView};

/// What can be done with a contact, and is asked before.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum ContactAsk {
    /// Compare the safety code.
    Code,
    /// Never hear from them again.
    Block,
    /// Delete what was said, and the contact.
    Delete,
}

/// The dialogs for what can be done with a contact, and what went wrong with it.
#[component]
pub fn ContactDialogs(
    /// Which one is open.
    ask: Open<ContactAsk>,
    /// The conversation.
    id: String,
    /// Runs what was asked for.
    job: Job,
    /// It is deleted.
    #[prop(into)]
    on_deleted: Callback<()>,
) -> impl IntoView {
    let t = text();
    let id = StoredValue::new(id);
    let view = move || {
        let messenger = messenger();
        let find = move |state: &Option<rly_view::StateView>| {
            let conversations = &state.as_ref()?.conversations;
            conversations
                .iter()
                .find(|c| id.with_value(|id| c.id == *id))
                .cloned()
        };
        Memo::new(move |_| messenger.state.with(find))
    };
    let cancel = Callback::new(move |()| ask.set(None));
    let block = Callback::new(move |()| {
        ask.set(None);
        let conversation = id.get_value();
        job.run(Command::Block { conversation }, |_| {});
    });
    let delete = Callback::new(move |()| {
        ask.set(None);
        let conversation = id.get_value();
        job.run(Command::DeleteConversation { conversation }, move |_| {
            on_deleted.try_run(());
        });
    });
    view! {
        <Alert words=job.error />
        {move || {
            ask.get()
                .map(|ask| {
                    let view = view();
                    let name = view
                        .with_untracked(|view| view.as_ref().map(|c| c.name.clone()).unwrap_or_default());
                    match ask {
                        ContactAsk::Code => view! { <SafetyCode view=view on_close=cancel /> }.into_any(),
                        ContactAsk::Block => {
                            view! {
                                <Confirm
                                    id="block-title"
                                    title=(t.block_title)(&name)
                                    body=t.block_body
                                    action=t.block
                                    on_confirm=block
                                    on_cancel=cancel
                                />
                            }
                                .into_any()
                        }
                        ContactAsk::Delete => {
                            view! {
                                <Confirm
                                    id="delete-title"
                                    title=(t.delete_title)(&name)
                                    body=t.delete_body
                                    action=t.delete_conversation
                                    on_confirm=delete
                                    on_cancel=cancel
                                />
                            }
                                .into_any()
                        }
                    }
                })
        }}
    }
}

/// The digits that both sides compare.
#[component]
fn SafetyCode(view: Memo<Option<ConversationView>>, #[prop(into)] on_close: Callback<()>) -> impl IntoView {
    let t = text();
    let job = Job::new();
    let (name, code) = view.with_untracked(|view| {
        view.as_ref()
            .map(|c| (c.name.clone(), c.safety_code.clone()))
            .unwrap_or_default()
    });
    let lead = (t.safety_lead)(&name);
    let groups = groups(&code);
    let verified = move || view.with(|view| view.as_ref().is_some_and(|c| c.verified));
    let mark = Callback::new(move |()| {
        let Some(conversation) = view.with_untracked(|view| view.as_ref().map(|c| c.id.clone())) else {
            return;
        };
        let command = Command::SetVerified {
            conversation,
            verified: !verified(),
        };
        job.run(command, |_| {});
    });
    view! {
        <Dialog id="safety-title" title=t.safety_code on_close=on_close>
            <p>{lead.clone()}</p>
            <p class="code">
                {groups.iter().map(|group| view! { <span>{group.clone()}</span> " " }).collect_view()}
            </p>
            <div class="actions">
                <button
                    type="button"
                    class="button"
                    disabled=move || job.blocked()
                    on:click=move |_| mark.run(())
                >
                    {move || if verified() { t.mark_unverified } else { t.mark_verified }}
                </button>
            </div>
            <Alert words=job.error />
        </Dialog>
    }
}

/// Digits in groups of five.
fn groups(code: &str) -> Vec<String> {
    let digits: Vec<char> = code.chars().filter(char::is_ascii_digit).collect();
    digits.chunks(5).map(|group| group.iter().collect()).collect()
}

#[cfg(test)]
mod tests {
    use super::groups;

    #[test]
    fn a_code_is_read_in_groups_of_five() {
        let code = "0123456789".repeat(6);
        let groups = groups(&code);
        assert_eq!(groups.len(), 12);
        assert_eq!(groups.concat(), code);
        assert!(groups.iter().all(|group| group.len() == 5));
    }
}
