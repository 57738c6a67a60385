//! From configuration to a server that is ready, and back down.

use crate::{
    ClusterConfig, Config, PageError, Parts, PublicUrl, PublicUrlError, Rooms, Site, SiteError,
    TrustedProxies, admin_router,
    data_dir::{DataDir, DataDirError, shared_keyring},
    files,
    listen::{Bounds, listen},
    public_router,
};
use rly_relay::{PostgresStore, Relay, RelayConfig, RoomMakers, SqliteStore, SystemClock};
use std::{
    io::{self, Write},
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use thiserror::Error;
use tokio::{
    net::TcpListener,
    signal::unix::{Signal, SignalKind, signal},
    time::timeout,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// Connections that are no websocket, beside those that are.
const HTTP_CONNECTIONS: usize = 4_096;
const ADMIN_CONNECTIONS: usize = 64;
/// How long a stop waits: for the relay, then for requests and sockets.
const STOP_TIME: Duration = Duration::from_secs(4);

/// Why the server does not start. One line each.
#[derive(Debug, Error)]
pub enum StartError {
    /// The folder or key.
    #[error(transparent)]
    Data(#[from] DataDirError),
    /// The files of the pages.
    #[error(transparent)]
    Site(#[from] SiteError),
    /// The pages.
    #[error(transparent)]
    Page(#[from] PageError),
    /// A listener.
    #[error("cannot listen on {0}: {1}")]
    Listen(SocketAddr, io::Error),
    /// The listener's address is no origin.
    #[error("RLY_ADDR gives no public address: set RLY_PUBLIC_URL")]
    PublicUrl(#[from] PublicUrlError),
    /// The database.
    #[error("the database {0} cannot be used: {1}")]
    Store(String, rly_relay::StoreError),
    /// The relay: the key does not fit the database, for one.
    #[error("cannot start: {0}")]
    Relay(#[from] rly_relay::StartError),
    /// The cluster's database. Its address may hold a password.
    #[error("the database of RLY_DATABASE_URL cannot be used: {0}")]
    SharedStore(rly_relay::StoreError),
    /// The file with options for Kafka.
    #[error("the file {0} cannot be used: {1}")]
    KafkaOptions(String, String),
    /// The process cannot be told to stop.
    #[error("cannot listen for signals: {0}")]
    Signals(io::Error),
}

/// Runs the server until SIGTERM or SIGINT.
///
/// # Errors
/// [`StartError`]; once it is ready there is none.
pub async fn serve(config: Config) -> Result<(), StartError> {
    let mut signals = Signals::listen().map_err(StartError::Signals)?;
    let site = Site::load(&config.site)?;
    #[cfg(debug_assertions)]
    let site = match (
        std::env::var_os("LEPTOS_WATCH"),
        std::env::var_os("LEPTOS_SITE_ROOT"),
    ) {
        (Some(_), Some(root)) => site.watched(root.as_ref())?,
        _ => site,
    };
    let (public_listener, addr) = bind(config.addr).await?;
    let (admin_listener, admin_addr) = bind(config.admin_addr).await?;
    let public = match config.public_url {
        Some(url) => url,
        None => PublicUrl::of_listener(addr)?,
    };

    files::allow(config.limits.connections + HTTP_CONNECTIONS);
    let public_bounds = Bounds {
        all: config.limits.connections + HTTP_CONNECTIONS,
        each: config.limits.connections_per_peer,
        proxies: config.trusted_proxies.clone(),
    };
    let admin_bounds = Bounds {
        all: ADMIN_CONNECTIONS,
        each: ADMIN_CONNECTIONS,
        proxies: TrustedProxies::default(),
    };
    let relay_config = RelayConfig {
        origin: public.as_str().into(),
        limits: config.limits,
        rooms: match config.rooms {
            Rooms::Anyone => RoomMakers::Anyone,
            Rooms::Accounts => RoomMakers::Accounts,
            Rooms::Off => RoomMakers::Off,
        },
    };
    let (relay, data) = match config.cluster {
        None => {
            let data = DataDir::open(&config.data_dir)?;
            let keyring = data.keyring(config.key_file.as_deref(), &config.old_key_files)?;
            let database = data.database();
            let store = SqliteStore::open(&database)
                .await
                .map_err(|error| StartError::Store(database.display().to_string(), error))?;
            let relay = Relay::start(relay_config, keyring, Arc::new(store), Arc::new(SystemClock)).await?;
            (relay, Some(data))
        }
        Some(cluster) => (node(relay_config, cluster, &config.old_key_files).await?, None),
    };
    let parts = Arc::new(Parts::new(relay.clone(), public.clone(), config.trusted_proxies, site).await?);
    let sockets = parts.sockets.clone();

    let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
    for (listener, router, bounds) in [
        (public_listener, public_router(parts), public_bounds),
        (admin_listener, admin_router(relay.clone()), admin_bounds),
    ] {
        tasks.spawn(listen(listener, router, bounds, stop.clone(), tasks.clone()));
    }
    tracing::info!(%addr, admin = %admin_addr, rooms = ?config.rooms, "ready");
    // Nobody has to read it.
    let _ = writeln!(io::stdout(), "Rly Chat is ready: {public}");

    signals.wait().await;
    tracing::info!("stopping");
    stop.cancel();
    tasks.close();
    sockets.close();
    let relay_stopped = timeout(STOP_TIME, relay.stop()).await.is_ok();
    let all_ended = timeout(STOP_TIME, async {
        sockets.wait().await;
        tasks.wait().await;
    })
    .await
    .is_ok();
    tracing::info!(relay_stopped, all_ended, "stopped");
    // Held until here: the database is closed before another process may open it.
    drop(data);
    Ok(())
}

/// A node of a cluster: nothing of its own is kept on this machine.
async fn node(
    config: RelayConfig,
    cluster: ClusterConfig,
    old_keys: &[PathBuf],
) -> Result<Relay, StartError> {
    let keyring = shared_keyring(&cluster.key_file, old_keys)?;
    let mut kafka = cluster.kafka;
    if let Some(file) = &cluster.kafka_options {
        kafka.options = read_options(file)
            .map_err(|reason| StartError::KafkaOptions(file.display().to_string(), reason))?;
    }
    let store = PostgresStore::open(&cluster.database_url)
        .await
        .map_err(StartError::SharedStore)?;
    Ok(Relay::start_node(config, keyring, store, kafka, Arc::new(SystemClock)).await?)
}

/// `NAME=VALUE` in each line; empty lines and those that begin with `#` say nothing.
fn read_options(file: &Path) -> Result<Vec<(String, String)>, String> {
    let text = std::fs::read_to_string(file).map_err(|error| error.to_string())?;
    let lines = text.lines().map(str::trim).enumerate();
    lines
        .filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
        .map(|(n, line)| {
            // The line may hold a password.
            let (name, value) = line.split_once('=').ok_or(format!("line {} has no =", n + 1))?;
            Ok((name.trim().to_owned(), value.trim().to_owned()))
        })
        .collect()
}

async fn bind(addr: SocketAddr) -> Result<(TcpListener, SocketAddr), StartError> {
    let error = |error| StartError::Listen(addr, error);
    let listener = TcpListener::bind(addr).await.map_err(error)?;
    let addr = listener.local_addr().map_err(error)?;
    Ok((listener, addr))
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn listen() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    async fn wait(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
