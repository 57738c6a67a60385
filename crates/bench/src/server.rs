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
                      posts_per_person=10000000/10000000,joins=1000000/1000000,\
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
}

impl Target {
    pub const ALL: [Self; 3] = [Self::Relay, Self::Memory, Self::Sqlite];

    /// Whether it confirms each message.
    pub fn confirms(self) -> bool {
        self == Self::Relay
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Relay => "Rly Chat",
            Self::Memory => "ceiling in memory",
            Self::Sqlite => "ceiling, SQLite FULL",
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
        Self::start_with(target, relay, folder, traced, &[])
    }

    /// Starts the product as a node of a cluster, with these options.
    pub fn start_node(relay: &Path, folder: &Path, options: &[(&str, String)]) -> Result<Self, Failure> {
        Self::start_with(Target::Relay, relay, folder, false, options)
    }

    fn start_with(
        target: Target,
        relay: &Path,
        folder: &Path,
        traced: bool,
        options: &[(&str, String)],
    ) -> Result<Self, Failure> {
        fs::create_dir_all(folder)?;
        let trace = traced.then(|| folder.join("syncs"));
        let program = match target {
            Target::Relay => relay.to_owned(),
            Target::Memory | Target::Sqlite => std::env::current_exe()?,
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
            Target::Relay => {
                let site = folder.join("site");
                site::make(&site)?;
                command
                    .env("RLY_ADDR", "127.0.0.1:0")
                    .env("RLY_ADMIN_ADDR", "127.0.0.1:0")
                    .env("RLY_DATA_DIR", folder.join("data"))
                    .env("RLY_SITE_DIR", site)
                    .env("RLY_LIMITS", LIMITS)
                    .env("RUST_LOG", "warn")
                    .envs(options.iter().map(|(name, value)| (name, value)));
            }
            Target::Memory => drop(command.arg("ceiling")),
            Target::Sqlite => drop(command.arg("ceiling").arg(folder.join("messages.db"))),
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
