//! Giving envelopes to readers: at once, after a pause, or from the store until a reader is live.

use crate::{
    cells::{Cell, CellState},
    engine::Engine,
    outbox::Outbox,
    queue::{Deliverable, Next, Page},
};
use bytes::Bytes;
use rly_protocol::{
    QueueId, Writer,
    frame::{ServerFrame, VERSION},
};
use std::{pin::pin, sync::Arc, time::Duration};

/// Bytes of a Deliver frame beside the body.
const OVERHEAD: usize = 1 + 1 + 16 + 8 + 1 + 16 + 4;

/// The frame for an envelope, encoded once and in one piece.
pub(crate) fn frame(queue: QueueId, envelope: Deliverable) -> Bytes {
    let mut to = Writer::with_capacity(OVERHEAD + envelope.body.len());
    to.put(&VERSION);
    to.put(&ServerFrame::Deliver {
        queue,
        seq: envelope.seq,
        kind: envelope.kind,
        id: envelope.id,
        body: envelope.body,
    });
    to.finish().into()
}

/// Gives a live reader what was held back.
pub(crate) fn give_ready(cell: &Cell, state: &mut CellState) {
    while let Some((number, outbox, envelope)) = state.queue.ready() {
        let seq = envelope.seq;
        if outbox.deliver(frame(cell.id, envelope)).is_err() {
            state.queue.detach();
            return;
        }
        state.queue.delivered(number, seq);
    }
}

enum Pause {
    Room,
    Settled,
    Fetch { after: u64, limit: u32, until: u64 },
}

/// Gives a reader everything that waits, never far ahead of its socket, until it is live.
pub(crate) async fn catch_up(engine: Arc<Engine>, cell: Arc<Cell>, number: u64, outbox: Arc<Outbox>) {
    let mut page = Page::default();
    while outbox.room().await {
        let mut settled = pin!(cell.settled.notified());
        settled.as_mut().enable();
        let pause = {
            let mut state = cell.state.lock();
            loop {
                match state.queue.next(number, &mut page) {
                    Next::Deliver(envelope) => {
                        let seq = envelope.seq;
                        if !outbox.catch_up(|| frame(cell.id, envelope)) {
                            break Pause::Room;
                        }
                        state.queue.delivered(number, seq);
                    }
                    Next::Fetch { after, limit, until } => break Pause::Fetch { after, limit, until },
                    Next::Wait => break Pause::Settled,
                    Next::Live | Next::Stop => return,
                }
            }
        };
        match pause {
            Pause::Room => {}
            Pause::Settled => settled.await,
            Pause::Fetch { after, limit, until } => match engine.store.page(cell.id, after, limit).await {
                Ok(rows) => page = Page::read(rows, limit, until),
                Err(error) => {
                    tracing::warn!(%error, "reading from the store failed");
                    tokio::time::sleep(Duration::from_millis(500)).await;
                }
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rly_protocol::{EnvelopeId, frame::Kind};

    #[test]
    fn a_frame_is_one_allocation_of_the_right_size() {
        let envelope = Deliverable {
            seq: 7,
            id: EnvelopeId([1; 16]),
            kind: Kind::Envelope,
            body: Bytes::from_static(&[2; 256]),
        };
        let frame = frame(QueueId([3; 16]), envelope);
        assert_eq!(frame.len(), OVERHEAD + 256);
        assert!(matches!(
            ServerFrame::from_message(frame),
            Ok(ServerFrame::Deliver { seq: 7, .. })
        ));
    }
}
