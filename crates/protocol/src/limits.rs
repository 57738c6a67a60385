//! Bounds that both sides know. What the server enforces beyond these is its configuration.

/// The version of the websocket protocol spoken here, lowest and highest.
pub const PROTOCOL_VERSIONS: (u8, u8) = (1, 1);
/// Final sizes of an envelope, overhead included.
pub const ENVELOPE_SIZES: [usize; 5] = [256, 1024, 4096, 16_384, 65_536];
/// The largest envelope and the largest card, in bytes.
pub const ENVELOPE_MAX: usize = 65_536;
/// The largest websocket message from a client, in bytes: a vault write with several entries.
pub const FRAME_MAX: usize = 4 * ENVELOPE_MAX;
/// Envelopes that wait in one queue at most.
pub const QUEUE_ENVELOPES: u32 = 1_000;
/// Bytes that wait in one queue at most.
pub const QUEUE_BYTES: u64 = 16 << 20;
/// How long an envelope waits to be fetched, in seconds.
pub const ENVELOPE_TTL: u64 = 30 * 86_400;
/// Bytes that one vault holds at most.
pub const VAULT_BYTES: u64 = 8 << 20;
/// Entries in one vault write or page at most.
pub const VAULT_ENTRIES: usize = 64;
/// The highest slot of a vault.
pub const VAULT_SLOTS: u32 = 16_384;
/// The longest life of an invite, in seconds.
pub const INVITE_TTL_MAX: u64 = 30 * 86_400;
/// The shortest life of an invite, in seconds.
pub const INVITE_TTL_MIN: u64 = 1;
/// The usual life of an invite, in seconds.
pub const INVITE_TTL: u64 = 7 * 86_400;
/// How long the one who claimed an invite may claim it again, in seconds.
pub const CLAIM_AGAIN: u64 = 600;
/// How long a reader's ticket is good, in seconds.
pub const TICKET_TTL: u64 = 86_400;
/// The longest letter or message, in bytes of UTF-8.
pub const TEXT_MAX: usize = 32_768;
/// The longest display name, in bytes of UTF-8.
pub const NAME_MAX: usize = 128;
/// The longest link after the host, in characters.
pub const LINK_MAX: usize = 320;
/// Letters of a room's code: 130 bits.
pub const ROOM_CODE_LETTERS: usize = 26;
/// The size of a sealed name in a room, in bytes.
pub const ROOM_NAME_SIZE: usize = 256;
/// The longest message in a room, in characters as a person counts them (grapheme clusters).
pub const ROOM_TEXT_CHARACTERS: usize = 1_000;
/// How long a room may be idle: usual, in a two-person session, at least and at most, in seconds.
pub const ROOM_IDLE: u32 = 5 * 60;
/// See [`ROOM_IDLE`].
pub const ROOM_IDLE_TWO: u32 = 15 * 60;
/// See [`ROOM_IDLE`].
pub const ROOM_IDLE_MIN: u32 = 10;
/// How long a room may live: usual, and at most, in seconds. At least as long as it may be idle.
pub const ROOM_LIFE: u32 = 12 * 3600;
/// See [`ROOM_LIFE`].
pub const ROOM_LIFE_MAX: u32 = 24 * 3600;
/// People that belong to a room at most: usual.
pub const ROOM_PEOPLE: u16 = 50;
/// People that any room can have; at least two.
pub const ROOM_PEOPLE_MAX: u16 = 500;
/// Messages that a room keeps at most: usual.
pub const ROOM_HISTORY: u16 = 200;
/// Messages that any room can keep.
pub const ROOM_HISTORY_MAX: u16 = 500;
