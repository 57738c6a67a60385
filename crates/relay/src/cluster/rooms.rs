//! Rooms of which another node says that something happened: PostgreSQL tells with the commit. What is
//! not heard is found by the look that every node takes at its open rooms.
//!
//! Rooms go straight into PostgreSQL and not through the log. Their order is given in the transaction
//! that stores them, and a sender is answered only then: the log could confirm nothing earlier, and would
//! add a way for a refused message (played again, of somebody deleted) to be confirmed.

use super::Cluster;
use crate::{engine::Engine, rooms};
use std::{sync::Arc, time::Duration};

/// After the connection was lost.
const RETRY: Duration = Duration::from_secs(1);

/// Listens until the relay stops.
pub(super) async fn listen(engine: Arc<Engine>, cluster: Arc<Cluster>) {
    let stopping = engine.stopping.clone();
    let listening = async {
        loop {
            if let Ok(mut listener) = cluster.store.listen_to_rooms().await {
                while let Ok(told) = listener.recv().await {
                    if let Ok(room) = told.payload().parse() {
                        rooms::wake_id(&engine, &room);
                    }
                }
            }
            tokio::time::sleep(RETRY).await;
        }
    };
    stopping.run_until_cancelled(listening).await;
}
