//! Options of the process: flags and environment are the same.

use crate::{PublicUrl, TrustedProxies};
use clap::{
    Parser, Subcommand, ValueEnum,
    error::{ContextKind, ContextValue, ErrorKind},
};
use rly_relay::{KafkaConfig, Limits};
use std::{ffi::OsString, fmt, net::SocketAddr, path::PathBuf};
use thiserror::Error;

/// Rly Chat: a private messenger that starts with a link. This is its server.
///
/// Each option can be given as a flag or in the environment; the flag wins. RUST_LOG sets what is
/// logged (error, warn, info, debug, trace).
#[derive(Debug, Parser)]
#[command(
    name = "rly-server",
    version,
    max_term_width = 100,
    disable_help_subcommand = true
)]
struct Options {
    #[command(subcommand)]
    other: Option<Other>,

    /// Where people are served; port 0 picks a free one
    #[arg(
        long,
        env = "RLY_ADDR",
        value_name = "IP:PORT",
        default_value = "127.0.0.1:3000"
    )]
    addr: SocketAddr,

    /// Where health and metrics are served, kept off the public address
    #[arg(
        long,
        env = "RLY_ADMIN_ADDR",
        value_name = "IP:PORT",
        default_value = "127.0.0.1:3001"
    )]
    admin_addr: SocketAddr,

    /// The origin in links and in Origin checks, like https://chat.example.org [default: from --addr]
    #[arg(long, env = "RLY_PUBLIC_URL", value_name = "URL")]
    public_url: Option<PublicUrl>,

    /// Folder of the SQLite file and the server key; made if there is none
    #[arg(long, env = "RLY_DATA_DIR", value_name = "FOLDER", default_value = "./data")]
    data_dir: PathBuf,

    /// postgres://… for a cluster [default: SQLite in the data folder]
    #[arg(long, env = "RLY_DATABASE_URL", value_name = "URL", hide_env_values = true)]
    database_url: Option<String>,

    /// Deliver through these Kafka brokers, host:port[,…] [default: within this process]
    #[arg(long, env = "RLY_KAFKA_BROKERS", value_name = "LIST")]
    kafka_brokers: Option<String>,

    /// File with more options for Kafka (TLS, SASL), NAME=VALUE in each line, as librdkafka has them
    #[arg(long, env = "RLY_KAFKA_OPTIONS", value_name = "FILE")]
    kafka_options: Option<PathBuf>,

    /// What topics and consumer group begin with, so that several installations can share a Kafka
    #[arg(long, env = "RLY_KAFKA_PREFIX", value_name = "NAME", default_value = "rly")]
    kafka_prefix: String,

    /// Partitions of the topic, when it is made at the first start; fixed from then on
    #[arg(
        long,
        env = "RLY_KAFKA_PARTITIONS",
        value_name = "N",
        default_value = "64",
        value_parser = clap::value_parser!(i32).range(1..=10_000)
    )]
    kafka_partitions: i32,

    /// 32 bytes from which all server keys are derived [default: in the data folder, made at the
    /// first start]
    #[arg(long, env = "RLY_KEY_FILE", value_name = "FILE")]
    key_file: Option<PathBuf>,

    /// Files of earlier keys, separated by commas: what was made with them is still taken
    #[arg(
        long,
        env = "RLY_OLD_KEY_FILES",
        value_name = "FILES",
        default_value = "",
        hide_default_value = true
    )]
    old_key_files: String,

    /// Proxies whose X-Forwarded-For is believed: IP addresses and networks, separated by commas
    #[arg(
        long,
        env = "RLY_TRUSTED_PROXIES",
        value_name = "LIST",
        default_value = "",
        hide_default_value = true
    )]
    trusted_proxies: TrustedProxies,

    /// Who may make rooms
    #[arg(long, env = "RLY_ROOMS", value_name = "WHO", default_value = "anyone")]
    rooms: Rooms,

    /// Name of this node in a cluster, letters, digits and dashes [default: random]
    #[arg(long, env = "RLY_NODE_ID", value_name = "NAME")]
    node_id: Option<String>,

    /// Mail server, smtp://…; without it mail features say that mail is off
    #[arg(long, env = "RLY_SMTP_URL", value_name = "URL", hide_env_values = true)]
    smtp_url: Option<String>,

    /// Other limits than the usual ones, as NAME=VALUE[,…]: sends_per_address, sends_per_peer,
    /// registrations, shares, claims, proofs, vault_opens, vault_calls, bytes_per_peer, rooms, joins and
    /// posts_per_person take EACH_SECOND/AT_ONCE (like 500/5000); connections, connections_per_peer,
    /// calls_per_peer, queue_envelopes, queue_bytes, rooms_per_peer and disk_free (bytes) take a number
    #[arg(
        long,
        env = "RLY_LIMITS",
        value_name = "LIST",
        default_value = "",
        hide_default_value = true
    )]
    limits: Limits,

    /// Folder of the built pages' files [default: `site` beside the executable's folder, or ./site]
    #[arg(long, env = "RLY_SITE_DIR", value_name = "FOLDER", global = true)]
    site: Option<PathBuf>,
}

/// What it does instead of serving.
#[derive(Debug, Subcommand)]
enum Other {
    /// Prints the hashes of all that this build serves, as JSON
    Manifest,
    /// Compares a running server with the hashes of this build: 0 it serves the same, 1 it does not,
    /// 2 it cannot be asked
    Verify {
        /// Its address, like https://chat.example.org
        #[arg(value_name = "URL")]
        url: PublicUrl,
    },
}

/// Who may make rooms.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Rooms {
    /// Everybody.
    Anyone,
    /// Whoever has an account here.
    Accounts,
    /// Nobody.
    Off,
}

/// What the process is asked to do.
#[derive(Clone, Debug)]
pub enum Task {
    /// Serve.
    Serve(Box<Config>),
    /// Print the manifest of what this folder serves.
    Manifest(PathBuf),
    /// Compare a server with the manifest in this folder.
    Verify(PublicUrl, PathBuf),
}

/// A node of a cluster.
#[derive(Clone)]
pub struct ClusterConfig {
    /// The shared database. May hold a password.
    pub database_url: String,
    /// Brokers, prefix and partitions, and this node's name.
    pub kafka: KafkaConfig,
    /// More options for Kafka. May hold passwords.
    pub kafka_options: Option<PathBuf>,
    /// The shared key.
    pub key_file: PathBuf,
}

impl fmt::Debug for ClusterConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            database_url: _,
            kafka,
            kafka_options,
            key_file,
        } = self;
        f.debug_struct("ClusterConfig")
            .field("kafka", kafka)
            .field("kafka_options", kafka_options)
            .field("key_file", key_file)
            .finish_non_exhaustive()
    }
}

/// What the server is told at its start; every part is well-formed.
#[derive(Clone, Debug)]
pub struct Config {
    /// Public listener.
    pub addr: SocketAddr,
    /// Listener for health and metrics.
    pub admin_addr: SocketAddr,
    /// `None`: from the listener, once its port is known.
    pub public_url: Option<PublicUrl>,
    /// Holds the database, the lock and, unless it is elsewhere, the key.
    pub data_dir: PathBuf,
    /// `None`: in the data folder.
    pub key_file: Option<PathBuf>,
    /// Keys from before it.
    pub old_key_files: Vec<PathBuf>,
    /// Who may tell a client's address.
    pub trusted_proxies: TrustedProxies,
    /// `None`: one process, SQLite in the data folder.
    pub cluster: Option<ClusterConfig>,
    /// Who may make rooms.
    pub rooms: Rooms,
    /// Bounds on use.
    pub limits: Limits,
    /// What `build-web` made.
    pub site: PathBuf,
}

/// The options do not make sense. One line each.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// A flag or value that clap refused.
    #[error("{0}")]
    Usage(String),
    /// A variable that nobody reads is a typing error with consequences.
    #[error("unknown variable {0} in the environment; rly-server --help lists those that are known")]
    UnknownVariable(String),
    /// One does not go without the other.
    #[error(
        "{0} is set, but {1} is not: a cluster needs PostgreSQL and Kafka, a single server neither of them"
    )]
    HalfCluster(&'static str, &'static str),
    /// Each node would make its own.
    #[error("a cluster needs RLY_KEY_FILE: one file of 32 random bytes, the same on every node")]
    ClusterKey,
    /// Not the beginning of a topic's name.
    #[error("RLY_KAFKA_PREFIX must be 1 to 64 letters, digits, dots or dashes")]
    KafkaPrefix,
    /// Not a PostgreSQL URL. The value may hold a password, so it is not repeated.
    #[error("RLY_DATABASE_URL must begin with postgres://")]
    DatabaseUrl,
    /// Not a mail server's URL. The value may hold a password, so it is not repeated.
    #[error("RLY_SMTP_URL must begin with smtp:// or smtps://")]
    SmtpUrl,
    /// Not a node name.
    #[error("RLY_NODE_ID must be 1 to 64 letters, digits or dashes")]
    NodeId,
    /// Two listeners on one address.
    #[error("RLY_ADDR and RLY_ADMIN_ADDR are the same address")]
    SameAddress,
    /// The built pages are nowhere.
    #[error("the built pages are not found: run ./run, or set RLY_SITE_DIR to the folder made by build-web")]
    NoSite,
}

impl Task {
    /// Reads arguments and environment. `None`: help or version was asked for and is printed.
    ///
    /// # Errors
    /// [`ConfigError`].
    pub fn from_process() -> Result<Option<Self>, ConfigError> {
        let beside = std::env::current_exe()
            .ok()
            .and_then(|exe| Some(exe.parent()?.parent()?.join("site")));
        let names = std::env::vars_os().map(|(name, _)| name);
        Self::read(std::env::args_os(), names, beside)
    }

    pub(crate) fn read(
        arguments: impl Iterator<Item = OsString>,
        mut variables: impl Iterator<Item = OsString>,
        site: Option<PathBuf>,
    ) -> Result<Option<Self>, ConfigError> {
        let options = match Options::try_parse_from(arguments) {
            Ok(options) => options,
            Err(error) if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) => {
                // A closed stdout is the reader's choice.
                let _ = error.print();
                return Ok(None);
            }
            Err(error) => return Err(ConfigError::Usage(one_line(&error))),
        };
        let known = <Options as clap::CommandFactory>::command();
        // Who only asks something is not held up by what others read.
        let serves = options.other.is_none();
        let unknown = variables.find(|name| {
            name.to_string_lossy().starts_with("RLY_")
                && !known
                    .get_arguments()
                    .any(|argument| argument.get_env() == Some(name))
        });
        match unknown {
            Some(name) if serves => Err(ConfigError::UnknownVariable(name.to_string_lossy().into_owned())),
            _ => options.parse(site).map(Some),
        }
    }
}

/// What clap says, as one line.
fn one_line(error: &clap::Error) -> String {
    let place = match error.kind() {
        ErrorKind::UnknownArgument => Some(ContextKind::InvalidArg),
        ErrorKind::InvalidSubcommand => Some(ContextKind::InvalidSubcommand),
        _ => None,
    };
    if let Some(ContextValue::String(given)) = place.and_then(|kind| error.get(kind)) {
        // In its right place it may have been a URL with a password: only its beginning is repeated.
        let end = given.find(|c: char| !c.is_ascii_alphanumeric() && c != '-');
        let name = &given[..end.unwrap_or(given.len())];
        return format!("unknown option or word '{name}'; rly-server --help lists those that are known");
    }
    // The first paragraph: what follows is the usage.
    let text = error.to_string();
    let lines = text.lines().take_while(|line| !line.is_empty());
    let line = lines.map(str::trim).collect::<Vec<_>>().join(" ");
    line.trim_start_matches("error: ").into()
}

impl Options {
    fn parse(self, site: Option<PathBuf>) -> Result<Task, ConfigError> {
        match &self.other {
            None => self.serve(site).map(Box::new).map(Task::Serve),
            Some(Other::Manifest) => self.folder(site).map(Task::Manifest),
            Some(Other::Verify { url }) => Ok(Task::Verify(url.clone(), self.folder(site)?)),
        }
    }

    /// The folder that was named, or the one where the executable or the caller is.
    fn folder(&self, site: Option<PathBuf>) -> Result<PathBuf, ConfigError> {
        match &self.site {
            Some(site) => Ok(site.clone()),
            None => site
                .into_iter()
                .chain([PathBuf::from("site")])
                .find(|site| site.join("manifest.json").is_file())
                .ok_or(ConfigError::NoSite),
        }
    }

    fn cluster(&self) -> Result<Option<ClusterConfig>, ConfigError> {
        let url = self.database_url.as_deref();
        if !url.is_none_or(|url| url.starts_with("postgres://") || url.starts_with("postgresql://")) {
            return Err(ConfigError::DatabaseUrl);
        }
        let (database, kafka) = ("RLY_DATABASE_URL", "RLY_KAFKA_BROKERS");
        let (url, brokers) = match (url, &self.kafka_brokers) {
            (None, None) => return Ok(None),
            (Some(_), None) => return Err(ConfigError::HalfCluster(database, kafka)),
            (None, Some(_)) => return Err(ConfigError::HalfCluster(kafka, database)),
            (Some(url), Some(brokers)) => (url, brokers),
        };
        let prefix = self.kafka_prefix.as_bytes();
        let allowed = |c: &u8| c.is_ascii_alphanumeric() || matches!(c, b'.' | b'-');
        if prefix.is_empty() || prefix.len() > 64 || !prefix.iter().all(allowed) {
            return Err(ConfigError::KafkaPrefix);
        }
        Ok(Some(ClusterConfig {
            database_url: url.into(),
            kafka: KafkaConfig {
                brokers: brokers.clone(),
                options: Vec::new(),
                node: self.node_id.clone(),
                prefix: self.kafka_prefix.clone(),
                partitions: self.kafka_partitions,
            },
            kafka_options: self.kafka_options.clone(),
            key_file: self.key_file.clone().ok_or(ConfigError::ClusterKey)?,
        }))
    }

    fn serve(self, site: Option<PathBuf>) -> Result<Config, ConfigError> {
        if let Some(url) = &self.smtp_url
            && !["smtp://", "smtps://"]
                .iter()
                .any(|scheme| url.starts_with(scheme))
        {
            return Err(ConfigError::SmtpUrl);
        }
        if let Some(id) = &self.node_id
            && (id.is_empty() || id.len() > 64 || !id.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'-'))
        {
            return Err(ConfigError::NodeId);
        }
        let cluster = self.cluster()?;
        if self.addr == self.admin_addr && self.addr.port() != 0 {
            return Err(ConfigError::SameAddress);
        }
        let site = self.folder(site)?;
        Ok(Config {
            addr: self.addr,
            admin_addr: self.admin_addr,
            public_url: self.public_url,
            data_dir: self.data_dir,
            key_file: self.key_file,
            old_key_files: (self.old_key_files.split(','))
                .filter(|file| !file.is_empty())
                .map(PathBuf::from)
                .collect(),
            trusted_proxies: self.trusted_proxies,
            cluster,
            rooms: self.rooms,
            limits: self.limits,
            site,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(arguments: &[&str], variables: &[&str]) -> Result<Option<Task>, ConfigError> {
        let arguments = ["rly-server"].iter().chain(arguments).map(OsString::from);
        Task::read(arguments, variables.iter().map(OsString::from), None)
    }

    fn serves(arguments: &[&str], variables: &[&str]) -> Box<Config> {
        match read(arguments, variables) {
            Ok(Some(Task::Serve(config))) => config,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn defaults_are_those_of_the_contract() {
        let config = serves(&["--site", "s"], &["RLY_ADDR", "PATH"]);
        assert_eq!(config.addr.to_string(), "127.0.0.1:3000");
        assert_eq!(config.admin_addr.to_string(), "127.0.0.1:3001");
        assert_eq!(config.data_dir, PathBuf::from("./data"));
        assert_eq!(config.rooms, Rooms::Anyone);
        assert_eq!(config.public_url, None);
        assert_eq!(config.limits, Limits::default());
        assert!(config.old_key_files.is_empty());
    }

    #[test]
    fn a_cluster_has_a_database_brokers_and_a_key() {
        let cluster = |more: &[&str]| {
            let base = ["--site", "s", "--database-url", "postgres://u:hush@h/d"];
            let rest = ["--kafka-brokers", "a:1,b:2", "--key-file", "k"];
            read(&[&base[..], &rest, more].concat(), &[])
        };
        let Ok(Some(Task::Serve(config))) = cluster(&["--node-id", "n-1"]) else {
            panic!("refused");
        };
        assert!(!format!("{config:?}").contains("hush"));
        let cluster_config = config.cluster.unwrap();
        assert_eq!(cluster_config.database_url, "postgres://u:hush@h/d");
        assert_eq!(cluster_config.kafka.brokers, "a:1,b:2");
        assert_eq!(cluster_config.kafka.node.as_deref(), Some("n-1"));
        assert_eq!(
            (
                cluster_config.kafka.prefix.as_str(),
                cluster_config.kafka.partitions
            ),
            ("rly", 64)
        );
        let error = cluster(&["--kafka-prefix", "a_b"]).unwrap_err();
        assert!(error.to_string().contains("RLY_KAFKA_PREFIX"));
    }

    #[test]
    fn what_is_in_the_wrong_place_is_not_repeated() {
        for (argument, name) in [
            ("postgres://u:hush@h/d", "'postgres'"),
            ("--database=postgres://u:hush@h/d", "'--database'"),
            ("--smtp-urlsmtps://u:hush@h", "'--smtp-urlsmtps'"),
        ] {
            let line = read(&[argument], &[]).unwrap_err().to_string();
            assert!(line.contains(name) && !line.contains("hush"), "{line}");
        }
    }

    #[test]
    fn old_keys_are_a_list() {
        let old = |list: &str| serves(&["--site", "s", "--old-key-files", list], &[]).old_key_files;
        assert_eq!(old("a,b"), [PathBuf::from("a"), PathBuf::from("b")]);
        assert!(old("").is_empty());
    }

    #[test]
    fn mistakes_are_told_in_one_line() {
        for (arguments, variables, words) in [
            (&["--site", "s"][..], &["RLY_ADR"][..], "unknown variable RLY_ADR"),
            (&["--addr", "here"], &[], "'here'"),
            (&["--nonsense"], &[], "--nonsense"),
            (&["--rooms", "some"], &[], "'some'"),
            (&["--public-url", "https://a/b"], &[], "https://a/b"),
            (&["--trusted-proxies", "1.2.3.4/99"], &[], "1.2.3.4/99"),
            (&["--limits", "claims=5"], &[], "'claims=5' is no limit"),
            (
                &["--kafka-brokers", "a:1"],
                &[],
                "RLY_KAFKA_BROKERS is set, but RLY_DATABASE_URL is not",
            ),
            (
                &["--database-url", "postgres://u:hush@h/d"],
                &[],
                "RLY_DATABASE_URL is set, but RLY_KAFKA_BROKERS is not",
            ),
            (
                &[
                    "--database-url",
                    "postgres://u:hush@h/d",
                    "--kafka-brokers",
                    "a:1",
                ],
                &[],
                "needs RLY_KEY_FILE",
            ),
            (&["--kafka-partitions", "0"], &[], "'0'"),
            (
                &["--database-url", "mysql://u:hush@h/d"],
                &[],
                "must begin with postgres://",
            ),
            (&["--smtp-url", "http://u:hush@h"], &[], "smtp://"),
            (&["--node-id", "a b"], &[], "RLY_NODE_ID"),
            (&["--admin-addr", "127.0.0.1:3000"], &[], "same address"),
            (&[], &[], "built pages"),
            (&["verify"], &[], "<URL>"),
            (&["verify", "chat.example.org"], &[], "'chat.example.org'"),
            (&["verify", "https://a/b", "--site", "s"], &[], "'https://a/b'"),
            (&["verify", "https://a"], &[], "built pages"),
            (&["manifest", "more"], &[], "'more'"),
        ] {
            let line = read(arguments, variables).unwrap_err().to_string();
            assert!(line.contains(words) && !line.contains('\n'), "{line}");
            assert!(!line.contains("hush"), "{line}");
        }
    }
}
