//! What pages share: the handle to the browser's port, and the worker's news as signals.

use crate::{
    browser::Setting,
    platform::{Lack, LocalFuture, Platform},
    thread::Thread,
};
use leptos::{prelude::*, task::spawn_local};
use rly_protocol::Timestamp;
use rly_view::{Answer, Command, Failure, FailureCode, FromWorker, Phase, SimView, StateView};
use std::{collections::HashMap, future::Future, rc::Rc};

/// The port, as it is given to the pages. It never leaves the page's thread.
#[derive(Clone, Copy)]
pub struct Port(StoredValue<Rc<dyn Platform>, LocalStorage>);

impl Port {
    /// Keeps the port for the life of the page.
    #[cfg(feature = "hydrate")]
    pub fn new(platform: Rc<dyn Platform>) -> Self {
        Self(StoredValue::new_local(platform))
    }
}

/// The messenger as pages see it. On the server it is empty and stays so: pages render the same for
/// everybody, and fill themselves in effects.
#[derive(Clone, Copy)]
pub struct Messenger {
    port: Option<Port>,
    /// The page reacts to clicks.
    pub hydrated: RwSignal<bool>,
    /// The worker's last word; nothing before its first.
    pub state: RwSignal<Option<StateView>>,
    /// The messages of the conversation that is shown.
    pub thread: Thread,
    /// Texts begun and not sent, by conversation. Only in memory: nothing is kept in the clear.
    pub drafts: StoredValue<HashMap<String, String>>,
    /// How many dialogs are open; all that lies below the highest is hidden and takes no focus.
    pub dialogs: RwSignal<u32>,
    listens: StoredValue<bool>,
}

impl Messenger {
    /// Makes the handle and gives it to all below.
    pub fn provide() -> Self {
        let messenger = Self {
            port: use_context(),
            hydrated: RwSignal::new(false),
            state: RwSignal::new(None),
            thread: Thread::new(),
            drafts: StoredValue::new(HashMap::new()),
            dialogs: RwSignal::new(0),
            listens: StoredValue::new(false),
        };
        provide_context(messenger);
        messenger
    }

    /// The port. Only effects and handlers ask for it, so on the server nobody does.
    pub fn platform(self) -> Option<Rc<dyn Platform>> {
        self.port.and_then(|Port(port)| port.try_get_value())
    }

    /// Runs a command in the worker.
    pub async fn run(self, command: Command) -> Result<Answer, Failure> {
        match self.platform() {
            Some(platform) => platform.run(command).await,
            None => Err(FailureCode::Internal.into()),
        }
    }

    /// Runs a command whose answer changes nothing here: the next state tells.
    pub fn send(self, command: Command) {
        spawn_local(async move {
            let _ = self.run(command).await;
        });
    }

    /// Asks the port something; nothing comes back where there is none.
    pub async fn ask<T>(self, question: impl FnOnce(Rc<dyn Platform>) -> LocalFuture<T>) -> Option<T> {
        let platform = self.platform()?;
        Some(question(platform).await)
    }

    /// Starts the worker (once), and lets its news into the signals.
    pub fn listen(self) {
        let Some(platform) = self.platform() else { return };
        if self.listens.get_value() {
            return;
        }
        self.listens.set_value(true);
        platform.listen(Rc::new(move |news| match news {
            FromWorker::State(state) => {
                // Which first screen to show is remembered, so that it is right before the worker is there.
                if state.phase != Phase::Starting {
                    Setting::HasSim.write(state.sim.as_ref().map(|_| "1"));
                }
                self.state.set(Some(state));
            }
            FromWorker::Messages {
                conversation,
                messages,
            } => self.thread.news(&conversation, messages),
            FromWorker::CatchUp => self.thread.catch_up.update(|times| *times += 1),
            FromWorker::Answer { .. } => {}
        }));
    }

    /// Asks whether the browser can do all that is needed; the messenger is started if so.
    pub fn check_and_listen(self) -> RwSignal<Option<Lack>> {
        let lack = RwSignal::new(None);
        Effect::new(move || {
            spawn_local(async move {
                match self.ask(|platform| platform.check()).await.flatten() {
                    None => self.listen(),
                    Some(found) => {
                        let _ = lack.try_set(Some(found));
                    }
                }
            });
        });
        lack
    }

    /// Where the messenger is; `Starting` until the worker has spoken.
    pub fn phase(self) -> Phase {
        self.state
            .with(|state| state.as_ref().map_or(Phase::Starting, |state| state.phase))
    }

    /// The SIM, if there is one and it is known.
    pub fn sim(self) -> Option<SimView> {
        self.state.with(|state| state.as_ref()?.sim.clone())
    }

    /// The moment, as the port tells it.
    pub fn now(self) -> Timestamp {
        self.platform().map(|platform| platform.now()).unwrap_or_default()
    }

    /// A fresh id; empty where there is no port.
    pub fn random_id(self) -> String {
        self.platform()
            .map(|platform| platform.random_id())
            .unwrap_or_default()
    }
}

/// The messenger of this page.
pub fn messenger() -> Messenger {
    // Without a handle (a component shown alone, in a test) an empty one does.
    use_context().unwrap_or_else(Messenger::provide)
}

/// A command that runs from a button: one at a time, with its error.
#[derive(Clone, Copy)]
pub struct Job {
    messenger: Messenger,
    /// It runs.
    pub busy: RwSignal<bool>,
    /// What to say about its failure.
    pub error: RwSignal<Option<String>>,
}

impl Job {
    /// Nothing runs yet.
    pub fn new() -> Self {
        Self {
            messenger: messenger(),
            busy: RwSignal::new(false),
            error: RwSignal::new(None),
        }
    }

    /// Whether the button must wait.
    pub fn blocked(self) -> bool {
        !self.messenger.hydrated.get() || self.busy.get()
    }

    /// Says what is wrong without running anything.
    pub fn complain(self, words: &str) {
        self.error.set(Some(words.to_owned()));
    }

    /// Runs a future whose failure has words.
    pub fn start(self, work: impl Future<Output = Result<(), String>> + 'static) {
        if self.busy.get_untracked() {
            return;
        }
        self.busy.set(true);
        self.error.set(None);
        spawn_local(async move {
            let outcome = work.await;
            // The page may be gone by now.
            let _ = self.busy.try_set(false);
            if let Err(words) = outcome {
                let _ = self.error.try_set(Some(words));
            }
        });
    }

    /// Runs a command; `then` gets its answer.
    pub fn run(self, command: Command, then: impl FnOnce(Answer) + 'static) {
        let t = crate::text::text();
        let messenger = self.messenger;
        self.start(async move {
            let answer = messenger
                .run(command)
                .await
                .map_err(|failure| (t.failure)(failure.code).to_owned())?;
            then(answer);
            Ok(())
        });
    }
}
