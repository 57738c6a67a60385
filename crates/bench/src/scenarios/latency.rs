//! One message at a time. The next is sent when the one before has arrived and, where the server
//! confirms each, is confirmed: so do clients in one conversation.

use super::{Figures, Meter, Place, Scale, figure};
use crate::{
    Failure,
    message::{Inbox, Message, percentile},
    party::Party,
    server::{Server, Target},
    users,
};
use std::time::Instant;

/// Messages before it counts.
const WARM_UP: u64 = 50;

pub(super) async fn run(place: &Place, target: Target) -> Result<Figures, Failure> {
    load(&place.scale, &[place.start(target)?]).await
}

/// The sender is on the first of the nodes, the reader on the last.
pub(crate) async fn load(scale: &Scale, nodes: &[Server]) -> Result<Figures, Failure> {
    let (Some(first), Some(last)) = (nodes.first(), nodes.last()) else {
        return Err("a server is needed".into());
    };
    let users = users::make(first, 2).await?;
    let [sender, reader] = &users[..] else {
        return Err("two users are needed".into());
    };
    let mut to = Party::reader(last, reader, |_| {}).await?;
    let mut from = Party::connect(first, sender).await?;
    let (mut inbox, mut message, mut confirmed) = (Inbox::default(), Message::new(), Vec::new());
    let mut meter = Meter::start(nodes);
    for number in 0..WARM_UP + scale.messages {
        if number == WARM_UP {
            meter = Meter::start(nodes);
        }
        let start = Instant::now();
        from.send(reader, message.stamped(number));
        from.write()?;
        while inbox.got == number {
            to.pump().await?;
            to.take(|body| inbox.take(body))?;
            inbox.check()?;
        }
        to.write()?;
        if first.target.confirms() {
            from.confirm().await?;
            confirmed.push(start.elapsed().as_nanos() as f32 / 1e3);
        }
    }
    let used = meter.stop(nodes);
    from.confirm().await?;
    let ages = &mut inbox.ages[WARM_UP as usize..];
    let mut figures = vec![
        figure("p50 us", percentile(ages, 0.50)),
        figure("p99 us", percentile(ages, 0.99)),
    ];
    if !confirmed.is_empty() {
        figures.push(figure("confirmed p50 us", percentile(&mut confirmed, 0.50)));
    }
    figures.extend(used.figures(scale.messages));
    Ok(figures)
}
