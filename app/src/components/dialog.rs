//! Dialogs: the browser's own, modal. They are drawn at the end of the body, so that everything else
//! can be hidden from assistive technology while one is open.

use super::{Icon, IconName};
use crate::{browser, state::messenger, text::text};
use leptos::{html, portal::Portal, prelude::*};

/// A dialog that is open as long as it is in the page.
#[component]
pub fn Dialog(
    /// Names its heading in the page.
    id: &'static str,
    /// Its heading, which is its name.
    #[prop(into)]
    title: String,
    /// Asks before something is destroyed.
    #[prop(optional)]
    alert: bool,
    /// Escape, or the button that closes.
    #[prop(into)]
    on_close: Callback<()>,
    children: ChildrenFn,
) -> impl IntoView {
    let t = text();
    let open = messenger().dialogs;
    // How many dialogs lie below this one.
    let below = open.get_untracked();
    open.set(below + 1);
    let opener = StoredValue::new_local(document().active_element());
    on_cleanup(move || {
        open.set(below);
        let opener = opener.try_get_value().flatten();
        // The page takes the focus again only when it is no longer inert.
        set_timeout(
            move || {
                if let Some(opener) = opener
                    && opener.is_connected()
                {
                    browser::focus(&opener);
                }
            },
            core::time::Duration::ZERO,
        );
    });
    let node = NodeRef::<html::Dialog>::new();
    Effect::new(move || {
        if let Some(dialog) = node.get()
            && !dialog.open()
        {
            // Refused only for a dialog that is not in the page.
            let _ = dialog.show_modal();
        }
    });
    let covered = move || (open.get() > below + 1).then_some("true");
    let title = StoredValue::new(title);
    let children = StoredValue::new(children);
    view! {
        <Portal>
            <dialog
                class="dialog"
                role=alert.then_some("alertdialog")
                aria-labelledby=id
                aria-hidden=covered
                node_ref=node
                on:cancel=move |ev: web_sys::Event| {
                    // A file chooser inside tells of its own end with the same event.
                    if ev.target() == ev.current_target() {
                        // The signal decides what is open; the browser would close it behind its back.
                        ev.prevent_default();
                        on_close.run(());
                    }
                }
                on:close=move |_| on_close.run(())
            >
                <div class="dialog-body">
                    <h2 id=id>{title.get_value()}</h2>
                    {children.with_value(|children| children())}
                </div>
                {(!alert)
                    .then(|| {
                        view! {
                            <button
                                type="button"
                                class="icon-button dialog-close"
                                aria-label=t.close
                                on:click=move |_| on_close.run(())
                            >
                                <Icon name=IconName::Close />
                            </button>
                        }
                    })}
            </dialog>
        </Portal>
    }
}

/// What is open, and what for.
pub type Open<T> = RwSignal<Option<T>>;

/// Asks once before something is destroyed. The first button does it.
#[component]
pub fn Confirm(
    /// Names its heading in the page.
    id: &'static str,
    /// The question.
    #[prop(into)]
    title: String,
    /// What it means.
    body: &'static str,
    /// The word on the button that does it.
    action: &'static str,
    /// It is done.
    #[prop(into)]
    on_confirm: Callback<()>,
    /// It is not done.
    #[prop(into)]
    on_cancel: Callback<()>,
) -> impl IntoView {
    let t = text();
    view! {
        <Dialog id=id title=title alert=true on_close=on_cancel>
            <p>{body}</p>
            <div class="actions">
                <button type="button" class="button danger" on:click=move |_| on_confirm.run(())>
                    {action}
                </button>
                <button type="button" class="button quiet" on:click=move |_| on_cancel.run(())>
                    {t.cancel}
                </button>
            </div>
        </Dialog>
    }
}
