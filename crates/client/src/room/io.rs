//! What goes into a room's machine and what comes out.

use crate::{Changes, CommandId, HttpError};
use bytes::Bytes;
use rly_protocol::{
    PublicKey, RoomId, Signature, Timestamp,
    api::{CreateRoom, RoomState},
};
use rly_view::{Failure, RoomAnswer, RoomCommand, RoomUpdate};

/// What happens to a room's machine.
#[derive(Clone, Debug)]
pub enum RoomInput {
    /// Once, after it was loaded from a stored row.
    Start,
    /// A person wants something of this room; [`RoomCommand::Create`] and [`RoomCommand::Open`] come
    /// right after the machine was made for them.
    Command {
        /// For the answer.
        from: CommandId,
        /// What is wanted.
        command: RoomCommand,
    },
    /// The answer to [`RoomEffect::Create`] or [`RoomEffect::Look`].
    Http(Result<RoomState, HttpError>),
    /// The socket asked for is open.
    SocketOpened,
    /// A binary message came.
    SocketFrame(Bytes),
    /// The socket is closed, or could not be opened.
    SocketClosed,
    /// The answer to [`RoomEffect::Sign`].
    Signed {
        /// From the effect.
        n: u64,
        /// By the room's key.
        signature: Signature,
    },
    /// The time asked for has come.
    Timer,
    /// The network came back, or somebody looks: a connection that waits is tried at once.
    Wake,
}

/// What the adapter of a room has to do.
#[derive(Clone, Debug)]
pub enum RoomEffect {
    /// Open a websocket for this room alone; close the one that is open.
    OpenSocket,
    /// Close it; no [`RoomInput::SocketClosed`] for it.
    CloseSocket,
    /// Send a binary message.
    SendFrame(Bytes),
    /// Sign with the room's private key (WebCrypto: ECDSA, P-256, SHA-256).
    Sign {
        /// For the answer.
        n: u64,
        /// Whose private key.
        key: PublicKey,
        /// What.
        message: Vec<u8>,
    },
    /// `POST /api/rooms`
    Create(CreateRoom),
    /// `GET /api/rooms/{id}`
    Look(RoomId),
    /// Have the messenger make a link without a letter (`Command::CreateInvite`). The answer is
    /// [`RoomCommand::InviteMade`].
    MakeInvite {
        /// For the answer.
        person: u32,
        /// The invite's id: the same again after a crash.
        id: [u8; 16],
        /// For a SIM, if there is none.
        name: Option<String>,
    },
    /// Have the messenger open a link and answer it with an empty text (`Command::Reply`): once, however
    /// often it is wanted. The answer is [`RoomCommand::ContactMade`].
    OpenInvite {
        /// For the answer.
        person: u32,
        /// For a SIM, if there is none.
        name: Option<String>,
        /// The whole link.
        link: String,
    },
    /// The private key is not needed any more: delete it. The machine is at its end.
    ForgetKey(PublicKey),
    /// Say [`RoomInput::Timer`] then; replaces an earlier wish.
    SetTimer(Timestamp),
}

/// What comes out. The law is that of [`crate::Output`].
#[derive(Default)]
pub struct RoomOutput {
    /// To store, first of all.
    pub changes: Changes,
    /// To do when it is stored.
    pub effects: Vec<RoomEffect>,
    /// To tell those who asked.
    pub answers: Vec<(CommandId, Result<RoomAnswer, Failure>)>,
    /// To tell every page.
    pub updates: Vec<RoomUpdate>,
}
