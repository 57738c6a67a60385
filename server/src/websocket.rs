//! `GET /ws`: carries frames between a socket and the relay. What they mean is the relay's affair.

use crate::{error::ApiRefusal, peer::Remote, router::Parts};
use axum::{
    Extension,
    extract::{
        State,
        ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade, rejection::WebSocketUpgradeRejection},
    },
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use futures_util::{
    FutureExt, SinkExt, StreamExt,
    stream::{SplitSink, SplitStream},
};
use http::{HeaderMap, header};
use rly_protocol::{ErrorCode, limits::FRAME_MAX};
use rly_relay::{Incoming, Outgoing};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::time::{Instant, MissedTickBehavior, interval_at, timeout};

/// What one idle connection holds in memory is mostly this buffer.
const READ_BUFFER: usize = 8 << 10;
/// Frames are collected up to here before they are written.
const WRITE_BUFFER: usize = 32 << 10;
/// Frames written before a flush.
const BATCH: usize = 64;
/// How often the server asks whether somebody is there.
const PING: Duration = Duration::from_secs(30);
/// Pings without any sign of life after which the connection is given up.
const SILENT_PINGS: u32 = 3;
/// How long a write may take.
const WRITE_TIME: Duration = Duration::from_secs(30);
/// How long the other side has to answer a close. A socket that is dropped with unread data is
/// reset, and the goodbye on its way would be lost with it.
const CLOSE_TIME: Duration = Duration::from_secs(2);

/// Answers the upgrade and serves the socket until it ends.
pub(crate) async fn upgrade(
    State(parts): State<Arc<Parts>>,
    Extension(remote): Extension<Remote>,
    headers: HeaderMap,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Response {
    let Ok(upgrade) = upgrade else {
        return ApiRefusal::from(ErrorCode::UpgradeRequired).into_response();
    };
    // Browsers always say from which page a socket comes, and let any page open one.
    let origins = headers.get_all(header::ORIGIN);
    if !origins.iter().all(|origin| parts.public.is_origin(origin)) {
        return ApiRefusal::from(ErrorCode::ForeignOrigin).into_response();
    }
    let connection = match parts.relay.connect(parts.proxies.client(remote, &headers)) {
        Ok(connection) => connection,
        Err(refusal) => return ApiRefusal::from(refusal).into_response(),
    };
    let token = parts.sockets.token();
    upgrade
        .read_buffer_size(READ_BUFFER)
        .write_buffer_size(WRITE_BUFFER)
        .max_message_size(FRAME_MAX)
        .max_frame_size(FRAME_MAX)
        .on_upgrade(async move |socket| {
            // Held until the socket has ended, so that a stop can wait for it.
            let _token = token;
            // In boxes: a future holds what it is given as often as it is handed on.
            let (incoming, outgoing) = connection.split();
            let (incoming, outgoing) = (Box::new(incoming), Box::new(outgoing));
            let (sink, stream) = socket.split();
            Box::pin(session(Box::new(sink), stream, incoming, outgoing)).await;
        })
}

type Sink = SplitSink<WebSocket, Message>;

/// Both directions in one task: an idle connection is one small future.
async fn session(
    sink: Box<Sink>,
    mut stream: SplitStream<WebSocket>,
    incoming: Box<Incoming>,
    outgoing: Box<Outgoing>,
) {
    let heard = AtomicBool::new(true);
    let mut writing = std::pin::pin!(write(sink, outgoing, &heard));
    let closed = tokio::select! {
        closed = &mut writing => closed,
        end = read(&mut stream, incoming, &heard) => match end {
            End::Gone => return,
            // The goodbye is on its way: the writer ends after it.
            End::Refused => writing.await,
        },
    };
    if closed {
        // Whether they answer or not, this is the end.
        let _ = timeout(CLOSE_TIME, async {
            while let Some(Ok(_)) = stream.next().await {}
        })
        .await;
    }
}

enum End {
    /// Nobody is there.
    Gone,
    /// The relay said goodbye.
    Refused,
}

async fn read(stream: &mut SplitStream<WebSocket>, mut incoming: Box<Incoming>, heard: &AtomicBool) -> End {
    while let Some(message) = next(stream, &mut incoming).await {
        heard.store(true, Relaxed);
        let frame = match message {
            Ok(Message::Binary(frame)) => frame,
            // A text is no frame: the relay refuses it as it refuses an empty one.
            Ok(Message::Text(_)) => Bytes::new(),
            Ok(Message::Ping(_) | Message::Pong(_)) => continue,
            Ok(Message::Close(_)) | Err(_) => return End::Gone,
        };
        if incoming.handle(frame).await.is_err() {
            return End::Refused;
        }
    }
    End::Gone
}

/// The next message. Before it waits for one that has not come, what waited for that is done.
async fn next(
    stream: &mut SplitStream<WebSocket>,
    incoming: &mut Incoming,
) -> Option<Result<Message, axum::Error>> {
    if incoming.waits() {
        if let Some(message) = stream.next().now_or_never() {
            return message;
        }
        incoming.rest();
    }
    stream.next().await
}

/// True: everything was written, a close frame at the end.
async fn write(mut sink: Box<Sink>, mut outgoing: Box<Outgoing>, heard: &AtomicBool) -> bool {
    let mut pings = interval_at(Instant::now() + PING, PING);
    pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut silent = 0;
    loop {
        let written = tokio::select! {
            frame = outgoing.next() => match frame {
                Some(frame) => timeout(WRITE_TIME, batch(&mut sink, frame, &mut outgoing)).await,
                None => {
                    let goodbye = Message::Close(Some(CloseFrame { code: 1000, reason: "".into() }));
                    return matches!(timeout(WRITE_TIME, sink.send(goodbye)).await, Ok(Ok(())));
                }
            },
            _ = pings.tick() => {
                silent = if heard.swap(false, Relaxed) { 0 } else { silent + 1 };
                if silent >= SILENT_PINGS {
                    return false;
                }
                timeout(WRITE_TIME, sink.send(Message::Ping(Bytes::new()))).await
            }
        };
        if !matches!(written, Ok(Ok(()))) {
            return false;
        }
    }
}

/// Writes what is there now, then flushes once: a syscall for each frame would cost more than the frame.
async fn batch(sink: &mut Sink, first: Bytes, outgoing: &mut Outgoing) -> Result<(), axum::Error> {
    sink.feed(Message::Binary(first)).await?;
    for _ in 1..BATCH {
        match outgoing.try_next() {
            Some(frame) => sink.feed(Message::Binary(frame)).await?,
            None => break,
        }
    }
    sink.flush().await
}
