//! Pages of envelopes, read for many readers in one statement: what waits while a statement is under way goes
//! along with the next one. So the more readers there are, the less each of them costs.

use super::{PostgresStore, Sql, blob, fixed, int, kind, number};
use crate::store::{Envelope, StoreError};
use parking_lot::Mutex;
use rly_protocol::{EnvelopeId, QueueId, Timestamp};
use sqlx::PgPool;
use std::{collections::VecDeque, sync::Arc};
use tokio::sync::oneshot;

/// Statements under way at once: a large page does not hold up all others.
const READERS: usize = 2;
/// Rows in one statement, about: they are in memory together, 64 MiB at their largest.
const ROWS: u32 = 1_024;

/// A page that somebody wants.
#[derive(Clone, Copy)]
struct Wanted {
    queue: QueueId,
    after: u64,
    limit: u32,
}

type Answer = oneshot::Sender<Result<Vec<Envelope>, StoreError>>;

#[derive(Default)]
struct State {
    waiting: VecDeque<(Wanted, Answer)>,
    readers: usize,
}

/// What is wanted and not read yet.
#[derive(Clone, Default)]
pub(super) struct Pages(Arc<Mutex<State>>);

impl PostgresStore {
    pub(super) async fn envelopes(
        &self,
        queue: QueueId,
        after: u64,
        limit: u32,
    ) -> Result<Vec<Envelope>, StoreError> {
        let (answer, page) = oneshot::channel();
        let begin = {
            let mut state = self.pages.0.lock();
            state.waiting.push_back((Wanted { queue, after, limit }, answer));
            let begin = state.readers < READERS;
            state.readers += usize::from(begin);
            begin
        };
        if begin {
            tokio::spawn(self.clone().read_pages());
        }
        page.await
            .unwrap_or_else(|_| Err(StoreError::Failed("reading was given up".into())))
    }

    async fn read_pages(self) {
        loop {
            let (wanted, answers): (Vec<Wanted>, Vec<Answer>) = {
                let mut state = self.pages.0.lock();
                let mut rows = 0;
                let fits = |(wanted, _): &&(Wanted, Answer)| {
                    let fits = rows < ROWS;
                    rows = rows.saturating_add(wanted.limit);
                    fits
                };
                let count = state.waiting.iter().take_while(fits).count();
                if count == 0 {
                    state.readers -= 1;
                    return;
                }
                state.waiting.drain(..count).unzip()
            };
            let wanted: Arc<[Wanted]> = wanted.into();
            // Whoever asked may have gone meanwhile.
            match self.run(|pool| read(pool, wanted.clone())).await {
                Ok(pages) => {
                    for (answer, page) in answers.into_iter().zip(pages) {
                        let _ = answer.send(Ok(page));
                    }
                }
                Err(error) => {
                    for answer in answers {
                        let _ = answer.send(Err(error.clone()));
                    }
                }
            }
        }
    }
}

async fn read(pool: PgPool, wanted: Arc<[Wanted]>) -> Sql<Vec<Vec<Envelope>>> {
    let queues: Vec<&[u8]> = wanted.iter().map(|one| &one.queue.0[..]).collect();
    let after: Vec<i64> = wanted.iter().map(|one| int(one.after)).collect();
    let limits: Vec<i64> = wanted.iter().map(|one| one.limit.into()).collect();
    let rows = sqlx::query(
        "SELECT wanted.n, page.* FROM unnest($1::bytea[], $2::bigint[], $3::bigint[]) \
         WITH ORDINALITY AS wanted (queue, after, most, n), LATERAL (\
             SELECT seq, id, kind, created, body FROM envelopes \
             WHERE envelopes.queue = wanted.queue AND seq > wanted.after AND body IS NOT NULL \
             ORDER BY seq LIMIT wanted.most\
         ) AS page",
    )
    .bind(queues)
    .bind(after)
    .bind(limits)
    .fetch_all(&pool)
    .await?;
    let mut pages: Vec<Vec<Envelope>> = wanted.iter().map(|_| Vec::new()).collect();
    for row in &rows {
        let at = usize::try_from(number(row, 0)?)
            .unwrap_or_default()
            .wrapping_sub(1);
        let (Some(page), Some(wanted)) = (pages.get_mut(at), wanted.get(at)) else {
            continue;
        };
        page.push(Envelope {
            queue: wanted.queue,
            seq: number(row, 1)?,
            id: EnvelopeId(fixed(row, 2)?),
            kind: kind(row, 3)?,
            at: Timestamp(number(row, 4)?),
            body: blob(row, 5)?,
        });
    }
    // Each comes in its order by all experience; SQL does not promise it.
    for page in &mut pages {
        page.sort_by_key(|envelope| envelope.seq);
    }
    Ok(pages)
}
