//! Every text that a person reads, in one catalogue for each language. A language that lacks a text
//! does not compile.

mod english;
#[cfg(any(feature = "ssr", feature = "rooms"))]
mod rooms;

pub use english::ENGLISH;

#[cfg(any(feature = "ssr", feature = "rooms"))]
pub use rooms::{named, room_text};

use crate::{api::ApiError, browser::Setting};
use leptos::prelude::*;
use rly_view::{FailureCode, Note};

/// A language of the pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    /// What the server renders, and where everybody starts.
    English,
}

impl Language {
    /// Every language there is.
    pub const ALL: &[Self] = &[Self::English];

    /// Its tag (BCP 47).
    pub fn tag(self) -> &'static str {
        match self {
            Self::English => "en",
        }
    }

    /// Its name in itself.
    pub fn name(self) -> &'static str {
        match self {
            Self::English => "English",
        }
    }

    /// Its texts.
    pub fn text(self) -> &'static Text {
        match self {
            Self::English => &ENGLISH,
        }
    }

    /// The language with this tag.
    pub fn from_tag(tag: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|language| language.tag() == tag)
    }

    /// The language that was chosen in this browser.
    pub fn chosen() -> Option<Self> {
        Setting::Language.read().and_then(|tag| Self::from_tag(&tag))
    }
}

/// The texts of the language that is shown. Pages are built anew when it changes.
pub fn text() -> &'static Text {
    use_context::<RwSignal<Language>>().map_or(&ENGLISH, |language| language.get_untracked().text())
}

/// The texts of one language. `fn`s are for texts with something in them.
pub struct Text {
    // Everywhere.
    pub app: &'static str,
    pub pages: &'static str,
    pub skip: &'static str,
    pub chats: &'static str,
    pub settings: &'static str,
    pub close: &'static str,
    pub cancel: &'static str,
    /// Only the server says it.
    #[cfg(feature = "ssr")]
    pub no_script: &'static str,
    pub your_name: &'static str,
    pub name_hint: &'static str,
    pub password_optional: &'static str,
    pub show_password: &'static str,
    pub copied: &'static str,
    pub copy_failed: &'static str,
    pub not_found_title: &'static str,
    pub not_found: &'static str,
    pub to_start: &'static str,

    // Time.
    pub months: [&'static str; 12],
    pub today: &'static str,
    pub yesterday: &'static str,
    pub date: fn(u32, &str, Option<u32>) -> String,
    pub clock_on_date: fn(&str, &str) -> String,

    // `/`
    pub start_title: &'static str,
    pub start_lead: &'static str,
    pub write_letter: &'static str,
    pub create_sim: &'static str,
    pub import_sim: &'static str,
    pub to_chats: &'static str,
    pub make_room: &'static str,
    pub start_sim_hint: &'static str,
    pub steps_title: &'static str,
    pub steps: [(&'static str, &'static str); 3],
    pub facts_title: &'static str,
    pub facts: [(&'static str, &'static str); 4],

    // `/letter`
    pub letter_title: &'static str,
    pub letter_lead: &'static str,
    pub letter: &'static str,
    pub letter_placeholder: &'static str,
    pub link_lives: &'static str,
    pub lives: [(&'static str, u64); 4],
    pub create_link: &'static str,
    pub creating_link: &'static str,
    pub bytes_left: fn(usize) -> String,
    pub bytes_over: fn(usize) -> String,
    pub link_ready_title: &'static str,
    pub link_ready_lead: &'static str,
    pub another_letter: &'static str,
    pub needs_letter: &'static str,
    pub needs_name: &'static str,
    pub name_too_long: &'static str,

    // A link.
    pub invite_link: &'static str,
    pub invite_qr: &'static str,
    pub copy_link: &'static str,
    pub share_link: &'static str,
    pub for_one: &'static str,
    pub works_until: fn(&str) -> String,
    pub withdraw_link: &'static str,
    pub withdraw_title: &'static str,
    pub withdraw_body: &'static str,
    pub only_here_title: &'static str,
    pub only_here: &'static str,
    pub opened_at: fn(&str) -> String,
    pub link_over: &'static str,
    pub link_unreadable: fn(&str) -> String,
    pub link_gone: &'static str,
    pub link_over_title: &'static str,
    pub link_answered: &'static str,
    pub link_answered_by: fn(&str) -> String,
    pub open_chat: &'static str,
    pub link_withdrawn: &'static str,

    // Saving the SIM.
    pub export_title: &'static str,
    pub export_body: &'static str,
    pub download_sim: &'static str,

    // `/i`
    pub open_title: &'static str,
    pub open_lead: &'static str,
    pub open_once: &'static str,
    pub open: &'static str,
    pub opening: &'static str,
    pub reply: &'static str,
    pub reply_placeholder: &'static str,
    pub reply_note: &'static str,
    pub send_reply: &'static str,
    pub letter_from: fn(&str) -> String,
    pub invites_you: fn(&str) -> String,
    pub invites_lead: &'static str,
    pub add_contact: &'static str,
    pub unverified: &'static str,
    pub link_empty: &'static str,
    pub link_mangled: &'static str,
    pub link_used: fn(Option<&str>) -> String,
    pub ask_title: &'static str,
    pub ask_text: &'static str,
    pub copy_text: &'static str,
    pub link_forged: &'static str,
    pub link_storage: &'static str,
    pub link_not_kept: &'static str,
    pub try_again: &'static str,
    pub in_app_title: &'static str,
    pub in_app: &'static str,
    pub needs_reply: &'static str,

    // What a browser lacks.
    pub lack_secure: &'static str,
    pub lack_storage: &'static str,
    pub lack_features: &'static str,

    // `/chat`
    pub chat_title: &'static str,
    pub conversations: &'static str,
    pub share_contact: &'static str,
    pub share_lead: &'static str,
    pub new_letter: &'static str,
    pub messages: &'static str,
    pub message: &'static str,
    pub send: &'static str,
    pub back: &'static str,
    pub you_prefix: &'static str,
    pub unread: fn(u32) -> String,
    pub new_messages: &'static str,
    pub loading: &'static str,
    pub not_loaded: &'static str,
    pub no_sim_title: &'static str,
    pub no_sim: &'static str,
    pub no_conversations: &'static str,
    pub pick_title: &'static str,
    pub pick: &'static str,
    pub no_messages: &'static str,
    pub gone_conversation: &'static str,
    pub letters_waiting: &'static str,
    /// In the place of a letter's first words, where a contact came without one.
    pub contact_waits: &'static str,
    pub links: &'static str,
    pub link_without_letter: &'static str,
    pub show_link: &'static str,
    pub remove: &'static str,
    pub remove_title: &'static str,
    pub remove_body: &'static str,
    pub blocked_note: &'static str,
    pub unreachable_note: &'static str,
    pub rejoining_note: &'static str,
    pub sim_elsewhere: fn(&str) -> String,
    pub restoring: &'static str,
    pub state_sending: &'static str,
    pub state_sent: &'static str,
    pub state_delivered: &'static str,
    pub state_failed: &'static str,
    pub needs_newer_message: &'static str,
    pub note: fn(Note) -> String,

    // The connection and the phases.
    pub online: &'static str,
    pub connecting: &'static str,
    pub offline: &'static str,
    pub next_try: fn(&str) -> String,
    pub reload_newer: &'static str,
    pub reload: &'static str,
    pub replaced: &'static str,
    pub replaced_body: &'static str,
    pub use_here: &'static str,
    pub storage_full: &'static str,
    pub storage_damaged: &'static str,

    // SIM dialogs.
    pub create_title: &'static str,
    pub create_lead: &'static str,
    pub created_title: &'static str,
    pub created_lead: &'static str,
    pub password_hint: &'static str,
    pub done: &'static str,
    pub import_title: &'static str,
    pub import_lead: &'static str,
    pub sim_file: &'static str,
    pub sim_text: &'static str,
    pub needs_file: &'static str,

    // A conversation's menu.
    pub menu: &'static str,
    pub safety_code: &'static str,
    pub safety_lead: fn(&str) -> String,
    pub mark_verified: &'static str,
    pub mark_unverified: &'static str,
    pub verified: &'static str,
    pub block: &'static str,
    pub block_title: fn(&str) -> String,
    pub block_body: &'static str,
    pub delete_conversation: &'static str,
    pub delete_title: fn(&str) -> String,
    pub delete_body: &'static str,
    pub drop_letter: &'static str,
    pub drop_title: &'static str,
    pub drop_body: &'static str,

    // `/settings`
    pub sim: &'static str,
    pub save_name: &'static str,
    pub saved: &'static str,
    pub password_set: &'static str,
    pub password_none: &'static str,
    pub new_password: &'static str,
    pub set_password: &'static str,
    pub remove_password: &'static str,
    pub remove_password_title: &'static str,
    pub remove_password_body: &'static str,
    pub backup: &'static str,
    pub meter: &'static str,
    pub meter_words: [&'static str; 4],
    pub export_never: &'static str,
    pub export_age: fn(u64) -> String,
    pub vault_current: &'static str,
    pub vault_behind: &'static str,
    pub vault_full: &'static str,
    pub persisted_yes: &'static str,
    pub persisted_no: &'static str,
    pub persisted_unknown: &'static str,
    pub ask_persist: &'static str,
    pub other_device: &'static str,
    pub other_device_lead: &'static str,
    pub transfer_password: &'static str,
    pub show_code: &'static str,
    pub code_lead: &'static str,
    pub sim_qr: &'static str,
    pub sim_code: &'static str,
    pub copy_code: &'static str,
    pub look: &'static str,
    pub look_system: &'static str,
    pub look_light: &'static str,
    pub look_dark: &'static str,
    pub language: &'static str,
    pub contacts: &'static str,
    pub no_contacts: &'static str,
    pub safety_code_named: fn(&str) -> String,
    pub block_named: fn(&str) -> String,
    pub delete_named: fn(&str) -> String,
    pub danger: &'static str,
    pub delete_all: &'static str,
    pub delete_all_title: &'static str,
    pub delete_all_body: &'static str,
    pub deleted: &'static str,

    // What went wrong.
    pub failure: fn(FailureCode) -> &'static str,
    pub api: fn(&ApiError) -> String,
}
