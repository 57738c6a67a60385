use super::{ContactAsk, ContactDialogs, Icon, IconName, Open};
use crate::{state::Job, text::text};
use leptos::{html, prelude::*};
use leptos_router::{NavigateOptions, hooks::use_navigate};
use rly_view::ConversationView;

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
    let ask: Open<ContactAsk> = RwSignal::new(None);
    let menu = NodeRef::<html::Details>::new();
    let job = Job::new();
    let navigate = StoredValue::new_local(use_navigate());
    let close_menu = move || {
        if let Some(menu) = menu.get_untracked() {
            menu.set_open(false);
            if let Ok(Some(summary)) = menu.query_selector("summary") {
                crate::browser::focus(&summary);
            }
        }
    };
    let choose = move |what: ContactAsk| {
        // First the menu, so that the dialog gives the focus back to something that is shown.
        close_menu();
        ask.set(Some(what));
    };
    let leave = move |()| {
        if let Some(navigate) = navigate.try_get_value() {
            let replace = NavigateOptions {
                replace: true,
                ..NavigateOptions::default()
            };
            navigate("/chat", replace);
        }
    };
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
                <button type="button" on:click=move |_| choose(ContactAsk::Code)>
                    {t.safety_code}
                </button>
                <button
                    type="button"
                    disabled=move || job.blocked() || blocked()
                    on:click=move |_| choose(ContactAsk::Block)
                >
                    {t.block}
                </button>
                <button
                    type="button"
                    class="danger-text"
                    disabled=move || job.blocked()
                    on:click=move |_| choose(ContactAsk::Delete)
                >
                    {t.delete_conversation}
                </button>
            </div>
        </details>
        <ContactDialogs ask=ask id=id job=job on_deleted=leave />
    }
}
