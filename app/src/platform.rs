//! What the pages need from the browser, as a port: `frontend` implements it, pages only call it.

use crate::api::ApiError;
use rly_protocol::Timestamp;
use rly_view::{Answer, Command, Failure, FromWorker, Link};
#[cfg(any(feature = "ssr", feature = "rooms"))]
use rly_view::{FromRooms, RoomCommand, RoomOutcome};
use std::{future::Future, pin::Pin, rc::Rc};
use thiserror::Error;

/// A future on the page's thread.
pub type LocalFuture<T> = Pin<Box<dyn Future<Output = T>>>;

/// What an opened link shows. No keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenedView {
    /// Names it in the address bar (`/i#~<id>`) and in [`Command::Reply`].
    pub id: String,
    /// Who wrote.
    pub name: String,
    /// What they wrote.
    pub letter: Option<String>,
}

/// What came of opening a link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Opened {
    /// A letter, or a contact without one.
    Letter(OpenedView),
    /// It was answered in this browser: the conversation that it became (`/chat#<id>`).
    Answered(String),
}

/// Why a link did not open.
#[derive(Clone, Debug, Error)]
pub enum OpenError {
    /// The server refused, or could not be reached.
    #[error("{0}")]
    Api(#[from] ApiError),
    /// The card cannot be opened with this secret, or its signature or address is wrong.
    #[error("the card is forged or damaged")]
    Forged,
    /// The browser refuses storage, or it is full: nothing was claimed.
    #[error("the browser refuses storage")]
    Storage,
    /// This letter is not (or no longer) kept in this browser.
    #[error("the letter is not kept here")]
    NotKept,
}

/// What a browser lacks to run the messenger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lack {
    /// Not a secure context: no WebCrypto.
    SecureContext,
    /// No usable storage (IndexedDB is refused).
    Storage,
    /// No workers, Web Locks or BroadcastChannel: too old.
    Features,
}

/// The browser. Implemented once, in `frontend`.
pub trait Platform {
    /// What is missing, if anything. Asked before anything is claimed or made.
    fn check(&self) -> LocalFuture<Option<Lack>>;
    /// Runs a command in the worker, which is started by the first call.
    fn run(&self, command: Command) -> LocalFuture<Result<Answer, Failure>>;
    /// Starts the worker (once) and tells what it says from now on; [`FromWorker::Answer`] is never among it.
    fn listen(&self, on: Rc<dyn Fn(FromWorker)>);
    /// The port to rooms.
    #[cfg(any(feature = "ssr", feature = "rooms"))]
    fn rooms(&self) -> Rc<dyn Rooms>;
    /// Opens a link: stores it, puts `/i#~<id>` into the address bar, claims, decrypts, checks.
    fn open(&self, link: Link) -> LocalFuture<Result<Opened, OpenError>>;
    /// Goes on with a link that was opened in this browser (repeats the claim if it was cut off).
    fn reopen(&self, id: String) -> LocalFuture<Result<Opened, OpenError>>;
    /// Asks the browser to keep the storage. `None`: the browser cannot say.
    fn persist(&self) -> LocalFuture<Option<bool>>;
    /// Saves a text as a file.
    fn download(&self, name: &str, text: &str);
    /// Copies a text.
    fn copy(&self, text: &str) -> LocalFuture<bool>;
    /// 16 random bytes, base64url.
    fn random_id(&self) -> String;
    /// Now.
    fn now(&self) -> Timestamp;
}

#[cfg(any(feature = "ssr", feature = "rooms"))]
/// Rooms, as pages need them from the browser. Implemented once, in `frontend`.
pub trait Rooms {
    /// Runs a command in the worker for rooms, which is started by the first call.
    fn run(&self, command: RoomCommand) -> LocalFuture<RoomOutcome>;
    /// Tells what that worker says from now on; whoever was told before no longer is.
    /// [`FromRooms::Answer`] is never among it.
    fn listen(&self, on: Rc<dyn Fn(FromRooms)>);
    /// Characters of a text, as a person counts them.
    fn count(&self, text: &str) -> usize;
}
