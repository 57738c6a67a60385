//! A machine whose server and whose contact do what an input says.

use super::side::{FRIENDS, ORIGIN, Side, rows, said, subscribed};
use crate::{
    HttpError, HttpOk, Input, Machine,
    envelope::{Parcel, rejoin_message},
    inner::Inner,
};
use bytes::Bytes;
use rly_fuzzing::{Script, ScriptWriter, within};
use rly_protocol::{
    Decode, Encode, ErrorCode, QueueId, Timestamp,
    frame::{ClientFrame, Kind, Req, ServerFrame, VaultEntry},
};
use rly_view::Command;

/// Steps that are carried out at most.
const STEPS: usize = 48;
/// What all of it may hold in memory.
const MEMORY: usize = 32 << 20;

struct Game {
    ada: Side,
    /// Loaded when he first speaks.
    bob: Option<Side>,
    seq: u64,
}

/// Whatever they do: no panic, the page can read what it is told, and what is stored can be loaded.
pub(super) fn script(input: &[u8]) {
    within(MEMORY, || {
        let mut ada = Side::new(FRIENDS.ada.clone(), 4);
        ada.connect();
        let mut game = Game {
            ada,
            bob: None,
            seq: 1,
        };
        let mut script = Script::new(input);
        for _ in 0..STEPS {
            if script.is_over() {
                break;
            }
            game.step(&mut script);
        }
        let loaded = Machine::load(rows(&game.ada.store), ORIGIN.into());
        let machine = loaded
            .map_err(|error| error.to_string())
            .expect("what was stored is loaded");
        said(&machine.state(game.ada.now));
    });
}

impl Game {
    fn step(&mut self, script: &mut Script) {
        match script.byte() % 18 {
            0 => self
                .ada
                .input(Input::SocketFrame(Bytes::copy_from_slice(script.chunk()))),
            1 => self.deliver(&QueueId([10; 16]), script.chunk()),
            2 => self.parcel(script.chunk()),
            3 => {
                let plain = script.chunk().to_vec();
                self.plain(&plain);
            }
            4 => {
                let plain = Inner {
                    kind: script.byte(),
                    id: script.array(),
                    stream: [script.byte() % 2; 8],
                    seq: script.u64(),
                    previous: [script.byte() % 2; 32],
                    at: Timestamp(script.u64()),
                    body: Bytes::copy_from_slice(script.chunk()),
                };
                self.plain(&plain.to_bytes());
            }
            5 => {
                let later = self.ada.now.plus_seconds(script.u32().into());
                self.ada.now = Timestamp(later.0 % (Timestamp::MAX.0 / 2));
                self.ada.input(Input::Timer);
            }
            6 => {
                // A clock that is wrong by centuries, but has some time left.
                self.ada.now = Timestamp(script.u64() % (Timestamp::MAX.0 / 2));
                self.ada.input(Input::Timer);
            }
            7 => {
                if let Ok(command) = Command::from_bytes(script.chunk())
                    && is_quick(&command)
                {
                    self.ada.command(command);
                }
            }
            8 => self.http(script),
            9 => self.answer(script),
            10 => self.vault_page(script),
            11 => self.ada.input(Input::SocketClosed),
            12 => self.ada.hello(script.byte() % 3, Timestamp(script.u64())),
            13 => self.ada.answer_all(),
            14 => self.rejoin(script.u64()),
            15 => {
                let row = script.chunk().to_vec();
                let row = Some(row).filter(|row| !row.is_empty());
                self.ada.input(Input::Letter { id: [4; 16], row });
            }
            16 => {
                let row = Some(FRIENDS.letter.to_bytes());
                self.ada.input(Input::Letter { id: [4; 16], row });
            }
            _ => {
                let rows = vec![(script.chunk().to_vec(), script.chunk().to_vec())];
                let id = script.byte().into();
                self.ada.input(Input::Rows { id, rows, more: true });
            }
        }
    }

    fn deliver(&mut self, queue: &QueueId, body: &[u8]) {
        self.seq += 1;
        let mut id = [9; 16];
        id[..8].copy_from_slice(&self.seq.to_be_bytes());
        let kind = if body.first() == Some(&0xfe) {
            Kind::Notice
        } else {
            Kind::Envelope
        };
        self.ada.deliver(*queue, self.seq, id, kind, body);
    }

    /// From somebody who has the outer key.
    fn parcel(&mut self, bytes: &[u8]) {
        let Some(conversation) = self.ada.machine.conversations.values().next() else {
            return;
        };
        let Some(route) = conversation.contact.routes.first() else {
            return;
        };
        let (queue, key) = (route.queue, route.own_outer_key());
        if let Ok(sealed) = key.seal(bytes, &mut self.ada.random) {
            self.deliver(&queue, &sealed);
        }
    }

    fn bob(&mut self) -> &mut Side {
        self.bob.get_or_insert_with(|| Side::new(FRIENDS.bob.clone(), 5))
    }

    /// From the contact: encrypted as it should be, whatever it is.
    fn plain(&mut self, plain: &[u8]) {
        let bob = self.bob();
        let conversation = bob.machine.conversations.values_mut().next();
        let encrypted = conversation
            .and_then(|conversation| conversation.group_of(0))
            .map(|group| group.encrypt(plain, &mut bob.random));
        if let Some(Ok(message)) = encrypted {
            let parcel = Parcel::Message {
                message: message.into(),
            };
            self.parcel(&parcel.to_bytes());
        }
    }

    /// The contact asks for a new group.
    fn rejoin(&mut self, number: u64) {
        let Some(conversation) = self.ada.machine.conversations.values().next() else {
            return;
        };
        let Some(address) = conversation.contact.routes.first().map(|route| route.own_address) else {
            return;
        };
        let bob = self.bob();
        let Some(me) = &bob.machine.sim else { return };
        let Ok((key_package, _)) = rly_crypto::make_key_package(&me.sim, &me.record.device, &mut bob.random)
        else {
            return;
        };
        let parcel = Parcel::Rejoin {
            number,
            sim_key: me.sim.public_key(),
            signature: me.sim.sign(&rejoin_message(number, &address, &key_package)),
            key_package: key_package.into(),
        };
        self.parcel(&parcel.to_bytes());
    }

    fn http(&mut self, script: &mut Script) {
        let (kind, body) = (script.byte() % 4, script.chunk());
        let Some((id, _)) = self.ada.http.pop() else {
            return;
        };
        let result = match kind {
            0 => serde_json::from_slice(body)
                .map(HttpOk::Registered)
                .map_err(|_| HttpError::Network),
            1 => serde_json::from_slice(body)
                .map(HttpOk::Shared)
                .map_err(|_| HttpError::Network),
            2 => Err(HttpError::Network),
            _ => Err(HttpError::Code(ErrorCode::RateLimited, None)),
        };
        self.ada.input(Input::Http { id, result });
    }

    fn request(&mut self) -> Option<(Req, QueueId)> {
        let none = QueueId([0; 16]);
        self.ada.requests.pop().map(|request| match request {
            ClientFrame::Subscribe { req, queue, .. }
            | ClientFrame::Unsubscribe { req, queue }
            | ClientFrame::DeleteQueue { req, queue }
            | ClientFrame::WithdrawInvite { req, queue, .. }
            | ClientFrame::VaultRead { req, queue, .. }
            | ClientFrame::VaultWrite { req, queue, .. } => (req, queue),
            ClientFrame::Send { req, .. } | ClientFrame::OpenVault { req, .. } => (req, none),
            ClientFrame::RoomJoin { req, .. }
            | ClientFrame::RoomPost { req, .. }
            | ClientFrame::RoomLeave { req, .. }
            | ClientFrame::RoomDelete { req, .. }
            | ClientFrame::RoomClose { req, .. } => (req, none),
            ClientFrame::Ack { queue, .. } => (0, queue),
            ClientFrame::Ping { .. } => (0, none),
        })
    }

    /// Some answer to the last request, fitting or not.
    fn answer(&mut self, script: &mut Script) {
        let (kind, number) = (script.byte() % 7, script.u64());
        let Some((req, queue)) = self.request() else {
            return;
        };
        let frame = match kind {
            0 => ServerFrame::Done { req },
            1 | 2 => ServerFrame::Error {
                req,
                code: (number >> 32) as u16,
                retry_after: number as u32,
            },
            3 => ServerFrame::VaultWritten {
                req,
                generation: number,
            },
            4 => ServerFrame::Replaced { queue },
            5 => ServerFrame::Goodbye {
                code: 63,
                retry_after: number as u32,
            },
            _ => subscribed(req, queue),
        };
        self.ada.frame(&frame);
    }

    /// A page of the vault: slots with contents that are sealed as they should be.
    fn vault_page(&mut self, script: &mut Script) {
        let (generation, flags) = (script.u64(), script.byte());
        let (first, step) = (script.u32(), script.byte());
        let contents: Vec<&[u8]> = (0..flags >> 6).map(|_| script.chunk()).collect();
        let Some((req, _)) = self.request() else { return };
        let Some(me) = &self.ada.machine.sim else { return };
        let key = me.sim.vault_key();
        let mut slot = first;
        let mut entries = Vec::new();
        for content in contents {
            if let Ok(blob) = key.seal(slot, content, &mut self.ada.random) {
                entries.push(VaultEntry {
                    slot,
                    blob: blob.into(),
                });
            }
            slot = slot.wrapping_add(step.into());
        }
        let more = flags & 1 == 1;
        self.ada.frame(&ServerFrame::VaultPage {
            req,
            generation,
            entries,
            more,
        });
    }
}

/// Whether a command derives no key from a password, which is slow on purpose.
fn is_quick(command: &Command) -> bool {
    match command {
        Command::CreateSim { password, .. }
        | Command::ImportSim { password, .. }
        | Command::SetPassword { password } => password.as_ref().is_none_or(String::is_empty),
        Command::ExportSealed { password } => password.is_empty(),
        _ => true,
    }
}

pub(super) fn script_seeds() -> Vec<Vec<u8>> {
    let new = ScriptWriter::default;
    let inner = |kind: u8, seq: u64, at: u64, body: &[u8]| {
        let head = new()
            .bytes(&[4, kind])
            .bytes(&[kind; 16])
            .bytes(&[1])
            .bytes(&seq.to_be_bytes());
        head.bytes(&[0]).bytes(&at.to_be_bytes()).chunk(body).finish()
    };
    let command = |command: &Command| new().bytes(&[7]).chunk(&command.to_bytes()).finish();
    let conversation = FRIENDS.conversation();
    let send = command(&Command::Send {
        conversation: conversation.clone(),
        id: "AgICAgICAgICAgICAgICAg".into(),
        text: "Hello".into(),
    });
    let conflict = new().bytes(&[9, 1]).bytes(&[0, 0, 0, 50, 0, 0, 0, 0]);
    let later = new().bytes(&[5, 0, 1, 0, 0]).finish();
    vec![
        inner(1, 1, 1_800_000_000_000, b"text"),
        [inner(1, 3, 1, b"late"), inner(1, 2, 1, b"early"), later.clone()].concat(),
        [inner(1, u64::MAX, 1, b"last"), later.clone(), inner(1, 1, u64::MAX, b"far")].concat(),
        [inner(128, 0, 1, &[0; 16]), inner(129, 0, 1, b"Robert"), inner(200, 0, 1, b"")].concat(),
        [send.clone(), vec![13], new().bytes(&[9, 0]).bytes(&[0; 8]).finish()].concat(),
        [command(&Command::Wake), later.clone(), vec![11], later.clone(), vec![12, 1, 0, 0, 1, 163, 0, 0, 0, 0]].concat(),
        [new().bytes(&[14]).bytes(&[1; 8]).finish(), vec![13], inner(1, 1, 1, b"again")].concat(),
        [
            command(&Command::SetName { name: "A".into() }),
            conflict.finish(),
            new()
                .bytes(&[10])
                .bytes(&7u64.to_be_bytes())
                .bytes(&[0x41])
                .bytes(&[0xff, 0xff, 0xff, 0xff, 1])
                .chunk(b"content")
                .finish(),
        ]
        .concat(),
        [
            command(&Command::Block { conversation: conversation.clone() }),
            vec![13],
            command(&Command::DeleteConversation { conversation }),
        ]
        .concat(),
        [vec![16], command(&Command::KeepLetter { id: "BAQEBAQEBAQEBAQEBAQEBA".into() })].concat(),
        new().bytes(&[3]).chunk(b"\x02newer").finish(),
        new().bytes(&[2]).chunk(&[9, 1, 2]).finish(),
        [
            command(&Command::CreateInvite {
                id: "AQIDBAUGBwgJCgsMDQ4PEA".into(),
                letter: None,
                name: None,
                ttl_seconds: 60,
            }),
            new()
                .bytes(&[8, 0])
                .chunk(br#"{"queue":"AQEBAQEBAQEBAQEBAQEBAQ","address":"AQEBAQEBAQEBAQEBAQEBAQ","address_token":"a"}"#)
                .finish(),
            new()
                .bytes(&[8, 1])
                .chunk(br#"{"invite":"a","invite_id":"AQEBAQEBAQEBAQEBAQEBAQ","expires_at":"9999-12-31T23:59:59Z"}"#)
                .finish(),
        ]
        .concat(),
    ]
}

impl super::side::Friends {
    /// How pages name Ada's conversation.
    fn conversation(&self) -> String {
        let key = self
            .ada
            .keys()
            .find(|key| key[0] == crate::table::CONTACTS)
            .expect("a contact");
        rly_protocol::to_base64url(&key[1..])
    }
}
