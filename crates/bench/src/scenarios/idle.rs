//! What a connection at rest takes.

use super::{Figures, Meter, Place, figure};
use crate::{Failure, party::Party, server::Target, users};
use tokio::time::sleep;

/// Connections opened at one time.
const AT_ONCE: usize = 32;

pub(super) async fn run(place: &Place, target: Target) -> Result<Figures, Failure> {
    let server = place.start(target)?;
    let most = place.scale.idle.iter().copied().max().unwrap_or_default();
    let users = users::make(&server, most + 1).await?;
    // A fresh process: what making the users left in memory does not count.
    server.kill()?;
    let server = place.start(target)?;
    let mut parties = vec![Party::reader(&server, &users[0], |_| {}).await?];
    sleep(place.scale.settle).await;
    let base = server.memory();
    let mut figures = Vec::new();
    for count in &place.scale.idle {
        let meter = Meter::start([&server]);
        let before = parties.len() - 1;
        for users in users[parties.len()..=*count].chunks(AT_ONCE) {
            let readers = users.iter().map(|user| Party::reader(&server, user, |_| {}));
            parties.extend(futures_util::future::try_join_all(readers).await?);
        }
        for party in &mut parties {
            party.rest();
        }
        let used = meter.stop([&server]);
        sleep(place.scale.settle).await;
        let memory = server.memory().saturating_sub(base) as f64 / 1024.0;
        let opened = (count - before) as f64;
        figures.extend([
            figure(&format!("KiB each of {count}"), memory / *count as f64),
            figure(&format!("opened/s up to {count}"), opened / used.seconds),
            figure(&format!("CPU us/open up to {count}"), used.server * 1e6 / opened),
        ]);
    }
    Ok(figures)
}
