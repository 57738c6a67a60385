//! One end of a conversation: a user with a websocket, to the product (docs/protocol.md) or to a ceiling.

use crate::{
    Failure,
    ceiling::{self, ACK, BARRIER, SEND},
    keys::{random, sign},
    server::{Server, Target},
    socket::Socket,
};
use bytes::Bytes;
use p256::ecdsa::SigningKey;
use rly_protocol::{
    Address, QueueId,
    frame::{ClientFrame, Proof, ServerFrame, Ticket, proof_message},
};
use std::{cell::Cell, rc::Rc};

/// Version byte and type byte.
const DELIVER: [u8; 2] = [1, 0x83];
const DONE: [u8; 2] = [1, 0x84];
/// Where sequence number and body begin in a Deliver.
const DELIVER_SEQ: usize = 2 + 16;
const DELIVER_BODY: usize = DELIVER_SEQ + 8 + 1 + 16 + 4;

/// A mailbox of the product.
pub(crate) struct Mailbox {
    pub queue: QueueId,
    pub address: Address,
    /// Its reader key.
    pub key: Rc<SigningKey>,
    /// From the first time it was read.
    pub ticket: Cell<Option<Ticket>>,
}

/// Who is written to.
pub(crate) struct User {
    /// The name with the ceilings.
    pub number: u32,
    /// What the product has instead.
    pub mailbox: Option<Mailbox>,
}

/// A user's connection.
pub(crate) struct Party {
    user: Rc<User>,
    socket: Socket,
    /// Messages sent.
    pub sent: u32,
    /// Messages confirmed one by one (the product), or with all before them.
    pub confirmed: u32,
    barriers: u32,
    /// Acknowledgements are kept back until [`Self::acknowledge`].
    pub holds_back: bool,
    unacknowledged: Vec<[u8; 8]>,
    /// Makes envelope ids unique among connections.
    salt: [u8; 12],
}

impl Party {
    /// Connects; the product then says hello.
    pub async fn connect(server: &Server, user: &Rc<User>) -> Result<Self, Failure> {
        let path = match server.target {
            Target::Relay => "/ws".to_owned(),
            Target::Memory | Target::Sqlite => format!("/ws/{}", user.number),
        };
        Ok(Self {
            user: user.clone(),
            socket: Socket::open(server.address, &path).await?,
            sent: 0,
            confirmed: 0,
            barriers: 0,
            holds_back: false,
            unacknowledged: Vec::new(),
            salt: random(),
        })
    }

    /// Connects and begins to read; `on` gets what waits, as far as it comes before that is known. With
    /// the ceilings, connecting alone does it.
    pub async fn reader(server: &Server, user: &Rc<User>, on: impl FnMut(&[u8])) -> Result<Self, Failure> {
        let mut party = Self::connect(server, user).await?;
        let Some(mailbox) = &user.mailbox else {
            party.barrier(on).await?;
            return Ok(party);
        };
        let nonce = party.socket.nonce().await?;
        let proof = match mailbox.ticket.take() {
            Some(ticket) => Proof::Ticket { ticket },
            None => {
                let message = proof_message(&server.origin(), &nonce, &mailbox.queue);
                let signature = sign(&mailbox.key, &message);
                Proof::Signed { signature }
            }
        };
        let (req, queue) = (0, mailbox.queue);
        let subscribe = ClientFrame::Subscribe { req, queue, proof };
        party.socket.put(&[&subscribe.to_message()]);
        match party.socket.server_frame().await? {
            Some(ServerFrame::Subscribed { ticket, .. }) => mailbox.ticket.set(Some(ticket)),
            other => return Err(format!("not subscribed: {other:?}").into()),
        }
        Ok(party)
    }

    /// Appends a message to someone.
    pub fn send(&mut self, to: &User, body: &[u8]) {
        let number = self.sent.to_be_bytes();
        self.sent += 1;
        match &to.mailbox {
            Some(mailbox) => self.socket.put(&[
                &[1, 0x04],
                &number,
                &mailbox.address.0,
                &number,
                &self.salt,
                &(body.len() as u32).to_be_bytes(),
                body,
            ]),
            None => self.socket.put(&[&[SEND], &to.number.to_be_bytes(), body]),
        }
    }

    /// Takes what has arrived: messages go to `on`, and are acknowledged one by one.
    pub fn take(&mut self, mut on: impl FnMut(&[u8])) -> Result<(), Failure> {
        let Self {
            user,
            socket,
            confirmed,
            barriers,
            holds_back,
            unacknowledged,
            ..
        } = self;
        socket.frames(|frame, put| {
            let arrived = match &user.mailbox {
                Some(_) => relayed(frame)?,
                None => bare(frame)?,
            };
            match arrived {
                Arrived::Message { number, body } => {
                    on(body);
                    // What a ceiling does not store has no number.
                    if number == [0; 8] {
                    } else if *holds_back {
                        unacknowledged.push(number);
                    } else {
                        acknowledge(user, &number, put);
                    }
                }
                Arrived::Confirmed => *confirmed += 1,
                Arrived::Barrier => *barriers += 1,
                Arrived::Other => {}
            }
            Ok(())
        })
    }

    /// Appends the acknowledgements that were kept back.
    pub fn acknowledge(&mut self) {
        for number in self.unacknowledged.drain(..) {
            acknowledge(&self.user, &number, &mut |parts| self.socket.put(parts));
        }
    }

    /// Sends what was appended.
    pub fn write(&mut self) -> Result<(), Failure> {
        self.socket.write()
    }

    /// As [`Socket::pump`].
    pub async fn pump(&mut self) -> Result<(), Failure> {
        self.socket.pump().await
    }

    /// Waits until everything sent is confirmed in the strongest way that there is.
    pub async fn confirm(&mut self) -> Result<(), Failure> {
        if self.user.mailbox.is_some() {
            self.take(|_| {})?;
            while self.confirmed < self.sent {
                self.pump().await?;
                self.take(|_| {})?;
            }
            return Ok(());
        }
        self.barrier(|_| {}).await?;
        self.confirmed = self.sent;
        Ok(())
    }

    /// Waits until a ceiling has done everything that came before.
    async fn barrier(&mut self, mut on: impl FnMut(&[u8])) -> Result<(), Failure> {
        let before = self.barriers;
        self.socket.put(&[&[BARRIER, 0, 0, 0, 0]]);
        while self.barriers == before {
            self.pump().await?;
            self.take(&mut on)?;
        }
        Ok(())
    }

    /// It will rest for a while.
    pub fn rest(&mut self) {
        self.socket.shrink();
    }
}

enum Arrived<'a> {
    Message { number: [u8; 8], body: &'a [u8] },
    Confirmed,
    Barrier,
    Other,
}

/// A frame of the product. The two that are counted in thousands are not decoded in full.
fn relayed(frame: &[u8]) -> Result<Arrived<'_>, Failure> {
    if frame.starts_with(&DELIVER)
        && let Some(number) = frame.get(DELIVER_SEQ..).and_then(|rest| rest.first_chunk())
        && let Some(body) = frame.get(DELIVER_BODY..)
    {
        let number = *number;
        return Ok(Arrived::Message { number, body });
    }
    if frame.starts_with(&DONE) {
        return Ok(Arrived::Confirmed);
    }
    match ServerFrame::from_message(Bytes::copy_from_slice(frame)) {
        Ok(ServerFrame::Hello { .. }) => Ok(Arrived::Other),
        other => Err(format!("unexpected: {other:?}").into()),
    }
}

/// A frame of a ceiling.
fn bare(frame: &[u8]) -> Result<Arrived<'_>, Failure> {
    match ceiling::head(frame) {
        Some((SEND, number)) => Ok(Arrived::Message {
            number: u64::from(number).to_be_bytes(),
            body: &frame[ceiling::HEAD..],
        }),
        Some((BARRIER, _)) => Ok(Arrived::Barrier),
        _ => Err("unexpected frame from a ceiling".into()),
    }
}

fn acknowledge(user: &User, number: &[u8; 8], put: &mut dyn FnMut(&[&[u8]])) {
    match &user.mailbox {
        Some(mailbox) => put(&[&[1, 0x03], &mailbox.queue.0, number]),
        None => put(&[&[ACK], &number[4..]]),
    }
}
