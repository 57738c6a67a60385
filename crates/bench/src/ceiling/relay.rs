//! The relay without a store: one map from users to sockets.

use super::{ACK, BARRIER, EVERYBODY, HEAD, SEND, head, store};
use crate::Failure;
use axum::{
    Router,
    body::Bytes,
    extract::{
        Path, State,
        ws::{Message, WebSocket, WebSocketUpgrade},
    },
    routing::get,
    serve::ListenerExt,
};
use futures_util::{
    SinkExt, StreamExt,
    stream::{SplitSink, SplitStream},
};
use std::{
    collections::HashMap,
    io::Write,
    path::Path as File,
    sync::{Arc, RwLock, mpsc},
};
use tokio::{
    net::TcpListener,
    sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
};

/// Frames for one socket.
pub(super) type Outbox = UnboundedSender<Bytes>;

/// As small as the product's: axum's default of 128 KiB is taken by each connection.
const READ_BUFFER: usize = 8 << 10;
/// Frames written before a flush.
const BATCH: usize = 64;

/// What the relay knows.
#[derive(Default)]
pub(super) struct Hub {
    sockets: RwLock<HashMap<u32, Outbox>>,
    waiting: RwLock<HashMap<u32, Vec<Bytes>>>,
    store: Option<mpsc::Sender<store::Job>>,
}

pub(super) fn frame(op: u8, number: u32, body: &[u8]) -> Bytes {
    let mut frame = Vec::with_capacity(HEAD + body.len());
    frame.push(op);
    frame.extend_from_slice(&number.to_be_bytes());
    frame.extend_from_slice(body);
    frame.into()
}

impl Hub {
    pub(super) fn enter(&self, user: u32, outbox: Outbox) {
        if let Ok(mut sockets) = self.sockets.write() {
            sockets.insert(user, outbox);
        }
    }

    fn leave(&self, user: u32, outbox: &Outbox) {
        if let Ok(mut sockets) = self.sockets.write()
            && sockets.get(&user).is_some_and(|other| other.same_channel(outbox))
        {
            sockets.remove(&user);
        }
    }

    /// Gives a user each of these frames, if the user is there.
    pub(super) fn give(&self, frames: impl Iterator<Item = (u32, Bytes)>) {
        let Ok(sockets) = self.sockets.read() else { return };
        // Whoever has just left gets it from the store.
        for (user, frame) in frames {
            if user == EVERYBODY {
                sockets
                    .values()
                    .for_each(|outbox| drop(outbox.send(frame.clone())));
            } else {
                let _ = sockets.get(&user).map(|outbox| outbox.send(frame));
            }
        }
    }

    fn remember_or_give(&self, user: u32, frame: Bytes) {
        if let Ok(sockets) = self.sockets.read()
            && let Some(outbox) = sockets.get(&user)
            && outbox.send(frame.clone()).is_ok()
        {
            return;
        }
        if let Ok(mut waiting) = self.waiting.write() {
            waiting.entry(user).or_default().push(frame);
        }
    }

    fn came(&self, user: u32, outbox: &Outbox) {
        if let Some(store) = &self.store {
            let outbox = outbox.clone();
            let _ = store.send(store::Job::Enter { user, outbox });
            return;
        }
        self.enter(user, outbox.clone());
        let waiting = self.waiting.write().map(|mut waiting| waiting.remove(&user));
        for frame in waiting.ok().flatten().unwrap_or_default() {
            let _ = outbox.send(frame);
        }
    }

    fn take(&self, message: &Bytes, outbox: &Outbox) {
        let Some((op, number)) = head(message) else { return };
        match (op, &self.store) {
            (SEND, Some(store)) => {
                let body = message.slice(HEAD..);
                let _ = store.send(store::Job::Put { to: number, body });
            }
            (SEND, None) if number == EVERYBODY => {
                let frame = frame(SEND, 0, &message[HEAD..]);
                self.give(std::iter::once((number, frame)));
            }
            (SEND, None) => self.remember_or_give(number, frame(SEND, 0, &message[HEAD..])),
            (ACK, Some(store)) => drop(store.send(store::Job::Remove { id: number })),
            (BARRIER, Some(store)) => drop(store.send(store::Job::Barrier(outbox.clone()))),
            (BARRIER, None) => drop(outbox.send(frame(BARRIER, 0, &[]))),
            _ => {}
        }
    }
}

/// Writes what is there, then flushes once.
async fn write(mut sink: SplitSink<WebSocket, Message>, mut inbox: UnboundedReceiver<Bytes>) {
    while let Some(first) = inbox.recv().await {
        let mut next = Some(first);
        let mut room = BATCH;
        while let Some(frame) = next {
            if sink.feed(Message::Binary(frame)).await.is_err() {
                return;
            }
            room -= 1;
            next = if room > 0 { inbox.try_recv().ok() } else { None };
        }
        if sink.flush().await.is_err() {
            return;
        }
    }
}

async fn read(mut stream: SplitStream<WebSocket>, outbox: &Outbox, hub: &Hub) {
    while let Some(Ok(message)) = stream.next().await {
        if let Message::Binary(frame) = message {
            hub.take(&frame, outbox);
        }
    }
}

async fn session(socket: WebSocket, user: u32, hub: Arc<Hub>) {
    let (sink, stream) = socket.split();
    let (outbox, inbox) = unbounded_channel();
    let writer = tokio::spawn(write(sink, inbox));
    hub.came(user, &outbox);
    read(stream, &outbox, &hub).await;
    hub.leave(user, &outbox);
    writer.abort();
}

/// Serves until it is killed. With a file: each message is committed to it before it is given to
/// anybody, and deleted from it when it is acknowledged.
pub(crate) async fn serve(file: Option<&File>) -> Result<(), Failure> {
    let (jobs, inbox) = mpsc::channel();
    let hub = Arc::new(Hub {
        store: file.is_some().then_some(jobs),
        ..Hub::default()
    });
    if let Some(file) = file {
        let mut database = store::open(file)?;
        let hub = hub.clone();
        std::thread::spawn(move || {
            if let Err(error) = store::run(&mut database, &inbox, &hub) {
                eprintln!("the ceiling's store failed: {error}");
                std::process::exit(1);
            }
        });
    }
    let upgrade = |upgrade: WebSocketUpgrade, Path(user): Path<u32>, State(hub): State<Arc<Hub>>| async move {
        upgrade
            .read_buffer_size(READ_BUFFER)
            .on_upgrade(move |socket| session(socket, user, hub))
    };
    let router = Router::new().route("/ws/{user}", get(upgrade)).with_state(hub);
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    writeln!(std::io::stdout(), "ready: http://{}", listener.local_addr()?)?;
    let listener = listener.tap_io(|stream| {
        // Without it everything still works, later.
        let _ = stream.set_nodelay(true);
    });
    Ok(axum::serve(listener, router).await?)
}
