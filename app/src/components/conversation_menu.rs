use super::{Alert, Confirm, Dialog, Icon, IconName, Open};
use crate::{state::Job, text::text};
use leptos::{html, prelude::*};
use leptos_router::{NavigateOptions, hooks::use_navigate};
use rly_view::{Command, ConversationView};

/// What a menu entry opens.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ask {
    Code,
    Block,
    Delete,
}

/// What else can be done with a conversation.
#[component]
pub fn ConversationMenu(
    /// Which one.
    #[prop(into)]
    id: String,
    /// As it is now.
    view: Memo<Option<ConversationView>>,
) -> impl IntoView {
    let t = text();
    let ask: Open<Ask> = RwSignal::new(None);
    let menu = NodeRef::<html::Details>::new();
    let job = Job::new();
    let navigate = use_navigate();
    let close_menu = move || {
        if let Some(menu) = menu.get_untracked() {
            menu.set_open(false);
            if let Ok(Some(summary)) = menu.query_selector("summary") {
                crate::browser::focus(&summary);
            }
        }
    };
    let choose = move |what: Ask| {
        // First the menu, so that the dialog gives the focus back to something that is shown.
        close_menu();
        ask.set(Some(what));
    };
    let cancel = Callback::new(move |()| ask.set(None));
    let block = {
        let id = id.clone();
        Callback::new(move |()| {
            ask.set(None);
            job.run(
                Command::Block {
                    conversation: id.clone(),
                },
                |_| {},
            );
        })
    };
    let delete = {
        let id = id.clone();
        let navigate = StoredValue::new_local(navigate);
        Callback::new(move |()| {
            ask.set(None);
            job.run(
                Command::DeleteConversation {
                    conversation: id.clone(),
                },
                move |_| {
                    if let Some(navigate) = navigate.try_get_value() {
                        let replace = NavigateOptions {
                            replace: true,
                            ..NavigateOptions::default()
                        };
                        navigate("/chat", replace);
                    }
                },
            );
        })
    };
    let name = move || view.with_untracked(|view| view.as_ref().map(|c| c.name.clone()).unwrap_or_default());
    let blocked = move || view.with(|view| view.as_ref().is_some_and(|c| c.blocked));
    view! {
        <details
            class="menu"
            node_ref=menu
            on:keydown=move |ev| {
                if ev.key() == "Escape" {
                    close_menu();
                }
            }
        >
            <summary class="icon-button" aria-label=t.menu>
                <Icon name=IconName::More />
            </summary>
            <div class="menu-list">
                <button type="button" on:click=move |_| choose(Ask::Code)>
                    {t.safety_code}
                </button>
                <button
                    type="button"
                    disabled=move || job.blocked() || blocked()
                    on:click=move |_| choose(Ask::Block)
                >
                    {t.block}
                </button>
                <button
                    type="button"
                    class="danger-text"
                    disabled=move || job.blocked()
                    on:click=move |_| choose(Ask::Delete)
                >
                    {t.delete_conversation}
                </button>
            </div>
        </details>
        <Alert words=job.error />
        {move || match ask.get() {
            None => ().into_any(),
            Some(Ask::Code) => view! { <SafetyCode view=view on_close=cancel /> }.into_any(),
            Some(Ask::Block) => {
                view! {
                    <Confirm
                        id="block-title"
                        title=(t.block_title)(&name())
                        body=t.block_body
                        action=t.block
                        on_confirm=block
                        on_cancel=cancel
                    />
                }
                    .into_any()
            }
            Some(Ask::Delete) => {
                view! {
                    <Confirm
                        id="delete-title"
                        title=(t.delete_title)(&name())
                        body=t.delete_body
                        action=t.delete_conversation
                        on_confirm=delete
                        on_cancel=cancel
                    />
                }
                    .into_any()
            }
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
