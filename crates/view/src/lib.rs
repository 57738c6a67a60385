//! What a page knows without MLS: the link, the card in its envelope, commands to the worker and
//! the view models that come back.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

pub mod card;
mod command;
#[cfg(any(test, rly_fuzz))]
pub mod fuzz;
mod letter;
mod link;
mod model;
pub mod name;
mod room;

pub use command::{Answer, Command, Failure, FailureCode, FromWorker, Outcome, ToWorker};
pub use letter::{AnsweredLetter, OpenedLetter};
pub use link::{Link, LinkError};
pub use model::{
    Connection, Content, ConversationView, InviteState, InviteView, LetterView, MessageState, MessageView,
    Note, Phase, Preview, SimView, StateView,
};
pub use room::{
    FromRooms, ROOM_PRESET, RoomAnswer, RoomCode, RoomCodeError, RoomCommand, RoomContact, RoomContentView,
    RoomEndView, RoomMessageView, RoomOutcome, RoomPersonView, RoomPhase, RoomUpdate, RoomView, RoomWish,
    TWO_PERSON_PRESET, ToRooms,
};
