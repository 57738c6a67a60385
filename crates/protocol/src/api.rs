//! Bodies of the HTTP API, in JSON. Paths and meanings are in the OpenAPI document.

use crate::{
    Address, ErrorCode, InviteId, PublicKey, QueueId, RoomId, Timestamp, from_base64url, room::RoomLimits,
    to_base64url,
};
use core::fmt;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Bytes that are base64url in JSON.
#[derive(Clone, PartialEq, Eq)]
pub struct Blob(pub Vec<u8>);

impl fmt::Debug for Blob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Blob({} bytes)", self.0.len())
    }
}

impl Serialize for Blob {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&to_base64url(&self.0))
    }
}

impl<'de> Deserialize<'de> for Blob {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        from_base64url(&text).map(Self).map_err(de::Error::custom)
    }
}

/// `POST /api/register_sim`: make a mailbox.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RegisterSim {
    /// Who may read it.
    pub reader_key: PublicKey,
}

/// The mailbox made.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Registered {
    /// The queue, for its reader.
    pub queue: QueueId,
    /// The right to write to it.
    pub address: Address,
    /// The same, sealed by the server, to make invites with. It does not expire.
    pub address_token: String,
}

/// `POST /api/share_contact`: make an invite.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShareContact {
    /// From [`Registered`].
    pub address_token: String,
    /// The card, sealed with the link's secret.
    pub card: Blob,
    /// How long the invite can be opened.
    pub ttl_seconds: u64,
}

/// The invite made.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Shared {
    /// A signed JWT; together with the secret it is the link.
    pub invite: String,
    /// Its UUID.
    pub invite_id: InviteId,
    /// When it ends.
    pub expires_at: Timestamp,
}

/// `POST /api/import_contact`: open an invite. This uses it up.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImportContact {
    /// From [`Shared`].
    pub invite: String,
    /// A fresh key; with the same one the claim may be repeated for 10 minutes.
    pub claim_key: PublicKey,
}

/// What an invite held.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Imported {
    /// Where to write.
    pub address: Address,
    /// The card, sealed with the link's secret.
    pub card: Blob,
}

/// `POST /api/rooms`: make a room.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CreateRoom {
    /// Derived from the room's code.
    pub room: RoomId,
    /// SHA-256 of the token that is derived from the room's code.
    pub token_hash: Blob,
    /// Who may end the room for all: the key that its maker joins with.
    pub creator: PublicKey,
    /// Its bounds.
    pub limits: RoomLimits,
}

/// The answer to `POST /api/rooms` and `GET /api/rooms/{id}`: a room as it is now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoomState {
    /// Which.
    pub room: RoomId,
    /// Its bounds.
    pub limits: RoomLimits,
    /// How many belong to it.
    pub people: u16,
    /// When it ends if nobody says anything.
    pub closes_at: Timestamp,
    /// When it ends at the latest.
    pub ends_at: Timestamp,
    /// The server's time.
    pub now: Timestamp,
}

/// Every error: `{"error":{"code","message"}}`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ErrorBody {
    /// What went wrong.
    pub error: ErrorDetail,
}

/// What went wrong.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ErrorDetail {
    /// An [`ErrorCode`] by name; a client may meet one that it does not know.
    pub code: String,
    /// Words for a person.
    pub message: String,
    /// With `invite_used`: when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub opened_at: Option<Timestamp>,
}

impl ErrorBody {
    /// The body for a code.
    pub fn new(code: ErrorCode) -> Self {
        Self {
            error: ErrorDetail {
                code: code.name().into(),
                message: code.message().into(),
                opened_at: None,
            },
        }
    }
}
