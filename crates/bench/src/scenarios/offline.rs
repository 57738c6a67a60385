//! Messages for somebody who is away: stored, confirmed; then fetched.

use super::{Figures, Meter, Place, figure};
use crate::{
    Failure,
    message::{Inbox, Message},
    party::{Party, User},
    server::{Server, Target},
    users,
};
use std::time::Instant;
use tokio::time::sleep;

/// Absent readers, one after another: one alone takes some 20 ms, too short to be measured well.
const READERS: usize = 5;

pub(super) async fn run(place: &Place, target: Target) -> Result<Figures, Failure> {
    let server = place.start(target)?;
    let users = users::make(&server, READERS + 2).await?;
    let [sender, warm_up, readers @ ..] = &users[..] else {
        return Err("users are missing".into());
    };
    store(&server, sender, warm_up, 100).await?;
    drain(&server, warm_up, 100).await?;
    let count = place.scale.offline;
    let (mut stored, mut store_cpu, mut drained, mut drain_cpu) = (0.0, 0.0, 0.0, 0.0);
    for reader in readers {
        sleep(place.scale.settle / 10).await;
        let meter = Meter::start([&server]);
        stored += store(&server, sender, reader, count).await?;
        // Until it is at rest: the threads' times are exact then, and what is put off counts too.
        sleep(place.scale.settle / 10).await;
        store_cpu += meter.stop([&server]).server;
        let meter = Meter::start([&server]);
        drained += drain(&server, reader, count).await?;
        sleep(place.scale.settle / 10).await;
        drain_cpu += meter.stop([&server]).server;
    }
    let all = (count * readers.len() as u64) as f64;
    Ok(vec![
        figure("stored/s", all / stored),
        figure("drained/s", all / drained),
        figure("store CPU us/message", store_cpu * 1e6 / all),
        figure("drain CPU us/message", drain_cpu * 1e6 / all),
        figure("server CPU us/message", (store_cpu + drain_cpu) * 1e6 / all),
    ])
}

/// Sends to somebody until everything is confirmed. How many seconds that took.
pub(super) async fn store(
    server: &Server,
    from: &std::rc::Rc<User>,
    to: &User,
    count: u64,
) -> Result<f64, Failure> {
    let mut from = Party::connect(server, from).await?;
    let mut message = Message::new();
    let start = Instant::now();
    for number in 0..count {
        from.send(to, message.stamped(number));
        // As it is made, not all at the end.
        if number % 64 == 63 {
            from.write()?;
        }
    }
    from.confirm().await?;
    Ok(start.elapsed().as_secs_f64())
}

/// Connects and fetches what waits. How many seconds until all of it was there.
pub(super) async fn drain(server: &Server, reader: &std::rc::Rc<User>, count: u64) -> Result<f64, Failure> {
    let start = Instant::now();
    let mut inbox = Inbox::default();
    let mut to = Party::reader(server, reader, |body| inbox.take(body)).await?;
    loop {
        to.take(|body| inbox.take(body))?;
        to.write()?;
        inbox.check()?;
        if inbox.got >= count {
            break;
        }
        to.pump().await?;
    }
    let seconds = start.elapsed().as_secs_f64();
    // The acknowledgements have to be taken before the connection ends.
    sleep(std::time::Duration::from_millis(50)).await;
    Ok(seconds)
}
