//! The engine as its callers see it: two or more connections, over frames.

#![allow(clippy::unwrap_used, clippy::panic)]

mod claims;
mod cluster;
mod delivery;
mod durability;
mod failure;
mod limits;
mod proofs;
mod rooms;
mod vaults;

use crate::{
    Clock, Incoming, Keyring, Limits, MemoryStore, Outgoing, Rate, Relay, RelayConfig, SqliteStore, Store,
};
use bytes::Bytes;
use p256::ecdsa::{Signature as Ecdsa, SigningKey, signature::Signer};
use rly_protocol::{
    Address, EnvelopeId, ErrorCode, PublicKey, QueueId, Signature, Timestamp,
    api::{Blob, ImportContact, Imported, RegisterSim, ShareContact, Shared},
    frame::{ClientFrame, Proof, Req, ServerFrame, Ticket, proof_message},
};
use std::{
    collections::VecDeque,
    net::{IpAddr, Ipv4Addr},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
    time::Duration,
};

pub(crate) const ORIGIN: &str = "https://rly.test";
pub(crate) const PEER: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
const SECRET: [u8; 32] = [7; 32];

/// A clock that moves when it is told to.
pub(crate) struct TestClock(AtomicU64);

impl TestClock {
    pub fn advance(&self, seconds: u64) {
        self.0.fetch_add(seconds * 1000, SeqCst);
    }
}

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.load(SeqCst))
    }
}

/// A relay and its clock.
pub(crate) struct Server {
    pub relay: Relay,
    pub clock: Arc<TestClock>,
}

impl Server {
    pub async fn with(store: Arc<dyn Store>, limits: Limits) -> Self {
        let clock = Arc::new(TestClock(AtomicU64::new(1_800_000_000_000)));
        let config = RelayConfig {
            origin: ORIGIN.into(),
            limits,
            rooms: crate::RoomMakers::Anyone,
        };
        let keyring = Keyring::from_secret(SECRET).unwrap();
        let relay = Relay::start(config, keyring, store, clock.clone()).await.unwrap();
        Self { relay, clock }
    }

    pub async fn memory() -> Self {
        Self::with(Arc::new(MemoryStore::default()), Limits::free()).await
    }

    /// One of a kind that `RLY_TEST_RELAY` chooses: in memory, or a node of a cluster of its own.
    pub async fn any() -> Self {
        match std::env::var("RLY_TEST_RELAY").as_deref() {
            Ok("cluster") => cluster::Place::new().await.node().await,
            _ => Self::memory().await,
        }
    }

    pub async fn sqlite(path: &Path) -> Self {
        Self::with(Arc::new(SqliteStore::open(path).await.unwrap()), Limits::free()).await
    }

    pub async fn connect(&self) -> Client {
        let (incoming, outgoing) = self.relay.connect(PEER).unwrap().split();
        let mut client = Client {
            incoming,
            outgoing,
            nonce: [0; 32],
            req: 0,
            seen: VecDeque::new(),
        };
        match client.next().await {
            Some(ServerFrame::Hello { nonce, .. }) => client.nonce = nonce,
            other => panic!("no hello: {other:?}"),
        }
        client
    }

    pub async fn register(&self) -> Mailbox {
        let key = SigningKey::from_slice(&crate::keys::random::<32>()).unwrap();
        let request = RegisterSim {
            reader_key: public(&key),
        };
        let made = self.relay.register_sim(PEER, request).await.unwrap();
        Mailbox {
            key,
            queue: made.queue,
            address: made.address,
            token: made.address_token,
        }
    }

    pub async fn share(&self, mailbox: &Mailbox, ttl_seconds: u64) -> Shared {
        let request = ShareContact {
            address_token: mailbox.token.clone(),
            card: Blob(b"sealed card".to_vec()),
            ttl_seconds,
        };
        self.relay.share_contact(PEER, request).await.unwrap()
    }

    pub async fn import(&self, invite: &str, by: &SigningKey) -> Result<Imported, crate::Refusal> {
        let request = ImportContact {
            invite: invite.into(),
            claim_key: public(by),
        };
        self.relay.import_contact(PEER, request).await
    }

    /// Waits until the writer has nothing left to do.
    pub async fn settle(&self) {
        // What the only node of a cluster has put into the log is in the store.
        while self.relay.engine().cluster.is_some() {
            let now = self.relay.metrics();
            if now.moved >= now.published {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let (flushed, done) = tokio::sync::oneshot::channel();
        self.relay.engine().job(crate::writer::Job::Flush(flushed));
        done.await.unwrap();
    }
}

/// What a reader has.
pub(crate) struct Mailbox {
    pub key: SigningKey,
    pub queue: QueueId,
    pub address: Address,
    pub token: String,
}

pub(crate) fn new_key() -> SigningKey {
    SigningKey::from_slice(&crate::keys::random::<32>()).unwrap()
}

pub(crate) fn public(key: &SigningKey) -> PublicKey {
    let point = key.verifying_key().to_encoded_point(false);
    PublicKey::try_from(point.as_bytes()).unwrap()
}

/// An envelope that arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Arrived {
    pub seq: u64,
    pub id: EnvelopeId,
    pub body: Bytes,
}

/// One connection.
pub(crate) struct Client {
    pub incoming: Incoming,
    pub outgoing: Outgoing,
    pub nonce: [u8; 32],
    req: Req,
    /// Frames that came while something else was waited for.
    seen: VecDeque<ServerFrame>,
}

pub(crate) fn envelope_id(n: u64) -> EnvelopeId {
    EnvelopeId(u128::from(n).to_be_bytes())
}

pub(crate) fn body(n: u64) -> Bytes {
    let mut body = vec![0; 256];
    body[..8].copy_from_slice(&n.to_be_bytes());
    body.into()
}

impl Client {
    pub fn new_req(&mut self) -> Req {
        self.req += 1;
        self.req
    }

    pub async fn give(&mut self, frame: ClientFrame) {
        self.incoming.handle(frame.to_message()).await.unwrap();
        self.incoming.rest();
    }

    pub async fn next(&mut self) -> Option<ServerFrame> {
        if let Some(frame) = self.seen.pop_front() {
            return Some(frame);
        }
        let message = tokio::time::timeout(Duration::from_secs(10), self.outgoing.next());
        let message = message.await.unwrap_or_else(|_| panic!("nothing came"))?;
        Some(ServerFrame::from_message(message).unwrap())
    }

    /// The first frame that `wanted` takes; others are kept for later.
    pub async fn wait<T>(&mut self, wanted: impl Fn(&ServerFrame) -> Option<T>) -> T {
        let mut others = VecDeque::new();
        loop {
            let frame = self
                .next()
                .await
                .unwrap_or_else(|| panic!("the connection ended"));
            if let Some(found) = wanted(&frame) {
                others.append(&mut self.seen);
                self.seen = others;
                return found;
            }
            others.push_back(frame);
        }
    }

    /// What is there now.
    pub fn pending(&mut self) -> Vec<ServerFrame> {
        let mut frames: Vec<_> = self.seen.drain(..).collect();
        while let Some(message) = self.outgoing.try_next() {
            frames.push(ServerFrame::from_message(message).unwrap());
        }
        frames
    }

    /// The answer to a request: its frame, or the error.
    pub async fn answer(&mut self, of: Req) -> Result<ServerFrame, (ErrorCode, u32)> {
        self.wait(|frame| match frame {
            ServerFrame::Error {
                req,
                code,
                retry_after,
            } if *req == of => Some(Err((ErrorCode::from_number(*code).unwrap(), *retry_after))),
            ServerFrame::Done { req }
            | ServerFrame::Subscribed { req, .. }
            | ServerFrame::VaultPage { req, .. }
            | ServerFrame::VaultWritten { req, .. }
            | ServerFrame::RoomJoined { req, .. }
                if *req == of =>
            {
                Some(Ok(frame.clone()))
            }
            _ => None,
        })
        .await
    }

    pub async fn ask(
        &mut self,
        frame: impl FnOnce(Req) -> ClientFrame,
    ) -> Result<ServerFrame, (ErrorCode, u32)> {
        let req = self.new_req();
        self.give(frame(req)).await;
        self.answer(req).await
    }

    pub fn sign(&self, key: &SigningKey, queue: &QueueId) -> Signature {
        let signature: Ecdsa = key.sign(&proof_message(ORIGIN, &self.nonce, queue));
        Signature(signature.to_bytes().into())
    }

    pub async fn subscribe(&mut self, mailbox: &Mailbox) -> Ticket {
        let signature = self.sign(&mailbox.key, &mailbox.queue);
        let proof = Proof::Signed { signature };
        match self.subscribe_with(mailbox.queue, proof).await {
            Ok(ticket) => ticket,
            Err(error) => panic!("{error:?}"),
        }
    }

    pub async fn subscribe_with(&mut self, queue: QueueId, proof: Proof) -> Result<Ticket, (ErrorCode, u32)> {
        match self
            .ask(|req| ClientFrame::Subscribe { req, queue, proof })
            .await?
        {
            ServerFrame::Subscribed { ticket, .. } => Ok(ticket),
            other => panic!("{other:?}"),
        }
    }

    /// Sends without waiting for the answer.
    pub async fn post(&mut self, address: Address, n: u64) -> Req {
        let req = self.new_req();
        self.give(ClientFrame::Send {
            req,
            address,
            id: envelope_id(n),
            body: body(n),
        })
        .await;
        req
    }

    pub async fn send(&mut self, address: Address, n: u64) -> Result<(), (ErrorCode, u32)> {
        let req = self.post(address, n).await;
        self.answer(req).await.map(|_| ())
    }

    pub async fn arrived(&mut self) -> Arrived {
        self.wait(|frame| match frame {
            ServerFrame::Deliver { seq, id, body, .. } => Some(Arrived {
                seq: *seq,
                id: *id,
                body: body.clone(),
            }),
            _ => None,
        })
        .await
    }

    pub async fn ack(&mut self, queue: QueueId, seq: u64) {
        self.give(ClientFrame::Ack { queue, seq }).await;
    }
}
