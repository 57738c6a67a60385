//! A Kafka and a PostgreSQL of one's own, to be killed and started again.

use crate::{
    common::process::{Place, Server},
    door::{Behind, Door},
};
use std::{
    fs,
    io::{BufRead, BufReader},
    net::{Ipv4Addr, TcpListener},
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
    pub fn new(name: &str, folder: &Path) -> Self {
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

/// A folder for backends.
pub fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    // PostgreSQL does not run as root, and its own user has to get there.
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(folder.path(), mode).unwrap();
    folder
}

/// A port that nobody has now. Of those that the kernel gives to no connection.
pub fn free_port() -> u16 {
    loop {
        let port = 20_000 + (rand_core::RngCore::next_u32(&mut rand_core::OsRng) % 12_000) as u16;
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
}

/// Has a Kafka that is started there listen on another port as well, as `name`, and says that it is to be
/// found at `advertised`. `settings` are for that listener.
pub fn another_listener(
    folder: &Path,
    name: &str,
    protocol: &str,
    port: u16,
    advertised: u16,
    settings: &str,
) {
    let (own, controller) = (free_port(), free_port());
    fs::create_dir_all(folder).unwrap();
    fs::write(folder.join("port"), own.to_string()).unwrap();
    fs::write(folder.join("controller-port"), controller.to_string()).unwrap();
    let at = |port: u16| format!("127.0.0.1:{port}");
    let more = format!(
        "listeners=PLAINTEXT://{},CONTROLLER://{},{name}://{}\n\
         advertised.listeners=PLAINTEXT://{},{name}://{}\n\
         listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,{name}:{protocol}\n\
         inter.broker.listener.name=PLAINTEXT\n{settings}\n",
        at(own),
        at(controller),
        at(port),
        at(own),
        at(advertised)
    );
    fs::write(folder.join("more.properties"), more).unwrap();
}

/// Both of them, and what the nodes of one cluster share.
pub struct Ground {
    pub kafka: Backend,
    pub postgres: Backend,
    pub place: Place,
    /// The ways of one node that is apart from the others.
    pub to_kafka: Door,
    pub to_postgres: Door,
    _folder: TempDir,
}

impl Ground {
    pub async fn new() -> Self {
        let folder = folder();
        let behind_door = free_port();
        let to_kafka = Door::to(Behind::Kafka, behind_door).await;
        let kafka_folder = folder.path().join("kafka");
        another_listener(&kafka_folder, "DOOR", "PLAINTEXT", behind_door, to_kafka.port, "");
        let (postgres, kafka) = tokio::task::block_in_place(|| {
            let postgres = Backend::new("postgres", folder.path());
            (postgres, Backend::new("kafka", folder.path()))
        });
        let place = Place::cluster(&postgres.address, &kafka.address);
        let port = (postgres.address.rsplit_once('/').unwrap().0)
            .rsplit_once(':')
            .unwrap()
            .1;
        let to_postgres = Door::to(Behind::Postgres, port.parse().unwrap()).await;
        Self {
            kafka,
            postgres,
            place,
            to_kafka,
            to_postgres,
            _folder: folder,
        }
    }

    pub fn node(&self) -> Server {
        self.place.start_with(as_a_node)
    }

    /// A node that reaches the database and the broker through the doors.
    pub fn distant_node(&self) -> Server {
        self.place.start_with(|command| {
            as_a_node(command);
            let url = self.place.option("RLY_DATABASE_URL");
            let (_, database) = url.rsplit_once('/').unwrap();
            command
                .env(
                    "RLY_DATABASE_URL",
                    format!("postgres://rly@127.0.0.1:{}/{database}", self.to_postgres.port),
                )
                .env("RLY_KAFKA_BROKERS", format!("127.0.0.1:{}", self.to_kafka.port));
        })
    }
}

/// As behind a balancer, and without limits.
pub fn as_a_node(command: &mut Command) {
    let any = "1000000/1000000";
    let limits = [
        "sends_per_peer",
        "sends_per_address",
        "registrations",
        "proofs",
        "vault_calls",
        "joins",
        "posts_per_person",
    ];
    let limits =
        limits.map(|name| format!("{name}={any}")).join(",") + ",bytes_per_peer=4000000000/4000000000";
    command
        .env("RLY_LIMITS", limits)
        .env("RLY_PUBLIC_URL", "http://rly.example");
}
