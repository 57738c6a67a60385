//! What goes into the machine and what comes out.

use bytes::Bytes;
use core::time::Duration;
use rly_protocol::Timestamp;
use rly_protocol::{
    ErrorCode,
    api::{RegisterSim, Registered, ShareContact, Shared},
};
use rly_view::{Command, FromWorker, Outcome};
use std::collections::BTreeMap;

/// The key of a stored row: a [`table`] byte, then the rest. Ordered bytewise.
pub type Key = Vec<u8>;

/// The first byte of each row's key.
pub mod table {
    /// The SIM: one row.
    pub const SIM: u8 = 1;
    /// Contacts with their routes: what the vault holds as well.
    pub const CONTACTS: u8 = 2;
    /// What this device alone knows of a conversation.
    pub const CONVERSATIONS: u8 = 3;
    /// Links made here.
    pub const INVITES: u8 = 4;
    /// What waits for the server's confirmation or the reader's receipt.
    pub const OUTBOX: u8 = 5;
    /// State of MLS groups.
    pub const MLS: u8 = 6;
    /// Messages. The only table that is not loaded at start.
    pub const MESSAGES: u8 = 7;
    /// Ids of the latest messages, to know doubles.
    pub const SEEN: u8 = 8;
    /// Messages that came before an earlier one.
    pub const HELD: u8 = 9;
    /// What each slot of the vault holds.
    pub const VAULT: u8 = 10;
    /// Opened letters (`rly_view::OpenedLetter`), key: the id. Pages write them as well.
    pub const LETTERS: u8 = 11;
    /// Queues that are still to be deleted on the server.
    pub const DELETIONS: u8 = 12;
    /// Conversations, links and letters that were deleted, so that no other device of this SIM
    /// brings them back.
    pub const DELETED: u8 = 13;
    /// Letters that were answered (`rly_view::AnsweredLetter`). Only pages read them.
    pub const ANSWERED: u8 = 14;
    /// Re-joins that a contact asked for too soon after the one before.
    pub const REJOINS: u8 = 15;
    /// Rooms, each with a machine of its own.
    pub const ROOMS: u8 = 16;
}

/// One atomic change of what is stored: first `clear`, then `delete_prefixes`, then `rows`. Each row
/// is there once, as the last step of the batch left it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Delete every row.
    pub clear: bool,
    /// Delete every row whose key begins so.
    pub delete_prefixes: Vec<Key>,
    /// Write rows; `None` deletes one.
    pub rows: BTreeMap<Key, Option<Vec<u8>>>,
}

impl Changes {
    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        !self.clear && self.delete_prefixes.is_empty() && self.rows.is_empty()
    }

    /// Writes a row.
    pub fn put(&mut self, key: Key, value: Vec<u8>) {
        self.rows.insert(key, Some(value));
    }

    /// Deletes a row.
    pub fn delete(&mut self, key: Key) {
        self.rows.insert(key, None);
    }

    /// Deletes every row whose key begins so, those of this batch among them.
    pub fn delete_prefix(&mut self, prefix: Key) {
        self.rows.retain(|key, _| !key.starts_with(&prefix));
        self.delete_prefixes.push(prefix);
    }

    /// Deletes everything, this batch included.
    pub fn delete_all(&mut self) {
        *self = Self {
            clear: true,
            ..Self::default()
        };
    }
}

/// Chosen by the adapter; the answer carries it back.
pub type CommandId = u64;

/// What happens to the machine.
#[derive(Clone, Debug)]
pub enum Input {
    /// Once, after loading.
    Start,
    /// A person wants something. For commands about a letter, [`Input::Letter`] goes first.
    Command {
        /// For the answer.
        from: CommandId,
        /// What is wanted.
        command: Command,
    },
    /// The row of table [`table::LETTERS`] with this id, as it is stored now.
    Letter {
        /// The row's id.
        id: [u8; 16],
        /// Its bytes; `None` if there is no such row.
        row: Option<Vec<u8>>,
    },
    /// The socket asked for is open.
    SocketOpened,
    /// A binary message came.
    SocketFrame(Bytes),
    /// The socket is closed, or could not be opened.
    SocketClosed,
    /// An HTTP request has ended.
    Http {
        /// From the effect.
        id: u64,
        /// How it ended.
        result: HttpResult,
    },
    /// The answer to [`Effect::ReadMessages`].
    Rows {
        /// From the effect.
        id: u64,
        /// Oldest first. One that storage cannot give is empty.
        rows: Vec<(Key, Vec<u8>)>,
        /// There are older ones.
        more: bool,
    },
    /// The time asked for has come.
    Timer,
}

/// A request to the HTTP API.
#[derive(Clone, Debug)]
pub enum HttpRequest {
    /// `POST /api/register_sim`
    Register(RegisterSim),
    /// `POST /api/share_contact`
    Share(ShareContact),
}

/// The answer to a request.
#[derive(Clone, Debug)]
pub enum HttpOk {
    /// To [`HttpRequest::Register`].
    Registered(Registered),
    /// To [`HttpRequest::Share`].
    Shared(Shared),
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HttpError {
    /// The server refused.
    Code(ErrorCode, Option<Duration>),
    /// The server was not reached, or the answer made no sense.
    Network,
}

/// How a request ended.
pub type HttpResult = Result<HttpOk, HttpError>;

/// What the adapter has to do.
#[derive(Clone, Debug)]
pub enum Effect {
    /// Open the websocket; close the one that is open.
    OpenSocket,
    /// Close the websocket; no [`Input::SocketClosed`] for it.
    CloseSocket,
    /// Send a binary message.
    SendFrame(Bytes),
    /// Make a request.
    Http {
        /// For the answer.
        id: u64,
        /// The request.
        request: HttpRequest,
    },
    /// Read the newest rows whose key begins with `prefix` and is less than `before`.
    ReadMessages {
        /// For the answer.
        id: u64,
        /// Table and conversation.
        prefix: Vec<u8>,
        /// Where an earlier page began.
        before: Option<Key>,
        /// How many at most.
        limit: u32,
    },
    /// Say [`Input::Timer`] then; replaces an earlier wish.
    SetTimer(Timestamp),
}

/// What comes out.
#[derive(Default)]
pub struct Output {
    /// To store, first of all.
    pub changes: Changes,
    /// To do when it is stored.
    pub effects: Vec<Effect>,
    /// To tell those who asked.
    pub answers: Vec<(CommandId, Outcome)>,
    /// To tell every page.
    pub updates: Vec<FromWorker>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_step_on_a_row_wins() {
        let mut changes = Changes::default();
        changes.put(vec![1, 1], vec![1]);
        changes.delete(vec![1, 1]);
        changes.delete(vec![1, 2]);
        changes.put(vec![1, 2], vec![2]);
        changes.put(vec![2, 1], vec![3]);
        changes.delete_prefix(vec![2]);
        changes.put(vec![2, 2], vec![4]);
        let rows: Vec<_> = changes
            .rows
            .iter()
            .map(|(key, value)| (&key[..], value.is_some()))
            .collect();
        assert_eq!(
            rows,
            [(&[1, 1][..], false), (&[1, 2][..], true), (&[2, 2][..], true)]
        );
        changes.delete_all();
        assert!(changes.clear && changes.rows.is_empty() && changes.delete_prefixes.is_empty());
    }
}
