//! One thing after another breaks, while people write and read.

use crate::{
    common::process::Server,
    door::Passing,
    ground::{Ground, signal},
    load::Load,
};
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};
use rand_core::RngCore;
use std::time::Duration;
use tokio::{task::block_in_place, time::sleep};

/// Conversations at one time.
const LINES: u32 = 16;
/// Messages of each that must come through before and after each fault.
const MESSAGES: u32 = 25;

#[derive(Clone, Copy, Debug)]
enum Fault {
    KillNode,
    /// Longer than the group waits: another node takes its partitions, and then it wakes up.
    StopNode,
    RestartNodes,
    /// Two nodes come and take partitions, one goes before the other.
    Rebalance,
    KillBroker,
    StopBroker,
    BrokerAway,
    KillPostgres,
    /// For longer than it takes to trim the log.
    PostgresAway,
    /// Broker and node at one moment.
    KillBoth,
    /// A node hears nothing of the broker, while the others do.
    CutFromBroker,
    /// A node hears nothing of the database.
    CutFromDatabase,
    /// Of neither, as when its cable is pulled.
    CutOff,
    /// Killed after the log has taken envelopes and before their senders were told: they come again.
    KillBeforeAnswer,
    /// Killed after transactions were committed and before the node knew: offsets have moved.
    KillAfterCommit,
    /// The same, and the node lives: what it thinks was not stored is delivered to it again.
    CommitUnanswered,
    /// The broker works and takes what comes, but one node is told that there is no leader, until it has tried
    /// with new producers.
    Leaderless,
}

const FAULTS: [Fault; 17] = [
    Fault::KillNode,
    Fault::StopNode,
    Fault::RestartNodes,
    Fault::Rebalance,
    Fault::KillBroker,
    Fault::StopBroker,
    Fault::BrokerAway,
    Fault::KillPostgres,
    Fault::PostgresAway,
    Fault::KillBoth,
    Fault::CutFromBroker,
    Fault::CutFromDatabase,
    Fault::CutOff,
    Fault::KillBeforeAnswer,
    Fault::KillAfterCommit,
    Fault::CommitUnanswered,
    Fault::Leaderless,
];

/// Waits until something is so.
async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    for _ in 0..600 {
        if holds().await {
            return;
        }
        sleep(Duration::from_millis(100)).await;
    }
    panic!("never: {what}");
}

fn setting(name: &str, otherwise: u64) -> u64 {
    match std::env::var(name) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{name} is no number")),
        Err(_) => otherwise,
    }
}

/// `RLY_TEST_FAULTS=KillNode,CutOff` tries these alone.
fn chosen(fault: Fault) -> bool {
    let name = format!("{fault:?}");
    std::env::var("RLY_TEST_FAULTS").map_or(true, |names| names.split(',').any(|one| one == name))
}

struct Cluster {
    ground: Ground,
    nodes: Vec<Server>,
    random: ChaCha20Rng,
}

impl Cluster {
    fn some(&mut self, bound: u64) -> u64 {
        self.random.next_u64() % bound
    }

    /// Long enough for something to be under way, and never the same.
    async fn moment(&mut self) {
        let ms = self.some(300);
        sleep(Duration::from_millis(ms)).await;
    }

    fn start_node(&mut self) {
        let node = block_in_place(|| self.ground.node());
        self.nodes.push(node);
    }

    async fn kill_node(&mut self, load: &Load) {
        let at = self.some(self.nodes.len() as u64) as usize;
        self.nodes.remove(at).kill();
        load.nodes(&self.nodes);
        self.moment().await;
    }

    async fn suffer(&mut self, fault: Fault, load: &Load) {
        let away = Duration::from_secs(setting("RLY_TEST_AWAY", 12));
        match fault {
            Fault::KillNode => {
                self.kill_node(load).await;
                self.start_node();
            }
            Fault::StopNode => {
                let at = self.some(self.nodes.len() as u64) as usize;
                let pid = self.nodes[at].pid();
                signal(pid, "STOP");
                sleep(Duration::from_secs(9)).await;
                signal(pid, "CONT");
            }
            Fault::RestartNodes => {
                for _ in 0..self.nodes.len() {
                    let node = self.nodes.remove(0);
                    self.end_node(node, load).await;
                    self.start_node();
                    load.nodes(&self.nodes);
                }
            }
            Fault::Rebalance => {
                for _ in 0..2 {
                    self.start_node();
                    load.nodes(&self.nodes);
                    load.spread();
                    let node = &self.nodes[self.nodes.len() - 1];
                    until("it has partitions", async || {
                        node.metric("rly_log_partitions").await > 0
                    })
                    .await;
                    load.progress(MESSAGES, "with one more node").await;
                }
                for _ in 0..2 {
                    let at = self.some(self.nodes.len() as u64) as usize;
                    let node = self.nodes.remove(at);
                    self.end_node(node, load).await;
                }
            }
            Fault::KillBroker => {
                block_in_place(|| self.ground.kafka.end("KILL"));
                self.moment().await;
                block_in_place(|| self.ground.kafka.start());
            }
            Fault::StopBroker => {
                self.ground.kafka.signal("STOP");
                sleep(Duration::from_secs(3)).await;
                self.ground.kafka.signal("CONT");
            }
            Fault::BrokerAway => {
                block_in_place(|| self.ground.kafka.end("TERM"));
                sleep(away).await;
                for node in &self.nodes {
                    assert_eq!(node.ready().await, (503, Some("broker".into())));
                }
                block_in_place(|| self.ground.kafka.start());
            }
            Fault::KillPostgres => {
                block_in_place(|| self.ground.postgres.end("KILL"));
                self.moment().await;
                block_in_place(|| self.ground.postgres.start());
            }
            Fault::PostgresAway => {
                block_in_place(|| self.ground.postgres.end("INT"));
                sleep(away).await;
                for node in &self.nodes {
                    assert_eq!(node.ready().await, (503, Some("store".into())));
                }
                block_in_place(|| self.ground.postgres.start());
            }
            Fault::KillBoth => {
                self.ground.kafka.signal("STOP");
                self.kill_node(load).await;
                block_in_place(|| self.ground.kafka.end("KILL"));
                block_in_place(|| self.ground.kafka.start());
                self.start_node();
            }
            Fault::CutFromBroker => self.cut_off(Some("broker"), true, false, load).await,
            Fault::CutFromDatabase => self.cut_off(Some("store"), false, true, load).await,
            Fault::CutOff => self.cut_off(None, true, true, load).await,
            Fault::KillBeforeAnswer => {
                let node = self.distant_node(load).await;
                let before = self.repeated().await;
                self.ground.to_kafka.let_pass(Passing::Questions);
                // Every writer of that node waits by now.
                sleep(Duration::from_secs(1)).await;
                node.kill();
                self.ground.to_kafka.let_pass(Passing::Everything);
                load.nodes(&self.nodes);
                until("envelopes come again", async || self.repeated().await > before).await;
            }
            Fault::KillAfterCommit => {
                let node = self.distant_node(load).await;
                self.silence_commits().await;
                node.kill();
                self.ground.to_postgres.let_pass(Passing::Everything);
            }
            Fault::CommitUnanswered => {
                let node = self.distant_node(load).await;
                self.silence_commits().await;
                until("it notices", async || node.ready().await.0 == 503).await;
                self.ground.to_postgres.let_pass(Passing::Everything);
                until("it goes on", async || node.ready().await.0 == 200).await;
                until("it has partitions", async || {
                    node.metric("rly_log_partitions").await > 0
                })
                .await;
                load.progress(MESSAGES, "after unanswered commits").await;
                self.end_node(node, load).await;
            }
            Fault::Leaderless => {
                let node = self.distant_node(load).await;
                self.ground.to_kafka.let_pass(Passing::Leaderless);
                until("a new producer", async || {
                    node.metric("rly_log_producers_replaced_total").await > 0
                })
                .await;
                self.ground.to_kafka.let_pass(Passing::Everything);
                load.progress(MESSAGES, "on a node that was told of no leader")
                    .await;
                self.end_node(node, load).await;
            }
        }
        load.nodes(&self.nodes);
    }

    /// One more node, which has partitions, readers and writers, behind the doors.
    async fn distant_node(&mut self, load: &Load) -> Server {
        let node = block_in_place(|| self.ground.distant_node());
        load.nodes(self.nodes.iter().chain([&node]));
        until("it has partitions", async || {
            node.metric("rly_log_partitions").await > 0
        })
        .await;
        load.spread();
        load.progress(MESSAGES, "with a node behind doors").await;
        node
    }

    /// Asks a node to end.
    async fn end_node(&self, node: Server, load: &Load) {
        load.nodes(&self.nodes);
        node.signal("TERM");
        assert_eq!(block_in_place(|| node.wait()), Some(0));
    }

    async fn cut_off(&mut self, part: Option<&str>, broker: bool, database: bool, load: &Load) {
        let node = self.distant_node(load).await;
        let doors = [
            (broker, &self.ground.to_kafka),
            (database, &self.ground.to_postgres),
        ];
        for (_, door) in doors.iter().filter(|(cut, _)| *cut) {
            door.let_pass(Passing::Nothing);
        }
        let fails = async || match (node.ready().await, part) {
            ((503, found), Some(part)) => found.as_deref() == Some(part),
            ((status, _), _) => status == 503,
        };
        until("it notices", fails).await;
        load.shun(&node);
        // The others take its partitions, and its readers.
        load.progress(MESSAGES, "while a node is cut off").await;
        for (_, door) in doors {
            door.let_pass(Passing::Everything);
        }
        until("it goes on", async || node.ready().await.0 == 200).await;
        load.nodes(self.nodes.iter().chain([&node]));
        until("it has partitions again", async || {
            node.metric("rly_log_partitions").await > 0
        })
        .await;
        load.progress(MESSAGES, "when it is back").await;
        self.end_node(node, load).await;
    }

    /// From now on the node behind the doors does not hear that it has committed.
    async fn silence_commits(&self) {
        let door = &self.ground.to_postgres;
        let before = door.silenced();
        door.let_pass(Passing::UpToCommits);
        // It moves the log all the time, and writes acknowledgements: both are among them.
        until("commits", async || door.silenced() >= before + 2).await;
    }

    /// A counter of the nodes that run now.
    async fn sum(&self, name: &str) -> u64 {
        let mut sum = 0;
        for node in &self.nodes {
            sum += node.metric(name).await;
        }
        sum
    }

    /// Envelopes that were in the store when they came out of the log.
    async fn repeated(&self) -> u64 {
        self.sum("rly_log_repeated_total").await
    }

    /// Everything works again, by itself.
    async fn recover(&self) {
        for node in &self.nodes {
            let mut state = node.ready().await;
            for _ in 0..300 {
                if state.0 == 200 {
                    break;
                }
                sleep(Duration::from_millis(200)).await;
                state = node.ready().await;
            }
            assert_eq!(state, (200, None));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "starts its own servers: ./test cluster"]
async fn what_was_confirmed_is_shown_once_and_in_order_whatever_breaks() {
    let seed = setting("RLY_TEST_SEED", rand_core::OsRng.next_u64());
    eprintln!("faults: RLY_TEST_SEED={seed}");
    let mut cluster = Cluster {
        ground: Ground::new().await,
        nodes: Vec::new(),
        random: ChaCha20Rng::seed_from_u64(seed),
    };
    cluster.start_node();
    cluster.start_node();
    let rooms = setting("RLY_TEST_FAULT_ROOMS", 2) as usize;
    let mut load = Load::start(&cluster.nodes[0], LINES, rooms).await;
    load.nodes(&cluster.nodes);
    load.run();
    load.progress(MESSAGES, "at the beginning").await;
    for round in 0..setting("RLY_TEST_FAULT_ROUNDS", 2) {
        for fault in FAULTS {
            if !chosen(fault) {
                continue;
            }
            let begun = std::time::Instant::now();
            cluster.moment().await;
            cluster.suffer(fault, &load).await;
            load.progress(MESSAGES, &format!("after {fault:?}")).await;
            cluster.recover().await;
            let replaced = cluster.sum("rly_log_producers_replaced_total").await;
            let took = begun.elapsed().as_secs_f32();
            eprintln!("round {round}, {fault:?}: {took:.1} s, producers replaced so far: {replaced}");
        }
    }
    load.finish().await;
    let gaps = cluster.sum("rly_log_gaps_total").await;
    assert_eq!(gaps, 0, "the log was trimmed before it was stored");
}
