//! An invite that was opened in this browser: kept, sealed at rest, until it is answered.

use bytes::Bytes;
use rly_protocol::{Address, PublicKey, Timestamp, record};

record! {
    /// Written before the claim (so a crash loses nothing), completed after it.
    #[derive(Clone, PartialEq, Eq)]
    pub struct OpenedLetter = 1 {
        /// Random; names it in the address bar (`/i#~<id>`, base64url) and in commands.
        pub id: [u8; 16],
        /// The link's invite.
        pub invite: String,
        /// The link's secret.
        pub secret: [u8; 16],
        /// What it is claimed with.
        pub claim_key: PublicKey,
        /// When Open was pressed.
        pub opened_at: Timestamp,
        /// From the server, once claimed.
        pub claimed: Option<(Address, Bytes)>,
    }
}

impl OpenedLetter {
    /// The first byte of the keys of these rows; the id follows. The page and the worker both
    /// read and write them.
    pub const TABLE: u8 = 11;
}

record! {
    /// Kept when a letter was answered, as long as its conversation is: whoever opens the link again
    /// is led there.
    #[derive(Clone, PartialEq, Eq)]
    pub struct AnsweredLetter = 1 {
        /// Of the letter.
        pub id: [u8; 16],
        /// Of its link. Who has it had the link.
        pub secret: [u8; 16],
        /// The conversation.
        pub conversation: [u8; 16],
    }
}

impl AnsweredLetter {
    /// The first byte of the keys of these rows; the ids of the conversation and the letter follow. The
    /// page reads them, the worker writes them.
    pub const TABLE: u8 = 14;
}
