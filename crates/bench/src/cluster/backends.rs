//! PostgreSQL and Kafka that `./bench cluster` has started, and what the nodes of one cluster share.

use crate::{Failure, message::percentile};
use std::{fs, path::Path, process::Command};

/// An address that `./bench cluster` sets.
pub(super) fn backend(name: &str) -> Result<String, Failure> {
    std::env::var(name).map_err(|_| format!("{name} is not set: run ./bench cluster").into())
}

/// What psql says to statements.
fn psql(database: &str, statements: &[&str]) -> Result<String, Failure> {
    let mut command = Command::new("psql");
    command.args(["--quiet", "--no-psqlrc", "--tuples-only", "--no-align", database]);
    for text in statements {
        command.args(["--command", text]);
    }
    let output = command.output()?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned().into());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// A database, topics and a key of one cluster.
pub(super) struct Shared {
    database: String,
    /// What every node is told.
    pub options: Vec<(&'static str, String)>,
}

impl Shared {
    pub fn new(folder: &Path, partitions: i32) -> Result<Self, Failure> {
        let (postgres, kafka) = (backend("RLY_BENCH_POSTGRES")?, backend("RLY_BENCH_KAFKA")?);
        let number = rand_core::RngCore::next_u64(&mut rand_core::OsRng);
        let name = format!("b{number:016x}");
        psql(&postgres, &[&format!("CREATE DATABASE {name}")])?;
        let key = folder.join("cluster.key");
        fs::write(&key, [7; 32])?;
        let server = postgres.rsplit_once('/').map_or(&*postgres, |(server, _)| server);
        let database = format!("{server}/{name}");
        Ok(Self {
            options: vec![
                ("RLY_DATABASE_URL", database.clone()),
                ("RLY_KAFKA_BROKERS", kafka),
                ("RLY_KAFKA_PREFIX", name),
                ("RLY_KAFKA_PARTITIONS", partitions.to_string()),
                ("RLY_KEY_FILE", key.display().to_string()),
            ],
            database,
        })
    }

    /// Envelopes that were moved out of the log, whatever became of them.
    pub fn stored(&self) -> Result<u64, Failure> {
        let sum = psql(&self.database, &["SELECT sum(next_offset) FROM partitions"])?;
        Ok(sum.trim().parse()?)
    }

    /// Whether so many nodes have about as many partitions each.
    pub fn is_balanced(&self, nodes: usize) -> Result<bool, Failure> {
        let balanced = format!(
            "SELECT count(*) = count(node) AND count(node) = {nodes} AND max(n) - min(n) <= 1 \
             FROM (SELECT node, count(*) AS n FROM partitions GROUP BY node) AS held"
        );
        let said = psql(&self.database, &[&balanced])?;
        Ok(said.trim() == "t")
    }
}

/// What one transaction takes that stores one envelope: the median, in microseconds.
pub(super) fn commit(count: u64) -> Result<f64, Failure> {
    let postgres = backend("RLY_BENCH_POSTGRES")?;
    let insert =
        "INSERT INTO commits (id, body) VALUES (gen_random_uuid(), decode(repeat('78', 256), 'hex'))";
    let mut script = vec![
        "DROP TABLE IF EXISTS commits",
        "CREATE TABLE commits (id uuid PRIMARY KEY, body bytea)",
        "\\timing on",
    ];
    script.extend((0..count).map(|_| insert));
    script.extend(["\\timing off", "DROP TABLE commits"]);
    let said = psql(&postgres, &script)?;
    let times = said
        .lines()
        .filter_map(|line| line.strip_prefix("Time: ")?.split(' ').next());
    let mut times: Vec<f32> = times
        .filter_map(|ms| Some(ms.parse::<f32>().ok()? * 1e3))
        .collect();
    if times.is_empty() {
        return Err("psql told no times".into());
    }
    Ok(percentile(&mut times, 0.5))
}
