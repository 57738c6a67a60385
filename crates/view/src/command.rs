//! What a page asks of the worker, and what comes back. JSON over `postMessage`.

use crate::{MessageView, StateView};
use rly_protocol::Timestamp;
use serde::{Deserialize, Serialize};

/// A message from a page to its worker.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ToWorker {
    /// Number of the request; the answer repeats it.
    pub n: u32,
    /// What to do.
    pub command: Command,
}

/// What a person wants. Ids are base64url. A command may arrive twice (a tab that led was closed):
/// those that make something carry an id, and the second one changes nothing.
#[derive(Clone, Serialize, Deserialize)]
#[allow(missing_docs, reason = "fields whose names say everything")]
pub enum Command {
    /// Make a SIM. Answer: `Done`; failure `sim_exists`.
    CreateSim { name: String, password: Option<String> },
    /// Take over the SIM from a file or text. Answer: `Done`.
    ImportSim { file: String, password: Option<String> },
    /// The SIM as a file. It is sealed with the SIM's password if there is one. Answer: `SimFile`.
    ExportSim,
    /// The SIM sealed with this password, to type or scan elsewhere. Answer: `SimFile`.
    ExportSealed { password: String },
    /// Change the display name.
    SetName { name: String },
    /// Give the SIM a password, or take it away. The SIM file is sealed with it.
    SetPassword { password: Option<String> },
    /// Make a link; makes a SIM first if there is none and a name is given. Answer: `Invite`.
    CreateInvite {
        id: String,
        letter: Option<String>,
        name: Option<String>,
        ttl_seconds: u64,
    },
    /// Take a link back.
    WithdrawInvite { id: String },
    /// Forget a link that is over.
    ForgetInvite { id: String },
    /// Keep an opened letter (row of table `letters`, written by the page) in the vault.
    KeepLetter { id: String },
    /// Forget an opened letter without an answer.
    DropLetter { id: String },
    /// Answer an opened letter; makes a SIM first if there is none. An empty text only adds the
    /// contact. Answer: `Conversation`.
    Reply {
        letter: String,
        name: Option<String>,
        text: String,
    },
    /// Send a message. `id` is 16 random bytes. Answer: `Done` once it is stored here.
    Send {
        conversation: String,
        id: String,
        text: String,
    },
    /// Try a failed message again.
    Retry { conversation: String, id: String },
    /// Messages before the one with this order number (or the newest), oldest first. Answer: `Messages`.
    LoadMessages {
        conversation: String,
        before: Option<u64>,
        limit: u32,
    },
    /// Everything shown so far was seen.
    MarkRead { conversation: String },
    /// Safety codes were compared, or that is taken back.
    SetVerified { conversation: String, verified: bool },
    /// Block: delete the mailbox, keep the conversation to read.
    Block { conversation: String },
    /// Delete the conversation here, and the mailbox.
    DeleteConversation { conversation: String },
    /// Another browser has taken this SIM over: take it back.
    UseHere,
    /// Delete everything of this SIM in this browser.
    DeleteSim,
    /// The browser promised (or not) to keep the storage.
    SetPersisted { persisted: bool },
    /// The browser went online or offline, or the page came to the front: see to the connection.
    Wake,
}

impl core::fmt::Debug for Command {
    // Commands hold texts and passwords: only what kind it is may be seen.
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Command(..)")
    }
}

/// A message from the worker to its page.
#[derive(Clone, Serialize, Deserialize)]
#[allow(missing_docs, reason = "fields whose names say everything")]
pub enum FromWorker {
    /// The answer to a command of this page.
    Answer { n: u32, outcome: Outcome },
    /// Everything but messages, whole, after each change.
    State(StateView),
    /// Messages that are new or changed. In a page that shows the conversation they are merged by id.
    Messages {
        conversation: String,
        messages: Vec<MessageView>,
    },
    /// Some of what was said may not have been heard: read again what is shown.
    CatchUp,
}

/// How a command ended.
pub type Outcome = Result<Answer, Failure>;

/// What a command gives.
#[derive(Clone, Serialize, Deserialize)]
#[allow(missing_docs, reason = "fields whose names say everything")]
pub enum Answer {
    /// It is done and stored.
    Done,
    /// A link.
    Invite {
        id: String,
        link: String,
        expires_at: Timestamp,
    },
    /// The conversation that was made.
    Conversation { id: String },
    /// Messages, oldest first; `more`: there are older ones.
    Messages { messages: Vec<MessageView>, more: bool },
    /// A SIM file: a name to save it under, and its text.
    SimFile { name: String, text: String },
}

/// Why a command failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// For programs and for choosing words.
    pub code: FailureCode,
}

/// Why a command failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureCode {
    /// The browser refuses storage.
    StorageRefused,
    /// The browser's storage is full.
    StorageFull,
    /// What is stored here is damaged.
    StorageDamaged,
    /// There is no SIM yet.
    NoSim,
    /// There is a SIM already.
    SimExists,
    /// A name is needed, or is too long.
    NameInvalid,
    /// The text is empty or too long.
    TextInvalid,
    /// The SIM file is sealed: a password is needed.
    PasswordNeeded,
    /// The password is wrong.
    PasswordWrong,
    /// This is no SIM file, or it is damaged.
    FileInvalid,
    /// The SIM file was made by a newer version.
    FileNewer,
    /// The link's card is damaged, forged, or not for this address.
    CardInvalid,
    /// No such conversation, letter, invite or message.
    NotFound,
    /// This is one's own link.
    OwnLink,
    /// The server cannot be reached.
    Offline,
    /// The server asks to wait.
    Busy,
    /// The link was opened in the meantime.
    InviteUsed,
    /// Another browser uses this SIM now.
    Replaced,
    /// The conversation was blocked.
    Blocked,
    /// The server refused.
    Refused,
    /// A mistake of ours.
    Internal,
}
