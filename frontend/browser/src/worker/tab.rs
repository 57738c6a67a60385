//! One tab's worker: between its page, the other workers, and the leader, which it may be itself.

use super::{
    lock,
    wire::{Cast, TabId, Wire, version_heard, version_said},
};
use crate::{
    WORKER_READY, message, random,
    talk::{Asked, Talk},
};
use core::cmp::Ordering;
use rly_protocol::to_base64url;
use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    rc::Rc,
};
use wasm_bindgen::{JsCast, JsValue, closure::Closure};
use web_sys::{BroadcastChannel, DedicatedWorkerGlobalScope, MessageEvent};

/// What is said to the leader.
pub enum Said<T: Talk> {
    /// Somebody wants something.
    Command {
        /// Who.
        asker: Asker,
        /// What.
        command: T::Command,
    },
    /// A tab was opened: it wants to know the state.
    Hello,
}

/// Who wants to know how a command ended.
#[derive(Clone, PartialEq, Eq)]
pub struct Asker {
    /// `None`: this worker's own page.
    tab: Option<TabId>,
    /// The page's number for it.
    n: u32,
}

/// Where the leader takes what is said to it.
type Ear<T> = Box<dyn Fn(Said<T>)>;

/// One tab's worker.
pub struct Tab<T: Talk> {
    id: TabId,
    scope: DedicatedWorkerGlobalScope,
    channel: BroadcastChannel,
    /// Another tab was heard. Before that nobody listens: each says hello when it is opened.
    heard_others: Cell<bool>,
    /// Commands of this page that nobody has answered.
    unanswered: RefCell<BTreeMap<u32, T::Command>>,
    /// Where the leader takes what happens, if it is this worker.
    leader: RefCell<Option<Ear<T>>>,
}

/// Listens to the page and the other workers, and leads when its turn comes. `lead` then starts the
/// leader, and gives what it hears with.
///
/// # Errors
/// What the browser threw.
pub fn start<T: Talk>(lead: impl FnOnce(Rc<Tab<T>>) -> Ear<T> + 'static) -> Result<(), JsValue> {
    let scope: DedicatedWorkerGlobalScope = js_sys::global().unchecked_into();
    let tab = Rc::new(Tab {
        id: to_base64url(&random::bytes::<16>()),
        channel: BroadcastChannel::new(T::CHANNEL)?,
        scope: scope.clone(),
        heard_others: Cell::new(false),
        unanswered: RefCell::default(),
        leader: RefCell::new(None),
    });

    let told = Rc::clone(&tab);
    let on_channel = Closure::<dyn Fn(MessageEvent)>::new(move |event: MessageEvent| {
        told.heard_others.set(true);
        if let Some(word) = event.data().as_string() {
            told.met(&word);
        } else if let Some(Cast { wire }) = message::read(&event.data()) {
            told.heard(wire);
        }
    });
    tab.channel
        .set_onmessage(Some(on_channel.into_js_value().unchecked_ref()));
    let asked = Rc::clone(&tab);
    let on_page = Closure::<dyn Fn(MessageEvent)>::new(move |event: MessageEvent| {
        if let Some(command) = message::read(&event.data()) {
            asked.asked(command);
        }
    });
    scope.set_onmessage(Some(on_page.into_js_value().unchecked_ref()));

    tab.say_version();
    tab.cast(Wire::Hello);
    let leading = Rc::clone(&tab);
    lock::when_leader(&scope, T::LOCK, move || leading.lead(lead))?;
    scope.post_message(&WORKER_READY.into())
}

impl<T: Talk> Tab<T> {
    /// Answers a command, wherever it came from.
    pub fn answer(&self, asker: Asker, outcome: T::Outcome) {
        match asker.tab {
            None => self.answer_page(asker.n, outcome),
            Some(tab) => self.cast(Wire::Answer {
                tab,
                n: asker.n,
                outcome,
            }),
        }
    }

    /// Tells all pages something.
    pub fn update(&self, update: T::News) {
        self.post(&update);
        if self.heard_others.get() {
            self.cast(Wire::Update(update));
        }
    }

    /// Tells this worker's own page alone something.
    pub fn tell_page(&self, update: &T::News) {
        self.post(update);
    }

    /// The server: the place that this script came from.
    pub fn origin(&self) -> String {
        self.scope.location().origin()
    }

    /// Another version of the app runs in another tab. The older one makes room: it could not lead the
    /// newer, nor follow it.
    fn met(&self, word: &str) {
        match version_heard(word, T::VERSION) {
            Some(Ordering::Less) => self.say_version(),
            Some(Ordering::Greater) => {
                self.post(&T::outdated());
                // As if it had crashed: what is stored is the truth, and the lock is free.
                self.scope.close();
            }
            Some(Ordering::Equal) | None => {}
        }
    }

    fn say_version(&self) {
        let _ = self.channel.post_message(&version_said(T::VERSION).into());
    }

    fn lead(self: Rc<Self>, lead: impl FnOnce(Rc<Self>) -> Ear<T>) {
        let ear = lead(Rc::clone(&self));
        for (n, command) in self.unanswered.borrow().iter() {
            ear(ask(None, *n, command.clone()));
        }
        *self.leader.borrow_mut() = Some(ear);
        self.cast(Wire::Leading);
        // The leader before may have stored something and ended before it could tell.
        self.post(&T::catch_up());
    }

    fn asked(&self, Asked { n, command }: Asked<T>) {
        self.unanswered.borrow_mut().insert(n, command.clone());
        if let Some(leader) = &*self.leader.borrow() {
            leader(ask(None, n, command));
        } else {
            self.ask_leader(n, command);
        }
    }

    fn heard(&self, message: Wire<T>) {
        match message {
            Wire::Hello => self.to_leader(Said::Hello),
            Wire::Ask { tab, n, command } => self.to_leader(ask(Some(tab), n, command)),
            Wire::Answer { tab, n, outcome } if tab == self.id => self.answer_page(n, outcome),
            Wire::Answer { .. } => {}
            Wire::Update(update) => self.post(&update),
            Wire::Leading => {
                for (n, command) in self.unanswered.borrow().iter() {
                    self.ask_leader(*n, command.clone());
                }
                self.post(&T::catch_up());
            }
        }
    }

    fn to_leader(&self, said: Said<T>) {
        if let Some(leader) = &*self.leader.borrow() {
            leader(said);
        }
    }

    fn ask_leader(&self, n: u32, command: T::Command) {
        self.cast(Wire::Ask {
            tab: self.id.clone(),
            n,
            command,
        });
    }

    /// A command that was said to two leaders may be answered twice; the page hears it once.
    fn answer_page(&self, n: u32, outcome: T::Outcome) {
        if self.unanswered.borrow_mut().remove(&n).is_some() {
            self.post(&T::answer(n, outcome));
        }
    }

    // Bytes can be posted to whoever is still there.
    fn post(&self, update: &T::News) {
        let _ = self.scope.post_message(&message::written(update));
    }

    fn cast(&self, wire: Wire<T>) {
        let _ = self.channel.post_message(&message::written(&Cast { wire }));
    }
}

fn ask<T: Talk>(tab: Option<TabId>, n: u32, command: T::Command) -> Said<T> {
    Said::Command {
        asker: Asker { tab, n },
        command,
    }
}
