//! What a page and a worker of one kind say to each other. The messenger and rooms have a language
//! each: who opens no room loads nothing of theirs.

use rly_protocol::{Decode, DecodeError, Encode, Reader, Writer};
use rly_view::{Command, FromRooms, FromWorker, Outcome, Phase, RoomCommand, RoomOutcome, StateView};

/// One of these languages.
pub trait Talk: 'static {
    /// What a page wants.
    type Command: Encode + Decode + Clone + 'static;
    /// How that ended.
    type Outcome: Encode + Decode + 'static;
    /// All that a worker says.
    type News: Encode + Decode + Clone + 'static;

    /// The lock that makes one worker of a browser the leader.
    const LOCK: &'static str;
    /// The channel between the workers of a browser.
    const CHANNEL: &'static str;
    /// Rises when anything changes that commands, outcomes or news hold.
    const VERSION: u8;

    /// The answer to a command of the page.
    fn answer(n: u32, outcome: Self::Outcome) -> Self::News;
    /// The number and outcome, if it is an answer.
    ///
    /// # Errors
    /// The news, if it is none.
    fn answered(news: Self::News) -> Result<(u32, Self::Outcome), Self::News>;
    /// Some of what was said may not have been heard.
    fn catch_up() -> Self::News;
    /// A newer version of the app is needed here.
    fn outdated() -> Self::News;
    /// See to the connection.
    fn wake() -> Self::Command;
    /// Somebody's words would be lost with this command.
    fn holds_words(command: &Self::Command) -> bool;
}

/// The messenger's.
pub struct MessengerTalk;

impl Talk for MessengerTalk {
    type Command = Command;
    type Outcome = Outcome;
    type News = FromWorker;

    const LOCK: &'static str = "rly-leader";
    const CHANNEL: &'static str = "rly";
    const VERSION: u8 = 2;

    fn answer(n: u32, outcome: Outcome) -> FromWorker {
        FromWorker::Answer { n, outcome }
    }

    fn answered(news: FromWorker) -> Result<(u32, Outcome), FromWorker> {
        match news {
            FromWorker::Answer { n, outcome } => Ok((n, outcome)),
            other => Err(other),
        }
    }

    fn catch_up() -> FromWorker {
        FromWorker::CatchUp
    }

    fn outdated() -> FromWorker {
        FromWorker::State(StateView {
            phase: Phase::NeedsNewer,
            ..StateView::default()
        })
    }

    fn wake() -> Command {
        Command::Wake
    }

    fn holds_words(command: &Command) -> bool {
        matches!(
            command,
            Command::Send { .. } | Command::Reply { .. } | Command::CreateInvite { letter: Some(_), .. }
        )
    }
}

/// That of rooms.
pub struct RoomsTalk;

impl Talk for RoomsTalk {
    type Command = RoomCommand;
    type Outcome = RoomOutcome;
    type News = FromRooms;

    const LOCK: &'static str = "rly-rooms-leader";
    const CHANNEL: &'static str = "rly-rooms";
    const VERSION: u8 = 1;

    fn answer(n: u32, outcome: RoomOutcome) -> FromRooms {
        FromRooms::Answer { n, outcome }
    }

    fn answered(news: FromRooms) -> Result<(u32, RoomOutcome), FromRooms> {
        match news {
            FromRooms::Answer { n, outcome } => Ok((n, outcome)),
            other => Err(other),
        }
    }

    fn catch_up() -> FromRooms {
        FromRooms::CatchUp
    }

    fn outdated() -> FromRooms {
        FromRooms::Outdated
    }

    fn wake() -> RoomCommand {
        RoomCommand::Wake
    }

    fn holds_words(command: &RoomCommand) -> bool {
        matches!(command, RoomCommand::Send { .. })
    }
}

/// A page's command with its number, which the answer repeats. Has the form of `rly_view::ToWorker` and
/// `rly_view::ToRooms`.
pub struct Asked<T: Talk> {
    /// The number.
    pub n: u32,
    /// What is wanted.
    pub command: T::Command,
}

impl<T: Talk> Encode for Asked<T> {
    fn encode(&self, to: &mut Writer) {
        to.put(&self.n);
        to.put(&self.command);
    }
}

impl<T: Talk> Decode for Asked<T> {
    fn decode(from: &mut Reader) -> Result<Self, DecodeError> {
        Ok(Self {
            n: from.take()?,
            command: from.take()?,
        })
    }
}
