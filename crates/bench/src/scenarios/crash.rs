//! What is left when the server is killed, and how often data was forced to the disk for that.

use super::{Figures, Place, figure, offline, pairs};
use crate::{Failure, party::Party, server::Target, users};
use std::time::Duration;

pub(super) async fn run(place: &Place, target: Target) -> Result<Figures, Failure> {
    let server = place.start(target)?;
    let users = users::make(&server, 2).await?;
    let [sender, reader] = &users[..] else {
        return Err("two users are needed".into());
    };
    // A reader that has been there once, as readers have.
    drop(Party::reader(&server, reader, |_| {}).await?);
    tokio::time::sleep(Duration::from_millis(100)).await;
    let count = place.scale.crash;
    offline::store(&server, sender, reader, count).await?;
    server.kill()?;
    let server = place.start(target)?;
    // It fails for one that is missing, doubled or overtaken.
    offline::drain(&server, reader, count).await?;
    Ok(vec![
        figure("confirmed", count as f64),
        figure("left after kill -9, %", 100.0),
    ])
}

pub(super) async fn syncs(place: &Place, target: Target) -> Result<Figures, Failure> {
    let server = place.start_traced(target)?;
    let users = users::make(&server, 2).await?;
    let [sender, reader] = &users[..] else {
        return Err("two users are needed".into());
    };
    let before = server.syncs();
    offline::store(&server, sender, reader, place.scale.crash).await?;
    let stored = (server.syncs() - before) as f64 / place.scale.crash as f64;
    offline::drain(&server, reader, place.scale.crash).await?;
    let before = server.syncs();
    let figures = pairs::load(&place.scale, std::slice::from_ref(&server), Duration::ZERO).await?;
    let messages = figures.iter().find(|(name, _)| name == "messages");
    let messages = messages.map_or(1.0, |(_, messages)| *messages);
    Ok(vec![
        figure("syncs/message, absent reader", stored),
        figure(
            "syncs/message, pairs",
            (server.syncs() - before) as f64 / messages,
        ),
        figure("messages", messages),
    ])
}
