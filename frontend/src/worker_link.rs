//! The link to the worker: starts it when it is first needed, matches answers to commands, and
//! starts a fresh one when it dies. Commands without an answer are then said again, which is
//! harmless: see [`Command`](rly_view::Command).

use futures_channel::oneshot;
use gloo::timers::callback::Timeout;
use rly_browser::{
    WORKER_READY, clock, message,
    talk::{Asked, Talk},
};
use rly_protocol::Timestamp;
use rly_view::{Failure, FailureCode};
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

/// The link to a worker that speaks this language.
pub(crate) struct WorkerLink<T: Talk>(Rc<RefCell<State<T>>>);

struct State<T: Talk> {
    url: String,
    worker: Option<Running>,
    /// A fresh worker is started when this ends.
    restart: Option<Timeout>,
    /// Deaths in a row.
    deaths: u32,
    next: u32,
    waiting: BTreeMap<u32, Waiting<T>>,
    listeners: Vec<Rc<dyn Fn(T::News)>>,
    /// It hears what becomes of the page.
    hears_page: bool,
    /// The page was left, and the browser keeps it for "back".
    aside: bool,
    /// The server has no worker of this version any more.
    outdated: bool,
}

struct Waiting<T: Talk> {
    command: T::Command,
    tries: u32,
    answer: oneshot::Sender<T::Outcome>,
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

impl<A: 'static, T: Talk<Outcome = Result<A, Failure>>> WorkerLink<T> {
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
    pub(crate) fn run(&self, command: T::Command) -> impl Future<Output = T::Outcome> + use<A, T> {
        let answer = say(&self.0, command);
        async move { answer.await.unwrap_or(Err(FailureCode::Internal.into())) }
    }

    /// Tells what the worker says, but for answers.
    pub(crate) fn listen(&self, on: Rc<dyn Fn(T::News)>) {
        self.0.borrow_mut().listeners.push(on);
        start(&self.0);
    }
}

fn say<A: 'static, T: Talk<Outcome = Result<A, Failure>>>(
    link: &Rc<RefCell<State<T>>>,
    command: T::Command,
) -> oneshot::Receiver<T::Outcome> {
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
            post::<T>(&running.worker, n, &waiting.command);
        }
        state.waiting.insert(n, waiting);
    }
    start(link);
    receiver
}

/// Starts a worker if none runs and none is about to.
fn start<A: 'static, T: Talk<Outcome = Result<A, Failure>>>(link: &Rc<RefCell<State<T>>>) {
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

fn spawn<A: 'static, T: Talk<Outcome = Result<A, Failure>>>(
    link: &Rc<RefCell<State<T>>>,
) -> Result<Running, JsValue> {
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

fn heard<A: 'static, T: Talk<Outcome = Result<A, Failure>>>(link: &Rc<RefCell<State<T>>>, said: &JsValue) {
    if said == WORKER_READY {
        return ready(link);
    }
    if said == NOT_LOADED {
        return bury_soon(Rc::downgrade(link));
    }
    if said == OUTDATED {
        return outdated(link);
    }
    let Some(news) = message::read::<T::News>(said) else {
        return;
    };
    match T::answered(news) {
        Ok((n, outcome)) => {
            let waiting = link.borrow_mut().waiting.remove(&n);
            if let Some(waiting) = waiting {
                // Whoever asked may have left the page.
                let _ = waiting.answer.send(outcome);
            }
        }
        Err(news) => tell(link, &news),
    }
}

fn ready<A: 'static, T: Talk<Outcome = Result<A, Failure>>>(link: &Rc<RefCell<State<T>>>) {
    {
        let state = &mut *link.borrow_mut();
        let Some(running) = &mut state.worker else { return };
        running.ready = true;
        for (n, waiting) in &mut state.waiting {
            waiting.tries += 1;
            post::<T>(&running.worker, *n, &waiting.command);
        }
    }
    // What was said while there was no worker, nobody heard.
    tell(link, &T::catch_up());
}

/// No worker of this version can be started any more. Only a reload helps, which the page then says.
fn outdated<A: 'static, T: Talk<Outcome = Result<A, Failure>>>(link: &Rc<RefCell<State<T>>>) {
    let waiting = {
        let state = &mut *link.borrow_mut();
        state.outdated = true;
        core::mem::take(&mut state.waiting)
    };
    for (_, waiting) in waiting {
        let _ = waiting.answer.send(Err(FailureCode::Refused.into()));
    }
    tell(link, &T::outdated());
}

fn tell<A: 'static, T: Talk<Outcome = Result<A, Failure>>>(link: &Rc<RefCell<State<T>>>, message: &T::News) {
    let listeners = link.borrow().listeners.clone();
    for on in listeners {
        on(message.clone());
    }
}

/// Not now: what hears of a worker's death goes with the worker.
fn bury_soon<A: 'static, T: Talk<Outcome = Result<A, Failure>>>(link: Weak<RefCell<State<T>>>) {
    wasm_bindgen_futures::spawn_local(async move {
        if let Some(link) = link.upgrade() {
            died(&link);
        }
    });
}

/// The worker failed to load, or panicked: its memory is lost, what it stored is not.
fn died<A: 'static, T: Talk<Outcome = Result<A, Failure>>>(link: &Rc<RefCell<State<T>>>) {
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
fn hear_page<A: 'static, T: Talk<Outcome = Result<A, Failure>>>(link: &Rc<RefCell<State<T>>>) {
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
            drop(say(link, T::wake()));
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
fn put_aside<A: 'static, T: Talk<Outcome = Result<A, Failure>>>(link: &Rc<RefCell<State<T>>>, event: &Event) {
    let kept = event.dyn_ref().is_some_and(PageTransitionEvent::persisted);
    if kept {
        let state = &mut *link.borrow_mut();
        state.aside = true;
        state.worker = None;
        state.restart = None;
    }
}

/// The page is shown again.
fn take_up<A: 'static, T: Talk<Outcome = Result<A, Failure>>>(link: &Rc<RefCell<State<T>>>) {
    if core::mem::take(&mut link.borrow_mut().aside) {
        start(link);
    }
}

/// What somebody wrote and the worker has not stored would be lost with the page, so the browser asks.
/// The worker mostly needs less time than the question.
fn ask_to_stay<A: 'static, T: Talk<Outcome = Result<A, Failure>>>(state: &State<T>, event: &Event) {
    if state
        .waiting
        .values()
        .any(|waiting| T::holds_words(&waiting.command))
    {
        event.prevent_default();
    }
}

fn on_link<A: 'static, T: Talk<Outcome = Result<A, Failure>>>(
    link: &Rc<RefCell<State<T>>>,
    then: impl Fn(&Rc<RefCell<State<T>>>, &Event) + 'static,
) -> JsValue {
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

fn post<T: Talk>(worker: &Worker, n: u32, command: &T::Command) {
    let command = Asked::<T> {
        n,
        command: command.clone(),
    };
    // Bytes can always be posted.
    let _ = worker.post_message(&message::written(&command));
}
