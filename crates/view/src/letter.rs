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
