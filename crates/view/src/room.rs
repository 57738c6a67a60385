//! Rooms as a page knows them: the code, the commands, the view models.
//!
//! Each room has a machine of its own in the worker of the leading tab (`rly_client::room`); all tabs
//! of a browser are one person in it.

use crate::MessageState;
use core::{fmt, str::FromStr};
use rly_protocol::{
    Timestamp, choice,
    limits::{ROOM_CODE_LETTERS, ROOM_HISTORY, ROOM_IDLE, ROOM_IDLE_TWO, ROOM_LIFE, ROOM_PEOPLE},
    record,
    room::{RoomEnd, RoomLimits},
};
use thiserror::Error;
use zeroize::{Zeroize, ZeroizeOnDrop};

/// RFC 4648, section 6, in small letters.
const LETTERS: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";

/// The one secret of a room: 26 base32 letters, 130 bits, from which its id and all keys are derived.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct RoomCode([u8; ROOM_CODE_LETTERS]);

/// Not a room's code.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum RoomCodeError {
    /// Nothing was given.
    #[error("there is no code here")]
    Empty,
    /// Cut, too long, or with characters that no code has.
    #[error("the code is not complete")]
    Mangled,
}

impl RoomCode {
    /// The code that 26 random bytes make; five bits of each are used.
    pub fn from_random(random: &[u8; ROOM_CODE_LETTERS]) -> Self {
        Self(random.map(|byte| LETTERS[usize::from(byte & 31)]))
    }

    /// Its letters, as they are derived from.
    pub fn as_bytes(&self) -> &[u8; ROOM_CODE_LETTERS] {
        &self.0
    }

    /// Its letters, as they stand in the link.
    pub fn to_text(&self) -> String {
        self.0.iter().map(|letter| char::from(*letter)).collect()
    }

    /// In groups, to be read aloud and typed.
    pub fn to_groups(&self) -> String {
        let groups: Vec<String> = (self.0.chunks(5))
            .map(|group| group.iter().map(|letter| char::from(*letter)).collect())
            .collect();
        groups.join("-")
    }

    /// The whole link on a server's origin.
    pub fn to_url(&self, origin: &str) -> String {
        format!("{origin}/r#{}", self.to_text())
    }
}

/// Reads what was typed or stands after `#`: a code, or a whole link to a room. Capital letters,
/// spaces and dashes do not matter, and the digits that look like letters are taken for them.
impl FromStr for RoomCode {
    type Err = RoomCodeError;

    fn from_str(text: &str) -> Result<Self, RoomCodeError> {
        let text = text.rsplit_once('#').map_or(text, |(_, code)| code);
        let mut code = [0; ROOM_CODE_LETTERS];
        let mut n = 0;
        for character in text.chars() {
            let letter = match character.to_ascii_lowercase() {
                ' ' | '-' | '\t' | '\n' | '\r' => continue,
                '0' => 'o',
                '1' => 'l',
                '8' => 'b',
                other => other,
            };
            let letter = u8::try_from(letter).map_err(|_| RoomCodeError::Mangled)?;
            let place = code.get_mut(n).ok_or(RoomCodeError::Mangled)?;
            if !LETTERS.contains(&letter) {
                return Err(RoomCodeError::Mangled);
            }
            *place = letter;
            n += 1;
        }
        match n {
            0 => Err(RoomCodeError::Empty),
            ROOM_CODE_LETTERS => Ok(Self(code)),
            _ => Err(RoomCodeError::Mangled),
        }
    }
}

impl fmt::Debug for RoomCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RoomCode(..)")
    }
}

/// The limits of the preset "Room".
pub const ROOM_PRESET: RoomLimits = RoomLimits {
    idle_seconds: ROOM_IDLE,
    life_seconds: ROOM_LIFE,
    people: ROOM_PEOPLE,
    history: ROOM_HISTORY,
};

/// The limits of the preset "Two-person session".
pub const TWO_PERSON_PRESET: RoomLimits = RoomLimits {
    idle_seconds: ROOM_IDLE_TWO,
    people: 2,
    ..ROOM_PRESET
};

choice! {
    /// What a person wants of rooms. `room` is the id that [`RoomAnswer::Opened`] gave. A
    /// language of its own beside [`Command`](crate::Command): who opens no room loads nothing of it.
    #[derive(Clone)]
    pub enum RoomCommand {
        /// Make a room, with a code of its own. Nobody is in it yet. Answer: `Opened`.
        1 => Create { limits: RoomLimits },
        /// Look at the room of a code: whether it is there, its limits, and whether one is in it already.
        /// Answer: `Opened`; failures `RoomCodeInvalid`, `RoomGone`.
        2 => Open { code: String },
        /// Join under a name. Answer: `Done`; then the view shows it.
        3 => Join { room: String, name: String },
        /// Say something. `id` is 16 random bytes. Answer: `Done` once it is stored here.
        4 => Send { room: String, id: String, text: String },
        /// Leave; coming back with Join or Open restores the session. Answer: `Done`.
        5 => Leave { room: String },
        /// Delete one's own messages and membership, and all of the room that is kept here.
        6 => DeleteEverything { room: String },
        /// End the room for all; failure `RoomNotCreator`.
        7 => Close { room: String },
        /// Ask somebody to stay in contact, or agree to what they asked. Agreeing needs a SIM, which is
        /// made first if there is none and a name is given. Answer: `Done`.
        8 => KeepContact { room: String, person: u32, name: Option<String> },
        /// Say no to somebody who asked to stay in contact. They are not told.
        9 => RefuseContact { room: String, person: u32 },
        /// The room as it is: a page shows it anew. Answer: `View`.
        10 => Show { room: String },
        /// The browser went online or offline, or the page came to the front: see to the connections.
        11 => Wake,
        /// What came of [`RoomWish::MakeInvite`]; `None` if there is no link.
        12 => InviteMade { room: String, person: u32, link: Option<String> },
        /// What came of [`RoomWish::OpenInvite`]: the conversation, unless it failed.
        13 => ContactMade { room: String, person: u32, conversation: Option<String> },
    }
}

record! {
    /// A message from a page to its worker for rooms.
    #[derive(Clone, Debug)]
    pub struct ToRooms {
        /// Number of the request; the answer repeats it.
        pub n: u32,
        /// What to do.
        pub command: RoomCommand,
    }
}

choice! {
    /// A message from the worker for rooms to its page.
    #[derive(Clone)]
    pub enum FromRooms {
        /// The answer to a command of this page.
        1 => Answer { n: u32, outcome: RoomOutcome },
        /// Something has changed.
        2 => Update(update: RoomUpdate),
        /// Some of what was said may not have been heard: open again what is shown.
        3 => CatchUp,
        /// Nothing can be stored: all rooms stand still until one is opened again.
        4 => Trouble { code: crate::FailureCode },
        /// A newer version of the app runs in another tab: this one has to be loaded again.
        5 => Outdated,
        /// To the page of the leading tab alone: something that the messenger has to do.
        6 => Wish { room: String, wish: RoomWish },
    }
}

choice! {
    /// What a room wants of the messenger, which runs in another worker: the page passes it on.
    #[derive(Clone)]
    pub enum RoomWish {
        /// A link without a letter ([`Command::CreateInvite`](crate::Command::CreateInvite)). `id` is the
        /// invite's, the same again after a crash; the name is for a SIM, if there is none.
        1 => MakeInvite { person: u32, id: String, name: Option<String> },
        /// Open a link and answer it with an empty text ([`Command::Reply`](crate::Command::Reply)).
        2 => OpenInvite { person: u32, link: String, name: Option<String> },
    }
}

/// How a room's command ended.
pub type RoomOutcome = Result<RoomAnswer, crate::Failure>;

choice! {
    /// What a room's command gives.
    #[derive(Clone)]
    pub enum RoomAnswer {
        /// The room, and its link.
        1 => Opened { room: String, link: String, view: RoomView },
        /// It as it is, with all messages.
        2 => View { view: RoomView, messages: Vec<RoomMessageView> },
        /// It is done and stored.
        3 => Done,
    }
}

choice! {
    /// What a worker says about a room.
    #[derive(Clone)]
    pub enum RoomUpdate {
        /// Everything but messages, whole, after each change.
        1 => View { view: RoomView },
        /// Messages that are new or changed: merged by id.
        2 => Messages { room: String, messages: Vec<RoomMessageView> },
        /// These are not there any more: their sender deleted everything, or they are too old.
        3 => Removed { room: String, ids: Vec<String> },
        /// Somebody and this browser's person both want to stay in contact: this conversation is new.
        4 => ContactKept { room: String, person: u32, conversation: String },
    }
}

record! {
    /// A room, but for its messages.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct RoomView {
        /// Its id, base64url.
        pub room: String,
        /// Where this browser stands.
        pub phase: RoomPhase,
        /// Its bounds, to be shown.
        pub limits: RoomLimits,
        /// When it ends if nobody says anything: what the countdown counts to. The server's time,
        /// turned into this browser's.
        pub closes_at: Timestamp,
        /// When it ends at the latest.
        pub ends_at: Timestamp,
        /// The person that this browser is, once it has joined.
        pub you: Option<u32>,
        /// The name that was given here, once one was: joining again is coming back under it.
        pub name: Option<String>,
        /// While the connection waits: when the next try is.
        pub retry_at: Option<Timestamp>,
        /// This browser made the room.
        pub creator: bool,
        /// Who belongs to it, in the order of joining.
        pub people: Vec<RoomPersonView>,
        /// What went wrong last; empty again after the next success.
        pub trouble: Option<crate::FailureCode>,
    }
}

choice! {
    /// Where a browser stands with a room.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum RoomPhase {
        /// It has not joined (or has left).
        1 => Outside,
        /// It joins, or the connection is made again.
        2 => Connecting,
        /// It is in.
        3 => Inside,
        /// The room has ended; nothing of it is kept here any more.
        4 => Ended { why: Option<RoomEndView> },
        /// Everything of this browser's was deleted.
        5 => Deleted,
    }
}

choice! {
    /// Why a room has ended.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum RoomEndView {
        /// Nobody said anything.
        1 => Idle,
        /// Its time was over.
        2 => Life,
        /// Who made it has ended it.
        3 => Creator,
    }
}

impl From<RoomEnd> for RoomEndView {
    fn from(end: RoomEnd) -> Self {
        match end {
            RoomEnd::Idle => Self::Idle,
            RoomEnd::Life => Self::Life,
            RoomEnd::Creator => Self::Creator,
        }
    }
}

record! {
    /// Somebody in a room.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct RoomPersonView {
        /// Given by the server.
        pub number: u32,
        /// What they call themselves.
        pub name: String,
        /// 1, or which of several with this name. Shown as an element of its own, never within the name.
        pub name_number: u16,
        /// A connection of theirs reads the room.
        pub here: bool,
        /// Keeping each other as contacts.
        pub contact: RoomContact,
    }
}

choice! {
    /// How far two people in a room are with keeping each other as contacts.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub enum RoomContact {
        /// Nobody has asked.
        #[default]
        1 => None,
        /// This browser's person has asked.
        2 => Asked,
        /// They have asked.
        3 => AsksYou,
        /// Both agreed; it is being done.
        4 => Agreed,
        /// They are contacts.
        5 => Kept,
    }
}

record! {
    /// A message in a room, or a note between messages.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct RoomMessageView {
        /// Base64url.
        pub id: String,
        /// The place in the room's order, the same for everybody; one's own that wait come last.
        pub order: u64,
        /// Whose.
        pub from: u32,
        /// Their name.
        pub name: String,
        /// See [`RoomPersonView::name_number`].
        pub name_number: u16,
        /// One's own.
        pub own: bool,
        /// When the server took it; for what waits, when it was written.
        pub at: Timestamp,
        /// What it says.
        pub content: RoomContentView,
        /// For one's own messages: `Sending`, `Sent` or `Failed`.
        pub state: Option<MessageState>,
    }
}

choice! {
    /// What a message in a room says.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub enum RoomContentView {
        /// Text as written by a person.
        1 => Text { text: String },
        /// A kind of message that this version does not know.
        2 => NeedsNewer,
        /// Somebody has joined.
        3 => Joined,
        /// A message that this person did not sign, or cannot be read: the server, or somebody with its
        /// help, has put it there.
        4 => Forged,
        /// Longer than a message may be; cut.
        5 => TooLong { text: String },
        /// This many messages of this person's before this one were kept back.
        6 => Missing { count: u32 },
    }
}

impl fmt::Debug for RoomCommand {
    // Commands hold codes and texts.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RoomCommand(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_leads_back_however_it_is_typed() {
        let code = RoomCode::from_random(&core::array::from_fn(|n| (n * 37 + 8) as u8));
        let text = code.to_text();
        assert_eq!(text.len(), 26);
        assert_eq!(text.parse(), Ok(code.clone()));
        assert_eq!(code.to_groups().len(), 31);
        for typed in [
            code.to_groups(),
            code.to_groups().to_uppercase(),
            text.replace('o', "0").replace('l', "1").replace('b', "8"),
            format!("  {text}\n"),
            code.to_url("https://rly.example"),
            format!("#{text}"),
        ] {
            assert_eq!(typed.parse(), Ok(code.clone()), "{typed}");
        }
    }

    #[test]
    fn what_is_no_code_is_refused() {
        let text = RoomCode::from_random(&[3; 26]).to_text();
        for n in 1..text.len() {
            assert_eq!(text[..n].parse::<RoomCode>(), Err(RoomCodeError::Mangled));
        }
        for wrong in [
            format!("{text}a"),
            text.replacen('d', "9", 1),
            text.replacen('d', "é", 1),
        ] {
            assert_eq!(wrong.parse::<RoomCode>(), Err(RoomCodeError::Mangled));
        }
        for empty in ["", "#", " - "] {
            assert_eq!(empty.parse::<RoomCode>(), Err(RoomCodeError::Empty));
        }
        assert_eq!(format!("{:?}", RoomCode::from_random(&[3; 26])), "RoomCode(..)");
    }
}
