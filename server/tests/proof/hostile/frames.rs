//! Frames of every type on a websocket, and bytes that are none.

use super::{FRAMES, Known, Tally, bend, noise, one_in, peer};
use crate::{
    below,
    common::process::{PATIENCE, Server, Socket},
};
use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use rand_chacha::ChaCha20Rng;
use rand_core::RngCore;
use rly_protocol::{
    Address, EnvelopeId, ErrorCode, InviteId, PublicKey, QueueId, Signature, Timestamp,
    frame::{ClientFrame, Proof, ServerFrame, Ticket, VaultEntry},
    limits::{ENVELOPE_SIZES, FRAME_MAX},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};
use tokio_tungstenite::tungstenite::Message;

fn frame(rng: &mut ChaCha20Rng, known: &Known, ticket: &Ticket) -> ClientFrame {
    let req = rng.next_u32();
    let mut id = [0; 16];
    rng.fill_bytes(&mut id);
    let mine = !one_in(rng, 3);
    let queue = if mine { known.mailbox.queue } else { QueueId(id) };
    let address = if mine { known.mailbox.address } else { Address(id) };
    let mut raw = [0; 64];
    rng.fill_bytes(&mut raw);
    let signature = Signature(if one_in(rng, 2) { raw } else { [0; 64] });
    let seq = [0, 1, u64::MAX, u64::from(rng.next_u32())][below(rng, 4)];
    match below(rng, 10) {
        0 => {
            let mut ticket = ticket.clone();
            if one_in(rng, 2) {
                ticket.expires = Timestamp(seq);
            }
            let proof = if one_in(rng, 2) {
                Proof::Ticket { ticket }
            } else {
                Proof::Signed { signature }
            };
            ClientFrame::Subscribe { req, queue, proof }
        }
        1 => ClientFrame::Unsubscribe { req, queue },
        2 => ClientFrame::Ack { queue, seq },
        3 => {
            let sizes = [
                ENVELOPE_SIZES[below(rng, 5)],
                below(rng, 70_000),
                0,
                1,
                255,
                257,
                65_537,
            ];
            ClientFrame::Send {
                req,
                address,
                id: EnvelopeId(id),
                body: Bytes::from(vec![id[0]; sizes[below(rng, sizes.len())]]),
            }
        }
        4 => ClientFrame::DeleteQueue {
            req,
            // Its own it could rightly delete.
            queue: QueueId(id),
        },
        5 => {
            let invite = if mine {
                known.shared.invite_id
            } else {
                InviteId(id)
            };
            ClientFrame::WithdrawInvite { req, queue, invite }
        }
        6 => {
            let mut key = [4; 65];
            key[1..].copy_from_slice(&raw);
            let off_curve = PublicKey::try_from(&key[..]).unwrap();
            ClientFrame::OpenVault {
                req,
                key: if mine { known.key.public() } else { off_curve },
                signature,
            }
        }
        7 => ClientFrame::VaultRead {
            req,
            queue,
            from: seq as u32,
        },
        8 => {
            let entries = (0..below(rng, 70)).map(|_| VaultEntry {
                slot: [0, 1, 16_384, 16_385, u32::MAX][below(rng, 5)],
                blob: Bytes::from(noise(rng, 3_000)),
            });
            ClientFrame::VaultWrite {
                req,
                queue,
                expected: seq,
                entries: entries.collect(),
            }
        }
        _ => ClientFrame::Ping { nonce: seq },
    }
}

/// `form`: a frame by its form, whatever is in it; otherwise it may be none.
fn message(rng: &mut ChaCha20Rng, known: &Known, ticket: &Ticket, form: bool, tally: &Tally) -> Message {
    let frame = frame(rng, known, ticket);
    let mut bytes = frame.to_message().to_vec();
    tally.count(format!("frame {:#04x}", bytes[1]));
    match below(rng, 24) {
        _ if form => {}
        0 => return Message::Text("{\"type\":\"subscribe\"}".into()),
        1 => return Message::Binary(noise(rng, 600).into()),
        2 => bytes[0] = rng.next_u32() as u8,
        3 => bytes[1] = rng.next_u32() as u8,
        4 => bytes.resize(FRAME_MAX + 1 + below(rng, 9), 1),
        5 => return Message::Ping(noise(rng, 125).into()),
        6 => return Message::Pong(noise(rng, 125).into()),
        7..=11 => bend(rng, &mut bytes),
        _ => {}
    }
    Message::Binary(bytes.into())
}

/// Frames in any order on one socket, then a ping: it is answered, or the server has said goodbye.
pub(super) async fn talk(server: &Server, rng: &mut ChaCha20Rng, known: &Known, tally: &Tally) {
    let peer = peer(rng);
    let mut socket = Socket::open_as(server, &peer, None).await;
    let mut ticket = Ticket {
        expires: Timestamp(u64::MAX),
        mac: [0; 32],
    };
    if one_in(rng, 2) {
        socket.ask_to_read(0, &known.key, &known.mailbox).await.unwrap();
        while let Some(frame) = socket.next().await {
            if let ServerFrame::Subscribed { ticket: true_one, .. } = frame {
                ticket = true_one;
                break;
            }
        }
    }
    // One that is no frame ends the connection, and what comes after it is not looked at.
    let form = one_in(rng, 2);
    for _ in 0..FRAMES {
        let message = message(rng, known, &ticket, form, tally);
        // Who was refused early is cut while it still sends.
        let _ = socket.stream.send(message).await;
    }
    let nonce = rng.next_u64();
    let _ = socket.try_send(ClientFrame::Ping { nonce }).await;
    let mut said_goodbye = None;
    loop {
        let message = timeout(PATIENCE, socket.stream.next()).await.expect("silence");
        let frame = match message {
            Some(Ok(Message::Binary(frame))) => {
                ServerFrame::from_message(frame).expect("a frame of the server")
            }
            Some(Ok(_)) => continue,
            // Cut in the middle of sending, for what is no frame at all.
            None | Some(Err(_)) => break,
        };
        assert_eq!(said_goodbye, None, "after the goodbye: {frame:?}");
        match frame {
            ServerFrame::Pong { nonce: back } if back == nonce => {
                tally.count("pong");
                return;
            }
            ServerFrame::Error { code, .. } => {
                let code = ErrorCode::from_number(code).expect("a known code");
                assert!(
                    !matches!(code, ErrorCode::Internal | ErrorCode::Unavailable),
                    "{code}"
                );
                tally.count(format!("error {code}"));
            }
            ServerFrame::Goodbye { code, .. } => {
                let code = ErrorCode::from_number(code).expect("a known code");
                let fit = [
                    ErrorCode::FrameInvalid,
                    ErrorCode::VersionUnsupported,
                    ErrorCode::TooLarge,
                ];
                assert!(fit.contains(&code), "{code}");
                tally.count(format!("goodbye {code}"));
                said_goodbye = Some(code);
            }
            _ => {}
        }
    }
    tally.count("socket ended");
}

/// What is no websocket frame (RFC 6455, section 5), on an open websocket.
pub(super) async fn babble(server: &Server, rng: &mut ChaCha20Rng, tally: &Tally) {
    let mut stream = TcpStream::connect(server.host()).await.unwrap();
    let open = format!(
        "GET /ws HTTP/1.1\r\nHost: {}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nX-Forwarded-For: {}\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        server.host(),
        peer(rng)
    );
    stream.write_all(open.as_bytes()).await.unwrap();
    // Read before the babble: who refuses early may reset, and what was not read by then is lost.
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        let byte = timeout(PATIENCE, stream.read_u8()).await.expect("no answer");
        answer.push(byte.unwrap());
    }
    assert!(
        answer.starts_with(b"HTTP/1.1 101"),
        "{:?}",
        String::from_utf8_lossy(&answer)
    );
    let bytes: Vec<u8> = match below(rng, 10) {
        0 => vec![0x82, 0x02, 1, 0x0a],
        1 => vec![0x83, 0x80, 0, 0, 0, 0],
        2 => vec![0xf2, 0x80, 0, 0, 0, 0],
        3 => vec![0x09, 0x80, 0, 0, 0, 0],
        4 => [&[0x89, 0xfe, 0x00, 0xff, 0, 0, 0, 0][..], &[0; 255]].concat(),
        5 => vec![0x81, 0x82, 0, 0, 0, 0, 0xff, 0xfe],
        6 => [&[0x82, 0xff][..], &u64::MAX.to_be_bytes(), &[0; 4]].concat(),
        7 => vec![0x80, 0x80, 0, 0, 0, 0],
        8 => vec![0x88, 0x82, 0, 0, 0, 0, 0, 0],
        _ => noise(rng, 400),
    };
    let _ = stream.write_all(&bytes).await;
    let _ = stream.shutdown().await;
    let mut rest = Vec::new();
    let _ = timeout(PATIENCE, stream.read_to_end(&mut rest))
        .await
        .expect("no end");
    tally.count("babble");
}
