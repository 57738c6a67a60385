//! The accept loop: HTTP/1 with time limits and bounds on connections, stopped gracefully.

use crate::{TrustedProxies, patient::Patient, peer::Remote};
use axum::{Router, body::Body};
use http::Request;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use rly_relay::{Seat, Seats};
use std::{
    net::{IpAddr, SocketAddr},
    pin::pin,
    sync::Arc,
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    time::sleep,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::ServiceExt;

/// How long a request's head may take, and a connection may rest between two requests.
const HEAD_TIME: Duration = Duration::from_secs(30);
/// How long the other side may take none of what is sent.
const WRITE_TIME: Duration = Duration::from_secs(30);
/// Bytes of a request's head at most.
const HEAD_MAX: usize = 16 << 10;
/// After an accept that failed (no file descriptors left), so that the loop does not spin.
const PAUSE: Duration = Duration::from_millis(100);

/// How many connections there may be at one time.
pub(crate) struct Bounds {
    /// In all.
    pub all: usize,
    /// From one peer.
    pub each: usize,
    /// Who connects for many others, and is not counted as one peer: the relay counts its clients.
    pub proxies: TrustedProxies,
}

/// Serves connections until `stop`, then ends those that rest.
pub(crate) async fn listen(
    listener: TcpListener,
    router: Router,
    bounds: Bounds,
    stop: CancellationToken,
    tasks: TaskTracker,
) {
    let free = Arc::new(Semaphore::new(bounds.all));
    let seats = Seats::new(bounds.each);
    loop {
        let Ok(permit) = Arc::clone(&free).acquire_owned().await else {
            return;
        };
        let accepted = tokio::select! {
            () = stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, remote)) => {
                // Without a word: an answer would cost more than they do.
                let Some(seat) = seat(&seats, &bounds.proxies, remote.ip()) else {
                    continue;
                };
                let (router, stop) = (router.clone(), stop.clone());
                tasks.spawn(async move {
                    serve_tcp(stream, remote, router, stop).await;
                    drop((permit, seat));
                });
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                sleep(PAUSE).await;
            }
        }
    }
}

/// `None`: it has too many; within, `None`: nobody counts.
fn seat(seats: &Seats, proxies: &TrustedProxies, remote: IpAddr) -> Option<Option<Seat>> {
    if proxies.trusts(remote.to_canonical()) {
        return Some(None);
    }
    seats.take(remote).map(Some)
}

async fn serve_tcp(stream: TcpStream, remote: SocketAddr, router: Router, stop: CancellationToken) {
    // A frame is worth sending at once. Without it everything still works.
    let _ = stream.set_nodelay(true);
    serve(stream, remote.ip(), router, stop).await;
}

async fn serve(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    remote: IpAddr,
    router: Router,
    stop: CancellationToken,
) {
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(Remote(remote));
        router.clone().oneshot(request.map(Body::new))
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME)
        .max_buf_size(HEAD_MAX)
        .serve_connection(TokioIo::new(Patient::new(stream, WRITE_TIME)), service)
        .with_upgrades();
    let mut connection = pin!(connection);
    let outcome = tokio::select! {
        outcome = &mut connection => outcome,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = outcome {
        tracing::debug!(%error, "a connection broke");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::routing::get;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    /// The clock moves on by itself where nothing else does.
    #[tokio::test(start_paused = true)]
    async fn who_asks_and_never_reads_is_cut() {
        let router = Router::new().route("/", get(|| async { vec![7u8; 1 << 20] }));
        let (mut client, stream) = tokio::io::duplex(4096);
        client
            .write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            .await
            .unwrap();
        let served = serve(stream, [192, 0, 2, 1].into(), router, CancellationToken::new());
        tokio::time::timeout(10 * WRITE_TIME, served)
            .await
            .expect("held for ever");
        let mut got = Vec::new();
        client.read_to_end(&mut got).await.unwrap();
        assert!(got.len() < 1 << 20);
    }

    /// However long it takes in all.
    #[tokio::test(start_paused = true)]
    async fn who_reads_slowly_gets_it_all() {
        let router = Router::new().route("/", get(|| async { vec![7u8; 1 << 20] }));
        let (mut client, stream) = tokio::io::duplex(64 << 10);
        client
            .write_all(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            .await
            .unwrap();
        let served = serve(stream, [192, 0, 2, 1].into(), router, CancellationToken::new());
        let read = async {
            let (mut got, mut part) = (0, vec![0; 64 << 10]);
            loop {
                sleep(WRITE_TIME / 2).await;
                match client.read(&mut part).await.unwrap() {
                    0 => return got,
                    n => got += n,
                }
            }
        };
        let ((), got) = tokio::join!(served, read);
        assert!(got > 1 << 20, "{got}");
    }
}
