use leptos::prelude::*;

/// A sealed letter, as a picture.
#[component]
pub fn Envelope() -> impl IntoView {
    view! {
                    <svg class="art" aria-hidden="true" viewBox="0 0 320 260" focusable="false">
                        <path class="art-back" d="M30 96 L160 18 L290 96 V232 a14 14 0 0 1 -14 14 H44 a14 14 0 0 1 -14 -14 Z" />
                        <path class="art-paper" d="M58 62 h204 a8 8 0 0 1 8 8 V200 H50 V70 a8 8 0 0 1 8 -8 Z" />
                        <path class="art-lines" d="M78 92 H214 M78 114 H242 M78 136 H196" />
                        <path class="art-front" d="M30 100 L160 186 L290 100 V232 a14 14 0 0 1 -14 14 H44 a14 14 0 0 1 -14 -14 Z" />
                        <path class="art-fold" d="M34 240 L132 168 M286 240 L188 168" />
                        <circle class="art-seal" cx="160" cy="184" r="24" />
                        <path class="art-mark" d="M149 184 l8 8 l15 -16" />
                    </svg>
    }
}
