//! What is asked of a cluster.

use super::{Shape, backends::Shared};
use crate::{
    Failure,
    message::Message,
    party::{Party, User},
    scenarios::{Figures, Meter, Scale, figure, latency, pairs},
    server::Server,
    users,
};
use std::{
    cell::Cell,
    path::Path,
    rc::Rc,
    time::{Duration, Instant},
};
use tokio::time::sleep;

/// How often the database is asked whether all is stored.
const LOOK: Duration = Duration::from_millis(200);

/// Nodes of one cluster.
pub(super) struct Cluster {
    shared: Shared,
    nodes: Vec<Server>,
}

impl Cluster {
    pub fn start(relay: &Path, folder: &Path, shape: &Shape) -> Result<Self, Failure> {
        let shared = Shared::new(folder, shape.partitions)?;
        let nodes = (0..shape.nodes).map(|n| {
            let folder = folder.join(n.to_string());
            Server::start_node(relay, &folder, &shared.options)
        });
        let nodes = nodes.collect::<Result<_, _>>()?;
        Ok(Self { shared, nodes })
    }

    /// Senders who are confirmed, for readers who are away; then until all of it is stored.
    pub async fn publish(&self, scale: &Scale, queues: usize) -> Result<Figures, Failure> {
        let users = users::make(&self.nodes[0], queues).await?;
        self.settle().await?;
        let before = self.shared.stored()?;
        let begin = Instant::now();
        let end = begin + scale.warm_up + scale.time;
        let confirmed = Cell::new(0);
        let senders = (0..scale.pairs).map(|n| {
            let node = &self.nodes[n % self.nodes.len()];
            // Each has queues of its own, as far as there are enough.
            let own: Vec<&Rc<User>> = if queues < scale.pairs {
                vec![&users[n % queues]]
            } else {
                users.iter().skip(n).step_by(scale.pairs).collect()
            };
            send(node, own, scale.window, end, &confirmed)
        });
        let measure = async {
            sleep(scale.warm_up).await;
            let (meter, before) = (Meter::start(&self.nodes), confirmed.get());
            sleep(end.saturating_duration_since(Instant::now())).await;
            (meter.stop(&self.nodes), confirmed.get() - before)
        };
        let (sent, (used, messages)) = tokio::join!(futures_util::future::try_join_all(senders), measure);
        let sent: u64 = sent?.into_iter().sum();
        while self.shared.stored()? < before + sent {
            sleep(LOOK).await;
        }
        let stored = sent as f64 / begin.elapsed().as_secs_f64();
        let mut figures = vec![
            figure("confirmed/s", messages as f64 / used.seconds),
            figure("stored/s", stored),
        ];
        figures.extend(used.figures(messages));
        Ok(figures)
    }

    /// Pairs on different nodes, with a bounded number of messages on the way in each.
    pub async fn pairs(&self, scale: &Scale) -> Result<Figures, Failure> {
        self.settle().await?;
        pairs::load(scale, &self.nodes, Duration::ZERO).await
    }

    /// One message after another, from one node to another.
    pub async fn one_by_one(&self, scale: &Scale) -> Result<Figures, Failure> {
        self.settle().await?;
        latency::load(scale, &self.nodes).await
    }

    /// Waits until every partition has somebody who moves it, and no node more than others: a message in each
    /// that is used arrives.
    async fn settle(&self) -> Result<(), Failure> {
        while !self.shared.is_balanced(self.nodes.len())? {
            sleep(LOOK).await;
        }
        let users = users::make(&self.nodes[0], 100).await?;
        let before = self.shared.stored()?;
        let mut party = Party::connect(&self.nodes[0], &users[0]).await?;
        let mut message = Message::new();
        for (n, user) in users.iter().enumerate() {
            party.send(user, message.stamped(n as u64));
        }
        party.write()?;
        party.confirm().await?;
        while self.shared.stored()? < before + users.len() as u64 {
            sleep(LOOK).await;
        }
        Ok(())
    }
}

/// Sends to its queues in turn until the end; how many were confirmed.
async fn send(
    node: &Server,
    to: Vec<&Rc<User>>,
    window: u64,
    end: Instant,
    counted: &Cell<u64>,
) -> Result<u64, Failure> {
    let Some(first) = to.first() else {
        return Ok(0);
    };
    let mut from = Party::connect(node, first).await?;
    let (mut message, mut sent) = (Message::new(), 0_u64);
    while Instant::now() < end {
        while sent - u64::from(from.confirmed) < window {
            from.send(to[usize::try_from(sent)? % to.len()], message.stamped(sent));
            sent += 1;
        }
        from.write()?;
        from.pump().await?;
        let before = from.confirmed;
        from.take(|_| {})?;
        counted.set(counted.get() + u64::from(from.confirmed - before));
    }
    from.confirm().await?;
    Ok(sent)
}
