//! Opening the file: check first, change later.

use super::{SqliteStore, empty_log, failed, log};
use crate::store::StoreError;
use sqlx::{
    AssertSqlSafe, ConnectOptions, Connection, Row, SqlSafeStr, SqliteConnection,
    migrate::{MigrateError, Migration, MigrationType, Migrator},
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};
use std::{
    ffi::OsString,
    fs::{self, OpenOptions, Permissions},
    io,
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
    time::Duration,
};
use tokio::sync::Mutex;

/// "rly1" in the file's header tells our databases from those of other programs.
const APPLICATION_ID: i64 = 0x726c_7931;
/// Up to this size the file is checked completely at each start; reading more takes too long.
const CHECK_MAX: u64 = 256 << 20;
/// Pages in the WAL before a commit copies them into the file.
const CHECKPOINT_PAGES: u32 = 4_000;
/// Connections that read. Each is a thread of its own.
const READERS: u32 = 3;

/// Every migration there is, in order.
fn migrations() -> Migrator {
    let all = [(
        1,
        "queues",
        include_str!("../../../../../migrations/sqlite/0001_queues.sql"),
    )];
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
    let disk = |error: io::Error| StoreError::Disk(error.to_string());
    if let Some(damage) = log::damage(path, &beside(path, "-wal")).map_err(disk)? {
        return Err(StoreError::Damaged(damage.into()));
    }
    make_private(path).map_err(disk)?;
    // Made above: should the file vanish later, SQLite is not to make an empty one in its place.
    let plain = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(false)
        .busy_timeout(Duration::from_secs(5))
        .disable_statement_logging();
    let fresh = check(path, &plain).await?;

    let options = plain
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .pragma("secure_delete", "ON")
        .pragma("temp_store", "MEMORY")
        .pragma("wal_autocheckpoint", CHECKPOINT_PAGES.to_string());
    let mut writer = SqliteConnection::connect_with(&options).await.map_err(failed)?;
    if fresh {
        let mark = format!("PRAGMA application_id = {APPLICATION_ID}");
        sqlx::raw_sql(AssertSqlSafe(mark))
            .execute(&mut writer)
            .await
            .map_err(failed)?;
    }
    // Before anything is added to it (the page of `sqlite` says why). Somebody who reads it is no harm.
    empty_log(&mut writer).await?;
    migrations().run(&mut writer).await.map_err(unmigrated)?;
    let readers = SqlitePoolOptions::new()
        .min_connections(1)
        .max_connections(READERS)
        .test_before_acquire(false)
        .idle_timeout(None)
        .max_lifetime(None)
        .connect_with(options.clone().pragma("query_only", "ON"))
        .await
        .map_err(failed)?;
    Ok(SqliteStore {
        options,
        writer: Mutex::new(Some(writer)),
        readers,
    })
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
async fn check(path: &Path, options: &SqliteConnectOptions) -> Result<bool, StoreError> {
    // Whoever may write moves the log into the file when it closes. Only a first start that was cut
    // off in the middle has to be undone, which needs writing.
    let undo = fs::metadata(beside(path, "-journal")).is_ok_and(|journal| journal.len() > 0);
    let options = options.clone().read_only(!undo);
    let mut connection = SqliteConnection::connect_with(&options).await.map_err(failed)?;
    let row = sqlx::query(
        "SELECT (SELECT application_id FROM pragma_application_id), (SELECT count(*) FROM sqlite_master)",
    )
    .fetch_one(&mut connection)
    .await
    .map_err(failed)?;
    let (application, tables): (i64, i64) =
        (row.try_get(0).map_err(failed)?, row.try_get(1).map_err(failed)?);
    if application != APPLICATION_ID && (application != 0 || tables != 0) {
        return Err(StoreError::Damaged("it belongs to another program".into()));
    }
    let small = std::fs::metadata(path).is_ok_and(|file| file.len() <= CHECK_MAX);
    if small {
        let row = sqlx::query("PRAGMA quick_check(1)")
            .fetch_one(&mut connection)
            .await
            .map_err(failed)?;
        let verdict: String = row.try_get(0).map_err(failed)?;
        if verdict != "ok" {
            return Err(StoreError::Damaged(one_line(&verdict)));
        }
    }
    connection.close().await.map_err(failed)?;
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
        MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => failed(error),
        other => StoreError::Failed(one_line(&other.to_string())),
    }
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

    async fn made(path: &Path) -> SqliteConnection {
        let store = SqliteStore::open(path).await.unwrap();
        crate::Store::close(&store).await.unwrap();
        SqliteConnection::connect_with(&SqliteConnectOptions::new().filename(path))
            .await
            .unwrap()
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
        made(&path).await.close().await.unwrap();
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
        made(&live).await.close().await.unwrap();
        let store = SqliteStore::open(&live).await.unwrap();
        let vault = crate::store::Change::OpenVault {
            vault: rly_protocol::QueueId([1; 16]),
        };
        let batch = crate::store::Batch {
            changes: vec![vault],
            ..Default::default()
        };
        crate::Store::apply(&store, &batch).await.unwrap();
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
        let options = SqliteConnectOptions::new()
            .filename(&path)
            .create_if_missing(true);
        let mut other = SqliteConnection::connect_with(&options).await.unwrap();
        sqlx::raw_sql("CREATE TABLE theirs (x)")
            .execute(&mut other)
            .await
            .unwrap();
        other.close().await.unwrap();
        assert!(matches!(refused(&path).await, StoreError::Damaged(_)));
    }

    #[tokio::test]
    async fn a_newer_database_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rly.db");
        let mut connection = made(&path).await;
        sqlx::raw_sql(
            "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
             VALUES (9999, 'from the future', 1, x'00', 0)",
        )
        .execute(&mut connection)
        .await
        .unwrap();
        connection.close().await.unwrap();
        assert_eq!(refused(&path).await, StoreError::Newer);
    }
}
