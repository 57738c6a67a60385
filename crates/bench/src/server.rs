//! A server under test as a process: started, measured, killed.

use crate::{Failure, site};
use clap::ValueEnum;
use std::{
    fs,
    io::{BufRead, BufReader},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

/// The product's limits are for people. These let the load through, and are still enforced.
const LIMITS: &str = "sends_per_address=10000000/10000000,sends_per_peer=10000000/10000000,\
                      registrations=1000000/1000000,proofs=1000000/1000000,\
                      connections_per_peer=1000000,calls_per_peer=1000000,\
                      bytes_per_peer=4000000000/4000000000,\
                      queue_envelopes=1000000,queue_bytes=1073741824";
/// What makes data reach the disk.
const SYNCS: &str = "trace=fsync,fdatasync,msync,sync_file_range";

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum Target {
    /// The product.
    Relay,
    /// The ceiling that stores nothing.
    Memory,
    /// The ceiling on SQLite.
    Sqlite,
    /// The product as the only node of a cluster: `./bench cluster` starts PostgreSQL and Kafka.
    Cluster,
    /// What Kafka alone can do: the same messages, produced and consumed with the same library.
    Kafka,
}

impl Target {
    /// Those that need nothing but themselves.
    pub const ALL: [Self; 3] = [Self::Relay, Self::Memory, Self::Sqlite];

    /// Those, and what needs a cluster.
    pub const EVERY: [Self; 5] = [
        Self::Relay,
        Self::Memory,
        Self::Sqlite,
        Self::Cluster,
        Self::Kafka,
    ];

    /// Whether it confirms each message.
    pub fn confirms(self) -> bool {
        matches!(self, Self::Relay | Self::Cluster)
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Relay => "Rly Chat",
            Self::Memory => "ceiling in memory",
            Self::Sqlite => "ceiling, SQLite FULL",
            Self::Cluster => "Rly Chat, cluster",
            Self::Kafka => "plain Kafka",
        }
    }
}

/// A running server.
pub(crate) struct Server {
    pub target: Target,
    pub address: SocketAddr,
    child: Child,
    pid: u32,
    trace: Option<PathBuf>,
}

impl Server {
    /// Starts one with its data in a folder. With `traced`, strace watches for calls that sync: it
    /// filters in the kernel, so that all other calls run at their usual speed.
    pub fn start(target: Target, relay: &Path, folder: &Path, traced: bool) -> Result<Self, Failure> {
        fs::create_dir_all(folder)?;
        let trace = traced.then(|| folder.join("syncs"));
        let program = match target {
            Target::Relay | Target::Cluster => relay.to_owned(),
            Target::Memory | Target::Sqlite | Target::Kafka => std::env::current_exe()?,
        };
        let mut command = match &trace {
            Some(file) => {
                let mut command = Command::new("strace");
                command.args(["-f", "--seccomp-bpf", "-qq", "-e", SYNCS, "-o"]);
                command.arg(file).arg(program);
                command
            }
            None => Command::new(program),
        };
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("RLY_") {
                command.env_remove(name);
            }
        }
        match target {
            Target::Relay | Target::Cluster => {
                let site = folder.join("site");
                site::make(&site)?;
                command
                    .env("RLY_ADDR", "127.0.0.1:0")
                    .env("RLY_ADMIN_ADDR", "127.0.0.1:0")
                    .env("RLY_DATA_DIR", folder.join("data"))
                    .env("RLY_SITE_DIR", site)
                    .env("RLY_LIMITS", LIMITS)
                    .env("RUST_LOG", "warn");
            }
            Target::Kafka => return Err("there is no server".into()),
            Target::Memory => drop(command.arg("ceiling")),
            Target::Sqlite => drop(command.arg("ceiling").arg(folder.join("messages.db"))),
        }
        if target == Target::Cluster {
            command.envs(cluster(folder)?);
        }
        let mut child = command.stdout(Stdio::piped()).spawn()?;
        let mut line = String::new();
        if let Some(stdout) = child.stdout.take() {
            BufReader::new(stdout).read_line(&mut line)?;
        }
        let address = line.trim_end().rsplit("//").next().unwrap_or_default();
        let address = address.parse().map_err(|_| format!("not ready: {line}"))?;
        let pid = if traced { child_of(child.id())? } else { child.id() };
        Ok(Self {
            target,
            address,
            child,
            pid,
            trace,
        })
    }

    /// What readers sign.
    pub fn origin(&self) -> String {
        format!("http://{}", self.address)
    }

    /// CPU time used so far, by all of its threads.
    pub fn cpu(&self) -> Duration {
        cpu(self.pid)
    }

    /// Memory of its own in bytes: anonymous pages, so that shared program text counts for nothing.
    pub fn memory(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid)).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"));
        let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
        kib.unwrap_or_default() << 10
    }

    /// Calls that sync, so far.
    pub fn syncs(&self) -> usize {
        let trace = self.trace.as_ref().map(fs::read_to_string);
        let trace = trace.and_then(Result::ok).unwrap_or_default();
        // A call that another thread interrupts has a second line, which says "resumed".
        trace
            .lines()
            .filter(|line| line.contains("sync") && !line.contains("resumed"))
            .count()
    }

    /// `kill -9`.
    pub fn kill(mut self) -> Result<(), Failure> {
        self.end()
    }

    fn end(&mut self) -> Result<(), Failure> {
        if self.child.try_wait()?.is_none() {
            Command::new("kill")
                .arg("-9")
                .arg(self.pid.to_string())
                .status()?;
            self.child.wait()?;
        }
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Nothing is left to be done if even this fails.
        let _ = self.end();
    }
}

/// An address that `./bench cluster` sets.
pub(crate) fn backend(name: &str) -> Result<String, Failure> {
    std::env::var(name).map_err(|_| format!("{name} is not set: run ./bench cluster").into())
}

/// A database, topics and a key for this folder, the same at every start.
fn cluster(folder: &Path) -> Result<Vec<(&'static str, String)>, Failure> {
    let (postgres, kafka) = (backend("RLY_BENCH_POSTGRES")?, backend("RLY_BENCH_KAFKA")?);
    let (kept, key) = (folder.join("cluster"), folder.join("cluster.key"));
    if !kept.exists() {
        let name = format!("b{:016x}", rand_core::RngCore::next_u64(&mut rand_core::OsRng));
        let made = Command::new("psql")
            .args(["--quiet", "--no-psqlrc", &postgres, "--command"])
            .arg(format!("CREATE DATABASE {name}"))
            .status()?;
        if !made.success() {
            return Err("no database was made".into());
        }
        fs::write(&key, [7; 32])?;
        fs::write(&kept, name)?;
    }
    let name = fs::read_to_string(kept)?;
    let server = postgres.rsplit_once('/').map_or(&*postgres, |(server, _)| server);
    let partitions = std::env::var("RLY_BENCH_PARTITIONS").unwrap_or("64".into());
    Ok(vec![
        ("RLY_DATABASE_URL", format!("{server}/{name}")),
        ("RLY_KAFKA_BROKERS", kafka),
        ("RLY_KAFKA_PREFIX", name),
        ("RLY_KAFKA_PARTITIONS", partitions),
        ("RLY_KEY_FILE", key.display().to_string()),
    ])
}

fn child_of(pid: u32) -> Result<u32, Failure> {
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"))?;
    Ok(children
        .split_whitespace()
        .next()
        .ok_or("strace has no child")?
        .parse()?)
}

/// In nanoseconds from the scheduler, not in ticks. Threads that have ended are missing; none of the
/// servers ends any while it is measured.
fn cpu(pid: u32) -> Duration {
    let threads = fs::read_dir(format!("/proc/{pid}/task"))
        .into_iter()
        .flatten()
        .flatten();
    let used = threads.filter_map(|thread| {
        let stat = fs::read_to_string(thread.path().join("schedstat")).ok()?;
        stat.split_whitespace().next()?.parse::<u64>().ok()
    });
    Duration::from_nanos(used.sum())
}

/// CPU time of this process.
pub(crate) fn own_cpu() -> Duration {
    cpu(std::process::id())
}

/// CPU time of the whole machine, in ticks of 10 ms.
pub(crate) fn machine_cpu() -> Duration {
    let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
    let fields = stat.lines().next().unwrap_or_default().split_whitespace().skip(1);
    // Not idle, not waiting for the disk, and guests are counted before.
    let busy = fields.take(8).enumerate().filter(|(at, _)| !matches!(at, 3 | 4));
    let ticks: u64 = busy.filter_map(|(_, ticks)| ticks.parse::<u64>().ok()).sum();
    Duration::from_millis(ticks * 10)
}
