//! A way to a server that can be shut without closing a connection, as when a cable is pulled: what is
//! sent stays where it is until the door is open again.

use crate::leaderless::{Frames, Produces, without_leader};
use std::{
    net::Ipv4Addr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering::SeqCst},
    },
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
};

/// The simple query with which a transaction of PostgreSQL ends.
const COMMIT: &[u8] = b"Q\0\0\0\x0bCOMMIT\0";

/// Who is behind a door.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Behind {
    Kafka,
    Postgres,
}

/// What passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Passing {
    Everything,
    Nothing,
    /// What is asked, but no answer.
    Questions,
    /// No answer from the first COMMIT of a connection on: it happens, and nobody is told.
    UpToCommits,
    /// Everything, but whoever puts records into a log hears that their partition has no leader.
    Leaderless,
}

/// Connections from `port` to a server.
pub struct Door {
    pub port: u16,
    passing: watch::Sender<Passing>,
    silenced: Arc<AtomicU32>,
}

impl Door {
    /// To the server with this port of this machine.
    pub async fn to(behind: Behind, server: u16) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let passing = watch::Sender::new(Passing::Everything);
        let silenced = Arc::<AtomicU32>::default();
        let (seen, count) = (passing.subscribe(), silenced.clone());
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let way = Way {
                    behind,
                    passing: seen.clone(),
                    silent: Arc::default(),
                    produces: Arc::default(),
                    silenced: count.clone(),
                };
                tokio::spawn(way.open(client, server));
            }
        });
        Self {
            port,
            passing,
            silenced,
        }
    }

    pub fn let_pass(&self, what: Passing) {
        self.passing.send_replace(what);
    }

    /// Connections on which a COMMIT was not answered.
    pub fn silenced(&self) -> u32 {
        self.silenced.load(SeqCst)
    }
}

/// One connection through it.
#[derive(Clone)]
struct Way {
    behind: Behind,
    passing: watch::Receiver<Passing>,
    /// It has heard its last answer.
    silent: Arc<AtomicBool>,
    produces: Arc<Produces>,
    silenced: Arc<AtomicU32>,
}

impl Way {
    async fn open(mut self, client: TcpStream, server: u16) {
        // Who knocks at a shut door waits.
        let open = |passing: &Passing| *passing != Passing::Nothing;
        if self.passing.wait_for(open).await.is_err() {
            return;
        }
        let Ok(server) = TcpStream::connect((Ipv4Addr::LOCALHOST, server)).await else {
            return;
        };
        for stream in [&client, &server] {
            stream.set_nodelay(true).unwrap();
        }
        let (from_client, to_client) = client.into_split();
        let (from_server, to_server) = server.into_split();
        let asking = self.clone().ask(from_client, to_server);
        // Both ends go when one does.
        tokio::select! {
            () = asking => {}
            () = self.answer(from_server, to_client) => {}
        }
    }

    async fn ask(mut self, mut from: OwnedReadHalf, mut to: OwnedWriteHalf) {
        let (mut bytes, mut frames) = (vec![0; 64 << 10], Frames::default());
        while let Ok(n @ 1..) = from.read(&mut bytes).await {
            let bytes = &bytes[..n];
            let open = |passing: &Passing| *passing != Passing::Nothing;
            let Ok(passing) = self.passing.wait_for(open).await.map(|passing| *passing) else {
                return;
            };
            match self.behind {
                Behind::Kafka => {
                    frames.push(bytes);
                    frames
                        .by_ref()
                        .for_each(|question| self.produces.asked(&question));
                }
                Behind::Postgres => {
                    let commits = bytes.windows(COMMIT.len()).any(|part| part == COMMIT);
                    if passing == Passing::UpToCommits && commits && !self.silent.swap(true, SeqCst) {
                        self.silenced.fetch_add(1, SeqCst);
                    }
                }
            }
            if to.write_all(bytes).await.is_err() {
                return;
            }
        }
    }

    async fn answer(mut self, mut from: OwnedReadHalf, mut to: OwnedWriteHalf) {
        let (mut bytes, mut frames) = (vec![0; 64 << 10], Frames::default());
        while let Ok(n @ 1..) = from.read(&mut bytes).await {
            let bytes = &bytes[..n];
            if self.silent.load(SeqCst) {
                // What was said meanwhile is lost, so the connection is, once the door is open.
                let _ = self
                    .passing
                    .wait_for(|passing| *passing == Passing::Everything)
                    .await;
                return;
            }
            let open = |passing: &Passing| !matches!(passing, Passing::Nothing | Passing::Questions);
            let Ok(passing) = self.passing.wait_for(open).await.map(|passing| *passing) else {
                return;
            };
            let written = match self.behind {
                Behind::Postgres => to.write_all(bytes).await,
                Behind::Kafka => {
                    frames.push(bytes);
                    let answers = frames.by_ref().map(|answer| {
                        if self.produces.are_answered(&answer) && passing == Passing::Leaderless {
                            return without_leader(answer);
                        }
                        answer
                    });
                    to.write_all(&answers.flatten().collect::<Vec<u8>>()).await
                }
            };
            if written.is_err() {
                return;
            }
        }
    }
}
