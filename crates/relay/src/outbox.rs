//! What waits to be sent on one socket: a bounded buffer between the engine and the socket's task.
//!
//! Live envelopes that find no room cut the connection, and so do answers that nobody reads; what is
//! caught up from the store waits for room instead.

use crate::{message::Message, metrics::Counters, reply::Load};
use parking_lot::Mutex;
use rly_protocol::{
    ErrorCode,
    frame::{Req, ServerFrame},
};
use std::{collections::VecDeque, sync::Arc};
use tokio::sync::Notify;

/// Live envelopes that wait at most.
pub(crate) const DELIVERIES_MAX: usize = 256;
/// Answers that wait at most: they are small, and a sender may have many envelopes under way.
const ANSWERS_MAX: usize = 8_192;
/// Bytes that wait at most, of both kinds.
const BYTES_MAX: usize = 20 << 20;
/// How far catching up runs ahead of the socket.
const AHEAD_FRAMES: usize = 128;
const AHEAD_BYTES: usize = 1 << 20;

#[derive(Default)]
struct Inner {
    messages: VecDeque<Message>,
    deliveries: usize,
    bytes: usize,
    /// The Goodbye is in, nothing may follow.
    last: Option<ErrorCode>,
    /// The other side is gone.
    closed: bool,
}

impl Inner {
    fn push(&mut self, message: Message) {
        self.bytes += message.size();
        self.deliveries += usize::from(message.is_delivery());
        self.messages.push_back(message);
    }

    fn pop(&mut self) -> Option<Message> {
        let message = self.messages.pop_front()?;
        self.bytes -= message.size();
        self.deliveries -= usize::from(message.is_delivery());
        Some(message)
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
    pub load: Arc<Load>,
}

impl Outbox {
    pub fn new(load: Arc<Load>) -> Self {
        Self {
            inner: Mutex::default(),
            ready: Notify::new(),
            room: Notify::new(),
            load,
        }
    }

    /// Appends an envelope that has just arrived.
    pub fn deliver(&self, message: Message) -> Result<(), Cut> {
        self.push(message)
    }

    /// Appends an answer.
    pub fn answer(&self, frame: &ServerFrame) {
        // Whoever is cut has lost nothing: unanswered requests are repeated.
        let _cut = self.push(Message::answer(frame));
    }

    /// Appends `Done`, the most frequent answer.
    pub fn done(&self, req: Req) {
        self.answer(&ServerFrame::Done { req });
    }

    /// Appends an envelope from the store if it is not too far ahead of the socket.
    pub fn catch_up(&self, message: impl FnOnce() -> Message) -> bool {
        let mut inner = self.inner.lock();
        if inner.ended() || !inner.has_room_ahead() {
            return false;
        }
        let was_empty = inner.messages.is_empty();
        inner.push(message());
        drop(inner);
        Counters::count(&self.load.counters.delivered);
        if was_empty {
            self.ready.notify_one();
        }
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

    /// Takes what is there, about `most` bytes, at least one message.
    pub fn try_take(&self, most: usize, into: &mut Vec<Message>) -> bool {
        let mut inner = self.inner.lock();
        let had_room = inner.has_room_ahead();
        let mut bytes = 0;
        while bytes < most
            && let Some(message) = inner.pop()
        {
            bytes += message.size();
            into.push(message);
        }
        if inner.messages.is_empty() {
            // An idle connection should cost little.
            inner.messages = VecDeque::new();
        }
        let has_room = inner.has_room_ahead();
        drop(inner);
        if has_room && !had_room {
            self.room.notify_waiters();
        }
        bytes > 0
    }

    /// Waits for messages and takes about `most` bytes of them; false when there will be none.
    pub async fn take(&self, most: usize, into: &mut Vec<Message>) -> bool {
        loop {
            if self.try_take(most, into) {
                return true;
            }
            if self.inner.lock().ended() {
                // A message may have come between the two looks.
                return self.try_take(most, into);
            }
            self.ready.notified().await;
        }
    }

    fn push(&self, message: Message) -> Result<(), Cut> {
        let delivery = message.is_delivery();
        let mut inner = self.inner.lock();
        if inner.ended() {
            return Err(Cut);
        }
        let full = if delivery {
            inner.deliveries >= DELIVERIES_MAX
        } else {
            inner.messages.len() - inner.deliveries >= ANSWERS_MAX
        };
        if full || inner.bytes + message.size() > BYTES_MAX {
            // The socket is stuck: what it did not take would only delay the Goodbye.
            inner.messages.clear();
            inner.deliveries = 0;
            inner.bytes = 0;
            Self::end(&mut inner, ErrorCode::TooSlow, 1_000);
            drop(inner);
            Counters::count(&self.load.counters.too_slow);
            self.ready.notify_one();
            self.room.notify_waiters();
            return Err(Cut);
        }
        let was_empty = inner.messages.is_empty();
        inner.push(message);
        drop(inner);
        if delivery {
            Counters::count(&self.load.counters.delivered);
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
        inner.push(Message::answer(&goodbye));
        inner.last = Some(code);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::queue::Deliverable;
    use bytes::Bytes;
    use rly_protocol::{EnvelopeId, QueueId, frame::Kind};
    use std::sync::atomic::Ordering::Relaxed;

    fn outbox() -> Outbox {
        Outbox::new(Arc::new(Load::new(Arc::default())))
    }

    fn message(size: usize) -> Message {
        let envelope = Deliverable {
            seq: 1,
            id: EnvelopeId([1; 16]),
            kind: Kind::Envelope,
            body: Bytes::from(vec![1; size]),
        };
        Message::deliver(QueueId([1; 16]), envelope)
    }

    #[tokio::test]
    async fn a_full_buffer_ends_with_goodbye_alone() {
        let outbox = outbox();
        for _ in 0..DELIVERIES_MAX {
            outbox.deliver(message(100)).unwrap();
        }
        assert_eq!(outbox.deliver(message(100)), Err(Cut));
        assert_eq!(outbox.ending(), Some(ErrorCode::TooSlow));
        let mut taken = Vec::new();
        assert!(outbox.take(usize::MAX, &mut taken).await);
        let mut last = Vec::new();
        taken.pop().unwrap().append_to(&mut last);
        let last = ServerFrame::from_message(last.into()).unwrap();
        assert!(matches!(last, ServerFrame::Goodbye { code, .. } if code == ErrorCode::TooSlow.number()));
        assert!(taken.is_empty());
        assert!(!outbox.take(usize::MAX, &mut taken).await);
        assert_eq!(outbox.load.counters.too_slow.load(Relaxed), 1);
    }

    #[tokio::test]
    async fn as_much_is_taken_as_asked_for_and_in_order() {
        let outbox = outbox();
        for req in 0..100 {
            outbox.done(req);
        }
        let mut taken = Vec::new();
        assert!(outbox.take(1, &mut taken).await);
        assert_eq!(taken.len(), 1);
        assert!(outbox.take(13, &mut taken).await);
        assert_eq!(taken.len(), 1 + 3, "three of six bytes reach thirteen");
        assert!(outbox.take(usize::MAX, &mut taken).await);
        let mut bytes = Vec::new();
        taken
            .into_iter()
            .for_each(|message| message.append_to(&mut bytes));
        let expected = (0..100).flat_map(|req| ServerFrame::Done { req }.to_message());
        assert!(bytes.into_iter().eq(expected));
    }

    #[tokio::test]
    async fn answers_and_bytes_are_bounded_too() {
        let many = outbox();
        for req in 0..=ANSWERS_MAX as u32 {
            many.done(req);
        }
        assert_eq!(many.ending(), Some(ErrorCode::TooSlow));
        let large = outbox();
        let page = || message((1 << 20) - 47);
        for _ in 0..20 {
            large.deliver(page()).unwrap();
        }
        assert_eq!(large.deliver(page()), Err(Cut));
    }

    #[tokio::test]
    async fn catching_up_waits_for_room() {
        let outbox = Arc::new(outbox());
        let mut n = 0;
        while outbox.catch_up(|| message(100)) {
            n += 1;
        }
        assert_eq!(n, AHEAD_FRAMES);
        let waiter = tokio::spawn({
            let outbox = outbox.clone();
            async move { outbox.room().await }
        });
        tokio::task::yield_now().await;
        assert!(!waiter.is_finished());
        assert!(outbox.try_take(1, &mut Vec::new()));
        assert!(waiter.await.unwrap());
        while outbox.catch_up(|| message(100)) {}
        outbox.close();
        assert!(!outbox.room().await);
    }
}
