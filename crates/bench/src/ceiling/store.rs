//! The ceiling's store: one thread that commits whatever has gathered while the last commit was under
//! way, and then gives it to the readers.

use super::{
    BARRIER, SEND,
    relay::{Hub, Outbox, frame},
};
use axum::body::Bytes;
use rusqlite::{Connection, params};
use std::{path::Path, sync::mpsc::Receiver};

/// Jobs in one commit at most.
const BATCH: usize = 2_048;

/// What the thread does, in the order in which it came.
pub(super) enum Job {
    Put { to: u32, body: Bytes },
    Remove { id: u32 },
    Barrier(Outbox),
    Enter { user: u32, outbox: Outbox },
}

pub(super) fn open(file: &Path) -> rusqlite::Result<Connection> {
    let database = Connection::open(file)?;
    database.pragma_update(None, "journal_mode", "WAL")?;
    database.pragma_update(None, "synchronous", "FULL")?;
    database.execute_batch(
        "CREATE TABLE IF NOT EXISTS messages (
            id     INTEGER PRIMARY KEY AUTOINCREMENT,
            reader INTEGER NOT NULL,
            body   BLOB NOT NULL
        );
        CREATE INDEX IF NOT EXISTS messages_by_reader ON messages (reader, id);",
    )?;
    Ok(database)
}

/// What is due after a commit, in order.
enum After {
    Give(u32, Bytes),
    Answer(Outbox, Bytes),
}

pub(super) fn run(database: &mut Connection, jobs: &Receiver<Job>, hub: &Hub) -> rusqlite::Result<()> {
    while let Ok(first) = jobs.recv() {
        let mut after = Vec::new();
        let transaction = database.transaction()?;
        {
            let mut put = transaction.prepare_cached("INSERT INTO messages (reader, body) VALUES (?, ?)")?;
            let mut remove = transaction.prepare_cached("DELETE FROM messages WHERE id = ?")?;
            let mut waiting =
                transaction.prepare_cached("SELECT id, body FROM messages WHERE reader = ? ORDER BY id")?;
            for job in std::iter::once(first).chain(jobs.try_iter().take(BATCH - 1)) {
                match job {
                    Job::Put { to, body } => {
                        put.execute(params![to, &body[..]])?;
                        let id = u32::try_from(transaction.last_insert_rowid()).unwrap_or_default();
                        after.push(After::Give(to, frame(SEND, id, &body)));
                    }
                    Job::Remove { id } => drop(remove.execute([id])?),
                    Job::Barrier(outbox) => after.push(After::Answer(outbox, frame(BARRIER, 0, &[]))),
                    Job::Enter { user, outbox } => {
                        let mut rows = waiting.query([user])?;
                        while let Some(row) = rows.next()? {
                            let body = row.get_ref(1)?.as_blob()?;
                            after.push(After::Answer(outbox.clone(), frame(SEND, row.get(0)?, body)));
                        }
                        hub.enter(user, outbox);
                    }
                }
            }
        }
        transaction.commit()?;
        hub.give(after.into_iter().filter_map(|after| match after {
            After::Give(user, frame) => Some((user, frame)),
            After::Answer(outbox, frame) => {
                // Whoever asked may be gone.
                let _ = outbox.send(frame);
                None
            }
        }));
    }
    Ok(())
}
