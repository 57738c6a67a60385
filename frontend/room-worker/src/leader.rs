//! The leader: runs the machines of rooms. What one changes is stored first; only then does anything
//! happen because of it. If storing fails, all machines are thrown away: what is stored is the truth.

use crate::rooms;
use core::mem;
use futures_channel::mpsc::{UnboundedReceiver, UnboundedSender, unbounded};
use futures_util::StreamExt;
use gloo::timers::callback::Timeout;
use rand_core::OsRng;
use rly_browser::{
    Store, StoreError, clock, graphemes,
    signing::SigningKey,
    talk::RoomsTalk,
    worker::{self, Asker, Refused, Said, Socket, SocketEvent},
};
use rly_client::{
    CommandId, HttpError,
    room::{Room, RoomEffect, RoomInput, RoomOutput},
};
use rly_protocol::{
    RoomId, Timestamp,
    api::{CreateRoom, RoomState},
    to_base64url,
};
use rly_view::{FailureCode, FromRooms, RoomAnswer, RoomCode, RoomCommand, RoomWish};
use std::{collections::BTreeMap, rc::Rc};
use wasm_bindgen_futures::spawn_local;

/// The longest wait that is given to the browser at once; it counts milliseconds in 31 bits.
const TIMER_MAX_MS: u64 = 3_600_000;

type Tab = worker::Tab<RoomsTalk>;

/// What happens to the leader.
enum Event {
    /// Somebody wants something.
    Command { asker: Asker, command: RoomCommand },
    /// Something for a machine. Nothing, if it is gone.
    For { machine: u32, input: RoomInput },
    /// Something about a machine's socket. Nothing, if it is no longer the one.
    Socket {
        machine: u32,
        socket: u32,
        input: RoomInput,
    },
    /// Everything in this browser was deleted.
    Erased,
    /// What was to be done beside the machines cannot be stored.
    Failed(StoreError),
}

/// A room's machine, and what it holds on to.
struct Live {
    room: Room,
    key: SigningKey,
    socket: Option<(u32, Socket)>,
    timer: Option<Timeout>,
}

struct Leader {
    tab: Rc<Tab>,
    events: UnboundedSender<Event>,
    store: Option<Rc<Store>>,
    live: BTreeMap<u32, Live>,
    /// Counts machines and sockets.
    next: u32,
    askers: BTreeMap<CommandId, Asker>,
    next_command: CommandId,
}

/// Starts to lead; what comes back hears.
pub(crate) fn start(tab: Rc<Tab>) -> Box<dyn Fn(Said<RoomsTalk>)> {
    let (events, inbox) = unbounded();
    let told = events.clone();
    // Where there is no such channel there is none between tabs either, and this worker has not started.
    let _ = worker::erased(move || say(&told, Event::Erased));
    let leader = Leader {
        tab,
        events: events.clone(),
        store: None,
        live: BTreeMap::new(),
        next: 0,
        askers: BTreeMap::new(),
        next_command: 0,
    };
    spawn_local(leader.lead(inbox));
    Box::new(move |said| match said {
        Said::Command { asker, command } => say(&events, Event::Command { asker, command }),
        // Each page opens what it shows.
        Said::Hello => {}
    })
}

impl Leader {
    /// Leads until the worker ends.
    async fn lead(mut self, mut inbox: UnboundedReceiver<Event>) {
        if let Err(error) = self.tidy().await {
            self.give_up(error);
        }
        // The leader itself holds a sender: this has no end.
        while let Some(event) = inbox.next().await {
            if let Err(error) = self.happen(event).await {
                self.give_up(error);
            }
        }
    }

    async fn tidy(&mut self) -> Result<(), StoreError> {
        let store = self.store().await?;
        for (room, key) in rooms::tidy(&store, &self.tab.origin(), clock::now()).await? {
            let machine = self.add(room, key);
            self.handle(machine, RoomInput::Start).await?;
        }
        Ok(())
    }

    async fn store(&mut self) -> Result<Rc<Store>, StoreError> {
        if let Some(store) = &self.store {
            return Ok(Rc::clone(store));
        }
        let store = Rc::new(Store::open_rooms().await?);
        self.store = Some(Rc::clone(&store));
        Ok(store)
    }

    async fn happen(&mut self, event: Event) -> Result<(), StoreError> {
        match event {
            Event::Command { asker, command } => self.command(asker, command).await,
            Event::For { machine, input } => self.handle(machine, input).await,
            Event::Socket {
                machine,
                socket,
                input,
            } => {
                let current = |live: &Live| live.socket.as_ref().is_some_and(|(n, _)| *n == socket);
                match self.live.get(&machine) {
                    Some(live) if current(live) => self.handle(machine, input).await,
                    _ => Ok(()),
                }
            }
            Event::Erased => {
                self.forget_all(FailureCode::RoomGone);
                // Pages then open again what they show, and find nothing of it.
                self.tab.update(FromRooms::CatchUp);
                Ok(())
            }
            Event::Failed(error) => Err(error),
        }
    }

    async fn command(&mut self, asker: Asker, command: RoomCommand) -> Result<(), StoreError> {
        // A tab says a command again when it is not sure that the leader heard it.
        if self.askers.values().any(|known| *known == asker) {
            return Ok(());
        }
        let from = self.next_command;
        self.next_command += 1;
        // Whatever fails from here on is told.
        self.askers.insert(from, asker);
        if matches!(command, RoomCommand::Wake) {
            let all: Vec<u32> = self.live.keys().copied().collect();
            for machine in all {
                self.handle(machine, RoomInput::Wake).await?;
            }
            self.answer(from, Ok(RoomAnswer::Done));
            return Ok(());
        }
        match self.machine_for(&command).await? {
            Ok(machine) => self.handle(machine, RoomInput::Command { from, command }).await,
            Err(code) => {
                self.answer(from, Err(code));
                Ok(())
            }
        }
    }

    /// Which machine a command is for. One that is opened or made gets a new one.
    async fn machine_for(&mut self, command: &RoomCommand) -> Result<Result<u32, FailureCode>, StoreError> {
        let room = match command {
            RoomCommand::Create { .. } => {
                let store = self.store().await?;
                let (key, public) = rooms::new_key(&store).await?;
                let room = Room::create(public, self.tab.origin(), graphemes::count, &mut OsRng);
                return Ok(Ok(self.add(room, key)));
            }
            RoomCommand::Open { code } => {
                let Ok(code) = code.parse::<RoomCode>() else {
                    return Ok(Err(FailureCode::RoomCodeInvalid));
                };
                if let Some(machine) = self.stored_or_live(Room::id_of(&code)).await? {
                    return Ok(Ok(machine));
                }
                let store = self.store().await?;
                let (key, public) = rooms::new_key(&store).await?;
                let room = Room::open(&code, public, self.tab.origin(), graphemes::count);
                return Ok(Ok(self.add(room, key)));
            }
            RoomCommand::Join { room, .. }
            | RoomCommand::Send { room, .. }
            | RoomCommand::Leave { room }
            | RoomCommand::DeleteEverything { room }
            | RoomCommand::Close { room }
            | RoomCommand::KeepContact { room, .. }
            | RoomCommand::RefuseContact { room, .. }
            | RoomCommand::InviteMade { room, .. }
            | RoomCommand::ContactMade { room, .. }
            | RoomCommand::Show { room } => room.clone(),
            RoomCommand::Wake => return Ok(Err(FailureCode::NotFound)),
        };
        let Ok(id) = RoomId::try_from(room) else {
            return Ok(Err(FailureCode::NotFound));
        };
        Ok(self.stored_or_live(id).await?.ok_or(FailureCode::RoomGone))
    }

    async fn stored_or_live(&mut self, id: RoomId) -> Result<Option<u32>, StoreError> {
        if let Some((machine, _)) = self.live.iter().find(|(_, live)| live.room.id() == id) {
            return Ok(Some(*machine));
        }
        let store = self.store().await?;
        let Some((room, key)) = rooms::find(&store, id, &self.tab.origin()).await? else {
            return Ok(None);
        };
        let machine = self.add(room, key);
        self.handle(machine, RoomInput::Start).await?;
        // It may have been at its end.
        Ok(self.live.contains_key(&machine).then_some(machine))
    }

    fn add(&mut self, room: Room, key: SigningKey) -> u32 {
        self.next += 1;
        let live = Live {
            room,
            key,
            socket: None,
            timer: None,
        };
        self.live.insert(self.next, live);
        self.next
    }

    /// Hands something to a machine, stores what it changes, and does what waited for that.
    async fn handle(&mut self, machine: u32, input: RoomInput) -> Result<(), StoreError> {
        let Some(live) = self.live.get_mut(&machine) else {
            return Ok(());
        };
        let mut output = live.room.handle(clock::now(), &mut OsRng, input);
        let over = live.room.is_over();
        let changes = mem::take(&mut output.changes);
        if !changes.is_empty() {
            let store = self.store().await?;
            rooms::apply(&store, changes).await?;
        }
        self.carry_out(machine, output);
        if over {
            self.live.remove(&machine);
        }
        Ok(())
    }

    /// What is new goes first, so that a page that hears an answer already knows what it is about.
    fn carry_out(&mut self, machine: u32, output: RoomOutput) {
        for update in output.updates {
            self.tab.update(FromRooms::Update(update));
        }
        for (from, outcome) in output.answers {
            if let Some(asker) = self.askers.remove(&from) {
                self.tab.answer(asker, outcome);
            }
        }
        for effect in output.effects {
            self.effect(machine, effect);
        }
    }

    fn effect(&mut self, machine: u32, effect: RoomEffect) {
        let (events, store) = (self.events.clone(), self.store.clone());
        let Some(live) = self.live.get_mut(&machine) else {
            return;
        };
        match effect {
            RoomEffect::OpenSocket => {
                self.next += 1;
                let socket = self.next;
                let heard = events.clone();
                let opened = Socket::open(&self.tab.origin(), move |event| {
                    let input = match event {
                        SocketEvent::Opened => RoomInput::SocketOpened,
                        SocketEvent::Frame(frame) => RoomInput::SocketFrame(frame),
                        SocketEvent::Closed => RoomInput::SocketClosed,
                    };
                    say(
                        &heard,
                        Event::Socket {
                            machine,
                            socket,
                            input,
                        },
                    );
                });
                live.socket = opened.ok().map(|opened| (socket, opened));
                if live.socket.is_none() {
                    let input = RoomInput::SocketClosed;
                    say(&events, Event::For { machine, input });
                }
            }
            RoomEffect::CloseSocket => live.socket = None,
            RoomEffect::SendFrame(frame) => {
                if let Some((_, socket)) = &live.socket {
                    socket.send(&frame);
                }
            }
            RoomEffect::Sign { n, message, .. } => {
                let key = live.key.clone();
                spawn_local(async move {
                    say(
                        &events,
                        match key.sign(&message).await {
                            Ok(signature) => {
                                let input = RoomInput::Signed { n, signature };
                                Event::For { machine, input }
                            }
                            Err(error) => Event::Failed(error),
                        },
                    );
                });
            }
            RoomEffect::Create(request) => spawn_local(async move {
                let result = worker::ask("/api/rooms", Some(&request)).await;
                say(&events, told(machine, result));
            }),
            RoomEffect::Look(room) => spawn_local(async move {
                let path = format!("/api/rooms/{}", String::from(room));
                let result = worker::ask(&path, None::<&CreateRoom>).await;
                say(&events, told(machine, result));
            }),
            // One page alone does it, so that nothing is done twice at once.
            RoomEffect::MakeInvite { person, id, name } => {
                let id = to_base64url(&id);
                let (room, wish) = (live.room.id().into(), RoomWish::MakeInvite { person, id, name });
                self.tab.tell_page(&FromRooms::Wish { room, wish });
            }
            RoomEffect::OpenInvite { person, name, link } => {
                let (room, wish) = (live.room.id().into(), RoomWish::OpenInvite { person, link, name });
                self.tab.tell_page(&FromRooms::Wish { room, wish });
            }
            RoomEffect::ForgetKey(key) => {
                let Some(store) = store else { return };
                spawn_local(async move {
                    if let Err(error) = store.forget_key(&key).await {
                        say(&events, Event::Failed(error));
                    }
                });
            }
            RoomEffect::SetTimer(due) => {
                let wait = wait_until(due);
                live.timer = Some(Timeout::new(wait, move || {
                    let input = RoomInput::Timer;
                    say(&events, Event::For { machine, input });
                }));
            }
        }
    }

    fn answer(&mut self, from: CommandId, outcome: Result<RoomAnswer, FailureCode>) {
        if let Some(asker) = self.askers.remove(&from) {
            self.tab.answer(asker, outcome.map_err(Into::into));
        }
    }

    /// Nothing can be stored: nothing goes on until somebody opens a room again.
    fn give_up(&mut self, error: StoreError) {
        let code = match error {
            StoreError::Full => FailureCode::StorageFull,
            StoreError::Broken => FailureCode::StorageDamaged,
            StoreError::Refused | StoreError::Newer | StoreError::Blocked => FailureCode::StorageRefused,
        };
        self.forget_all(code);
        self.tab.update(FromRooms::Trouble { code });
    }

    fn forget_all(&mut self, code: FailureCode) {
        self.live.clear();
        self.store = None;
        for asker in mem::take(&mut self.askers).into_values() {
            self.tab.answer(asker, Err(code.into()));
        }
    }
}

fn told(machine: u32, result: Result<RoomState, Refused>) -> Event {
    let result = result.map_err(|refused| match refused {
        Refused::Network => HttpError::Network,
        Refused::Code(code, wait) => HttpError::Code(code, wait),
    });
    let input = RoomInput::Http(result);
    Event::For { machine, input }
}

fn wait_until(due: Timestamp) -> u32 {
    due.since(clock::now()).min(TIMER_MAX_MS) as u32
}

/// The receiver lives as long as the worker.
fn say(events: &UnboundedSender<Event>, event: Event) {
    let _ = events.unbounded_send(event);
}
