//! One tab's worker: between its page, the other workers, and the leader, which it may be itself.

use crate::{
    leader::{self, Asker, Event},
    lock,
    wire::{CHANNEL, Cast, TabId, Wire, version_heard, version_said},
};
use core::cmp::Ordering;
use futures_channel::mpsc::{UnboundedSender, unbounded};
use rly_browser::{WORKER_READY, message, random};
use rly_protocol::to_base64url;
use rly_view::{Command, FromWorker, Outcome, Phase, StateView, ToWorker};
use std::{cell::RefCell, collections::BTreeMap, rc::Rc};
use wasm_bindgen::{JsCast, JsValue, closure::Closure};
use web_sys::{BroadcastChannel, DedicatedWorkerGlobalScope, MessageEvent};

/// One tab's worker.
pub(crate) struct Tab {
    id: TabId,
    scope: DedicatedWorkerGlobalScope,
    channel: BroadcastChannel,
    /// Commands of this page that nobody has answered.
    unanswered: RefCell<BTreeMap<u32, Command>>,
    /// Where the leader takes what happens, if it is this worker.
    leader: RefCell<Option<UnboundedSender<Event>>>,
}

/// Listens to the page and the other workers, and leads when its turn comes.
pub(crate) fn start() -> Result<(), JsValue> {
    let scope: DedicatedWorkerGlobalScope = js_sys::global().unchecked_into();
    let tab = Rc::new(Tab {
        id: to_base64url(&random::bytes::<16>()),
        channel: BroadcastChannel::new(CHANNEL)?,
        scope: scope.clone(),
        unanswered: RefCell::default(),
        leader: RefCell::default(),
    });

    let told = Rc::clone(&tab);
    let on_channel = Closure::<dyn Fn(MessageEvent)>::new(move |event: MessageEvent| {
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
    lock::when_leader(&scope, move || leading.lead())?;
    scope.post_message(&WORKER_READY.into())
}

impl Tab {
    /// Answers a command, wherever it came from.
    pub(crate) fn answer(&self, asker: Asker, outcome: Outcome) {
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
    pub(crate) fn update(&self, update: FromWorker) {
        self.post(&update);
        self.cast(Wire::Update(update));
    }

    /// The server: the place that this script came from.
    pub(crate) fn origin(&self) -> String {
        self.scope.location().origin()
    }

    /// Another version of the app runs in another tab. The older one makes room: it could not lead the
    /// newer, nor follow it.
    fn met(&self, word: &str) {
        match version_heard(word) {
            Some(Ordering::Less) => self.say_version(),
            Some(Ordering::Greater) => {
                self.post(&FromWorker::State(StateView {
                    phase: Phase::NeedsNewer,
                    ..StateView::default()
                }));
                // As if it had crashed: what is stored is the truth, and the lock is free.
                self.scope.close();
            }
            Some(Ordering::Equal) | None => {}
        }
    }

    fn say_version(&self) {
        let _ = self.channel.post_message(&version_said().into());
    }

    fn lead(self: Rc<Self>) {
        let (events, inbox) = unbounded();
        for (n, command) in self.unanswered.borrow().iter() {
            let event = ask(None, *n, command.clone());
            // The receiver is in scope, and in the leader for good.
            let _ = events.unbounded_send(event);
        }
        *self.leader.borrow_mut() = Some(events.clone());
        self.cast(Wire::Leading);
        // The leader before may have stored something and ended before it could tell.
        self.post(&FromWorker::CatchUp);
        wasm_bindgen_futures::spawn_local(leader::lead(self, events, inbox));
    }

    fn asked(&self, ToWorker { n, command }: ToWorker) {
        self.unanswered.borrow_mut().insert(n, command.clone());
        if let Some(leader) = &*self.leader.borrow() {
            let _ = leader.unbounded_send(ask(None, n, command));
        } else {
            self.ask_leader(n, command);
        }
    }

    fn heard(&self, message: Wire) {
        match message {
            Wire::Hello => self.to_leader(Event::Hello),
            Wire::Ask { tab, n, command } => self.to_leader(ask(Some(tab), n, command)),
            Wire::Answer { tab, n, outcome } if tab == self.id => self.answer_page(n, outcome),
            Wire::Answer { .. } => {}
            Wire::Update(update) => self.post(&update),
            Wire::Leading => {
                for (n, command) in self.unanswered.borrow().iter() {
                    self.ask_leader(*n, command.clone());
                }
                self.post(&FromWorker::CatchUp);
            }
        }
    }

    fn to_leader(&self, event: Event) {
        if let Some(leader) = &*self.leader.borrow() {
            let _ = leader.unbounded_send(event);
        }
    }

    fn ask_leader(&self, n: u32, command: Command) {
        self.cast(Wire::Ask {
            tab: self.id.clone(),
            n,
            command,
        });
    }

    /// A command that was said to two leaders may be answered twice; the page hears it once.
    fn answer_page(&self, n: u32, outcome: Outcome) {
        if self.unanswered.borrow_mut().remove(&n).is_some() {
            self.post(&FromWorker::Answer { n, outcome });
        }
    }

    // Bytes can be posted to whoever is still there.
    fn post(&self, update: &FromWorker) {
        let _ = self.scope.post_message(&message::written(update));
    }

    fn cast(&self, wire: Wire) {
        let _ = self.channel.post_message(&message::written(&Cast { wire }));
    }
}

fn ask(tab: Option<TabId>, n: u32, command: Command) -> Event {
    Event::Command {
        asker: Asker { tab, n },
        command,
    }
}
