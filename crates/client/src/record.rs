//! What is stored, row by row. Every record begins with its version.

use crate::{
    inner::Missing,
    io::{Key, table},
};
use bytes::Bytes;
use rly_crypto::OuterKey;
use rly_protocol::{
    Address, DeviceId, Encode, EnvelopeId, Incarnation, InviteId, PublicKey, QueueId, Timestamp, choice,
    record,
};
use rly_view::{Content, MessageState, MessageView, Note};

/// Names a conversation on this person's devices.
pub(crate) type ConversationId = [u8; 16];

/// Key of a row: table and the parts after it.
pub(crate) fn key(table: u8, parts: &[&[u8]]) -> Key {
    let mut key = vec![table];
    for part in parts {
        key.extend_from_slice(part);
    }
    key
}

record! {
    /// Table SIM.
    #[derive(Clone)]
    pub(crate) struct SimRecord = 1 {
        pub seed: [u8; 32],
        pub name: String,
        pub origin: String,
        pub created_at: Timestamp,
        pub exported_at: Option<Timestamp>,
        /// `FileKey` bytes: the file is sealed with it.
        pub file_key: Option<Bytes>,
        pub device: DeviceId,
        pub persisted: Option<bool>,
        /// The vault's generation as far as known here.
        pub generation: u64,
        /// Counts vault writes; in the head.
        pub counter: u64,
        /// The head's tokens in writes that were begun and are not known to have ended.
        pub pending: Vec<[u8; 16]>,
        /// A SIM that was imported and whose vault was not read yet.
        pub restoring: bool,
        /// Another device uses the SIM.
        pub replaced: bool,
        /// The store that the server had when last seen.
        pub incarnation: Option<Incarnation>,
    }
}

record! {
    /// One way between two people: our mailbox and theirs. Two people have more than one if each
    /// opened a link of the other.
    #[derive(Clone)]
    pub(crate) struct Route {
        pub queue: QueueId,
        pub reader_salt: [u8; 16],
        pub own_address: Address,
        pub own_outer: [u8; 32],
        pub peer_address: Address,
        pub peer_outer: [u8; 32],
    }
}

impl Route {
    pub fn own_outer_key(&self) -> OuterKey {
        OuterKey::from_bytes(self.own_outer)
    }

    pub fn peer_outer_key(&self) -> OuterKey {
        OuterKey::from_bytes(self.peer_outer)
    }
}

record! {
    /// Table CONTACTS, and the vault: all that a new device needs to go on with a conversation.
    #[derive(Clone)]
    pub(crate) struct ContactRecord = 1 {
        pub sim_key: PublicKey,
        pub name: String,
        pub own_name: String,
        pub routes: Vec<Route>,
        pub created_at: Timestamp,
        pub verified: bool,
        pub blocked: bool,
        /// The highest number of a re-join of theirs that was taken,
        pub rejoin_seen: u64,
        /// and of ours that was sent.
        pub rejoin_sent: u64,
        /// What it began with: the letter last answered, to know a repeated reply, or else the own link, to say who
        /// answered it.
        pub began_with: Option<[u8; 16]>,
    }
}

record! {
    /// A re-join that was asked for: the KeyPackage's secrets until the Welcome comes.
    #[derive(Clone)]
    pub(crate) struct PendingRejoin {
        pub number: u64,
        pub asked_at: Timestamp,
        pub secrets: Bytes,
    }
}

record! {
    /// Table CONVERSATIONS: what this device alone knows.
    #[derive(Clone)]
    pub(crate) struct ConversationRecord = 1 {
        /// Which route is written to.
        pub active: u16,
        /// For each route, the tag of its MLS group in table MLS, if it has one.
        pub groups: Vec<Option<[u8; 8]>>,
        pub rejoin: Option<PendingRejoin>,
        /// Tags of the groups that were before: their messages may still come, and come again in the
        /// group that is.
        pub former: Vec<[u8; 16]>,
        /// Peer's stream and what was last accepted from it.
        pub in_stream: [u8; 8],
        pub in_seq: u64,
        pub in_hash: [u8; 32],
        /// What of it was waited for in vain.
        pub missing: Vec<Missing>,
        /// Our stream and what was last put into it.
        pub out_stream: [u8; 8],
        pub out_seq: u64,
        pub out_hash: [u8; 32],
        /// The receipt that was last sent.
        pub receipted: u64,
        /// Messages since the last self-update, and when it was.
        pub since_update: u32,
        pub updated_at: Timestamp,
        pub next_order: u64,
        pub next_out: u64,
        pub next_seen: u16,
        pub unread: u32,
        pub active_at: Timestamp,
        pub last: Option<LastRecord>,
        /// The contact's mailbox is gone: nobody can be reached there any more.
        pub gone: bool,
    }
}

record! {
    /// The newest message, cut to a line.
    #[derive(Clone)]
    pub(crate) struct LastRecord {
        pub text: String,
        pub own: bool,
    }
}

choice! {
    /// What an outgoing row carries.
    #[derive(Clone)]
    pub(crate) enum Cargo {
        /// A message; the plaintext stays until the receipt.
        1 => Text { order: u64, id: [u8; 16], at: Timestamp, text: String, failed: bool },
        /// Anything of the machine's own; gone when the server has it.
        2 => Control { errand: Errand },
    }
}

choice! {
    /// What something of the machine's own is for, and so what to do when the server will not take it.
    #[derive(Clone, Copy, PartialEq, Eq)]
    pub(crate) enum Errand {
        /// A receipt: the next one says the same.
        1 => Receipt,
        /// A display name. The contact goes on with the one it knows.
        2 => Name,
        /// A commit, re-join or Welcome: without it the two sides do not share a group.
        3 => Keys,
        /// The answer to a link: without it there is no conversation on the other side.
        4 => Join,
    }
}

record! {
    /// Table REJOINS: a contact's newest wish for a new group, checked, that has to wait.
    #[derive(Clone)]
    pub(crate) struct AskedRejoin = 1 {
        /// The route it came on.
        pub route: u16,
        pub number: u64,
        pub key_package: Bytes,
    }
}

record! {
    /// What is sealed and may be sent, again and again with identical bytes.
    #[derive(Clone)]
    pub(crate) struct SealedRecord {
        pub id: EnvelopeId,
        pub address: Address,
        pub body: Bytes,
    }
}

record! {
    /// Table OUTBOX.
    #[derive(Clone)]
    pub(crate) struct OutRecord = 1 {
        pub cargo: Cargo,
        /// Place in the stream; 0 for what is in none.
        pub stream: [u8; 8],
        pub seq: u64,
        /// What a receipt for this place must name.
        pub hash: [u8; 32],
        /// Sealed, until the server has it. A text without it and without `sent_at` has to be sealed.
        pub sealed: Option<SealedRecord>,
        /// When the server confirmed.
        pub sent_at: Option<Timestamp>,
        /// The envelope answers a link. It stays sealed until the contact was heard, as nothing can
        /// be said to who has not got it.
        pub join: bool,
    }
}

record! {
    /// Table INVITES, and the vault.
    #[derive(Clone)]
    pub(crate) struct InviteRecord = 1 {
        pub invite: InviteId,
        pub link: String,
        pub queue: QueueId,
        pub reader_salt: [u8; 16],
        pub own_address: Address,
        pub own_outer: [u8; 32],
        /// `KeyPackageSecrets` bytes.
        pub secrets: Bytes,
        pub name: String,
        pub letter: Option<String>,
        pub created_at: Timestamp,
        pub expires_at: Timestamp,
        pub opened_at: Option<Timestamp>,
        /// Something came that is no answer, or one that cannot be used.
        pub unreadable_at: Option<Timestamp>,
    }
}

choice! {
    /// What a message says.
    #[derive(Clone)]
    pub(crate) enum ContentRecord {
        1 => Text { text: String },
        2 => NeedsNewer,
        3 => Gap { missing: u32 },
        4 => Fork,
        5 => Rejoined,
        6 => RejoinedHere,
        7 => Unreadable,
        8 => Renamed { from: String, to: String },
    }
}

record! {
    /// Table MESSAGES; the key ends in the order number.
    #[derive(Clone)]
    pub(crate) struct MessageRecord = 1 {
        pub id: [u8; 16],
        pub own: bool,
        pub at: Timestamp,
        pub content: ContentRecord,
        /// 0: none; else 1 + the state's place in `MessageState`.
        pub state: u8,
    }
}

/// `MessageState` as stored.
pub(crate) fn state_byte(state: Option<MessageState>) -> u8 {
    match state {
        None => 0,
        Some(MessageState::Sending) => 1,
        Some(MessageState::Sent) => 2,
        Some(MessageState::Delivered) => 3,
        Some(MessageState::Failed) => 4,
    }
}

impl MessageRecord {
    pub fn to_view(&self, order: u64) -> MessageView {
        MessageView {
            id: rly_protocol::to_base64url(&self.id),
            order,
            own: self.own,
            at: self.at,
            content: match &self.content {
                ContentRecord::Text { text } => Content::Text(text.clone()),
                ContentRecord::NeedsNewer => Content::NeedsNewer,
                ContentRecord::Gap { missing } => Content::Note(Note::Gap(*missing)),
                ContentRecord::Fork => Content::Note(Note::Fork),
                ContentRecord::Rejoined => Content::Note(Note::Rejoined),
                ContentRecord::RejoinedHere => Content::Note(Note::RejoinedHere),
                ContentRecord::Unreadable => Content::Note(Note::Unreadable),
                ContentRecord::Renamed { from, to } => Content::Note(Note::Renamed {
                    from: from.clone(),
                    to: to.clone(),
                }),
            },
            state: match self.state {
                1 => Some(MessageState::Sending),
                2 => Some(MessageState::Sent),
                3 => Some(MessageState::Delivered),
                4 => Some(MessageState::Failed),
                _ => None,
            },
        }
    }
}

record! {
    /// Table VAULT: what a slot holds.
    #[derive(Clone)]
    pub(crate) struct SlotRecord = 1 {
        pub item: VaultItem,
        pub hash: [u8; 32],
    }
}

choice! {
    /// Names what the vault holds.
    #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
    pub(crate) enum VaultItem {
        1 => Profile,
        2 => Contact { id: ConversationId },
        3 => Invite { id: [u8; 16] },
        4 => Letter { id: [u8; 16] },
        /// A conversation, link or letter of this id was deleted.
        5 => Deleted { id: [u8; 16] },
    }
}

impl VaultItem {
    /// What it is about; `None` for the profile, which there is only one of.
    pub fn id(&self) -> Option<[u8; 16]> {
        match self {
            Self::Profile => None,
            Self::Contact { id } | Self::Invite { id } | Self::Letter { id } | Self::Deleted { id } => {
                Some(*id)
            }
        }
    }
}

record! {
    /// Slot 0 of the vault: who uses the SIM. Written anew with every write.
    #[derive(Clone, PartialEq, Eq)]
    pub(crate) struct Head = 1 {
        pub device: DeviceId,
        pub counter: u64,
        pub token: [u8; 16],
    }
}

record! {
    /// The vault's profile item.
    pub(crate) struct Profile = 1 {
        pub name: String,
    }
}

record! {
    /// The vault's letter item: an `OpenedLetter` whose card is not padded, so that the longest one
    /// fits into a slot.
    pub(crate) struct VaultLetter = 1 {
        pub id: [u8; 16],
        pub invite: String,
        pub secret: [u8; 16],
        pub claim_key: PublicKey,
        pub opened_at: Timestamp,
        pub address: Address,
        /// `SignedCard` bytes.
        pub card: Bytes,
    }
}

record! {
    /// A vault slot's plaintext.
    pub(crate) struct SlotContent = 1 {
        pub item: VaultItem,
        pub bytes: Bytes,
    }
}

record! {
    /// Table DELETIONS; the key ends in the queue.
    #[derive(Clone)]
    pub(crate) struct DeletionRecord = 1 {
        pub reader_salt: [u8; 16],
    }
}

record! {
    /// Table DELETED, and the vault; the key ends in the id of what was deleted.
    #[derive(Clone)]
    pub(crate) struct DeletedRecord = 1 {
        pub at: Timestamp,
    }
}

/// Keys of the rows.
pub(crate) fn sim_key() -> Key {
    key(table::SIM, &[])
}

pub(crate) fn message_key(conversation: &ConversationId, order: u64) -> Key {
    key(table::MESSAGES, &[conversation, &order.to_be_bytes()])
}

pub(crate) fn put<T: Encode>(changes: &mut crate::Changes, key: Key, record: &T) {
    changes.put(key, record.to_bytes());
}
