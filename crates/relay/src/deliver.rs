//! Giving envelopes to readers: at once, after a pause, or from the store until a reader is live.

use crate::{
    cells::{Cell, CellState},
    engine::Engine,
    message::Message,
    outbox::Outbox,
    queue::{Next, Page},
};
use std::{pin::pin, sync::Arc, time::Duration};

/// Envelopes that others have stored, read at once: few enough to be held in memory at their largest.
const NEWS: u32 = 64;

/// Gives a live reader what was held back.
pub(crate) fn give_ready(cell: &Cell, state: &mut CellState) {
    while let Some((number, outbox, envelope)) = state.queue.ready() {
        let seq = envelope.seq;
        if outbox.deliver(Message::deliver(cell.id, envelope)).is_err() {
            state.queue.detach();
            return;
        }
        state.queue.delivered(number, seq);
    }
}

/// Something was stored for a queue by somebody else, or its reader is new: gives it what there is.
pub(crate) fn wake(engine: &Arc<Engine>, cell: &Arc<Cell>) {
    let mut state = cell.state.lock();
    state.woken = true;
    // Who catches up looks once more at the end; where nobody reads there is nothing to do.
    let behind = state.queue.fall_behind();
    drop(state);
    if let Some((number, outbox)) = behind {
        tokio::spawn(catch_up(engine.clone(), cell.clone(), number, outbox));
    }
}

enum Pause {
    Room,
    News { after: u64 },
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
                        if !outbox.catch_up(|| Message::deliver(cell.id, envelope)) {
                            break Pause::Room;
                        }
                        state.queue.delivered(number, seq);
                    }
                    Next::Fetch { after, limit, until } => break Pause::Fetch { after, limit, until },
                    Next::Wait => break Pause::Settled,
                    Next::Live if std::mem::take(&mut state.woken) => {
                        state.queue.fall_behind();
                        let after = state.queue.newest();
                        break Pause::News { after };
                    }
                    Next::Live | Next::Stop => return,
                }
            }
        };
        match pause {
            Pause::Room => {}
            Pause::Settled => settled.await,
            Pause::News { after } => match engine.store.page(cell.id, after, NEWS).await {
                Ok(rows) => {
                    let mut state = cell.state.lock();
                    state.woken |= rows.len() >= NEWS as usize;
                    state.queue.learn(rows);
                }
                Err(error) => {
                    tracing::warn!(%error, "reading from the store failed");
                    cell.state.lock().woken = true;
                    tokio::time::sleep(Duration::from_millis(500)).await;
                }
            },
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
