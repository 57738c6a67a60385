use crate::qr::draw;
use leptos::prelude::*;

/// A text as a QR code: black on white in every look, because scanners need that.
#[component]
pub fn Qr(
    /// What it says.
    #[prop(into)]
    value: String,
    /// Its name.
    label: &'static str,
) -> impl IntoView {
    draw(&value).map(|qr| {
        view! {
            <svg
                class="qr"
                role="img"
                aria-label=label
                viewBox=format!("0 0 {0} {0}", qr.size)
                shape-rendering="crispEdges"
            >
                <path d=qr.path />
            </svg>
        }
    })
}
