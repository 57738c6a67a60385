//! What is stored of a room, and what is said in one.

use bytes::Bytes;
use rly_protocol::{PublicKey, Signature, Timestamp, choice, record, room::RoomLimits};

record! {
    /// Table ROOMS: all that this browser keeps of a room. What was said is not among it: the server has
    /// it, and the code opens it.
    #[derive(Clone)]
    pub(crate) struct RoomRecord = 1 {
        /// The code's letters.
        pub code: Bytes,
        /// Whose key signs here; the adapter has the private one.
        pub key: PublicKey,
        /// This browser made the room.
        pub creator: bool,
        pub limits: RoomLimits,
        pub ends_at: Timestamp,
        /// The name to join with, once one was given.
        pub name: Option<String>,
        /// Whether to be inside.
        pub inside: bool,
        /// Everything is to be deleted as soon as the server is reached.
        pub deleting: bool,
        /// The highest sequence that was used.
        pub seq: u64,
        pub outbox: Vec<Pending>,
        pub contacts: Vec<ContactState>,
    }
}

record! {
    /// Something that the server has not confirmed.
    #[derive(Clone)]
    pub(crate) struct Pending {
        pub said: Said,
        pub at: Timestamp,
        /// Sealed under a sequence, and signed: what goes to the server, the same bytes each time.
        pub sealed: Option<Sealed>,
    }
}

record! {
    #[derive(Clone)]
    pub(crate) struct Sealed {
        pub seq: u64,
        pub body: Bytes,
        pub signature: Option<Signature>,
    }
}

record! {
    /// What is inside a body.
    #[derive(Clone)]
    pub(crate) struct Said = 1 {
        pub kind: u8,
        pub id: [u8; 16],
        pub content: Bytes,
    }
}

/// Kinds of [`Said`].
pub(crate) mod kind {
    pub const TEXT: u8 = 1;
    /// From here on what is not known is ignored, not shown.
    pub const HIDDEN: u8 = 128;
    pub const ASK: u8 = 128;
    pub const LINK: u8 = 129;
}

record! {
    /// Somebody wants to stay in contact.
    #[derive(Clone)]
    pub(crate) struct Ask {
        /// Who is asked.
        pub to: PublicKey,
        /// What a link for who asks is sealed to.
        pub seal_to: PublicKey,
    }
}

record! {
    /// A link for somebody who asked.
    #[derive(Clone)]
    pub(crate) struct LinkFor {
        pub to: PublicKey,
        pub enc: PublicKey,
        pub ciphertext: Bytes,
    }
}

record! {
    /// How far keeping somebody as a contact is.
    #[derive(Clone)]
    pub(crate) struct ContactState {
        pub person: PublicKey,
        pub step: ContactStep,
        /// Of our ask, to open their link.
        pub secret: Option<[u8; 32]>,
        /// Of theirs, to seal our link to.
        pub seal_to: Option<PublicKey>,
    }
}

choice! {
    #[derive(Clone, Copy, PartialEq, Eq)]
    pub(crate) enum ContactStep {
        1 => None,
        /// We have asked.
        2 => Asked,
        /// They have.
        3 => AsksUs,
        /// We said no.
        4 => Refused,
        /// Both; the link is under way.
        5 => Agreed,
        6 => Kept,
    }
}
