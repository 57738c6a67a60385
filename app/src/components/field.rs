//! Text boxes. What was typed before hydration stays: a box adopts what the page already holds, and
//! only then follows its signal. None may be filled in by the browser: it would keep what is typed
//! in its profile in the clear, also for opening the tab again.

use crate::text::text;
use leptos::{html, prelude::*};

/// A box of one line.
#[component]
pub fn TextField(
    /// Names the box in the page.
    id: &'static str,
    /// What is asked.
    label: &'static str,
    /// What is typed.
    value: RwSignal<String>,
    /// A word of help.
    #[prop(optional)]
    hint: &'static str,
) -> impl IntoView {
    let node = NodeRef::<html::Input>::new();
    Effect::new(move |adopted: Option<bool>| {
        let Some(input) = node.get() else { return false };
        let wanted = value.get();
        if adopted != Some(true) && wanted.is_empty() && !input.value().is_empty() {
            value.set(input.value());
        } else if input.value() != wanted {
            input.set_value(&wanted);
        }
        true
    });
    let hint_id = format!("{id}-hint");
    let described = (!hint.is_empty()).then(|| hint_id.clone());
    view! {
        <div class="field">
            <label for=id>{label}</label>
            <input
                id=id
                type="text"
                autocomplete="off"
                maxlength="128"
                dir="auto"
                aria-describedby=described
                node_ref=node
                on:input=move |ev| value.set(event_target_value(&ev))
            />
            {(!hint.is_empty()).then(|| view! { <p class="hint" id=hint_id>{hint}</p> })}
        </div>
    }
}

/// A box for a password. It is a text box with covered letters: browsers offer to keep passwords of
/// websites, and this one belongs to a file.
#[component]
pub fn Secret(
    /// Names the box in the page.
    id: &'static str,
    /// What is asked.
    label: &'static str,
    /// What is typed.
    value: RwSignal<String>,
    /// A word of help.
    #[prop(optional)]
    hint: &'static str,
) -> impl IntoView {
    let t = text();
    let node = NodeRef::<html::Input>::new();
    let shown = RwSignal::new(false);
    Effect::new(move || {
        if let Some(input) = node.get()
            && input.value() != value.get()
        {
            input.set_value(&value.get());
        }
    });
    let (hint_id, show_id) = (format!("{id}-hint"), format!("{id}-show"));
    let described = (!hint.is_empty()).then(|| hint_id.clone());
    view! {
        <div class="field">
            <label for=id>{label}</label>
            <input
                id=id
                type="text"
                class="secret"
                class:shown=move || shown.get()
                autocomplete="off"
                autocapitalize="off"
                spellcheck="false"
                aria-describedby=described
                node_ref=node
                on:input=move |ev| value.set(event_target_value(&ev))
            />
            <label class="check" for=show_id.clone()>
                <input
                    id=show_id.clone()
                    type="checkbox"
                    on:change=move |ev| shown.set(event_target_checked(&ev))
                />
                {t.show_password}
            </label>
            {(!hint.is_empty()).then(|| view! { <p class="hint" id=hint_id>{hint}</p> })}
        </div>
    }
}

/// A box of many lines.
#[component]
pub fn TextArea(
    /// Names the box in the page.
    id: &'static str,
    /// What is asked.
    label: &'static str,
    /// What is typed.
    value: RwSignal<String>,
    /// Shown while nothing is typed.
    #[prop(optional)]
    placeholder: &'static str,
    /// Lines at first.
    #[prop(default = 5)]
    rows: u32,
    /// Said about the text under the box, as it is typed.
    #[prop(optional, into)]
    note: Signal<Option<String>>,
) -> impl IntoView {
    let node = NodeRef::<html::Textarea>::new();
    Effect::new(move |adopted: Option<bool>| {
        let Some(area) = node.get() else { return false };
        let wanted = value.get();
        if adopted != Some(true) && wanted.is_empty() && !area.value().is_empty() {
            value.set(area.value());
        } else if area.value() != wanted {
            area.set_value(&wanted);
        }
        true
    });
    view! {
        <div class="field">
            <label for=id>{label}</label>
            <textarea
                id=id
                rows=rows.to_string()
                dir="auto"
                autocomplete="off"
                placeholder=placeholder
                node_ref=node
                on:input=move |ev| value.set(event_target_value(&ev))
            ></textarea>
            <p class="hint" aria-live="polite">{move || note.get()}</p>
        </div>
    }
}
