//! Stable error codes, the same over HTTP and the websocket.

use core::fmt;

macro_rules! codes {
    ($($(#[$meta:meta])* $variant:ident = $number:literal, $name:literal, $status:literal, $message:literal;)*) => {
        /// What went wrong, for programs. The names never change; new ones may come.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u16)]
        pub enum ErrorCode { $($(#[$meta])* $variant = $number),* }

        impl ErrorCode {
            /// Every code there is.
            pub const ALL: &[ErrorCode] = &[$(Self::$variant),*];

            /// The number in a websocket frame.
            pub fn number(self) -> u16 {
                self as u16
            }

            /// The code with this number.
            pub fn from_number(number: u16) -> Option<Self> {
                match number { $($number => Some(Self::$variant),)* _ => None }
            }

            /// The name in JSON.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),* }
            }

            /// The code with this name.
            pub fn from_name(name: &str) -> Option<Self> {
                match name { $($name => Some(Self::$variant),)* _ => None }
            }

            /// The HTTP status.
            pub fn status(self) -> u16 {
                match self { $(Self::$variant => $status),* }
            }

            /// Words for a person.
            pub fn message(self) -> &'static str {
                match self { $(Self::$variant => $message),* }
            }
        }
    };
}

codes! {
    /// The body or a field has the wrong form.
    BadRequest = 1, "bad_request", 400, "This request is not well-formed.";
    /// Not `application/json`.
    UnsupportedMediaType = 2, "unsupported_media_type", 415, "Send application/json.";
    /// A changing request from another website.
    ForeignOrigin = 3, "foreign_origin", 403, "This request comes from another website.";
    /// The body is too large.
    TooLarge = 4, "too_large", 413, "This is larger than the server takes.";
    /// No such path.
    NotFound = 5, "not_found", 404, "There is nothing here.";
    /// The path does not know this method.
    MethodNotAllowed = 6, "method_not_allowed", 405, "This address cannot be used that way.";
    /// Too often; retry later.
    RateLimited = 7, "rate_limited", 429, "Too many requests. Try again in a moment.";
    /// The store, disk or broker does not work now; retry later.
    Unavailable = 8, "unavailable", 503, "The server cannot do this right now. Try again in a moment.";
    /// A mistake of ours.
    Internal = 9, "internal", 500, "Something went wrong on the server.";
    /// The path knows the method, but waits for a websocket upgrade.
    UpgradeRequired = 10, "upgrade_required", 426, "This address speaks websocket only.";
    /// A public key that is not a point of P-256.
    KeyInvalid = 20, "key_invalid", 400, "This is not a P-256 public key.";
    /// An address token that this server did not sign.
    TokenInvalid = 21, "token_invalid", 400, "This server did not issue this address token.";
    /// The lifetime asked for is outside what is allowed.
    TtlInvalid = 22, "ttl_invalid", 400, "A link can live from one second to 30 days.";
    /// A card that is empty or too large.
    CardInvalid = 23, "card_invalid", 400, "This card is empty or too large.";
    /// An invite that this server did not sign, or that is mangled.
    InviteInvalid = 30, "invite_invalid", 400, "This link is not complete or not from this server.";
    /// An invite that somebody has opened.
    InviteUsed = 31, "invite_used", 409, "This link has already been opened.";
    /// An invite whose time is over.
    InviteExpired = 32, "invite_expired", 410, "This link has expired.";
    /// An invite that its owner took back.
    InviteWithdrawn = 33, "invite_withdrawn", 410, "This link was withdrawn.";
    /// No such queue, or the address is no longer good.
    NoQueue = 40, "no_queue", 404, "Nobody can be reached at this address any more.";
    /// The proof for a queue is wrong, or there was none on this connection.
    ProofInvalid = 41, "proof_invalid", 403, "This connection has not proved that it may read this.";
    /// The ticket is too old: sign again.
    TicketExpired = 42, "ticket_expired", 403, "This ticket is too old.";
    /// The queue is full.
    QueueFull = 43, "queue_full", 429, "Too much waits there already. Try again later.";
    /// An envelope whose size is none of the allowed ones.
    EnvelopeInvalid = 44, "envelope_invalid", 400, "This envelope does not have an allowed size.";
    /// The vault is not at the generation expected.
    VaultConflict = 50, "vault_conflict", 409, "This SIM was changed from somewhere else.";
    /// The vault is full.
    VaultFull = 51, "vault_full", 413, "This SIM's vault is full.";
    /// A frame with an unknown type or of the wrong form.
    FrameInvalid = 60, "frame_invalid", 400, "This frame is not well-formed.";
    /// A protocol version that this server does not speak.
    VersionUnsupported = 61, "version_unsupported", 400, "This version of the protocol is not spoken here.";
    /// The connection reads too slowly.
    TooSlow = 62, "too_slow", 429, "This connection reads too slowly.";
    /// The server stops; connect again.
    Stopping = 63, "stopping", 503, "The server restarts. Connect again.";
    /// Too many connections.
    TooManyConnections = 64, "too_many_connections", 503, "Too many connections. Try again in a moment.";
    /// No such room. Nothing is kept of one that has ended, so the two are not told apart.
    NoRoom = 70, "no_room", 404, "There is no such room: it has ended, or its code is not complete.";
    /// The id is another room's: make a new code.
    RoomTaken = 71, "room_taken", 409, "This room code is taken. Make another one.";
    /// As many people belong to it as may.
    RoomFull = 72, "room_full", 409, "This room is full.";
    /// The token is not that of the room's code.
    RoomSecretWrong = 73, "room_secret_wrong", 403, "This is not the secret of this room.";
    /// This connection has not joined the room.
    RoomNotJoined = 74, "room_not_joined", 403, "Join the room first.";
    /// Not signed, or not by this person for this room and sequence.
    RoomSignatureWrong = 75, "room_signature_wrong", 403, "This is not signed by who says it.";
    /// The sequence is not above those used before.
    RoomReplayed = 76, "room_replayed", 409, "This was said before.";
    /// Only who made a room may do this.
    RoomNotCreator = 77, "room_not_creator", 403, "Only who made the room can end it for all.";
    /// Limits that no room can have, or a name that is not sealed as it should be.
    RoomInvalid = 78, "room_invalid", 400, "A room cannot be made or joined like this.";
    /// This server has no rooms.
    RoomsOff = 79, "rooms_off", 403, "There are no rooms on this server.";
    /// Only accounts may make rooms.
    RoomsNeedAccount = 80, "rooms_need_account", 403, "Only people with an account here can make rooms.";
    /// Too many open rooms of one creator.
    RoomsTooMany = 81, "rooms_too_many", 429, "Too many of your rooms are open. Wait until one has ended.";
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_lead_back() {
        for &code in ErrorCode::ALL {
            assert_eq!(ErrorCode::from_number(code.number()), Some(code));
            assert_eq!(ErrorCode::from_name(code.name()), Some(code));
            assert!((400..=503).contains(&code.status()), "{code}");
        }
        assert_eq!(ErrorCode::from_number(0), None);
    }
}
