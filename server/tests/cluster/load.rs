//! People who write and read through whichever node answers, and a checker that knows every message.
//!
//! Each conversation has one writer with one envelope under way, as the protocol has it: it sends the
//! next number only once the one before is confirmed. So a reader must see 1, 2, 3, … without a gap,
//! whatever happened in between; what comes again has an id that it knows.

use crate::{
    common::{
        Key,
        process::{Server, Socket},
    },
    hosts::{Hosts, Way},
    talk::Talk,
};
use bytes::Bytes;
use rly_protocol::{
    EnvelopeId, ErrorCode,
    api::Registered,
    frame::{ClientFrame, ServerFrame},
};
use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU32, Ordering::SeqCst},
    },
    time::Duration,
};
use tokio::{
    task::JoinHandle,
    time::{sleep, timeout},
};

/// A node that says nothing for so long is left for another one.
const SILENCE: Duration = Duration::from_secs(4);
/// Nothing takes so long unless it never happens.
const NEVER: Duration = Duration::from_secs(120);
/// People in each room.
const PEOPLE: usize = 4;
/// Between what one of them says: they are browsers' machines, which would keep two cores busy.
const PAUSE: Duration = Duration::from_millis(150);

struct Line {
    number: u32,
    origin: String,
    key: Key,
    mailbox: Registered,
    confirmed: AtomicU32,
    shown: AtomicU32,
    /// What came although it was shown before.
    again: AtomicU32,
    /// How often somebody was told to try again.
    refused: AtomicU32,
    /// Where its writer is, and what it was told last.
    told: Mutex<(String, Option<ErrorCode>)>,
}

/// Everybody who writes and reads.
pub struct Load {
    hosts: Hosts,
    talk: Talk,
    lines: Vec<Arc<Line>>,
    stop: Arc<AtomicBool>,
    /// Nobody writes any more, and nothing is under way.
    written: Arc<AtomicBool>,
    writers: Vec<JoinHandle<()>>,
    readers: Vec<JoinHandle<()>>,
}

fn id(line: u32, n: u32) -> EnvelopeId {
    EnvelopeId((u128::from(line) << 32 | u128::from(n)).to_be_bytes())
}

fn body(line: u32, n: u32) -> Bytes {
    let mut body = vec![line as u8; 256];
    body[..4].copy_from_slice(&n.to_be_bytes());
    body.into()
}

/// A connection, and the way it was made.
struct Open {
    socket: Socket,
    way: Way,
}

async fn open(hosts: &Hosts, line: &Line, turn: &mut u32) -> Option<Open> {
    *turn += 1;
    let way = hosts.way((line.number + *turn) as usize)?;
    let reached = Socket::reach(&way.host, &line.origin, None, None);
    let Some((socket, _)) = timeout(SILENCE, reached).await.ok().flatten() else {
        sleep(Duration::from_millis(100)).await;
        return None;
    };
    Some(Open { socket, way })
}

async fn write(hosts: Hosts, line: Arc<Line>, stop: Arc<AtomicBool>) {
    let mut turn = 0;
    'connect: loop {
        let Some(mut open) = open(&hosts, &line, &mut turn).await else {
            if stop.load(SeqCst) && hosts.is_empty() {
                return;
            }
            continue;
        };
        *line.told.lock().unwrap() = (open.way.host.clone(), None);
        loop {
            if stop.load(SeqCst) {
                return;
            }
            if hosts.is_over(&open.way) {
                continue 'connect;
            }
            let n = line.confirmed.load(SeqCst) + 1;
            let frame = ClientFrame::Send {
                req: n,
                address: line.mailbox.address,
                id: id(line.number, n),
                body: body(line.number, n),
            };
            if open.socket.try_send(frame).await.is_err() {
                continue 'connect;
            }
            match timeout(3 * SILENCE, open.socket.next()).await {
                Ok(Some(ServerFrame::Done { req })) => {
                    assert_eq!(req, n);
                    line.confirmed.store(n, SeqCst);
                    line.told.lock().unwrap().1 = None;
                }
                Ok(Some(ServerFrame::Error {
                    code, retry_after, ..
                })) => {
                    let code = ErrorCode::from_number(code).unwrap();
                    let later = [ErrorCode::Unavailable, ErrorCode::Stopping, ErrorCode::QueueFull];
                    assert!(later.contains(&code), "{code:?}");
                    assert!(retry_after > 0, "{code:?} without a time to wait");
                    line.refused.fetch_add(1, SeqCst);
                    line.told.lock().unwrap().1 = Some(code);
                    sleep(Duration::from_millis(100)).await;
                }
                Ok(Some(ServerFrame::Goodbye { .. }) | None) | Err(_) => continue 'connect,
                Ok(Some(other)) => panic!("not confirmed but {other:?}"),
            }
        }
    }
}

/// Reads until everything that was confirmed is shown and nobody writes any more.
async fn read(hosts: Hosts, line: Arc<Line>, written: Arc<AtomicBool>) {
    // Not on the node that the writer is on, where there are two.
    let mut turn = 1;
    'connect: loop {
        let Some(mut open) = open(&hosts, &line, &mut turn).await else {
            continue;
        };
        if open
            .socket
            .ask_to_read(1, &line.key, &line.mailbox)
            .await
            .is_none()
        {
            continue;
        }
        let (mut last_seq, mut last_here) = (0, 0);
        loop {
            let all = line.shown.load(SeqCst) >= line.confirmed.load(SeqCst);
            if all && written.load(SeqCst) {
                return;
            }
            if hosts.is_over(&open.way) {
                continue 'connect;
            }
            let frame = match timeout(SILENCE, open.socket.next()).await {
                Ok(Some(frame)) => frame,
                Ok(None) => continue 'connect,
                Err(_) => {
                    // Perhaps there is nothing; perhaps nobody is there.
                    let ping = open.socket.try_send(ClientFrame::Ping { nonce: 1 }).await;
                    match timeout(SILENCE, open.socket.next()).await {
                        Ok(Some(frame)) if ping.is_ok() => frame,
                        _ => continue 'connect,
                    }
                }
            };
            match frame {
                ServerFrame::Subscribed { .. } | ServerFrame::Pong { .. } => {}
                ServerFrame::Deliver {
                    queue,
                    seq,
                    id: envelope,
                    body: bytes,
                    ..
                } => {
                    assert_eq!(queue, line.mailbox.queue);
                    assert!(seq > last_seq, "{seq} after {last_seq}");
                    last_seq = seq;
                    let n = u128::from_be_bytes(envelope.0) as u32;
                    assert_eq!(envelope, id(line.number, n));
                    assert_eq!(bytes, body(line.number, n));
                    assert!(n > last_here, "{n} after {last_here} on one connection");
                    last_here = n;
                    let shown = line.shown.load(SeqCst);
                    if n <= shown {
                        line.again.fetch_add(1, SeqCst);
                    } else {
                        assert_eq!(n, shown + 1, "line {}: a gap", line.number);
                        line.shown.store(n, SeqCst);
                    }
                    if open
                        .socket
                        .try_send(ClientFrame::Ack { queue, seq })
                        .await
                        .is_err()
                    {
                        continue 'connect;
                    }
                }
                ServerFrame::Error { code, .. } => {
                    let code = ErrorCode::from_number(code).unwrap();
                    assert!(
                        matches!(code, ErrorCode::Unavailable | ErrorCode::Stopping),
                        "{code:?}"
                    );
                    sleep(Duration::from_millis(100)).await;
                    continue 'connect;
                }
                ServerFrame::Goodbye { .. } => continue 'connect,
                // The connection before this one, which died with its node, is of no interest.
                ServerFrame::Replaced { .. } => continue 'connect,
                other => panic!("not delivered but {other:?}"),
            }
        }
    }
}

impl Load {
    pub async fn start(server: &Server, lines: u32, rooms: usize) -> Self {
        let hosts = Hosts::default();
        let mut load = Self {
            talk: Talk::start(server, hosts.clone(), rooms, PEOPLE, PAUSE).await,
            hosts,
            lines: Vec::new(),
            stop: Arc::default(),
            written: Arc::default(),
            writers: Vec::new(),
            readers: Vec::new(),
        };
        for number in 0..lines {
            let key = Key::generate();
            let mailbox = server.register(&key).await;
            load.lines.push(Arc::new(Line {
                number,
                origin: server.origin.clone(),
                key,
                mailbox,
                confirmed: AtomicU32::new(0),
                shown: AtomicU32::new(0),
                again: AtomicU32::new(0),
                refused: AtomicU32::new(0),
                told: Mutex::default(),
            }));
        }
        load
    }

    /// The nodes from now on.
    pub fn nodes<'a>(&self, nodes: impl IntoIterator<Item = &'a Server>) {
        self.hosts.are(nodes.into_iter().map(Server::host));
    }

    /// Everybody connects anew, to all the nodes that are there.
    pub fn spread(&self) {
        self.hosts.spread();
    }

    /// A node that is not ready: the load balancer ends connections to it and makes no new ones.
    pub fn shun(&self, node: &Server) {
        self.hosts.shun(node.host());
    }

    pub fn run(&mut self) {
        for line in &self.lines {
            let (stop, written) = (self.stop.clone(), self.written.clone());
            let writing = write(self.hosts.clone(), line.clone(), stop);
            self.writers.push(tokio::spawn(writing));
            let reading = read(self.hosts.clone(), line.clone(), written);
            self.readers.push(tokio::spawn(reading));
        }
        self.talk.run();
    }

    /// Waits until every line has shown so many more than it had confirmed now.
    pub async fn progress(&self, more: u32, what: &str) {
        let goals: Vec<u32> = (self.lines.iter())
            .map(|line| line.confirmed.load(SeqCst) + more)
            .collect();
        let said = self.talk.goals(more / 5);
        let reached = async {
            loop {
                self.alive();
                let done = |(line, goal): (&Arc<Line>, &u32)| line.shown.load(SeqCst) >= *goal;
                if self.lines.iter().zip(&goals).all(done) && self.talk.is_reached(&said) {
                    return;
                }
                sleep(Duration::from_millis(50)).await;
            }
        };
        if timeout(NEVER, reached).await.is_err() {
            let late = |(line, goal): &(&Arc<Line>, &u32)| line.shown.load(SeqCst) < **goal;
            let state = |(line, goal): (&Arc<Line>, &u32)| {
                let (confirmed, shown) = (line.confirmed.load(SeqCst), line.shown.load(SeqCst));
                let (at, told) = line.told.lock().unwrap().clone();
                // The same for the same partition, whose number is this one's rest.
                let place = line.mailbox.queue.0[7];
                format!(
                    "\n  line {} at {place}: {shown} of {goal} shown, {confirmed} confirmed; \
                     its writer is at {at} and was told {told:?}",
                    line.number
                )
            };
            let lines = self.lines.iter().zip(&goals).filter(late).map(state);
            let lines = lines.collect::<String>();
            let (rooms, states) = (self.talk.seen_by_all(), self.talk.states());
            panic!("{what}: no progress: rooms {rooms:?} of {said:?}{states}{lines}");
        }
    }

    /// A checker that has found something ends.
    fn alive(&self) {
        let mut tasks = self.writers.iter().chain(&self.readers);
        let ended = tasks.any(JoinHandle::is_finished);
        assert!(
            !ended && self.talk.is_alive(),
            "the checker has found something: see above"
        );
    }

    /// Stops writing, and waits until everything that was confirmed is shown.
    pub async fn finish(mut self) {
        self.stop.store(true, SeqCst);
        for writer in std::mem::take(&mut self.writers) {
            timeout(NEVER, writer).await.expect("no answer").unwrap();
        }
        self.written.store(true, SeqCst);
        for reader in std::mem::take(&mut self.readers) {
            let read = timeout(NEVER, reader).await;
            read.expect("something confirmed is missing").unwrap();
        }
        for line in &self.lines {
            let (confirmed, shown) = (line.confirmed.load(SeqCst), line.shown.load(SeqCst));
            assert!(shown >= confirmed, "line {}: {shown} of {confirmed}", line.number);
        }
        let sum = |of: fn(&Line) -> &AtomicU32| -> u32 {
            self.lines.iter().map(|line| of(line).load(SeqCst)).sum()
        };
        eprintln!(
            "confirmed {}, shown {}, came again {}, refused for now {}, said in rooms {}",
            sum(|line| &line.confirmed),
            sum(|line| &line.shown),
            sum(|line| &line.again),
            sum(|line| &line.refused),
            self.talk.finish().await
        );
    }
}
