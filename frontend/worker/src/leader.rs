//! The leader: runs the machine. What it changes is stored first; only then does anything happen
//! because of it. If storing fails, the machine is thrown away: what is stored is the truth.

use crate::http;
use core::mem;
use futures_channel::mpsc::{UnboundedReceiver, UnboundedSender, unbounded};
use futures_util::{StreamExt, future};
use gloo::timers::callback::Timeout;
use rand_core::OsRng;
use rly_browser::{
    Batch, Store, StoreError, clock, letters,
    talk::MessengerTalk,
    worker::{Asker, Said, Socket, SocketEvent},
};
use rly_client::{Changes, CommandId, Effect, Input, LoadError, Machine, Output, table};
use rly_protocol::{Timestamp, from_base64url};
use rly_view::{Answer, Command, Failure, FailureCode, FromWorker, Phase, StateView};
use std::{
    collections::{BTreeMap, VecDeque},
    rc::Rc,
};
use wasm_bindgen_futures::spawn_local;

/// How long storage that failed is left alone, unless somebody wants something.
const RETRY_MS: u32 = 30_000;
/// The longest wait that is given to the browser at once; it counts milliseconds in 31 bits.
const TIMER_MAX_MS: u64 = 3_600_000;

type Tab = rly_browser::worker::Tab<MessengerTalk>;

/// What happens to the leader.
enum Event {
    /// Somebody wants something.
    Command { asker: Asker, command: Command },
    /// A tab was opened: it wants to know the state.
    Hello,
    /// Something that the machine asked for. Nothing, if that machine is gone.
    Outside { life: u32, input: Input },
    /// Something about a socket. Nothing, if it is no longer the one.
    Socket { number: u32, input: Input },
    /// The machine's timer, or a part of its wait, is over.
    Timer { life: u32 },
    /// What the machine wanted to read cannot be read.
    Failed { life: u32, error: StoreError },
    /// Storage was left alone long enough.
    Retry,
}

struct Leader {
    tab: Rc<Tab>,
    events: UnboundedSender<Event>,
    inbox: UnboundedReceiver<Event>,
    /// Taken out of the inbox and not handled yet.
    queue: VecDeque<Event>,
    askers: BTreeMap<CommandId, Asker>,
    next: CommandId,
    /// Counts machines, so that nothing reaches a machine that an earlier one asked for.
    life: u32,
    socket: Option<(u32, Socket)>,
    sockets: u32,
    timer: Option<Timeout>,
    retry: Option<Timeout>,
}

/// Starts to lead; what comes back hears.
pub(crate) fn start(tab: Rc<Tab>) -> Box<dyn Fn(Said<MessengerTalk>)> {
    let (events, inbox) = unbounded();
    spawn_local(lead(tab, events.clone(), inbox));
    Box::new(move |said| {
        let event = match said {
            Said::Command { asker, command } => Event::Command { asker, command },
            Said::Hello => Event::Hello,
        };
        say(&events, event);
    })
}

/// Leads until the worker ends.
async fn lead(tab: Rc<Tab>, events: UnboundedSender<Event>, inbox: UnboundedReceiver<Event>) {
    let mut leader = Leader {
        tab,
        events,
        inbox,
        queue: VecDeque::new(),
        askers: BTreeMap::new(),
        next: 0,
        life: 0,
        socket: None,
        sockets: 0,
        timer: None,
        retry: None,
    };
    let mut trouble = None;
    loop {
        trouble = match leader.load().await {
            Ok((machine, store)) => {
                let error = leader.serve(machine, store, trouble).await;
                leader.give_up(error);
                Some(error)
            }
            Err(error) => leader.wait(error).await,
        };
    }
}

impl Leader {
    async fn load(&mut self) -> Result<(Machine, Rc<Store>), StoreError> {
        let store = Store::open().await?;
        let rows = store.all_but(table::MESSAGES).await?;
        let machine = Machine::load(rows, self.tab.origin()).map_err(|error| match error {
            LoadError::Newer => StoreError::Newer,
            LoadError::Damaged => StoreError::Broken,
        })?;
        Ok((machine, Rc::new(store)))
    }

    /// Runs the machine until storage fails. After `trouble` it does not connect, and everybody is
    /// told, until something could be stored or it is time to try.
    async fn serve(
        &mut self,
        mut machine: Machine,
        mut store: Rc<Store>,
        mut trouble: Option<StoreError>,
    ) -> StoreError {
        if trouble.is_none() {
            handle(&mut machine, Input::Start);
        } else {
            self.retry_later();
            self.tell(machine.state(clock::now()), trouble);
            // Not even what the machine wants to store by itself is tried without a reason.
            if let Err(error) = self.take_events(&mut machine, &store, &mut trouble).await {
                return error;
            }
        }
        loop {
            let mut output = machine.take_output(clock::now(), &mut OsRng);
            let changed = !output.changes.is_empty();
            if changed && let Err(error) = store_changes(&mut store, mem::take(&mut output.changes)).await {
                return error;
            }
            self.carry_out(output, &store, trouble);
            if changed && trouble.is_some() {
                // There is room again.
                self.resume(&mut machine, &mut trouble);
                continue;
            }
            if let Err(error) = self.take_events(&mut machine, &store, &mut trouble).await {
                return error;
            }
        }
    }

    /// Hands everything that has happened to the machine, once there is something.
    async fn take_events(
        &mut self,
        machine: &mut Machine,
        store: &Store,
        trouble: &mut Option<StoreError>,
    ) -> Result<(), StoreError> {
        self.fill_queue().await;
        while let Some(event) = self.queue.pop_front() {
            self.happen(event, machine, store, trouble).await?;
        }
        Ok(())
    }

    async fn happen(
        &mut self,
        event: Event,
        machine: &mut Machine,
        store: &Store,
        trouble: &mut Option<StoreError>,
    ) -> Result<(), StoreError> {
        match event {
            Event::Command { asker, command } => {
                // A tab says a command again when it is not sure that the leader heard it.
                if self.askers.values().any(|known| *known == asker) {
                    return Ok(());
                }
                let from = self.next;
                self.next += 1;
                self.askers.insert(from, asker);
                if matches!(command, Command::Wake) {
                    self.resume(machine, trouble);
                }
                if let Some(id) = letter_of(&command) {
                    let row = store.get(&letters::key(&id)).await?;
                    handle(machine, Input::Letter { id, row });
                }
                handle(machine, Input::Command { from, command });
            }
            Event::Hello => {
                let state = machine.state(clock::now());
                self.tell(state, *trouble);
            }
            Event::Outside { life, input } if life == self.life => handle(machine, input),
            Event::Socket { number, input } if self.is_current(number) => handle(machine, input),
            // It may come before its time: the wait was long, or the clock was set. The machine sees.
            Event::Timer { life } if life == self.life => handle(machine, Input::Timer),
            Event::Failed { life, error } if life == self.life => return Err(error),
            Event::Retry => self.resume(machine, trouble),
            Event::Outside { .. } | Event::Socket { .. } | Event::Timer { .. } | Event::Failed { .. } => {}
        }
        Ok(())
    }

    /// Does what waited for the changes to be stored. What goes out goes first: somebody waits for it. States
    /// and messages go before answers, so that a page that hears one already knows what it is about.
    fn carry_out(&mut self, output: Output, store: &Rc<Store>, trouble: Option<StoreError>) {
        for effect in output.effects {
            self.effect(effect, store);
        }
        let newest = output
            .updates
            .iter()
            .rposition(|update| matches!(update, FromWorker::State(_)));
        for (place, update) in output.updates.into_iter().enumerate() {
            if !matches!(update, FromWorker::State(_)) || Some(place) == newest {
                self.tell(update, trouble);
            }
        }
        for (from, outcome) in output.answers {
            if let Some(asker) = self.askers.remove(&from) {
                self.tab.answer(asker, outcome);
            }
        }
    }

    fn effect(&mut self, effect: Effect, store: &Rc<Store>) {
        let (life, events) = (self.life, self.events.clone());
        match effect {
            Effect::OpenSocket => self.open_socket(),
            Effect::CloseSocket => self.socket = None,
            Effect::SendFrame(frame) => {
                if let Some((_, socket)) = &self.socket {
                    socket.send(&frame);
                }
            }
            Effect::Http { id, request } => spawn_local(async move {
                let result = http::request(request).await;
                let input = Input::Http { id, result };
                say(&events, Event::Outside { life, input });
            }),
            Effect::ReadMessages {
                id,
                prefix,
                before,
                limit,
            } => {
                let store = Rc::clone(store);
                spawn_local(async move {
                    let event = match store.newest(&prefix, before.as_deref(), limit).await {
                        Ok((rows, more)) => Event::Outside {
                            life,
                            input: Input::Rows { id, rows, more },
                        },
                        Err(error) => Event::Failed { life, error },
                    };
                    say(&events, event);
                });
            }
            Effect::SetTimer(due) => self.set_timer(due),
        }
    }

    fn open_socket(&mut self) {
        self.sockets += 1;
        let (number, events) = (self.sockets, self.events.clone());
        let opened = Socket::open(&self.tab.origin(), move |event| {
            let input = match event {
                SocketEvent::Opened => Input::SocketOpened,
                SocketEvent::Frame(frame) => Input::SocketFrame(frame),
                SocketEvent::Closed => Input::SocketClosed,
            };
            say(&events, Event::Socket { number, input });
        });
        self.socket = match opened {
            Ok(socket) => Some((number, socket)),
            Err(_) => {
                let closed = Event::Outside {
                    life: self.life,
                    input: Input::SocketClosed,
                };
                say(&self.events, closed);
                None
            }
        };
    }

    fn is_current(&self, number: u32) -> bool {
        self.socket
            .as_ref()
            .is_some_and(|(current, _)| *current == number)
    }

    fn set_timer(&mut self, due: Timestamp) {
        let wait = due.since(clock::now()).min(TIMER_MAX_MS) as u32;
        let (life, events) = (self.life, self.events.clone());
        self.timer = Some(Timeout::new(wait, move || say(&events, Event::Timer { life })));
    }

    /// Ends the trouble, if there was some: the machine connects.
    fn resume(&self, machine: &mut Machine, trouble: &mut Option<StoreError>) {
        if trouble.take().is_some() {
            handle(machine, Input::Start);
            self.tell(machine.state(clock::now()), None);
        }
    }

    fn retry_later(&mut self) {
        let events = self.events.clone();
        self.retry = Some(Timeout::new(RETRY_MS, move || say(&events, Event::Retry)));
    }

    /// Without a machine: waits until there is a reason to try again. Gives the trouble that is left.
    async fn wait(&mut self, error: StoreError) -> Option<StoreError> {
        // Whoever asked before this failure has the answer: it failed. What cannot be read can still
        // be deleted.
        self.take_in();
        for event in mem::take(&mut self.queue) {
            let Event::Command { asker, command } = event else {
                continue;
            };
            if matches!((error, command), (StoreError::Broken, Command::DeleteSim)) {
                let erased = Store::erase().await;
                self.tab
                    .answer(asker, erased.map(|()| Answer::Done).map_err(failure));
                if erased.is_ok() {
                    return None;
                }
            } else {
                self.tab.answer(asker, Err(failure(error)));
            }
        }
        let nothing = || FromWorker::State(StateView::default());
        self.tell(nothing(), Some(error));
        self.retry_later();
        loop {
            self.fill_queue().await;
            if (self.queue.iter()).any(|event| matches!(event, Event::Command { .. } | Event::Retry)) {
                return Some(error);
            }
            self.queue.clear();
            self.tell(nothing(), Some(error));
        }
    }

    /// Lets go of a machine: what it was asked to do has failed, and nothing reaches it any more.
    fn give_up(&mut self, error: StoreError) {
        self.life += 1;
        self.socket = None;
        self.timer = None;
        self.retry = None;
        for asker in mem::take(&mut self.askers).into_values() {
            self.tab.answer(asker, Err(failure(error)));
        }
    }

    fn tell(&self, mut update: FromWorker, trouble: Option<StoreError>) {
        if let (FromWorker::State(state), Some(error)) = (&mut update, trouble) {
            state.phase = phase(error);
        }
        self.tab.update(update);
    }

    /// Waits for an event, and takes all there are.
    async fn fill_queue(&mut self) {
        if self.queue.is_empty() {
            match self.inbox.next().await {
                Some(event) => self.queue.push_back(event),
                // The leader itself holds a sender.
                None => future::pending().await,
            }
        }
        self.take_in();
    }

    fn take_in(&mut self) {
        while let Ok(event) = self.inbox.try_recv() {
            self.queue.push_back(event);
        }
    }
}

fn handle(machine: &mut Machine, input: Input) {
    machine.handle(input, clock::now(), &mut OsRng);
}

async fn store_changes(store: &mut Rc<Store>, changes: Changes) -> Result<(), StoreError> {
    if changes.clear {
        // With the key that sealed it: what a disk still holds of it nobody can read then.
        Store::erase().await?;
        *store = Rc::new(Store::open().await?);
    }
    let (mut puts, mut deletes) = (Vec::new(), Vec::new());
    for (key, row) in changes.rows {
        match row {
            Some(row) => puts.push((key, row)),
            None => deletes.push(key),
        }
    }
    let batch = Batch {
        delete_prefixes: &changes.delete_prefixes,
        deletes: &deletes,
        puts: &puts,
    };
    store.apply(batch).await
}

/// The receiver lives as long as the worker.
fn say(events: &UnboundedSender<Event>, event: Event) {
    let _ = events.unbounded_send(event);
}

/// The letter whose row the machine has to see first: a page may have written it.
fn letter_of(command: &Command) -> Option<[u8; 16]> {
    match command {
        Command::KeepLetter { id } | Command::DropLetter { id } | Command::Reply { letter: id, .. } => {
            from_base64url(id).ok()?.try_into().ok()
        }
        _ => None,
    }
}

fn failure(error: StoreError) -> Failure {
    let code = match error {
        StoreError::Full => FailureCode::StorageFull,
        StoreError::Broken => FailureCode::StorageDamaged,
        StoreError::Refused | StoreError::Newer | StoreError::Blocked => FailureCode::StorageRefused,
    };
    code.into()
}

fn phase(error: StoreError) -> Phase {
    match error {
        StoreError::Full => Phase::StorageFull,
        StoreError::Newer => Phase::NeedsNewer,
        StoreError::Broken => Phase::StorageDamaged,
        StoreError::Refused | StoreError::Blocked => Phase::StorageRefused,
    }
}
