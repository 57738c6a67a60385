//! Parts of pages.

mod alert;
mod composer;
mod connection;
mod contact_dialogs;
mod conversation;
mod conversation_menu;
mod dialog;
mod envelope;
mod export;
mod field;
mod frame;
mod icon;
mod in_app;
mod link_panel;
mod message;
mod message_list;
mod place;
mod qr;
mod share;
mod sidebar;
mod sim_dialogs;
mod sim_transfer;

pub use alert::Alert;
pub use composer::Composer;
pub use connection::{ConnectionSign, PhaseBanner};
pub use contact_dialogs::{ContactAsk, ContactDialogs};
pub use conversation::Conversation;
pub use conversation_menu::ConversationMenu;
pub use dialog::{Confirm, Dialog, Open};
pub use envelope::Envelope;
pub use export::{DownloadSim, ExportReminder};
pub use field::{Secret, TextArea, TextField};
pub use frame::{Frame, LackNotice};
pub use icon::{Icon, IconName};
pub use in_app::InApp;
#[cfg(any(feature = "ssr", feature = "rooms"))]
pub use link_panel::GiveLink;
pub use link_panel::{CopyButton, LinkPanel, Over, link_over, link_words};
pub use message::Message;
pub use message_list::MessageList;
pub use qr::Qr;
pub use share::{Share, ShareDialog};
pub use sidebar::{Letters, Sidebar};
pub use sim_dialogs::{CreateSim, ImportSim};
pub use sim_transfer::SimTransfer;
