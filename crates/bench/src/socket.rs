//! The client's side of a websocket, as cheap as it can be: the load is made on the same cores as what
//! it measures. One read and one write for many frames, no buffers beside these two.

use crate::Failure;
use rand_core::{OsRng, RngCore};
use rly_protocol::frame::ServerFrame;
use std::{io, net::SocketAddr};
use tokio::{io::Interest, net::TcpStream};

/// Read at once at most.
const CHUNK: usize = 64 << 10;

/// One websocket.
pub(crate) struct Socket {
    stream: TcpStream,
    input: Vec<u8>,
    /// Where the next frame begins in `input`.
    at: usize,
    output: Vec<u8>,
    /// How much of `output` is written.
    written: usize,
    mask: u64,
}

impl Socket {
    /// Opens a websocket at a path.
    pub async fn open(server: SocketAddr, path: &str) -> Result<Self, Failure> {
        let stream = TcpStream::connect(server).await?;
        stream.set_nodelay(true)?;
        let mut socket = Self {
            stream,
            input: Vec::new(),
            at: 0,
            output: Vec::new(),
            written: 0,
            mask: OsRng.next_u64() | 1,
        };
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: {server}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
        );
        socket.output.extend_from_slice(request.as_bytes());
        while socket.end_of_head().is_none() {
            socket.pump().await?;
        }
        if !socket.input.starts_with(b"HTTP/1.1 101 ") {
            return Err("the server did not open a websocket".into());
        }
        socket.at = socket.end_of_head().unwrap_or_default();
        Ok(socket)
    }

    fn end_of_head(&self) -> Option<usize> {
        let end = b"\r\n\r\n";
        let at = self.input.windows(end.len()).position(|bytes| bytes == end)?;
        Some(at + end.len())
    }

    /// Appends a binary frame made of these parts. It is sent by [`Self::write`] or [`Self::pump`].
    pub fn put(&mut self, parts: &[&[u8]]) {
        put(&mut self.output, &mut self.mask, parts);
    }

    /// Calls `on` with each whole frame that has arrived; it may append frames of its own.
    pub fn frames(
        &mut self,
        mut on: impl FnMut(&[u8], &mut dyn FnMut(&[&[u8]])) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        while let Some((head, len)) = frame(&self.input[self.at..]) {
            let Some(body) = self.input[self.at..].get(head..head + len) else {
                break;
            };
            match self.input[self.at] & 0x0f {
                2 => on(body, &mut |parts| put(&mut self.output, &mut self.mask, parts))?,
                8 => return Err("the server closed the websocket".into()),
                _ => {}
            }
            self.at += head + len;
        }
        // What is left of a frame goes to the front.
        self.input.drain(..self.at);
        self.at = 0;
        Ok(())
    }

    /// The next whole frame.
    pub async fn one(&mut self) -> Result<Vec<u8>, Failure> {
        loop {
            if let Some(frame) = self.take_one() {
                return Ok(frame);
            }
            self.pump().await?;
        }
    }

    /// The next frame of the product.
    pub async fn server_frame(&mut self) -> Result<Option<ServerFrame>, Failure> {
        Ok(ServerFrame::from_message(self.one().await?.into()).ok())
    }

    /// What the product's Hello, the first of its frames, asks to sign.
    pub async fn nonce(&mut self) -> Result<[u8; 32], Failure> {
        loop {
            if let Some(ServerFrame::Hello { nonce, .. }) = self.server_frame().await? {
                return Ok(nonce);
            }
        }
    }

    fn take_one(&mut self) -> Option<Vec<u8>> {
        let (head, len) = frame(&self.input[self.at..])?;
        let body = self.input[self.at..].get(head..head + len)?.to_vec();
        self.at += head + len;
        Some(body)
    }

    /// Writes as much as the socket takes now.
    pub fn write(&mut self) -> Result<(), Failure> {
        while self.written < self.output.len() {
            match self.stream.try_write(&self.output[self.written..]) {
                Ok(n) => self.written += n,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
        self.output.clear();
        self.written = 0;
        Ok(())
    }

    /// Writes what there is to write and waits until something has arrived. Dropping the future loses
    /// nothing.
    pub async fn pump(&mut self) -> Result<(), Failure> {
        loop {
            self.write()?;
            let interest = if self.output.is_empty() {
                Interest::READABLE
            } else {
                Interest::READABLE | Interest::WRITABLE
            };
            let ready = self.stream.ready(interest).await?;
            if ready.is_readable() {
                self.input.reserve(CHUNK);
                match self.stream.try_read_buf(&mut self.input) {
                    Ok(0) => return Err("the server closed the connection".into()),
                    Ok(_) => return Ok(()),
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    Err(error) => return Err(error.into()),
                }
            }
        }
    }

    /// Gives back the memory of buffers that are not used for now.
    pub fn shrink(&mut self) {
        self.input.shrink_to_fit();
        self.output.shrink_to_fit();
    }
}

/// Lengths of head and body of the frame at the front, if the head is there. Servers do not mask.
fn frame(bytes: &[u8]) -> Option<(usize, usize)> {
    let len = usize::from(bytes.get(1)? & 0x7f);
    match len {
        126 => Some((4, u16::from_be_bytes(*bytes[2..].first_chunk()?).into())),
        127 => {
            let len = u64::from_be_bytes(*bytes[2..].first_chunk()?);
            Some((10, usize::try_from(len).unwrap_or(usize::MAX)))
        }
        len => Some((2, len)),
    }
}

fn put(output: &mut Vec<u8>, mask: &mut u64, parts: &[&[u8]]) {
    // Any sequence will do here: what masks protect from is not on this machine.
    *mask ^= *mask << 13;
    *mask ^= *mask >> 7;
    *mask ^= *mask << 17;
    let key = (*mask as u32).to_ne_bytes();
    let len: usize = parts.iter().map(|part| part.len()).sum();
    output.push(0x82);
    if len < 126 {
        output.push(0x80 | len as u8);
    } else if let Ok(len) = u16::try_from(len) {
        output.push(0x80 | 126);
        output.extend_from_slice(&len.to_be_bytes());
    } else {
        output.push(0x80 | 127);
        output.extend_from_slice(&(len as u64).to_be_bytes());
    }
    output.extend_from_slice(&key);
    let at = output.len();
    for part in parts {
        output.extend_from_slice(part);
    }
    let word = u64::from_ne_bytes([key[0], key[1], key[2], key[3], key[0], key[1], key[2], key[3]]);
    let mut chunks = output[at..].chunks_exact_mut(8);
    for chunk in &mut chunks {
        if let Some(bytes) = chunk.first_chunk_mut::<8>() {
            *bytes = (u64::from_ne_bytes(*bytes) ^ word).to_ne_bytes();
        }
    }
    for (byte, key) in chunks.into_remainder().iter_mut().zip(key.iter().cycle()) {
        *byte ^= key;
    }
}
