//! A Kafka and a PostgreSQL of one's own, to be killed and started again.

use crate::common::process::{Place, Server};
use std::{
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};
use tempfile::TempDir;

/// A process that a script of ours has become.
pub struct Backend {
    script: PathBuf,
    folder: PathBuf,
    process: Option<Child>,
    pub address: String,
}

impl Backend {
    fn new(name: &str, folder: &Path) -> Self {
        let mut backend = Self {
            script: Path::new(env!("CARGO_MANIFEST_DIR"))
                .join("../scripts")
                .join(name),
            folder: folder.join(name),
            process: None,
            address: String::new(),
        };
        backend.start();
        backend
    }

    /// Starts it, again with what it had, and waits until it can be used.
    pub fn start(&mut self) {
        // Children of one that was killed go a moment after it, and the next one refuses until then.
        for _ in 0..30 {
            if self.try_start() {
                return;
            }
            std::thread::sleep(Duration::from_millis(300));
        }
        panic!("{} did not start", self.script.display());
    }

    fn try_start(&mut self) -> bool {
        assert!(self.process.is_none());
        let mut process = Command::new(&self.script)
            .arg(&self.folder)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let mut out = BufReader::new(process.stdout.take().unwrap());
        out.read_line(&mut line).unwrap();
        if line.is_empty() {
            process.wait().unwrap();
            return false;
        }
        self.address = line.trim_end().into();
        self.process = Some(process);
        true
    }

    pub fn signal(&self, name: &str) {
        signal(self.process.as_ref().unwrap().id(), name);
    }

    /// Ends it in this way, and waits until it has ended.
    pub fn end(&mut self, how: &str) {
        self.signal(how);
        self.process.take().unwrap().wait().unwrap();
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        if let Some(mut process) = self.process.take() {
            // A stopped one hears nothing else.
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

pub fn signal(pid: u32, name: &str) {
    let sent = Command::new("kill")
        .args([&format!("-{name}"), &pid.to_string()])
        .status()
        .unwrap();
    assert!(sent.success());
}

/// Both of them, and what the nodes of one cluster share.
pub struct Ground {
    pub kafka: Backend,
    pub postgres: Backend,
    pub place: Place,
    _folder: TempDir,
}

impl Ground {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        // PostgreSQL does not run as root, and its own user has to get there.
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(folder.path(), mode).unwrap();
        let postgres = Backend::new("postgres", folder.path());
        let kafka = Backend::new("kafka", folder.path());
        let place = Place::cluster(&postgres.address, &kafka.address);
        Self {
            kafka,
            postgres,
            place,
            _folder: folder,
        }
    }

    pub fn node(&self) -> Server {
        self.place.start_with(|command| {
            let any = "1000000/1000000";
            let limits = [
                "sends_per_peer",
                "sends_per_address",
                "registrations",
                "proofs",
                "vault_calls",
            ];
            let limits = limits.map(|name| format!("{name}={any}")).join(",")
                + ",bytes_per_peer=4000000000/4000000000";
            command.env("RLY_LIMITS", limits);
        })
    }
}
