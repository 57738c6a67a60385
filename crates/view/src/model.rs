//! View models: what a page shows. No keys, no addresses.

use rly_protocol::Timestamp;
use serde::{Deserialize, Serialize};

/// Everything but messages.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateView {
    /// Where the messenger is.
    pub phase: Phase,
    /// The SIM, if there is one.
    pub sim: Option<SimView>,
    /// The connection to the server.
    pub connection: Connection,
    /// The last active one first.
    pub conversations: Vec<ConversationView>,
    /// The newest one first; those that became conversations are not listed.
    pub invites: Vec<InviteView>,
    /// Opened letters without an answer, the newest one first.
    pub letters: Vec<LetterView>,
}

/// Where the messenger is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Phase {
    /// Reading what is stored.
    #[default]
    Starting,
    /// No SIM yet.
    NoSim,
    /// A SIM was imported and its vault is not read yet.
    Restoring,
    /// Ready.
    Ready,
    /// Another browser uses this SIM now: nothing is sent from here.
    Replaced,
    /// The browser refuses storage.
    StorageRefused,
    /// The browser's storage is full: nothing new is accepted until there is room.
    StorageFull,
    /// What is stored here is damaged; it is left as it is.
    StorageDamaged,
    /// What is stored here was made by a newer version of the app.
    NeedsNewer,
}

/// The connection to the server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "fields whose names say everything")]
pub enum Connection {
    /// Not connected, and no reason to be (no SIM).
    #[default]
    Idle,
    /// Connecting.
    Connecting,
    /// Connected.
    Online,
    /// Not connected; the next try comes then.
    Waiting { until: Timestamp },
    /// The server speaks no protocol version that this app knows: reload.
    NeedsNewer,
}

/// The SIM.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SimView {
    /// The display name.
    pub name: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// The last time its file was downloaded.
    pub exported_at: Option<Timestamp>,
    /// Its file is sealed with a password.
    pub has_password: bool,
    /// Something depends on it (a link or a conversation) and no file of it was saved: say so.
    pub export_due: bool,
    /// Whether the browser promised to keep the storage; unknown until it was asked.
    pub persisted: Option<bool>,
}

/// One line in the list of conversations.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConversationView {
    /// Names it in `/chat#<id>`.
    pub id: String,
    /// What the other one calls themselves.
    pub name: String,
    /// The newest message.
    pub last: Option<Preview>,
    /// When something last happened.
    pub active_at: Timestamp,
    /// Messages not seen yet.
    pub unread: u32,
    /// 60 digits, the same on both sides.
    pub safety_code: String,
    /// The safety codes were compared.
    pub verified: bool,
    /// The contact is blocked.
    pub blocked: bool,
    /// New keys are being agreed on; messages wait.
    pub rejoining: bool,
    /// The server has no mailbox of the contact's, or none of ours, for this conversation any more.
    pub unreachable: bool,
}

/// The newest message of a conversation, cut to a line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Preview {
    /// The start of the text.
    pub text: String,
    /// One's own.
    pub own: bool,
}

/// A message, or a note between messages.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MessageView {
    /// Base64url.
    pub id: String,
    /// The place in the conversation: show by rising order.
    pub order: u64,
    /// One's own.
    pub own: bool,
    /// When it was sent, by the sender's clock; for notes, when they were made.
    pub at: Timestamp,
    /// What it says.
    pub content: Content,
    /// For one's own messages.
    pub state: Option<MessageState>,
}

/// What a message says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Content {
    /// Text as written by a person.
    Text(String),
    /// A kind of message that this version does not know.
    NeedsNewer,
    /// Not from a person: something that the reader should know.
    Note(Note),
}

/// Something that the reader should know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Note {
    /// This many messages before this place did not arrive.
    Gap(u32),
    /// What the sender says came before is not what came before here: somebody interfered.
    Fork,
    /// The contact uses a new browser, or restored the SIM; new keys were agreed on.
    Rejoined,
    /// This browser restored the SIM; new keys were agreed on.
    RejoinedHere,
    /// A message could not be decrypted.
    Unreadable,
}

/// How far one's own message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum MessageState {
    /// Stored here, not confirmed by the server.
    Sending,
    /// The server has it.
    Sent,
    /// The other one's device has it.
    Delivered,
    /// It did not arrive and will not by itself.
    Failed,
}

impl MessageState {
    /// As in `data-state`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sending => "sending",
            Self::Sent => "sent",
            Self::Delivered => "delivered",
            Self::Failed => "failed",
        }
    }
}

/// A link that was made here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InviteView {
    /// Of the invite, base64url.
    pub id: String,
    /// The link; gone once it is over.
    pub link: Option<String>,
    /// The start of the letter, if there is one.
    pub letter: Option<String>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it ends.
    pub expires_at: Timestamp,
    /// What became of it.
    pub state: InviteState,
}

/// What became of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "fields whose names say everything")]
pub enum InviteState {
    /// It waits.
    Open,
    /// Somebody opened it and has not answered yet.
    Opened { at: Timestamp },
    /// Its time is over.
    Expired,
    /// What came is no answer, or one that cannot be used.
    Unreadable { at: Timestamp },
    /// The server does not know its mailbox any more.
    Gone,
}

/// An opened letter without an answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LetterView {
    /// Names it in `/i#~<id>`.
    pub id: String,
    /// Who wrote.
    pub name: String,
    /// The start of the letter, if there is one.
    pub preview: Option<String>,
    /// When it was opened.
    pub opened_at: Timestamp,
}
