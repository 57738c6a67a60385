//! The browser, as the pages see it.

#[cfg(feature = "rooms")]
use crate::rooms::BrowserRooms;
use crate::{checks, opening, saving, worker_link::WorkerLink};
#[cfg(feature = "rooms")]
use rly_app::platform::Rooms;
use rly_app::platform::{Lack, LocalFuture, OpenError, Opened, Platform};
use rly_browser::{clock, random, talk::MessengerTalk};
use rly_protocol::{Timestamp, to_base64url};
use rly_view::{Answer, Command, Failure, FromWorker, Link};
use std::rc::Rc;

/// The browser.
pub(crate) struct BrowserPlatform {
    worker: WorkerLink<MessengerTalk>,
    #[cfg(feature = "rooms")]
    rooms: Rc<BrowserRooms>,
}

impl BrowserPlatform {
    pub(crate) fn new(worker_url: String, #[cfg(feature = "rooms")] rooms_url: String) -> Self {
        Self {
            worker: WorkerLink::new(worker_url),
            #[cfg(feature = "rooms")]
            rooms: Rc::new(BrowserRooms::new(rooms_url)),
        }
    }
}

impl Platform for BrowserPlatform {
    fn check(&self) -> LocalFuture<Option<Lack>> {
        Box::pin(checks::lack())
    }

    fn run(&self, command: Command) -> LocalFuture<Result<Answer, Failure>> {
        Box::pin(self.worker.run(command))
    }

    fn listen(&self, on: Rc<dyn Fn(FromWorker)>) {
        self.worker.listen(on);
    }

    #[cfg(feature = "rooms")]
    fn rooms(&self) -> Rc<dyn Rooms> {
        Rc::clone(&self.rooms) as Rc<dyn Rooms>
    }

    fn open(&self, link: Link) -> LocalFuture<Result<Opened, OpenError>> {
        Box::pin(opening::open(link))
    }

    fn reopen(&self, id: String) -> LocalFuture<Result<Opened, OpenError>> {
        Box::pin(opening::reopen(id))
    }

    fn persist(&self) -> LocalFuture<Option<bool>> {
        Box::pin(saving::persist())
    }

    fn download(&self, name: &str, text: &str) {
        saving::download(name, text);
    }

    fn copy(&self, text: &str) -> LocalFuture<bool> {
        Box::pin(saving::copy(text.to_owned()))
    }

    fn random_id(&self) -> String {
        to_base64url(&random::bytes::<16>())
    }

    fn now(&self) -> Timestamp {
        clock::now()
    }
}
