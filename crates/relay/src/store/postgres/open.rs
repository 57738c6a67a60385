//! Opening the database: check first, change later.

use super::{PATIENCE, PostgresStore, failed, pages::Pages};
use crate::store::StoreError;
use sqlx::{
    ConnectOptions, Connection, PgConnection, Row, SqlSafeStr,
    migrate::{MigrateError, Migration, MigrationType, Migrator},
    postgres::{PgConnectOptions, PgPoolOptions},
};
use std::{str::FromStr, time::Duration};

/// The oldest PostgreSQL that is known to work.
const VERSION_MIN: i32 = 140_000;
/// Connections at most: one writes, one moves the log, the others read.
const CONNECTIONS: u32 = 12;
/// How long one may be waited for.
const CONNECT: Duration = Duration::from_secs(3);
/// A connection that was used so lately is not tried before it is used again.
const FRESH: Duration = Duration::from_secs(1);

/// Every migration there is, in order.
fn migrations() -> Migrator {
    let all = [
        (
            1,
            "queues",
            include_str!("../../../../../migrations/postgres/0001_queues.sql"),
        ),
        (
            2,
            "vault days",
            include_str!("../../../../../migrations/postgres/0002_vault_days.sql"),
        ),
        (
            3,
            "rooms",
            include_str!("../../../../../migrations/postgres/0003_rooms.sql"),
        ),
        (
            4,
            "statistics",
            include_str!("../../../../../migrations/postgres/0004_statistics.sql"),
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

pub(super) async fn open(url: &str) -> Result<PostgresStore, StoreError> {
    let options = PgConnectOptions::from_str(url)
        // What is wrong with it may be the password.
        .map_err(|_| StoreError::Failed("the URL is not one that PostgreSQL's clients understand".into()))?
        .application_name("rly-server")
        // A node that stops in the middle of something must not hold up the others.
        .options([
            ("statement_timeout", "9s"),
            ("lock_timeout", "6s"),
            ("idle_in_transaction_session_timeout", "5s"),
        ])
        .disable_statement_logging();
    tokio::time::timeout(PATIENCE, prepare(&options))
        .await
        .map_err(|_| StoreError::Failed("PostgreSQL does not answer".into()))??;
    let pool = PgPoolOptions::new()
        .max_connections(CONNECTIONS)
        .acquire_timeout(CONNECT)
        // A connection is tried when it is given back. That is enough where it is soon taken again.
        .test_before_acquire(false)
        .before_acquire(|db, about| {
            Box::pin(async move {
                if about.idle_for > FRESH {
                    db.ping().await?;
                }
                Ok(true)
            })
        })
        .connect_lazy_with(options);
    Ok(PostgresStore {
        pool,
        pages: Pages::default(),
    })
}

/// Makes sure that the database is ours and of a version that we know, and makes the tables.
async fn prepare(options: &PgConnectOptions) -> Result<(), StoreError> {
    let mut db = options.connect().await.map_err(|error| failed(&error))?;
    check(&mut db).await?;
    migrations().run(&mut db).await.map_err(unmigrated)?;
    db.close().await.map_err(|error| failed(&error))
}

/// Looks without changing anything.
async fn check(db: &mut PgConnection) -> Result<(), StoreError> {
    let row = sqlx::query(
        "SELECT current_setting('server_version_num')::integer, current_setting('server_version'), \
         to_regclass('_sqlx_migrations') IS NOT NULL, \
         (SELECT count(*) FROM pg_tables WHERE schemaname = current_schema()), pg_is_in_recovery()",
    )
    .fetch_one(db)
    .await
    .map_err(|error| failed(&error))?;
    let read = |error: sqlx::Error| failed(&error);
    if row.try_get::<i32, _>(0).map_err(read)? < VERSION_MIN {
        let version: String = row.try_get(1).map_err(read)?;
        return Err(StoreError::Failed(format!(
            "PostgreSQL {version} is too old: 14 is needed, or a later one"
        )));
    }
    if row.try_get(4).map_err(read)? {
        return Err(StoreError::Failed(
            "this PostgreSQL is a standby, which cannot be written to".into(),
        ));
    }
    let migrated: bool = row.try_get(2).map_err(read)?;
    let tables: i64 = row.try_get(3).map_err(read)?;
    if !migrated && tables > 0 {
        return Err(StoreError::Damaged("it belongs to another program".into()));
    }
    Ok(())
}

fn unmigrated(error: MigrateError) -> StoreError {
    match error {
        MigrateError::VersionMissing(_)
        | MigrateError::VersionTooNew(..)
        | MigrateError::VersionTooOld(..) => StoreError::Newer,
        MigrateError::VersionMismatch(version) | MigrateError::Dirty(version) => {
            StoreError::Damaged(format!("migration {version} is not the one that was applied"))
        }
        MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => failed(&error),
        other => StoreError::Failed(other.to_string().split_whitespace().collect::<Vec<_>>().join(" ")),
    }
}
