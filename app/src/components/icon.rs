use leptos::prelude::*;

/// The few pictures that the pages use.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum IconName {
    /// To the list.
    Back,
    /// A dialog's end.
    Close,
    /// More to do.
    More,
    /// Send.
    Send,
    /// A conversation whose codes were compared.
    Verified,
}

impl IconName {
    fn path(self) -> &'static str {
        match self {
            Self::Back => "M15 5l-7 7 7 7",
            Self::Close => "M6 6l12 12M18 6L6 18",
            Self::More => "M12 5.5v.01M12 12v.01M12 18.5v.01",
            Self::Send => "M4 12l16-8-5 16-3.5-6.5zM11.5 13.5L20 4",
            Self::Verified => "M12 3l7 3v5c0 5-3 8-7 10-4-2-7-5-7-10V6zM9 12l2.2 2.2L15.5 10",
        }
    }
}

/// A picture beside or instead of words; the words are told otherwise.
#[component]
pub fn Icon(name: IconName) -> impl IntoView {
    view! {
        <svg class="icon" viewBox="0 0 24 24" aria-hidden="true" focusable="false">
            <path d=name.path() />
        </svg>
    }
}
