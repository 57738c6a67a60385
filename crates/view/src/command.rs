//! What a page asks of the worker, and what comes back: bytes in the one codec, over `postMessage`.
//! The journeys speak a little of it: `end2end/support/messenger.ts`.

use crate::{MessageView, StateView};
use rly_protocol::{Timestamp, choice, record};

record! {
    /// A message from a page to its worker.
    #[derive(Clone, Debug)]
    pub struct ToWorker {
        /// Number of the request; the answer repeats it.
        pub n: u32,
        /// What to do.
        pub command: Command,
    }
}

choice! {
    /// What a person wants. Ids are base64url. A command may arrive twice (a tab that led was closed):
    /// those that make something carry an id, and the second one changes nothing.
    #[derive(Clone)]
    pub enum Command {
        /// Make a SIM. Answer: `Done`; failure `sim_exists`.
        1 => CreateSim { name: String, password: Option<String> },
        /// Take over the SIM from a file or text. Answer: `Done`.
        2 => ImportSim { file: String, password: Option<String> },
        /// The SIM as a file. It is sealed with the SIM's password if there is one. Answer: `SimFile`.
        3 => ExportSim,
        /// The SIM sealed with this password, to type or scan elsewhere. Answer: `SimFile`.
        4 => ExportSealed { password: String },
        /// Change the display name.
        5 => SetName { name: String },
        /// Give the SIM a password, or take it away. The SIM file is sealed with it.
        6 => SetPassword { password: Option<String> },
        /// Make a link; makes a SIM first if there is none and a name is given. Answer: `Invite`.
        7 => CreateInvite {
            id: String,
            letter: Option<String>,
            name: Option<String>,
            ttl_seconds: u64,
        },
        /// Take a link back.
        8 => WithdrawInvite { id: String },
        /// Forget a link that is over.
        9 => ForgetInvite { id: String },
        /// Keep an opened letter (row of table `letters`, written by the page) in the vault.
        10 => KeepLetter { id: String },
        /// Forget an opened letter without an answer.
        11 => DropLetter { id: String },
        /// Answer an opened letter; makes a SIM first if there is none. An empty text only adds the
        /// contact. Answer: `Conversation`.
        12 => Reply {
            letter: String,
            name: Option<String>,
            text: String,
        },
        /// Send a message. `id` is 16 random bytes. Answer: `Done` once it is stored here.
        13 => Send {
            conversation: String,
            id: String,
            text: String,
        },
        /// Try a failed message again.
        14 => Retry { conversation: String, id: String },
        /// Messages before the one with this order number (or the newest), oldest first. Answer: `Messages`.
        15 => LoadMessages {
            conversation: String,
            before: Option<u64>,
            limit: u32,
        },
        /// Everything shown so far was seen.
        16 => MarkRead { conversation: String },
        /// Safety codes were compared, or that is taken back.
        17 => SetVerified { conversation: String, verified: bool },
        /// Block: delete the mailbox, keep the conversation to read.
        18 => Block { conversation: String },
        /// Delete the conversation here, and the mailbox.
        19 => DeleteConversation { conversation: String },
        /// Another browser has taken this SIM over: take it back.
        20 => UseHere,
        /// Delete everything of this SIM in this browser.
        21 => DeleteSim,
        /// The browser promised (or not) to keep the storage.
        22 => SetPersisted { persisted: bool },
        /// The browser went online or offline, or the page came to the front: see to the connection.
        23 => Wake,
    }
}

impl core::fmt::Debug for Command {
    // Commands hold texts and passwords: only what kind it is may be seen.
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Command(..)")
    }
}

choice! {
    /// A message from the worker to its page.
    #[derive(Clone)]
    pub enum FromWorker {
        /// The answer to a command of this page.
        1 => Answer { n: u32, outcome: Outcome },
        /// Everything but messages, whole, after each change.
        2 => State(state: StateView),
        /// Messages that are new or changed. In a page that shows the conversation they are merged by id.
        3 => Messages {
            conversation: String,
            messages: Vec<MessageView>,
        },
        /// Some of what was said may not have been heard: read again what is shown.
        4 => CatchUp,
    }
}

/// How a command ended.
pub type Outcome = Result<Answer, Failure>;

choice! {
    /// What a command gives.
    #[derive(Clone)]
    pub enum Answer {
        /// It is done and stored.
        1 => Done,
        /// A link.
        2 => Invite {
            id: String,
            link: String,
            expires_at: Timestamp,
        },
        /// The conversation that was made.
        3 => Conversation { id: String },
        /// Messages, oldest first; `more`: there are older ones.
        4 => Messages { messages: Vec<MessageView>, more: bool },
        /// A SIM file: a name to save it under, and its text.
        5 => SimFile { name: String, text: String },
    }
}

record! {
    /// Why a command failed.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct Failure {
        /// For programs and for choosing words.
        pub code: FailureCode,
        /// What it is about, for [`FailureCode::SimElsewhere`]: the origin of the SIM's server.
        pub about: Option<String>,
    }
}

impl From<FailureCode> for Failure {
    fn from(code: FailureCode) -> Self {
        Self { code, about: None }
    }
}

choice! {
    /// Why a command failed.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum FailureCode {
        /// The browser refuses storage.
        1 => StorageRefused,
        /// The browser's storage is full.
        2 => StorageFull,
        /// What is stored here is damaged.
        3 => StorageDamaged,
        /// There is no SIM yet.
        4 => NoSim,
        /// There is a SIM already.
        5 => SimExists,
        /// A name is needed, or is too long.
        6 => NameInvalid,
        /// The text is empty or too long.
        7 => TextInvalid,
        /// The SIM file is sealed: a password is needed.
        8 => PasswordNeeded,
        /// The password is wrong.
        9 => PasswordWrong,
        /// This is no SIM file, or it is damaged.
        10 => FileInvalid,
        /// The SIM file was made by a newer version.
        11 => FileNewer,
        /// The link's card is damaged, forged, or not for this address.
        12 => CardInvalid,
        /// No such conversation, letter, invite or message.
        13 => NotFound,
        /// This is one's own link.
        14 => OwnLink,
        /// The server cannot be reached.
        15 => Offline,
        /// The server asks to wait.
        16 => Busy,
        /// The link was opened in the meantime.
        17 => InviteUsed,
        /// Another browser uses this SIM now.
        18 => Replaced,
        /// The conversation was blocked.
        19 => Blocked,
        /// The server refused.
        20 => Refused,
        /// A mistake of ours.
        21 => Internal,
        /// This is no room's code, or it is not complete.
        22 => RoomCodeInvalid,
        /// There is no such room, or it has ended.
        23 => RoomGone,
        /// As many people belong to the room as may.
        24 => RoomFull,
        /// The code does not fit the room: the server has another one under this id.
        25 => RoomSecretWrong,
        /// Only who made the room may end it for all.
        26 => RoomNotCreator,
        /// No room can have these limits.
        27 => RoomLimitsInvalid,
        /// There are no rooms on this server, or not for everybody.
        28 => RoomsOff,
        /// Too many rooms of this person's are open.
        29 => RoomsTooMany,
        /// One has not joined the room.
        30 => RoomNotJoined,
        /// The SIM file belongs to another server.
        31 => SimElsewhere,
    }
}
