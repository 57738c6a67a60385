//! The port to rooms. Like their pages it comes in a file of its own, which a letter does not need.

use rly_app::platform::Rooms;
use std::{cell::RefCell, future::Future, rc::Rc};

/// Makes the port when it is first asked for.
pub(crate) struct Port {
    url: String,
    made: Rc<RefCell<Option<Rc<dyn Rooms>>>>,
}

impl Port {
    pub(crate) fn new(url: String) -> Self {
        let made = Rc::default();
        Self { url, made }
    }

    /// The port; nothing if its file did not come.
    pub(crate) fn get(&self) -> impl Future<Output = Option<Rc<dyn Rooms>>> + use<> {
        let (url, made) = (self.url.clone(), Rc::clone(&self.made));
        async move {
            let known = made.borrow().clone();
            if known.is_some() {
                return known;
            }
            let port = split::port(url).await.ok()?;
            Some(made.borrow_mut().get_or_insert(port).clone())
        }
    }
}

mod split {
    // What the macro makes of the function is an import and an export: a matter between linkers, with
    // no memory involved.
    #![allow(unsafe_code)]

    use super::{Rc, Rooms};
    use wasm_split_helpers::{SplitLoaderError, wasm_split};

    #[wasm_split(rooms, fallible)]
    pub fn port(url: String) -> Result<Rc<dyn Rooms>, SplitLoaderError> {
        Ok(Rc::new(later::BrowserRooms::new(url)))
    }

    mod later {
        use crate::worker_link::WorkerLink;
        use rly_app::platform::{LocalFuture, Rooms};
        use rly_browser::{graphemes, talk::RoomsTalk};
        use rly_view::{FromRooms, RoomCommand, RoomOutcome};
        use std::{cell::RefCell, rc::Rc};

        type Listener = Rc<dyn Fn(FromRooms)>;

        /// Rooms, by their worker.
        pub struct BrowserRooms {
            worker: WorkerLink<RoomsTalk>,
            listener: Rc<RefCell<Option<Listener>>>,
        }

        impl BrowserRooms {
            pub fn new(url: String) -> Self {
                let worker = WorkerLink::new(url);
                let listener = Rc::default();
                Self { worker, listener }
            }
        }

        impl Rooms for BrowserRooms {
            fn run(&self, command: RoomCommand) -> LocalFuture<RoomOutcome> {
                Box::pin(self.worker.run(command))
            }

            fn listen(&self, on: Listener) {
                let before = self.listener.borrow_mut().replace(on);
                if before.is_none() {
                    let listener = Rc::clone(&self.listener);
                    self.worker.listen(Rc::new(move |news| {
                        let on = listener.borrow().clone();
                        if let Some(on) = on {
                            on(news);
                        }
                    }));
                }
            }

            fn count(&self, text: &str) -> usize {
                graphemes::count(text)
            }
        }
    }
}
