//! The room that a page shows: between the worker and what is drawn.

use super::thread::RoomThread;
use crate::{
    platform::{Lack, Opened, Rooms},
    state::{Messenger, messenger},
};
use leptos::{prelude::*, task::spawn_local};
use rly_protocol::limits::INVITE_TTL;
use rly_view::{
    Answer, Command, Connection, Failure, FailureCode, FromRooms, Link, RoomAnswer, RoomCommand, RoomPhase,
    RoomUpdate, RoomView, RoomWish,
};
use std::rc::Rc;

/// How far a page is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// The address was not read yet.
    Starting,
    /// There is no code in it.
    NoCode,
    /// The room is asked for.
    Opening,
    /// It is not to be had.
    Refused(FailureCode),
    /// It is there: see its view.
    Open,
}

/// The room that a page shows.
#[derive(Clone, Copy)]
pub struct Session {
    messenger: Messenger,
    /// What was opened.
    code: StoredValue<String>,
    pub stage: RwSignal<Stage>,
    pub view: RwSignal<Option<RoomView>>,
    /// To give away.
    pub link: RwSignal<String>,
    pub thread: RoomThread,
    /// Why nothing goes on.
    pub trouble: RwSignal<Option<FailureCode>>,
    /// The page has to be loaded again.
    pub outdated: RwSignal<bool>,
    /// The moment, each second.
    pub now: RwSignal<rly_protocol::Timestamp>,
}

impl Session {
    /// Nothing is open; what the worker says is heard as long as the page is there.
    pub fn new() -> Self {
        let session = Self {
            messenger: messenger(),
            code: StoredValue::new(String::new()),
            stage: RwSignal::new(Stage::Starting),
            view: RwSignal::new(None),
            link: RwSignal::new(String::new()),
            thread: RoomThread::new(),
            trouble: RwSignal::new(None),
            outdated: RwSignal::new(false),
            now: RwSignal::new(rly_protocol::Timestamp(0)),
        };
        Effect::new(move || {
            session.now.set(session.messenger.now());
            let every = set_interval_with_handle(
                move || {
                    let _ = session.now.try_set(session.messenger.now());
                },
                core::time::Duration::from_secs(1),
            );
            on_cleanup(move || {
                if let Ok(every) = every {
                    every.clear();
                }
            });
        });
        session
    }

    /// What the browser lacks, if anything.
    pub fn check(self) -> RwSignal<Option<Lack>> {
        let lack = RwSignal::new(None);
        Effect::new(move || {
            spawn_local(async move {
                let found = self.messenger.ask(|platform| platform.check()).await.flatten();
                let _ = lack.try_set(found);
            });
        });
        lack
    }

    fn port(self) -> Option<Rc<dyn Rooms>> {
        self.messenger.platform().map(|platform| platform.rooms())
    }

    /// Runs a command.
    pub async fn run(self, command: RoomCommand) -> Result<RoomAnswer, Failure> {
        match self.port() {
            Some(port) => {
                port.listen(Rc::new(move |news| self.hear(news)));
                port.run(command).await
            }
            None => Err(FailureCode::Internal.into()),
        }
    }

    /// Opens the room of a code, instead of another.
    pub fn open(self, code: String) {
        self.code.set_value(code);
        self.stage.set(Stage::Opening);
        self.view.set(None);
        self.thread.clear();
        self.again();
    }

    /// Opens it again: some of what happened may not have been heard.
    pub fn again(self) {
        self.trouble.set(None);
        let code = self.code.get_value();
        spawn_local(async move {
            let opened = self.run(RoomCommand::Open { code: code.clone() }).await;
            // Another one may have been opened meanwhile, or the page is gone.
            if self.code.try_get_value() != Some(code) {
                return;
            }
            match opened {
                Ok(RoomAnswer::Opened { room, link, view }) => {
                    self.opened(link, view);
                    if let Ok(RoomAnswer::View { view, messages }) =
                        self.run(RoomCommand::Show { room }).await
                        && self.is_open(&view)
                    {
                        self.view.set(Some(view));
                        self.thread.reset(messages);
                    }
                }
                Ok(_) => {}
                Err(failure) => self.not_opened(failure.code),
            }
        });
    }

    /// A room was made or found.
    pub fn opened(self, link: String, view: RoomView) {
        if let Some((_, code)) = link.rsplit_once('#') {
            self.code.set_value(code.to_owned());
        }
        self.link.set(link);
        self.view.set(Some(view));
        self.stage.set(Stage::Open);
    }

    fn not_opened(self, code: FailureCode) {
        let over = self.view.with_untracked(|view| {
            matches!(
                view.as_ref().map(|view| view.phase),
                Some(RoomPhase::Ended { .. } | RoomPhase::Deleted)
            )
        });
        // Its end was told already, with its reason.
        if over {
            return;
        }
        self.thread.clear();
        self.view.set(None);
        self.stage.set(Stage::Refused(code));
    }

    fn is_open(self, view: &RoomView) -> bool {
        self.view
            .try_with_untracked(|open| open.as_ref().is_some_and(|open| open.room == view.room))
            .unwrap_or(false)
    }

    fn shows(self, room: &str) -> bool {
        self.view
            .try_with_untracked(|open| open.as_ref().is_some_and(|open| open.room == room))
            .unwrap_or(false)
    }

    fn hear(self, news: FromRooms) {
        // The page may be gone.
        let Some(stage) = self.stage.try_get_untracked() else {
            return;
        };
        match news {
            FromRooms::Update(update) => self.update(update),
            FromRooms::CatchUp if stage == Stage::Open => self.again(),
            FromRooms::CatchUp | FromRooms::Answer { .. } => {}
            FromRooms::Trouble { code } => self.trouble.set(Some(code)),
            FromRooms::Outdated => self.outdated.set(true),
            FromRooms::Wish { room, wish } => self.grant(room, wish),
        }
    }

    /// Has the messenger do what a room wants of it.
    fn grant(self, room: String, wish: RoomWish) {
        let messenger = self.messenger;
        messenger.listen();
        spawn_local(async move {
            let done = match wish {
                RoomWish::MakeInvite { person, id, name } => {
                    let made = messenger.run(Command::CreateInvite {
                        id,
                        letter: None,
                        name,
                        ttl_seconds: INVITE_TTL,
                    });
                    let link = match made.await {
                        Ok(Answer::Invite { link, .. }) => Some(link),
                        _ => None,
                    };
                    RoomCommand::InviteMade { room, person, link }
                }
                RoomWish::OpenInvite { person, link, name } => {
                    let conversation = keep(messenger, &link, name).await;
                    RoomCommand::ContactMade {
                        room,
                        person,
                        conversation,
                    }
                }
            };
            // The room tells what comes of it.
            let _ = self.run(done).await;
        });
    }

    fn update(self, update: RoomUpdate) {
        match update {
            RoomUpdate::View { view } if self.is_open(&view) => {
                if matches!(view.phase, RoomPhase::Ended { .. } | RoomPhase::Deleted) {
                    self.thread.clear();
                }
                self.view.set(Some(view));
            }
            RoomUpdate::Messages { room, messages } if self.shows(&room) => self.thread.merge(messages),
            RoomUpdate::Removed { room, ids } if self.shows(&room) => self.thread.remove(&ids),
            _ => {}
        }
    }

    /// A part of the view, told only when it changes.
    pub fn part<T: PartialEq + Send + Sync + 'static>(
        self,
        part: impl Fn(&RoomView) -> T + Send + Sync + 'static,
    ) -> Memo<Option<T>> {
        Memo::new(move |_| self.view.with(|view| view.as_ref().map(&part)))
    }

    /// How the connection is, in the words of all pages.
    pub fn connection(self) -> Memo<Connection> {
        Memo::new(move |_| {
            self.view.with(|view| match view {
                Some(view) => match (view.phase, view.retry_at) {
                    (RoomPhase::Inside, _) => Connection::Online,
                    (RoomPhase::Connecting, Some(until)) => Connection::Waiting { until },
                    (RoomPhase::Connecting, None) => Connection::Connecting,
                    _ => Connection::Idle,
                },
                None => Connection::Idle,
            })
        })
    }

    /// The id of the room that is open.
    pub fn room(self) -> String {
        self.view
            .with_untracked(|view| view.as_ref().map(|view| view.room.clone()).unwrap_or_default())
    }

    /// A fresh id.
    pub fn random_id(self) -> String {
        self.messenger.random_id()
    }

    /// Characters of a text, as a person counts them.
    pub fn count(self, text: &str) -> usize {
        // Nobody has typed anything where there is no port.
        self.port().map_or(0, |port| port.count(text))
    }
}

/// Opens a contact's link and answers it: the conversation.
async fn keep(messenger: Messenger, link: &str, name: Option<String>) -> Option<String> {
    let (_, fragment) = link.rsplit_once('#')?;
    let link = Link::from_fragment(fragment).ok()?;
    let letter = match messenger.ask(move |platform| platform.open(link)).await?.ok()? {
        Opened::Letter(letter) => letter.id,
        Opened::Answered(conversation) => return Some(conversation),
    };
    let text = String::new();
    match messenger.run(Command::Reply { letter, name, text }).await {
        Ok(Answer::Conversation { id }) => Some(id),
        _ => None,
    }
}
