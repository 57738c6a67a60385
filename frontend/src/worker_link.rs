//! The link to the worker: starts it when it is first needed, matches answers to commands, and
//! starts a fresh one when it dies. Commands without an answer are then said again, which is
//! harmless: see [`Command`].

use futures_channel::oneshot;
use gloo::timers::callback::Timeout;
use rly_browser::{WORKER_READY, clock, message};
use rly_protocol::Timestamp;
use rly_view::{Answer, Command, Failure, FailureCode, FromWorker, Outcome, Phase, StateView, ToWorker};
use std::{
    cell::RefCell,
    collections::BTreeMap,
    future::Future,
    rc::{Rc, Weak},
};
use wasm_bindgen::{JsCast, JsValue, closure::Closure};
use web_sys::{
    Event, EventTarget, MessageEvent, PageTransitionEvent, VisibilityState, Worker, WorkerOptions,
    WorkerType, window,
};

/// What boot.js says in the worker's place if that cannot be loaded.
const NOT_LOADED: &str = "not loaded";
/// What it says if the server has these files no more: it has a newer version.
const OUTDATED: &str = "outdated";
/// How many workers may die over one command before it counts as failed.
const TRIES: u32 = 3;
/// A worker that lived so long did not die of what its predecessor died of.
const LONG_LIFE_MS: u64 = 60_000;
/// The wait before a fresh worker is started: doubled with each death, at most this.
const WAIT_MAX_MS: u32 = 30_000;

/// The link to the worker.
pub(crate) struct WorkerLink(Rc<RefCell<State>>);

struct State {
    url: String,
    worker: Option<Running>,
    /// A fresh worker is started when this ends.
    restart: Option<Timeout>,
    /// Deaths in a row.
    deaths: u32,
    next: u32,
    waiting: BTreeMap<u32, Waiting>,
    listeners: Vec<Rc<dyn Fn(FromWorker)>>,
    /// It hears what becomes of the page.
    hears_page: bool,
    /// The page was left, and the browser keeps it for "back".
    aside: bool,
    /// The server has no worker of this version any more.
    outdated: bool,
}

struct Waiting {
    command: Command,
    tries: u32,
    answer: oneshot::Sender<Outcome>,
}

struct Running {
    worker: Worker,
    ready: bool,
    started: Timestamp,
    _on_message: Closure<dyn FnMut(MessageEvent)>,
    _on_error: Closure<dyn FnMut(Event)>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.worker.set_onmessage(None);
        self.worker.set_onerror(None);
        self.worker.set_onmessageerror(None);
        self.worker.terminate();
    }
}

impl WorkerLink {
    pub(crate) fn new(url: String) -> Self {
        Self(Rc::new(RefCell::new(State {
            url,
            worker: None,
            restart: None,
            deaths: 0,
            next: 0,
            waiting: BTreeMap::new(),
            listeners: Vec::new(),
            hears_page: false,
            aside: false,
            outdated: false,
        })))
    }

    /// Runs a command, as soon as there is a worker.
    pub(crate) fn run(&self, command: Command) -> impl Future<Output = Result<Answer, Failure>> + use<> {
        let answer = say(&self.0, command);
        async move { answer.await.unwrap_or(Err(FailureCode::Internal.into())) }
    }

    /// Tells what the worker says, but for answers.
    pub(crate) fn listen(&self, on: Rc<dyn Fn(FromWorker)>) {
        self.0.borrow_mut().listeners.push(on);
        start(&self.0);
    }
}

fn say(link: &Rc<RefCell<State>>, command: Command) -> oneshot::Receiver<Outcome> {
    let (answer, receiver) = oneshot::channel();
    if link.borrow().outdated {
        let _ = answer.send(Err(FailureCode::Refused.into()));
        return receiver;
    }
    {
        let mut state = link.borrow_mut();
        let n = state.next;
        state.next = n.wrapping_add(1);
        let mut waiting = Waiting {
            command,
            tries: 0,
            answer,
        };
        if let Some(running) = state.worker.as_ref().filter(|running| running.ready) {
            waiting.tries += 1;
            post(&running.worker, n, &waiting.command);
        }
        state.waiting.insert(n, waiting);
    }
    start(link);
    receiver
}

/// Starts a worker if none runs and none is about to.
fn start(link: &Rc<RefCell<State>>) {
    let state = link.borrow();
    if state.worker.is_some() || state.restart.is_some() || state.aside {
        return;
    }
    drop(state);
    hear_page(link);
    let started = spawn(link);
    match started {
        Ok(running) => link.borrow_mut().worker = Some(running),
        Err(_) => died(link),
    }
}

fn spawn(link: &Rc<RefCell<State>>) -> Result<Running, JsValue> {
    let options = WorkerOptions::new();
    options.set_type(WorkerType::Module);
    let worker = Worker::new_with_options(&link.borrow().url, &options)?;

    let weak = Rc::downgrade(link);
    let on_message = Closure::<dyn FnMut(MessageEvent)>::new(move |event: MessageEvent| {
        if let Some(link) = weak.upgrade() {
            heard(&link, &event.data());
        }
    });
    let weak = Rc::downgrade(link);
    let on_error = Closure::<dyn FnMut(Event)>::new(move |_: Event| bury_soon(weak.clone()));
    worker.set_onmessage(Some(on_message.as_ref().unchecked_ref()));
    worker.set_onerror(Some(on_error.as_ref().unchecked_ref()));
    worker.set_onmessageerror(Some(on_error.as_ref().unchecked_ref()));
    Ok(Running {
        worker,
        ready: false,
        started: clock::now(),
        _on_message: on_message,
        _on_error: on_error,
    })
}

fn heard(link: &Rc<RefCell<State>>, said: &JsValue) {
    if said == WORKER_READY {
        return ready(link);
    }
    if said == NOT_LOADED {
        return bury_soon(Rc::downgrade(link));
    }
    if said == OUTDATED {
        return outdated(link);
    }
    let Some(message) = message::read(said) else {
        return;
    };
    match message {
        FromWorker::Answer { n, outcome } => {
            let waiting = link.borrow_mut().waiting.remove(&n);
            if let Some(waiting) = waiting {
                // Whoever asked may have left the page.
                let _ = waiting.answer.send(outcome);
            }
        }
        message @ (FromWorker::State(_) | FromWorker::Messages { .. } | FromWorker::CatchUp) => {
            tell(link, &message);
        }
    }
}

fn ready(link: &Rc<RefCell<State>>) {
    {
        let state = &mut *link.borrow_mut();
        let Some(running) = &mut state.worker else { return };
        running.ready = true;
        for (n, waiting) in &mut state.waiting {
            waiting.tries += 1;
            post(&running.worker, *n, &waiting.command);
        }
    }
    // What was said while there was no worker, nobody heard.
    tell(link, &FromWorker::CatchUp);
}

/// No worker of this version can be started any more. Only a reload helps, which the page then says.
fn outdated(link: &Rc<RefCell<State>>) {
    let waiting = {
        let state = &mut *link.borrow_mut();
        state.outdated = true;
        core::mem::take(&mut state.waiting)
    };
    for (_, waiting) in waiting {
        let _ = waiting.answer.send(Err(FailureCode::Refused.into()));
    }
    let state = StateView {
        phase: Phase::NeedsNewer,
        ..StateView::default()
    };
    tell(link, &FromWorker::State(state));
}

fn tell(link: &Rc<RefCell<State>>, message: &FromWorker) {
    let listeners = link.borrow().listeners.clone();
    for on in listeners {
        on(message.clone());
    }
}

/// Not now: what hears of a worker's death goes with the worker.
fn bury_soon(link: Weak<RefCell<State>>) {
    wasm_bindgen_futures::spawn_local(async move {
        if let Some(link) = link.upgrade() {
            died(&link);
        }
    });
}

/// The worker failed to load, or panicked: its memory is lost, what it stored is not.
fn died(link: &Rc<RefCell<State>>) {
    let state = &mut *link.borrow_mut();
    if state.restart.is_some() {
        return;
    }
    let dead = state.worker.take();
    let was_ready = dead.as_ref().is_some_and(|dead| dead.ready);
    if dead.is_some_and(|dead| clock::now().since(dead.started) > LONG_LIFE_MS) {
        state.deaths = 0;
    }
    state.deaths += 1;
    // One that was never ready did not load, most likely because the server is not there.
    let code = if was_ready {
        FailureCode::Internal
    } else {
        FailureCode::Offline
    };
    let deaths = state.deaths;
    let hopeless = state.waiting.extract_if(.., |_, waiting| {
        waiting.tries >= TRIES || (!was_ready && deaths >= TRIES)
    });
    for (_, waiting) in hopeless {
        let _ = waiting.answer.send(Err(code.into()));
    }
    let weak = Rc::downgrade(link);
    let wait = (250 << deaths.min(8)).min(WAIT_MAX_MS);
    state.restart = Some(Timeout::new(wait, move || {
        if let Some(link) = weak.upgrade() {
            // Its own timeout is over; taking it out frees nothing that still runs.
            if let Some(over) = link.borrow_mut().restart.take() {
                over.forget();
            }
            start(&link);
        }
    }));
}

/// What becomes of the page concerns the worker.
fn hear_page(link: &Rc<RefCell<State>>) {
    if core::mem::replace(&mut link.borrow_mut().hears_page, true) {
        return;
    }
    let Some(window) = window() else { return };
    let Some(document) = window.document() else { return };
    let seen = document.clone();
    // Seen again, or the network came or went: the worker sees to the connection.
    let on_change = on_link(link, move |link, _| {
        if seen.visibility_state() == VisibilityState::Visible {
            // Nobody waits for this answer.
            drop(say(link, Command::Wake));
        }
    });
    listen(&window, "online", &on_change);
    listen(&window, "offline", &on_change);
    listen(&document, "visibilitychange", &on_change);
    listen(&window, "pagehide", &on_link(link, put_aside));
    listen(&window, "pageshow", &on_link(link, |link, _| take_up(link)));
    listen(
        &window,
        "beforeunload",
        &on_link(link, |link, event| ask_to_stay(&link.borrow(), event)),
    );
}

/// A page that is left may be kept by the browser, to be shown again on "back". Some (WebKit) then keep
/// its worker too, asleep and with the lock that makes it the leader: no other page could do anything.
/// So it is ended. What it was asked and has not answered is said to the next one.
fn put_aside(link: &Rc<RefCell<State>>, event: &Event) {
    let kept = event.dyn_ref().is_some_and(PageTransitionEvent::persisted);
    if kept {
        let state = &mut *link.borrow_mut();
        state.aside = true;
        state.worker = None;
        state.restart = None;
    }
}

/// The page is shown again.
fn take_up(link: &Rc<RefCell<State>>) {
    if core::mem::take(&mut link.borrow_mut().aside) {
        start(link);
    }
}

/// What somebody wrote and the worker has not stored would be lost with the page, so the browser asks.
/// The worker mostly needs less time than the question.
fn ask_to_stay(state: &State, event: &Event) {
    let holds_words = |waiting: &Waiting| {
        matches!(
            waiting.command,
            Command::Send { .. } | Command::Reply { .. } | Command::CreateInvite { letter: Some(_), .. }
        )
    };
    if state.waiting.values().any(holds_words) {
        event.prevent_default();
    }
}

fn on_link(link: &Rc<RefCell<State>>, then: impl Fn(&Rc<RefCell<State>>, &Event) + 'static) -> JsValue {
    let weak = Rc::downgrade(link);
    Closure::<dyn Fn(Event)>::new(move |event| {
        if let Some(link) = weak.upgrade() {
            then(&link, &event);
        }
    })
    .into_js_value()
}

fn listen(target: &EventTarget, event: &str, on: &JsValue) {
    // It throws for wrong options only, and there are none.
    let _ = target.add_event_listener_with_callback(event, on.unchecked_ref());
}

fn post(worker: &Worker, n: u32, command: &Command) {
    let command = ToWorker {
        n,
        command: command.clone(),
    };
    // Bytes can always be posted.
    let _ = worker.post_message(&message::written(&command));
}
