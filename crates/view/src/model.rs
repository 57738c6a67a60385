//! View models: what a page shows. No keys, no addresses.

use rly_protocol::{Timestamp, choice, record};

record! {
    /// Everything but messages.
    #[derive(Clone, Debug, Default, PartialEq, Eq)]
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
}

choice! {
    /// Where the messenger is.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub enum Phase {
        /// Reading what is stored.
        #[default]
        1 => Starting,
        /// No SIM yet.
        2 => NoSim,
        /// A SIM was imported and its vault is not read yet.
        3 => Restoring,
        /// Ready.
        4 => Ready,
        /// Another browser uses this SIM now: nothing is sent from here.
        5 => Replaced,
        /// The browser refuses storage.
        6 => StorageRefused,
        /// The browser's storage is full: nothing new is accepted until there is room.
        7 => StorageFull,
        /// What is stored here is damaged; it is left as it is.
        8 => StorageDamaged,
        /// What is stored here was made by a newer version of the app.
        9 => NeedsNewer,
    }
}

choice! {
    /// The connection to the server.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub enum Connection {
        /// Not connected, and no reason to be (no SIM).
        #[default]
        1 => Idle,
        /// Connecting.
        2 => Connecting,
        /// Connected.
        3 => Online,
        /// Not connected; the next try comes then.
        4 => Waiting { until: Timestamp },
        /// The server speaks no protocol version that this app knows: reload.
        5 => NeedsNewer,
    }
}

record! {
    /// The SIM.
    #[derive(Clone, Debug, PartialEq, Eq)]
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
        /// The sealed copy on the server has all that the SIM's file brings back.
        pub vault_current: bool,
        /// That copy is full: some links or letters are not in it.
        pub vault_full: bool,
        /// Whether the browser promised to keep the storage; unknown until it was asked.
        pub persisted: Option<bool>,
    }
}

record! {
    /// One line in the list of conversations.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct ConversationView {
        /// Names it in `/chat#<id>`.
        pub id: String,
        /// What the other one calls themselves.
        pub name: String,
        /// Id of the letter that was answered, or else of the own link; empty where that was not kept yet.
        pub began_with: String,
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
}

record! {
    /// The newest message of a conversation, cut to a line.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct Preview {
        /// The start of the text.
        pub text: String,
        /// One's own.
        pub own: bool,
    }
}

record! {
    /// A message, or a note between messages.
    #[derive(Clone, Debug, PartialEq, Eq)]
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
}

choice! {
    /// What a message says.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub enum Content {
        /// Text as written by a person.
        1 => Text(text: String),
        /// A kind of message that this version does not know.
        2 => NeedsNewer,
        /// Not from a person: something that the reader should know.
        3 => Note(note: Note),
    }
}

choice! {
    /// Something that the reader should know.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub enum Note {
        /// This many messages before this place did not arrive.
        1 => Gap(missing: u32),
        /// What the sender says came before is not what came before here: somebody interfered.
        2 => Fork,
        /// The contact uses a new browser, or restored the SIM; new keys were agreed on.
        3 => Rejoined,
        /// This browser restored the SIM; new keys were agreed on.
        4 => RejoinedHere,
        /// A message could not be decrypted.
        5 => Unreadable,
        /// The contact goes by another name.
        6 => Renamed { from: String, to: String },
        /// What is stored of this message is damaged.
        7 => Damaged,
    }
}

choice! {
    /// How far one's own message is.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
    pub enum MessageState {
        /// Stored here, not confirmed by the server.
        1 => Sending,
        /// The server has it.
        2 => Sent,
        /// The other one's device has it.
        3 => Delivered,
        /// It did not arrive and will not by itself.
        4 => Failed,
    }
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

record! {
    /// A link that was made here.
    #[derive(Clone, Debug, PartialEq, Eq)]
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
}

choice! {
    /// What became of a link.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum InviteState {
        /// It waits.
        1 => Open,
        /// Somebody opened it and has not answered yet.
        2 => Opened { at: Timestamp },
        /// Its time is over.
        3 => Expired,
        /// What came is no answer, or one that cannot be used.
        4 => Unreadable { at: Timestamp },
        /// The server does not know its mailbox any more.
        5 => Gone,
    }
}

record! {
    /// An opened letter without an answer.
    #[derive(Clone, Debug, PartialEq, Eq)]
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
}
