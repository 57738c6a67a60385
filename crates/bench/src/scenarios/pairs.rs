//! Many pairs, each with a bounded number of messages on the way.

use super::{Figures, Meter, Place, Scale, figure};
use crate::{
    Failure,
    message::{Inbox, Message, percentile},
    party::{Party, User},
    server::{Server, Target},
    users,
};
use std::{
    cell::Cell,
    rc::Rc,
    time::{Duration, Instant},
};
use tokio::time::{sleep, sleep_until};

pub(super) async fn run(place: &Place, target: Target, ack_after: Duration) -> Result<Figures, Failure> {
    load(&place.scale, &[place.start(target)?], ack_after).await
}

/// Puts the load on nodes. The two of a pair are on different ones, where there are two.
pub(crate) async fn load(scale: &Scale, nodes: &[Server], ack_after: Duration) -> Result<Figures, Failure> {
    let users = users::make(&nodes[0], 2 * scale.pairs).await?;
    let end = Instant::now() + scale.warm_up + scale.time;
    let counted = Cell::new(0);
    let pairs = users.chunks_exact(2).enumerate().map(|(n, users)| {
        let at = (&nodes[n % nodes.len()], &nodes[(n + 1) % nodes.len()]);
        pair(at, users, scale.window, end, ack_after, &counted)
    });
    let measure = async {
        sleep(scale.warm_up).await;
        let (meter, before) = (Meter::start(nodes), counted.get());
        sleep(end.saturating_duration_since(Instant::now())).await;
        (meter.stop(nodes), counted.get() - before)
    };
    let (ages, (used, messages)) = tokio::join!(futures_util::future::try_join_all(pairs), measure);
    let mut ages: Vec<f32> = ages?.into_iter().flatten().collect();
    let mut figures = vec![
        figure("messages/s", messages as f64 / used.seconds),
        figure("p50 us", percentile(&mut ages, 0.50)),
        figure("p99 us", percentile(&mut ages, 0.99)),
        figure("messages", ages.len() as f64),
    ];
    figures.extend(used.figures(messages));
    Ok(figures)
}

async fn pair(
    (senders, readers): (&Server, &Server),
    users: &[Rc<User>],
    window: u64,
    end: Instant,
    ack_after: Duration,
    counted: &Cell<u64>,
) -> Result<Vec<f32>, Failure> {
    let [sender, reader] = users else {
        return Err("a pair is two users".into());
    };
    let mut to = Party::reader(readers, reader, |_| {}).await?;
    let mut from = Party::connect(senders, sender).await?;
    to.holds_back = !ack_after.is_zero();
    let (mut inbox, mut message, mut sent) = (Inbox::default(), Message::new(), 0);
    let mut acknowledge_at: Option<Instant> = None;
    loop {
        let now = Instant::now();
        if now < end {
            while sent - inbox.got < window {
                from.send(reader, message.stamped(sent));
                sent += 1;
            }
        } else if inbox.got == sent {
            break;
        }
        if acknowledge_at.is_some_and(|at| at <= now) {
            acknowledge_at = None;
            to.acknowledge();
        }
        from.write()?;
        to.write()?;
        tokio::select! {
            biased;
            arrived = to.pump() => arrived?,
            arrived = from.pump() => arrived?,
            () = until(acknowledge_at) => continue,
        }
        let before = inbox.got;
        to.take(|body| inbox.take(body))?;
        from.take(|_| {})?;
        inbox.check()?;
        counted.set(counted.get() + inbox.got - before);
        if to.holds_back && inbox.got > before {
            acknowledge_at.get_or_insert(now + ack_after);
        }
    }
    to.acknowledge();
    to.write()?;
    from.confirm().await?;
    Ok(inbox.ages)
}

async fn until(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}
