//! Opening the file: check first, change later.

use super::{SqliteStore, failed};
use crate::store::StoreError;
use sqlx::{
    AssertSqlSafe, ConnectOptions, Connection, Row, SqlSafeStr, SqliteConnection,
    migrate::{MigrateError, Migration, MigrationType, Migrator},
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};
use std::{path::Path, time::Duration};
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
    let plain = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
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

/// Looks at the file without changing anything in it. True: it is empty.
async fn check(path: &Path, options: &SqliteConnectOptions) -> Result<bool, StoreError> {
    let mut connection = SqliteConnection::connect_with(options).await.map_err(failed)?;
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
