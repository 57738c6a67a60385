//! Opening the file: check first, change later.

use super::{
    SqliteStore,
    connections::{Connections, Use, connect, failed, plain},
    empty_log, log,
};
use crate::store::StoreError;
use sqlx::{
    ConnectOptions, Connection, SqlSafeStr,
    migrate::{MigrateError, Migration, MigrationType, Migrator},
    sqlite::SqliteConnectOptions,
};
use std::{
    ffi::OsString,
    fs::{self, OpenOptions, Permissions},
    io,
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};
use tokio::task::spawn_blocking;

/// "rly1" in the file's header tells our databases from those of other programs.
const APPLICATION_ID: i64 = 0x726c_7931;
/// Up to this size the file is checked completely at each start; reading more takes too long.
const CHECK_MAX: u64 = 256 << 20;
/// Connections that read.
const READERS: u32 = 3;

/// Every migration there is, in order.
fn migrations() -> Migrator {
    let all = [
        (
            1,
            "queues",
            include_str!("../../../../../migrations/sqlite/0001_queues.sql"),
        ),
        (
            2,
            "vault days",
            include_str!("../../../../../migrations/sqlite/0002_vault_days.sql"),
        ),
        (
            3,
            "rooms",
            include_str!("../../../../../migrations/sqlite/0003_rooms.sql"),
        ),
    ];
    let all = all.map(|(version, name, sql)| {
        Migration::new(
            version,
            name.into(),
            MigrationType::Simple,
            sql.into_sql_str(),
            false,
        )
    });
    Migrator::with_migrations(all.into())
}

pub(super) async fn open(path: &Path) -> Result<SqliteStore, StoreError> {
    let file = path.to_owned();
    spawn_blocking(move || prepare(&file))
        .await
        .map_err(|error| StoreError::Failed(error.to_string()))??;
    migrate(path).await?;
    let store = SqliteStore {
        writer: Connections::new(path, Use::Write, 1),
        readers: Connections::new(path, Use::Read, READERS),
        file: path.to_owned(),
    };
    // That both can be opened is known from the start.
    store.writer.run(|_| Ok(())).await?;
    store.readers.run(|_| Ok(())).await?;
    Ok(store)
}

/// Makes sure that the file is ours and whole, and makes it if there is none.
fn prepare(path: &Path) -> Result<(), StoreError> {
    let disk = |error: io::Error| StoreError::Disk(error.to_string());
    if let Some(damage) = log::damage(path, &beside(path, "-wal")).map_err(disk)? {
        return Err(StoreError::Damaged(damage.into()));
    }
    make_private(path).map_err(disk)?;
    let fresh = check(path)?;
    let db = connect(path, Use::Write).map_err(failed)?;
    if fresh {
        db.pragma_update(None, "application_id", APPLICATION_ID)
            .map_err(failed)?;
    }
    // Before anything is added to it (the page of `sqlite` says why). Somebody who reads it is no harm.
    empty_log(&db).map_err(failed)?;
    db.close().map_err(|(_, error)| failed(error))
}

async fn migrate(path: &Path) -> Result<(), StoreError> {
    let mut db = SqliteConnectOptions::new()
        .filename(path)
        .pragma("secure_delete", "ON")
        .disable_statement_logging()
        .connect()
        .await
        .map_err(unsorted)?;
    migrations().run(&mut db).await.map_err(unmigrated)?;
    db.close().await.map_err(unsorted)
}

/// Another file of the database.
fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(ending);
    name.into()
}

/// Makes the file if there is none, and takes it away from everybody but its owner; SQLite makes its
/// other files with the same mode.
fn make_private(path: &Path) -> io::Result<()> {
    OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(path)?;
    for ending in ["", "-wal", "-shm"] {
        let file = beside(path, ending);
        match fs::metadata(&file) {
            Ok(found) if found.permissions().mode() & 0o077 != 0 => {
                fs::set_permissions(&file, Permissions::from_mode(0o600))?;
            }
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

/// Looks at the file without changing anything in it. True: it is empty.
fn check(path: &Path) -> Result<bool, StoreError> {
    // Whoever may write moves the log into the file when it closes. Only a first start that was cut
    // off in the middle has to be undone, which needs writing.
    let undo = fs::metadata(beside(path, "-journal")).is_ok_and(|journal| journal.len() > 0);
    let db = plain(path, undo).map_err(failed)?;
    let (application, tables): (i64, i64) = db
        .query_row(
            "SELECT (SELECT application_id FROM pragma_application_id), (SELECT count(*) FROM sqlite_master)",
            [],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )
        .map_err(failed)?;
    if application != APPLICATION_ID && (application != 0 || tables != 0) {
        return Err(StoreError::Damaged("it belongs to another program".into()));
    }
    let small = fs::metadata(path).is_ok_and(|file| file.len() <= CHECK_MAX);
    if small {
        let verdict: String = db
            .query_row("PRAGMA quick_check(1)", [], |row| row.get(0))
            .map_err(failed)?;
        if verdict != "ok" {
            return Err(StoreError::Damaged(one_line(&verdict)));
        }
    }
    db.close().map_err(|(_, error)| failed(error))?;
    Ok(application != APPLICATION_ID)
}

fn unmigrated(error: MigrateError) -> StoreError {
    match error {
        MigrateError::VersionMissing(_)
        | MigrateError::VersionTooNew(..)
        | MigrateError::VersionTooOld(..) => StoreError::Newer,
        MigrateError::VersionMismatch(version) | MigrateError::Dirty(version) => {
            StoreError::Damaged(format!("migration {version} is not the one that was applied"))
        }
        MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => unsorted(error),
        other => StoreError::Failed(one_line(&other.to_string())),
    }
}

/// From sqlx, with the same codes.
fn unsorted(error: sqlx::Error) -> StoreError {
    let Some(error) = error.as_database_error() else {
        return StoreError::Failed(error.to_string());
    };
    let code = error.code().and_then(|code| code.parse().ok()).unwrap_or(1);
    let text = Some(error.message().to_owned());
    failed(rusqlite::Error::SqliteFailure(
        rusqlite::ffi::Error::new(code),
        text,
    ))
}

fn one_line(text: &str) -> String {
    text.lines().map(str::trim).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;

    async fn refused(path: &Path) -> StoreError {
        let before = std::fs::read(path).unwrap();
        let error = match SqliteStore::open(path).await {
            Ok(_) => panic!("it was opened"),
            Err(error) => error,
        };
        assert_eq!(std::fs::read(path).unwrap(), before, "the file was changed");
        assert_eq!(error.to_string().lines().count(), 1);
        error
    }

    async fn made(path: &Path) -> rusqlite::Connection {
        let store = SqliteStore::open(path).await.unwrap();
        crate::Store::close(&store).await.unwrap();
        rusqlite::Connection::open(path).unwrap()
    }

    #[test]
    fn every_migration_in_the_folder_is_known() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../migrations/sqlite");
        let files = std::fs::read_dir(folder).unwrap().count();
        assert_eq!(migrations().migrations.len(), files);
    }

    #[tokio::test]
    async fn what_is_no_database_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rly.db");
        std::fs::write(&path, "certainly not a database, ".repeat(1000)).unwrap();
        assert!(matches!(refused(&path).await, StoreError::Damaged(_)));
    }

    #[tokio::test]
    async fn a_damaged_database_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rly.db");
        made(&path).await.close().unwrap();
        let mut bytes = std::fs::read(&path).unwrap();
        let middle = 4096 * 2;
        for byte in &mut bytes[middle..middle + 6000] {
            *byte = 0x5a;
        }
        std::fs::write(&path, bytes).unwrap();
        assert!(matches!(refused(&path).await, StoreError::Damaged(_)));
    }

    /// The file as well as its log, which is what closing would change.
    #[tokio::test]
    async fn a_damaged_database_keeps_its_log() {
        let folder = tempfile::tempdir().unwrap();
        let (live, path) = (folder.path().join("live"), folder.path().join("rly.db"));
        // Closed once, so that the tables are in the file and not in the log.
        made(&live).await.close().unwrap();
        let store = SqliteStore::open(&live).await.unwrap();
        let vault = crate::store::Change::OpenVault {
            vault: rly_protocol::QueueId([1; 16]),
            day: 20_000,
        };
        let batch = crate::store::Batch {
            changes: vec![vault],
            ..Default::default()
        };
        crate::Store::apply(&store, batch.into()).await.unwrap();
        std::fs::copy(beside(&live, "-wal"), beside(&path, "-wal")).unwrap();
        let mut bytes = std::fs::read(&live).unwrap();
        bytes[4096 * 2..4096 * 3].fill(0x5a);
        std::fs::write(&path, bytes).unwrap();
        let log = std::fs::read(beside(&path, "-wal")).unwrap();
        assert!(!log.is_empty());
        assert!(matches!(refused(&path).await, StoreError::Damaged(_)));
        assert_eq!(std::fs::read(beside(&path, "-wal")).unwrap(), log);
    }

    #[tokio::test]
    async fn every_file_is_for_its_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rly.db");
        std::fs::write(&path, "").unwrap();
        std::fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
        let _store = SqliteStore::open(&path).await.unwrap();
        for ending in ["", "-wal", "-shm"] {
            let mode = std::fs::metadata(beside(&path, ending))
                .unwrap()
                .permissions()
                .mode();
            assert_eq!(mode & 0o777, 0o600, "{ending}");
        }
    }

    #[tokio::test]
    async fn a_database_of_another_program_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rly.db");
        let other = rusqlite::Connection::open(&path).unwrap();
        other.execute_batch("CREATE TABLE theirs (x)").unwrap();
        other.close().unwrap();
        assert!(matches!(refused(&path).await, StoreError::Damaged(_)));
    }

    #[tokio::test]
    async fn a_newer_database_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rly.db");
        let db = made(&path).await;
        db.execute_batch(
            "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
             VALUES (9999, 'from the future', 1, x'00', 0)",
        )
        .unwrap();
        db.close().unwrap();
        assert_eq!(refused(&path).await, StoreError::Newer);
    }
}
