//! Rooms, by their worker.

use crate::worker_link::WorkerLink;
use rly_app::platform::{LocalFuture, Rooms};
use rly_browser::{graphemes, talk::RoomsTalk};
use rly_view::{FromRooms, RoomCommand, RoomOutcome};
use std::{cell::RefCell, rc::Rc};

type Listener = Rc<dyn Fn(FromRooms)>;

/// Rooms, as the pages see them.
pub(crate) struct BrowserRooms {
    worker: WorkerLink<RoomsTalk>,
    listener: Rc<RefCell<Option<Listener>>>,
}

impl BrowserRooms {
    pub(crate) fn new(url: String) -> Self {
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
