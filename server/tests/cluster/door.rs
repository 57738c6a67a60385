//! A way to a server that can be shut without closing a connection, as when a cable is pulled: what is
//! sent stays where it is until the door is open again.

use std::{
    net::Ipv4Addr,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering::SeqCst},
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

/// What passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Passing {
    Everything,
    Nothing,
    /// What is asked, but no answer.
    Questions,
    /// No answer from the first COMMIT of a connection on: it happens, and nobody is told.
    UpToCommits,
}

/// Connections from `port` to a server.
pub struct Door {
    pub port: u16,
    passing: watch::Sender<Passing>,
    silenced: Arc<AtomicU32>,
}

impl Door {
    /// To the server with this port of this machine.
    pub async fn to(server: u16) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let passing = watch::Sender::new(Passing::Everything);
        let silenced = Arc::<AtomicU32>::default();
        let (seen, count) = (passing.subscribe(), silenced.clone());
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(pass(client, server, seen.clone(), count.clone()));
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

async fn pass(
    client: TcpStream,
    server: u16,
    mut passing: watch::Receiver<Passing>,
    silenced: Arc<AtomicU32>,
) {
    // Who knocks at a shut door waits.
    let open = |passing: &Passing| *passing != Passing::Nothing;
    if passing.wait_for(open).await.is_err() {
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
    let silent = watch::Sender::new(false);
    let hears = silent.subscribe();
    let asking = ask(from_client, to_server, passing.clone(), silent, silenced);
    let answering = answer(from_server, to_client, passing, hears);
    // Both ends go when one does.
    tokio::select! {
        () = asking => {}
        () = answering => {}
    }
}

async fn ask(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut passing: watch::Receiver<Passing>,
    silent: watch::Sender<bool>,
    silenced: Arc<AtomicU32>,
) {
    let mut bytes = vec![0; 64 << 10];
    while let Ok(n @ 1..) = from.read(&mut bytes).await {
        let passed = passing.wait_for(|passing| *passing != Passing::Nothing).await;
        let Ok(passed) = passed.map(|passed| *passed) else {
            return;
        };
        let commits = bytes[..n].windows(COMMIT.len()).any(|part| part == COMMIT);
        if passed == Passing::UpToCommits && commits && !silent.send_replace(true) {
            silenced.fetch_add(1, SeqCst);
        }
        if to.write_all(&bytes[..n]).await.is_err() {
            return;
        }
    }
}

async fn answer(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut passing: watch::Receiver<Passing>,
    silent: watch::Receiver<bool>,
) {
    let mut bytes = vec![0; 64 << 10];
    while let Ok(n @ 1..) = from.read(&mut bytes).await {
        if *silent.borrow() {
            // What was said meanwhile is lost, so the connection is, once the door is open.
            let _ = passing.wait_for(|passing| *passing == Passing::Everything).await;
            return;
        }
        let open = |passing: &Passing| matches!(passing, Passing::Everything | Passing::UpToCommits);
        if passing.wait_for(open).await.is_err() || to.write_all(&bytes[..n]).await.is_err() {
            return;
        }
    }
}
