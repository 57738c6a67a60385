//! Ids of 16 bytes, one type for each meaning, so that one is never taken for another.

use crate::{Base64Error, Decode, DecodeError, Encode, Reader, Writer, from_base64url, to_base64url};
use core::{fmt, str::FromStr};
use serde::{Deserialize, Serialize};

macro_rules! ids {
    ($($(#[$meta:meta])* $name:ident),* $(,)?) => {$(
        $(#[$meta])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(into = "String", try_from = "String")]
        pub struct $name(pub [u8; 16]);

        impl $name {
            /// The bytes.
            pub fn as_bytes(&self) -> &[u8; 16] {
                &self.0
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> String {
                to_base64url(&id.0)
            }
        }

        impl TryFrom<String> for $name {
            type Error = Base64Error;
            fn try_from(text: String) -> Result<Self, Base64Error> {
                text.parse()
            }
        }

        impl FromStr for $name {
            type Err = Base64Error;
            fn from_str(text: &str) -> Result<Self, Base64Error> {
                from_base64url(text)?.try_into().map(Self).map_err(|_| Base64Error)
            }
        }

        impl Encode for $name {
            fn encode(&self, to: &mut Writer) {
                to.raw(&self.0);
            }
        }

        impl Decode for $name {
            fn decode(from: &mut Reader) -> Result<Self, DecodeError> {
                Ok(Self(from.take()?))
            }
        }

        impl fmt::Debug for $name {
            // Ids are what a log must not hold: they would link what the server keeps apart.
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(concat!(stringify!($name), "(..)"))
            }
        }
    )*};
}

ids! {
    /// Names a queue. Known to its reader and the server only; worth nothing without the reader key.
    QueueId,
    /// The right to write to one mailbox. The server keeps only its SHA-256.
    Address,
    /// Chosen by the sender of an envelope; the same id is stored once, however often it is sent.
    EnvelopeId,
    /// The UUID of an invite.
    InviteId,
    /// Changes when a server's store is not the one it was: what was acknowledged to another
    /// incarnation may be gone.
    Incarnation,
    /// One installation that uses a SIM.
    DeviceId,
    /// Names a room. Derived from its code; gives nobody the right to join.
    RoomId,
}
