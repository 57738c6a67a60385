//! What waits to be sent on one socket: a bounded buffer between the engine and the socket's task.
//!
//! Live envelopes that find no room cut the connection, and so do answers that nobody reads; what is
//! caught up from the store waits for room instead.

use bytes::Bytes;
use parking_lot::Mutex;
use rly_protocol::{
    ErrorCode,
    frame::{Req, ServerFrame},
};
use std::{collections::VecDeque, sync::Arc};
use tokio::sync::Notify;

use crate::metrics::Counters;

/// Live envelopes that wait at most.
pub(crate) const DELIVERIES_MAX: usize = 256;
/// Answers that wait at most: they are small, and a sender may have many envelopes under way.
const ANSWERS_MAX: usize = 8_192;
/// Bytes that wait at most, of both kinds.
const BYTES_MAX: usize = 20 << 20;
/// How far catching up runs ahead of the socket.
const AHEAD_FRAMES: usize = 64;
const AHEAD_BYTES: usize = 1 << 20;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    Delivery,
    Answer,
}

#[derive(Default)]
struct Inner {
    frames: VecDeque<(Bytes, Class)>,
    deliveries: usize,
    bytes: usize,
    /// The Goodbye is in, nothing may follow.
    last: Option<ErrorCode>,
    /// The other side is gone.
    closed: bool,
}

impl Inner {
    fn push(&mut self, frame: Bytes, class: Class) {
        self.bytes += frame.len();
        self.deliveries += usize::from(class == Class::Delivery);
        self.frames.push_back((frame, class));
    }

    fn has_room_ahead(&self) -> bool {
        self.deliveries < AHEAD_FRAMES && self.bytes < AHEAD_BYTES
    }

    fn ended(&self) -> bool {
        self.closed || self.last.is_some()
    }
}

/// The connection cannot take this frame, and is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cut;

/// The buffer of one socket.
pub(crate) struct Outbox {
    inner: Mutex<Inner>,
    ready: Notify,
    room: Notify,
    counters: Arc<Counters>,
}

impl Outbox {
    pub fn new(counters: Arc<Counters>) -> Self {
        Self {
            inner: Mutex::default(),
            ready: Notify::new(),
            room: Notify::new(),
            counters,
        }
    }

    /// Appends an envelope that has just arrived.
    pub fn deliver(&self, frame: Bytes) -> Result<(), Cut> {
        self.push(frame, Class::Delivery)
    }

    /// Appends an answer.
    pub fn answer(&self, frame: &ServerFrame) {
        // Whoever is cut has lost nothing: unanswered requests are repeated.
        let _cut = self.push(frame.to_message(), Class::Answer);
    }

    /// Appends `Done`, the most frequent answer.
    pub fn done(&self, req: Req) {
        self.answer(&ServerFrame::Done { req });
    }

    /// Appends an envelope from the store if it is not too far ahead of the socket.
    pub fn catch_up(&self, frame: impl FnOnce() -> Bytes) -> bool {
        let mut inner = self.inner.lock();
        if inner.ended() || !inner.has_room_ahead() {
            return false;
        }
        inner.push(frame(), Class::Delivery);
        drop(inner);
        Counters::count(&self.counters.delivered);
        self.ready.notify_one();
        true
    }

    /// Waits until catching up may go on. False: the connection has ended.
    pub async fn room(&self) -> bool {
        loop {
            let mut freed = std::pin::pin!(self.room.notified());
            freed.as_mut().enable();
            {
                let inner = self.inner.lock();
                if inner.ended() {
                    return false;
                }
                if inner.has_room_ahead() {
                    return true;
                }
            }
            freed.await;
        }
    }

    /// Says goodbye after what is already there, unless that was said before.
    pub fn goodbye(&self, code: ErrorCode, retry_after: u32) {
        let mut inner = self.inner.lock();
        if !inner.ended() {
            Self::end(&mut inner, code, retry_after);
        }
        drop(inner);
        self.ready.notify_one();
        self.room.notify_waiters();
    }

    /// Why the connection ends, if it does.
    pub fn ending(&self) -> Option<ErrorCode> {
        let inner = self.inner.lock();
        inner.last.or(inner.closed.then_some(ErrorCode::Stopping))
    }

    /// The reading half is gone: nothing more comes, what is there may still be sent.
    pub fn close(&self) {
        self.inner.lock().closed = true;
        self.ready.notify_one();
        self.room.notify_waiters();
    }

    /// The next frame, if there is one.
    pub fn try_pop(&self) -> Option<Bytes> {
        let mut inner = self.inner.lock();
        let had_room = inner.has_room_ahead();
        let (frame, class) = inner.frames.pop_front()?;
        inner.bytes -= frame.len();
        inner.deliveries -= usize::from(class == Class::Delivery);
        let has_room = inner.has_room_ahead();
        drop(inner);
        if has_room && !had_room {
            self.room.notify_waiters();
        }
        Some(frame)
    }

    /// The next frame; `None` when there will be none.
    pub async fn pop(&self) -> Option<Bytes> {
        loop {
            if let Some(frame) = self.try_pop() {
                return Some(frame);
            }
            if self.inner.lock().ended() {
                // A frame may have come between the two looks.
                return self.try_pop();
            }
            self.ready.notified().await;
        }
    }

    fn push(&self, frame: Bytes, class: Class) -> Result<(), Cut> {
        let mut inner = self.inner.lock();
        if inner.ended() {
            return Err(Cut);
        }
        let full = match class {
            Class::Delivery => inner.deliveries >= DELIVERIES_MAX,
            Class::Answer => inner.frames.len() - inner.deliveries >= ANSWERS_MAX,
        };
        if full || inner.bytes + frame.len() > BYTES_MAX {
            // The socket is stuck: what it did not take would only delay the Goodbye.
            inner.frames.clear();
            inner.deliveries = 0;
            inner.bytes = 0;
            Self::end(&mut inner, ErrorCode::TooSlow, 1_000);
            drop(inner);
            Counters::count(&self.counters.too_slow);
            self.ready.notify_one();
            self.room.notify_waiters();
            return Err(Cut);
        }
        let was_empty = inner.frames.is_empty();
        inner.push(frame, class);
        drop(inner);
        if class == Class::Delivery {
            Counters::count(&self.counters.delivered);
        }
        // Otherwise the socket's task has been told already and is on its way.
        if was_empty {
            self.ready.notify_one();
        }
        Ok(())
    }

    fn end(inner: &mut Inner, code: ErrorCode, retry_after: u32) {
        let goodbye = ServerFrame::Goodbye {
            code: code.number(),
            retry_after,
        };
        inner.push(goodbye.to_message(), Class::Answer);
        inner.last = Some(code);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::sync::atomic::Ordering::Relaxed;

    fn outbox() -> Outbox {
        Outbox::new(Arc::default())
    }

    fn frame() -> Bytes {
        Bytes::from_static(&[1; 100])
    }

    #[tokio::test]
    async fn a_full_buffer_ends_with_goodbye_alone() {
        let outbox = outbox();
        for _ in 0..DELIVERIES_MAX {
            outbox.deliver(frame()).unwrap();
        }
        assert_eq!(outbox.deliver(frame()), Err(Cut));
        assert_eq!(outbox.ending(), Some(ErrorCode::TooSlow));
        let last = ServerFrame::from_message(outbox.pop().await.unwrap()).unwrap();
        assert!(matches!(last, ServerFrame::Goodbye { code, .. } if code == ErrorCode::TooSlow.number()));
        assert_eq!(outbox.pop().await, None);
        assert_eq!(outbox.counters.too_slow.load(Relaxed), 1);
    }

    #[tokio::test]
    async fn answers_and_bytes_are_bounded_too() {
        let many = outbox();
        for req in 0..=ANSWERS_MAX as u32 {
            many.done(req);
        }
        assert_eq!(many.ending(), Some(ErrorCode::TooSlow));
        let large = outbox();
        let page = Bytes::from(vec![0; 1 << 20]);
        for _ in 0..20 {
            large.deliver(page.clone()).unwrap();
        }
        assert_eq!(large.deliver(page), Err(Cut));
    }

    #[tokio::test]
    async fn catching_up_waits_for_room() {
        let outbox = Arc::new(outbox());
        let mut n = 0;
        while outbox.catch_up(frame) {
            n += 1;
        }
        assert_eq!(n, AHEAD_FRAMES);
        let waiter = tokio::spawn({
            let outbox = outbox.clone();
            async move { outbox.room().await }
        });
        tokio::task::yield_now().await;
        assert!(!waiter.is_finished());
        outbox.try_pop().unwrap();
        assert!(waiter.await.unwrap());
        while outbox.catch_up(frame) {}
        outbox.close();
        assert!(!outbox.room().await);
    }
}
