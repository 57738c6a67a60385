//! One of many in a group, with a websocket: to a room of the product (docs/protocol.md, section 11), or
//! to a ceiling, where everybody who is connected is the group.

use crate::{
    Failure,
    ceiling::{self, BARRIER, EVERYBODY, SEND},
    keys::{public, random, sign},
    server::{Server, Target},
    socket::Socket,
    users,
};
use bytes::Bytes;
use p256::ecdsa::SigningKey;
use rand_core::OsRng;
use rly_protocol::{
    RoomId,
    api::{Blob, CreateRoom, RoomState},
    frame::{ClientFrame, ServerFrame},
    limits::{ROOM_HISTORY_MAX, ROOM_LIFE_MAX, ROOM_NAME_SIZE, ROOM_PEOPLE_MAX},
    room::{RoomLimits, join_message, post_message},
};
use sha2::{Digest, Sha256};
use tokio::net::TcpStream;

/// Version byte and type byte.
const HAPPENED: [u8; 2] = [1, 0x91];
/// Where the event begins: room, place and time come before.
const EVENT: usize = 2 + 16 + 8 + 8;
/// The event's own byte if somebody said something.
const MESSAGE: u8 = 1;
/// Where the body begins: sender, sequence and the body's length come before.
const BODY: usize = EVENT + 1 + 4 + 8 + 4;
const SIGNATURE: usize = 64;

/// What everybody in a group knows.
pub(crate) struct Group {
    /// A room of the product.
    room: Option<(RoomId, [u8; 32])>,
}

impl Group {
    pub async fn make(server: &Server) -> Result<Self, Failure> {
        if server.target != Target::Relay {
            return Ok(Self { room: None });
        }
        let (room, token) = (RoomId(random()), random());
        let request = CreateRoom {
            room,
            token_hash: Blob(Sha256::digest(token).to_vec()),
            creator: public(&SigningKey::random(&mut OsRng))?,
            limits: RoomLimits {
                idle_seconds: ROOM_LIFE_MAX,
                life_seconds: ROOM_LIFE_MAX,
                people: ROOM_PEOPLE_MAX,
                history: ROOM_HISTORY_MAX,
            },
        };
        let mut stream = TcpStream::connect(server.address).await?;
        let request = serde_json::to_string(&request)?;
        let answer = users::post(server, &mut stream, "/api/rooms", &request).await?;
        serde_json::from_slice::<RoomState>(&answer)
            .map_err(|_| format!("no room: {}", String::from_utf8_lossy(&answer)))?;
        Ok(Self {
            room: Some((room, token)),
        })
    }
}

/// A connection of somebody in the group.
pub(crate) struct Member {
    socket: Socket,
    /// The room, and what is signed with there.
    room: Option<(RoomId, SigningKey)>,
    prepared: u32,
}

impl Member {
    /// Joins. The number is the name with the ceilings, from 1 on.
    pub async fn join(server: &Server, group: &Group, number: u32) -> Result<Self, Failure> {
        let path = match group.room {
            Some(_) => "/ws".to_owned(),
            None => format!("/ws/{number}"),
        };
        let key = SigningKey::random(&mut OsRng);
        let mut member = Self {
            socket: Socket::open(server.address, &path).await?,
            room: group.room.map(|(room, _)| (room, key.clone())),
            prepared: 0,
        };
        let Some((room, token)) = group.room else {
            // Who is answered is there.
            member.socket.put(&[&[BARRIER, 0, 0, 0, 0]]);
            member.socket.one().await?;
            return Ok(member);
        };
        let nonce = member.socket.nonce().await?;
        let (name, name_hash) = (random::<ROOM_NAME_SIZE>(), random());
        let message = join_message(
            &server.origin(),
            &nonce,
            &room,
            &name_hash,
            &Sha256::digest(name).into(),
        );
        let join = ClientFrame::RoomJoin {
            req: 0,
            room,
            token,
            key: public(&key)?,
            name_hash,
            name: Bytes::copy_from_slice(&name),
            after: u64::MAX,
            signature: sign(&key, &message),
        };
        member.socket.put(&[&join.to_message()]);
        match member.socket.server_frame().await? {
            Some(ServerFrame::RoomJoined { .. }) => Ok(member),
            other => Err(format!("not joined: {other:?}").into()),
        }
    }

    /// A frame that says something to everybody; they are to be sent in this order.
    pub fn prepare(&mut self, body: &[u8]) -> Vec<u8> {
        let Some((room, key)) = &self.room else {
            return [&[SEND][..], &EVERYBODY.to_be_bytes(), body].concat();
        };
        self.prepared += 1;
        let seq = self.prepared.into();
        let post = ClientFrame::RoomPost {
            req: self.prepared,
            room: *room,
            seq,
            body: Bytes::copy_from_slice(body),
            signature: sign(key, &post_message(room, seq, &Sha256::digest(body).into())),
        };
        post.to_message().into()
    }

    /// Appends a frame; [`Self::pump`] sends it.
    pub fn put(&mut self, frame: &[u8]) {
        self.socket.put(&[frame]);
    }

    /// Takes what has arrived: what somebody said goes to `on`.
    pub fn take(&mut self, mut on: impl FnMut(&[u8])) -> Result<(), Failure> {
        let in_room = self.room.is_some();
        self.socket.frames(|frame, _| {
            let body = match in_room {
                true => happened(frame)?,
                false => match ceiling::head(frame) {
                    Some((SEND, _)) => Some(&frame[ceiling::HEAD..]),
                    _ => return Err("unexpected frame from a ceiling".into()),
                },
            };
            body.map(&mut on);
            Ok(())
        })
    }

    /// As [`Socket::pump`].
    pub async fn pump(&mut self) -> Result<(), Failure> {
        self.socket.pump().await
    }
}

/// What somebody said, if this frame tells that. What is counted in thousands is not decoded in full.
fn happened(frame: &[u8]) -> Result<Option<&[u8]>, Failure> {
    if frame.starts_with(&HAPPENED) {
        let said = frame.get(EVENT) == Some(&MESSAGE);
        let body = frame
            .len()
            .checked_sub(SIGNATURE)
            .and_then(|end| frame.get(BODY..end));
        return Ok(body.filter(|_| said));
    }
    match ServerFrame::from_message(Bytes::copy_from_slice(frame)) {
        Ok(ServerFrame::Done { .. }) => Ok(None),
        other => Err(format!("unexpected: {other:?}").into()),
    }
}
