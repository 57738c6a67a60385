//! Fuzz targets: tokens, and a relay among clients that do what they like. See `rly_fuzzing`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use crate::{
    Clock, Incoming, Keyring, Limits, MemoryStore, Outgoing, Relay, RelayConfig, keys::Invite, writer::Job,
};
use p256::ecdsa::{Signature as Ecdsa, SigningKey, signature::Signer};
use rly_fuzzing::{Script, ScriptWriter, Target, edited, within};
use rly_protocol::{
    Address, EnvelopeId, ErrorCode, InviteId, PublicKey, QueueId, Signature, Timestamp,
    api::{Blob, ImportContact, RegisterSim, ShareContact},
    frame::{ClientFrame, Proof, ServerFrame, Ticket, VaultEntry, proof_message, vault_id_message},
    limits::ENVELOPE_SIZES,
};
use std::{
    collections::{BTreeMap, HashSet},
    net::{IpAddr, Ipv4Addr},
    sync::{Arc, LazyLock},
};
use tokio::runtime::{Builder, Runtime};

/// Every target of this crate.
pub static TARGETS: &[Target] = &[
    Target {
        name: "tokens",
        run: tokens,
        seeds: token_seeds,
        words: &[
            "\"jti\":",
            "\"a\":",
            "\"exp\":",
            "\"typ\":\"i\"",
            "\"alg\":\"ES256\"",
            "\"alg\":\"HS256\"",
            "none",
            "1e3",
            "null",
            "\"crit\":[\"b64\"]",
            "\"b64\":false",
        ],
        rounds: 400,
    },
    Target {
        name: "hostile_clients",
        run: clients,
        seeds: client_seeds,
        words: &[],
        rounds: 500,
    },
];

static KEYS: LazyLock<Keyring> = LazyLock::new(keyring);

fn keyring() -> Keyring {
    Keyring::from_secret([7; 32]).unwrap()
}

fn genuine() -> Invite {
    Invite {
        id: InviteId([1; 16]),
        address: Address([2; 16]),
        expires: 9_999_999_999,
    }
}

/// No text but ours is a token; with our signature, it is the claims that decide.
fn tokens(input: &[u8]) {
    let mut script = Script::new(input);
    let kind = script.byte() % 4;
    let token = match kind {
        0 => String::from_utf8_lossy(script.rest()).into_owned(),
        1 => KEYS.sign_anything(script.chunk(), script.chunk()).unwrap(),
        2 => {
            let a = KEYS.seal_anything(script.chunk()).unwrap();
            let claims = format!(r#"{{"a":"{a}"}}"#);
            KEYS.sign_anything(br#"{"typ":"a","alg":"ES256"}"#, claims.as_bytes())
                .unwrap()
        }
        _ => {
            let genuine = Ticket {
                expires: Timestamp(5),
                mac: KEYS.ticket(&QueueId([3; 16]), Timestamp(5)).mac,
            };
            let changed = Ticket {
                expires: Timestamp(script.u64()),
                mac: edited(&genuine.mac, script.rest()).try_into().unwrap(),
            };
            assert_eq!(KEYS.is_ticket(&QueueId([3; 16]), &changed), changed == genuine);
            return;
        }
    };
    let (address, invite) = within(64 * token.len() + (1 << 16), || {
        (KEYS.open_address_token(&token), KEYS.open_invite(&token))
    });
    assert!(
        address.is_none() || invite.is_none(),
        "one token for two purposes"
    );
    if let Some(invite) = invite {
        assert_ne!(kind, 2);
        let again = KEYS.invite(&invite).unwrap();
        assert!(KEYS.open_invite(&again) == Some(invite));
    }
    if kind == 2 {
        let sealed: Option<[u8; 16]> = Script::new(&input[1..]).chunk().try_into().ok();
        // A long one makes a token that is too long to be ours.
        assert_eq!(address, sealed.map(Address));
    }
}

fn token_seeds() -> Vec<Vec<u8>> {
    let new = ScriptWriter::default;
    let a = KEYS.seal_anything(&[2; 16]).unwrap();
    let claims = format!(r#"{{"jti":"AQEBAQEBAQEBAQEBAQEBAQ","a":"{a}","exp":9999999999}}"#);
    let head = br#"{"typ":"i","alg":"ES256"}"#;
    vec![
        new()
            .bytes(&[0])
            .bytes(KEYS.invite(&genuine()).unwrap().as_bytes())
            .finish(),
        new()
            .bytes(&[0])
            .bytes(KEYS.address_token(&Address([2; 16])).unwrap().as_bytes())
            .finish(),
        new().bytes(&[1]).chunk(head).chunk(claims.as_bytes()).finish(),
        new()
            .bytes(&[1])
            .chunk(br#"{"typ":"a","alg":"ES256"}"#)
            .chunk(format!(r#"{{"a":"{a}"}}"#).as_bytes())
            .finish(),
        new().bytes(&[2]).chunk(&[2; 16]).finish(),
        new().bytes(&[2]).chunk(&[2; 15]).finish(),
        new().bytes(&[3]).bytes(&5u64.to_be_bytes()).finish(),
        new()
            .bytes(&[3])
            .bytes(&6u64.to_be_bytes())
            .bytes(&[0, 1, 1])
            .finish(),
    ]
}

const ORIGIN: &str = "https://rly.test";
const NOW: Timestamp = Timestamp(1_800_000_000_000);
const STEPS: usize = 64;
/// What a relay and all that its clients do may hold in memory.
const MEMORY: usize = 64 << 20;

struct Still;

impl Clock for Still {
    fn now(&self) -> Timestamp {
        NOW
    }
}

/// A connection, and what it may still be told.
struct Client {
    incoming: Incoming,
    outgoing: Outgoing,
    nonce: [u8; 32],
    /// Requests that were not answered.
    open: HashSet<u32>,
    /// The last place delivered of each queue, by subscription.
    places: BTreeMap<QueueId, u64>,
    over: bool,
}

struct World {
    relay: Relay,
    clients: Vec<Client>,
    key: SigningKey,
    mailbox: (QueueId, Address, String),
    invite: String,
    req: u32,
}

fn peer() -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1))
}

fn public(key: &SigningKey) -> PublicKey {
    PublicKey::try_from(key.verifying_key().to_encoded_point(false).as_bytes()).unwrap()
}

/// Whatever clients do: each request has at most one answer, no answer is a mistake of ours, places
/// rise, and a connection that is given up ends in a goodbye.
fn clients(input: &[u8]) {
    thread_local! {
        static RUNTIME: Runtime = Builder::new_current_thread().enable_time().build().unwrap();
    }
    RUNTIME.with(|runtime| {
        within(MEMORY, || {
            runtime.block_on(async {
                let mut world = World::new().await;
                let mut script = Script::new(input);
                for _ in 0..STEPS {
                    if script.is_over() {
                        break;
                    }
                    world.step(&mut script).await;
                    world.drain();
                }
                world.settle().await;
                world.drain();
                world.clients.clear();
                world.relay.stop().await;
            });
        });
    });
}

impl World {
    async fn new() -> Self {
        let limits = Limits {
            queue_envelopes: 8,
            ..Limits::free()
        };
        let config = RelayConfig {
            origin: ORIGIN.into(),
            limits,
            rooms: crate::RoomMakers::Anyone,
        };
        let relay = Relay::start(
            config,
            keyring(),
            Arc::new(MemoryStore::default()),
            Arc::new(Still),
        );
        let relay = relay.await.unwrap();
        let key = SigningKey::from_slice(&[9; 32]).unwrap();
        let reader_key = public(&key);
        let made = relay
            .register_sim(peer(), RegisterSim { reader_key })
            .await
            .unwrap();
        let share = ShareContact {
            address_token: made.address_token.clone(),
            card: Blob(b"card".to_vec()),
            ttl_seconds: 60,
        };
        let invite = relay.share_contact(peer(), share).await.unwrap().invite;
        let mut world = Self {
            relay,
            clients: Vec::new(),
            key,
            mailbox: (made.queue, made.address, made.address_token),
            invite,
            req: 0,
        };
        world.connect();
        world.connect();
        world
    }

    fn connect(&mut self) {
        let (incoming, mut outgoing) = self.relay.connect(peer()).unwrap().split();
        let hello = ServerFrame::from_message(outgoing.try_next().unwrap()).unwrap();
        let ServerFrame::Hello { nonce, .. } = hello else {
            panic!("no hello");
        };
        self.clients.push(Client {
            incoming,
            outgoing,
            nonce,
            open: HashSet::new(),
            places: BTreeMap::new(),
            over: false,
        });
    }

    async fn step(&mut self, script: &mut Script<'_>) {
        let (what, who) = (
            script.byte() % 14,
            usize::from(script.byte()) % self.clients.len(),
        );
        self.req += 1;
        let (req, (queue, address, _)) = (self.req, self.mailbox.clone());
        let nonce = self.clients[who].nonce;
        let sign = |queue: &QueueId| -> Signature {
            let signature: Ecdsa = self.key.sign(&proof_message(ORIGIN, &nonce, queue));
            Signature(signature.to_bytes().into())
        };
        let vault = vault_of(&public(&self.key));
        let frame = match what {
            0 => {
                let message = script.chunk().to_vec();
                return self.send(who, None, message.into()).await;
            }
            1 => ClientFrame::Send {
                req,
                address,
                id: EnvelopeId([script.byte() % 8; 16]),
                body: vec![script.byte(); ENVELOPE_SIZES[usize::from(script.byte()) % 3]].into(),
            },
            2 => ClientFrame::Subscribe {
                req,
                queue,
                proof: Proof::Signed {
                    signature: sign(&queue),
                },
            },
            3 => {
                return self
                    .send(
                        who,
                        None,
                        ClientFrame::Ack {
                            queue,
                            seq: script.u64(),
                        }
                        .to_message(),
                    )
                    .await;
            }
            4 => {
                let seq = self.clients[who].places.get(&queue).copied().unwrap_or(0);
                return self
                    .send(who, None, ClientFrame::Ack { queue, seq }.to_message())
                    .await;
            }
            5 => ClientFrame::Unsubscribe { req, queue },
            6 => ClientFrame::DeleteQueue { req, queue },
            7 => ClientFrame::OpenVault {
                req,
                key: public(&self.key),
                signature: sign(&vault),
            },
            8 => ClientFrame::VaultRead {
                req,
                queue: vault,
                from: script.u32(),
            },
            9 => {
                let expected = script.byte().into();
                let entries = (0..script.byte() % 70).map(|_| VaultEntry {
                    slot: script.u16().into(),
                    blob: vec![1; usize::from(script.byte())].into(),
                });
                let entries = entries.collect();
                ClientFrame::VaultWrite {
                    req,
                    queue: vault,
                    expected,
                    entries,
                }
            }
            10 => ClientFrame::WithdrawInvite {
                req,
                queue,
                invite: InviteId(script.array()),
            },
            11 => return self.http(script).await,
            12 => return self.settle().await,
            _ => {
                self.connect();
                drop(self.clients.swap_remove(who));
                return;
            }
        };
        self.send(who, Some(req), frame.to_message()).await;
    }

    async fn send(&mut self, who: usize, req: Option<u32>, message: bytes::Bytes) {
        let client = &mut self.clients[who];
        // A free message may be a request as well.
        let req = req.or_else(|| match ClientFrame::from_message(message.clone()) {
            Ok(
                ClientFrame::Subscribe { req, .. }
                | ClientFrame::Unsubscribe { req, .. }
                | ClientFrame::Send { req, .. }
                | ClientFrame::DeleteQueue { req, .. }
                | ClientFrame::WithdrawInvite { req, .. }
                | ClientFrame::OpenVault { req, .. }
                | ClientFrame::VaultRead { req, .. }
                | ClientFrame::VaultWrite { req, .. }
                | ClientFrame::RoomJoin { req, .. }
                | ClientFrame::RoomPost { req, .. }
                | ClientFrame::RoomLeave { req, .. }
                | ClientFrame::RoomDelete { req, .. }
                | ClientFrame::RoomClose { req, .. },
            ) => Some(req),
            _ => None,
        });
        if let Some(req) = req
            && !client.open.insert(req)
        {
            // The same number twice: whose answer is whose cannot be told.
            return;
        }
        let ended = client.incoming.handle(message).await.is_err();
        client.incoming.rest();
        client.over |= ended;
    }

    async fn http(&mut self, script: &mut Script<'_>) {
        let kind = script.byte();
        let text = String::from_utf8_lossy(script.chunk()).into_owned();
        let key = script.array::<64>();
        let claim_key = match kind & 4 {
            0 => public(&self.key),
            _ => PublicKey::try_from(&[&[4], &key[..]].concat()[..]).unwrap(),
        };
        let refusal = match kind % 4 {
            0 => {
                let request = RegisterSim {
                    reader_key: claim_key,
                };
                self.relay.register_sim(peer(), request).await.err()
            }
            1 => {
                let request = ShareContact {
                    address_token: if kind & 8 == 0 {
                        self.mailbox.2.clone()
                    } else {
                        text
                    },
                    card: Blob(vec![1; usize::from(script.u16()) * 2]),
                    ttl_seconds: script.u64(),
                };
                self.relay.share_contact(peer(), request).await.err()
            }
            _ => {
                let invite = if kind & 8 == 0 { self.invite.clone() } else { text };
                let request = ImportContact { invite, claim_key };
                self.relay.import_contact(peer(), request).await.err()
            }
        };
        if let Some(refusal) = refusal {
            assert!((400..500).contains(&refusal.code.status()), "{}", refusal.code);
        }
    }

    /// Waits until the writer has nothing left to do.
    async fn settle(&self) {
        let (flushed, done) = tokio::sync::oneshot::channel();
        self.relay.engine().job(Job::Flush(flushed));
        done.await.unwrap();
    }

    fn drain(&mut self) {
        for client in &mut self.clients {
            let mut last = None;
            while let Some(message) = client.outgoing.try_next() {
                let frame = ServerFrame::from_message(message).expect("our own frame");
                client.takes(&frame);
                last = Some(frame);
            }
            if client.over && !matches!(last, None | Some(ServerFrame::Goodbye { .. })) {
                panic!("the last word is {last:?}");
            }
        }
        // Whoever was refused comes back.
        for n in (0..self.clients.len()).rev() {
            if self.clients[n].over {
                drop(self.clients.swap_remove(n));
                self.connect();
            }
        }
    }
}

impl Client {
    fn takes(&mut self, frame: &ServerFrame) {
        match frame {
            ServerFrame::Subscribed { req, queue, .. } => {
                self.places.remove(queue);
                assert!(self.open.remove(req), "an answer to nothing");
            }
            ServerFrame::Done { req }
            | ServerFrame::VaultPage { req, .. }
            | ServerFrame::VaultWritten { req, .. }
            | ServerFrame::RoomJoined { req, .. } => assert!(self.open.remove(req), "an answer to nothing"),
            ServerFrame::Error { req, code, .. } => {
                assert!(self.open.remove(req), "an answer to nothing");
                let code = ErrorCode::from_number(*code).expect("a code of the table");
                assert!((400..500).contains(&code.status()), "{code}");
            }
            ServerFrame::Deliver { queue, seq, .. } => {
                let before = self.places.insert(*queue, *seq);
                assert!(before.is_none_or(|before| before < *seq), "places do not rise");
            }
            ServerFrame::Goodbye { code, .. } => {
                let code = ErrorCode::from_number(*code).expect("a code of the table");
                assert_ne!(code, ErrorCode::Internal);
            }
            ServerFrame::Hello { .. }
            | ServerFrame::Replaced { .. }
            | ServerFrame::Pong { .. }
            | ServerFrame::RoomHappened { .. }
            | ServerFrame::RoomEnded { .. } => {}
        }
    }
}

fn vault_of(key: &PublicKey) -> QueueId {
    let mut id = [0; 16];
    id.copy_from_slice(&crate::engine::hash(&vault_id_message(key))[..16]);
    QueueId(id)
}

fn client_seeds() -> Vec<Vec<u8>> {
    let new = ScriptWriter::default;
    let send = |who: u8, id: u8| vec![1, who, id, 7, 0];
    let raw = |frame: ClientFrame| new().bytes(&[0, 0]).chunk(&frame.to_message()).finish();
    let queue = QueueId([1; 16]);
    vec![
        [
            send(0, 1),
            vec![12, 0, 2, 1],
            send(0, 2),
            vec![4, 1, 12, 0],
            send(1, 2),
        ]
        .concat(),
        [
            vec![2, 1, 2, 0],
            send(0, 1),
            vec![13, 0],
            send(1, 1),
            vec![6, 0],
            send(0, 3),
        ]
        .concat(),
        [
            vec![7, 0, 9, 0, 0, 2, 0, 0, 9, 0, 1, 9],
            vec![8, 0, 0, 0, 0, 0],
            vec![7, 1, 9, 0, 1, 1, 0, 0, 1],
        ]
        .concat(),
        new()
            .bytes(&[11, 0, 2])
            .chunk(b"")
            .bytes(&[0; 64])
            .bytes(&[11, 0, 6])
            .chunk(b"")
            .bytes(&[1; 64])
            .finish(),
        new()
            .bytes(&[11, 0, 1])
            .chunk(b"")
            .bytes(&[0; 64])
            .bytes(&[0, 9])
            .bytes(&60u64.to_be_bytes())
            .finish(),
        raw(ClientFrame::Ping { nonce: 1 }),
        raw(ClientFrame::VaultRead {
            req: 1,
            queue,
            from: 0,
        }),
        raw(ClientFrame::Subscribe {
            req: 1,
            queue,
            proof: Proof::Ticket {
                ticket: Ticket {
                    expires: NOW,
                    mac: [1; 32],
                },
            },
        }),
        new().bytes(&[0, 0]).chunk(&[2, 1]).finish(),
        (0..12).flat_map(|id| send(0, id)).collect(),
    ]
}

#[test]
fn nothing_trips_the_relay() {
    rly_fuzzing::replay(TARGETS);
}
