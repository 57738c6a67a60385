//! The floor of free disk space: below it nothing new is taken, while what makes room goes on. A disk
//! that is quite full could not even delete.

use crate::{Refusal, engine::Engine};
use rly_protocol::ErrorCode;
use std::{
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

/// Between two looks no disk takes much more than the floor's half.
const EVERY: Duration = Duration::from_secs(1);
/// When whoever was refused may try again.
const WAIT: Duration = Duration::from_secs(30);

/// Looks until the relay stops, if the store knows its disk.
pub(crate) async fn watch(engine: Arc<Engine>) {
    while look(&engine).await {
        let rest = tokio::time::sleep(EVERY);
        if engine.stopping.run_until_cancelled(rest).await.is_none() {
            return;
        }
    }
}

/// Looks once. False: nobody can tell.
pub(crate) async fn look(engine: &Engine) -> bool {
    let floor = engine.config.limits.disk_free;
    match engine.store.free_space().await {
        Ok(Some(free)) => {
            let low = free < floor;
            if engine.disk_low.swap(low, Relaxed) != low {
                if low {
                    tracing::error!(free, floor, "too little free disk space: nothing new is taken");
                } else {
                    tracing::info!(free, floor, "there is enough free disk space again");
                }
            }
            true
        }
        Ok(None) => false,
        Err(error) => {
            tracing::warn!(%error, "the free disk space is not known");
            true
        }
    }
}

/// Something new may be stored.
pub(crate) fn check(engine: &Engine) -> Result<(), Refusal> {
    if engine.disk_low.load(Relaxed) {
        return Err(Refusal::later(ErrorCode::Unavailable, WAIT));
    }
    Ok(())
}
