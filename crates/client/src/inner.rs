//! Inner messages: the plaintext of an MLS message.
//!
//! Version, kind, id, place in the sender's stream, hash of the message before it, the sender's
//! clock, body. Kinds below 128 are numbered in the stream and shown (as "needs a newer version"
//! if unknown); kinds from 128 on are not numbered, and ignored if unknown.

use bytes::Bytes;
use rly_protocol::{Decode, Encode, Timestamp, record};
use sha2::{Digest, Sha256};

/// A text written by a person; the body is UTF-8.
pub(crate) const TEXT: u8 = 1;
/// What of a stream has arrived; the body is a [`Receipt`].
pub(crate) const RECEIPT: u8 = 128;
/// The sender's display name; the body is UTF-8.
pub(crate) const NAME: u8 = 129;

record! {
    /// The plaintext of an MLS message.
    #[derive(Clone)]
    pub(crate) struct Inner = 1 {
        pub kind: u8,
        pub id: [u8; 16],
        pub stream: [u8; 8],
        /// From 1; 0 for kinds that are not numbered.
        pub seq: u64,
        /// SHA-256 of the numbered message before it in the stream; zeros for the first.
        pub previous: [u8; 32],
        pub at: Timestamp,
        pub body: Bytes,
    }
}

record! {
    /// The body of [`RECEIPT`]: everything of the stream up to `seq` has arrived, but for what is
    /// `missing`. The sender sends that again, in new places.
    pub(crate) struct Receipt {
        pub stream: [u8; 8],
        pub seq: u64,
        /// SHA-256 of the message at `seq`: in an old profile another one may have that place.
        pub hash: [u8; 32],
        pub missing: Vec<Missing>,
    }
}

record! {
    /// Places of a stream that were waited for in vain.
    #[derive(Clone, PartialEq, Eq, Debug)]
    pub(crate) struct Missing {
        pub first: u64,
        pub last: u64,
    }
}

impl Missing {
    pub fn contains(&self, seq: u64) -> bool {
        (self.first..=self.last).contains(&seq)
    }
}

impl Inner {
    /// What the next message of the stream names as `previous`.
    pub fn hash(&self) -> [u8; 32] {
        Sha256::digest(self.to_bytes()).into()
    }

    pub fn is_numbered(&self) -> bool {
        self.kind < 128
    }

    /// Reads a plaintext; `None` for a later version or another form.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        Self::from_bytes(bytes).ok()
    }

    pub fn text(&self) -> Option<String> {
        (self.kind == TEXT || self.kind == NAME)
            .then(|| core::str::from_utf8(&self.body).ok().map(str::to_owned))
            .flatten()
    }
}
