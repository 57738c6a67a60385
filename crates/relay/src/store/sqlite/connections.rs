//! Connections to the database file, each used by one thread at a time.

use crate::store::StoreError;
use parking_lot::Mutex;
use rusqlite::{Connection, ErrorCode, OpenFlags, Result as Sql};
use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tokio::{
    sync::Semaphore,
    task::{JoinError, spawn_blocking},
};

/// Pages in the WAL before a commit copies them into the file.
const CHECKPOINT_PAGES: u32 = 4_000;
/// Statements that stay prepared in each connection: more than there are.
const STATEMENTS: usize = 96;

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Use {
    Read,
    Write,
}

/// Opens the file as it is. It must be there: should it vanish, SQLite is not to make an empty one in
/// its place.
pub(super) fn plain(path: &Path, may_write: bool) -> Sql<Connection> {
    let access = match may_write {
        true => OpenFlags::SQLITE_OPEN_READ_WRITE,
        false => OpenFlags::SQLITE_OPEN_READ_ONLY,
    };
    // One thread at a time uses a connection: SQLite then needs no locks for it.
    let db = Connection::open_with_flags(path, access | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    db.busy_timeout(Duration::from_secs(5))?;
    Ok(db)
}

/// Opens the file as it is used.
pub(super) fn connect(path: &Path, to: Use) -> Sql<Connection> {
    // Who reads a log may have to mend its index, so each may write to the files.
    let db = plain(path, true)?;
    db.set_prepared_statement_cache_capacity(STATEMENTS);
    db.pragma_update(None, "foreign_keys", true)?;
    db.pragma_update(None, "secure_delete", true)?;
    db.pragma_update(None, "temp_store", "MEMORY")?;
    db.pragma_update(None, "journal_mode", "WAL")?;
    db.pragma_update(None, "synchronous", "FULL")?;
    db.pragma_update(None, "wal_autocheckpoint", CHECKPOINT_PAGES)?;
    db.pragma_update(None, "query_only", to == Use::Read)?;
    Ok(db)
}

/// Some connections for one use. Clones are the same ones.
#[derive(Clone)]
pub(super) struct Connections(Arc<Inner>);

struct Inner {
    path: PathBuf,
    to: Use,
    most: u32,
    turns: Arc<Semaphore>,
    /// Those that rest. After a failure none goes back: what a failed commit leaves in a connection
    /// is nothing to build on. The next use opens another.
    free: Mutex<Vec<Connection>>,
}

impl Connections {
    /// At most so many; they are opened when they are needed.
    pub fn new(path: &Path, to: Use, most: u32) -> Self {
        Self(Arc::new(Inner {
            path: path.to_owned(),
            to,
            most,
            turns: Arc::new(Semaphore::new(most as usize)),
            free: Mutex::default(),
        }))
    }

    /// Runs `work` on a connection, on a thread that may wait. Once begun, it ends even if nobody
    /// awaits it any more.
    pub async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Connection) -> Sql<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let turn = self.0.turns.clone().acquire_owned().await;
        let turn = turn.map_err(|_| StoreError::Failed("it is closed".into()))?;
        let inner = self.0.clone();
        let work = move || {
            let result = inner.run(work);
            // The connection is back in its place before the next one's turn.
            drop(turn);
            result
        };
        spawn_blocking(work).await.map_err(cut_off)?.map_err(failed)
    }

    /// Waits for what is under way, takes nothing more and closes all.
    pub async fn close(&self) -> Result<(), StoreError> {
        let _all = self.0.turns.acquire_many(self.0.most).await;
        self.0.turns.close();
        let free = std::mem::take(&mut *self.0.free.lock());
        let close = move || {
            free.into_iter()
                .try_for_each(|db| db.close().map_err(|(_, error)| error))
        };
        spawn_blocking(close).await.map_err(cut_off)?.map_err(failed)
    }
}

impl Inner {
    fn run<T>(&self, work: impl FnOnce(&mut Connection) -> Sql<T>) -> Sql<T> {
        let rested = self.free.lock().pop();
        let mut db = match rested {
            Some(db) => db,
            None => connect(&self.path, self.to)?,
        };
        let result = work(&mut db)?;
        self.free.lock().push(db);
        Ok(result)
    }
}

/// The runtime is gone.
fn cut_off(error: JoinError) -> StoreError {
    StoreError::Failed(error.to_string())
}

/// Sorts SQLite's errors (<https://www.sqlite.org/rescode.html>) into those that we tell apart.
pub(super) fn failed(error: rusqlite::Error) -> StoreError {
    let text = match &error {
        rusqlite::Error::SqliteFailure(_, Some(text)) => text.clone(),
        other => other.to_string(),
    };
    match error.sqlite_error_code() {
        Some(
            ErrorCode::ReadOnly | ErrorCode::SystemIoFailure | ErrorCode::DiskFull | ErrorCode::CannotOpen,
        ) => StoreError::Disk(text),
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => StoreError::Damaged(text),
        _ => StoreError::Failed(text),
    }
}
