//! One thing after another breaks, while people write and read.

use crate::{
    common::process::Server,
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
    /// Comes, takes partitions, goes.
    ThirdNode,
    KillBroker,
    StopBroker,
    BrokerAway,
    KillPostgres,
    PostgresAway,
    /// Broker and node at one moment.
    KillBoth,
}

const FAULTS: [Fault; 10] = [
    Fault::KillNode,
    Fault::StopNode,
    Fault::RestartNodes,
    Fault::ThirdNode,
    Fault::KillBroker,
    Fault::StopBroker,
    Fault::BrokerAway,
    Fault::KillPostgres,
    Fault::PostgresAway,
    Fault::KillBoth,
];

fn setting(name: &str, otherwise: u64) -> u64 {
    match std::env::var(name) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{name} is no number")),
        Err(_) => otherwise,
    }
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
                    load.nodes(&self.nodes);
                    node.signal("TERM");
                    assert_eq!(block_in_place(|| node.wait()), Some(0));
                    self.start_node();
                    load.nodes(&self.nodes);
                }
            }
            Fault::ThirdNode => {
                self.start_node();
                load.nodes(&self.nodes);
                load.progress(MESSAGES, "with a third node").await;
                let node = self.nodes.remove(0);
                load.nodes(&self.nodes);
                node.signal("TERM");
                assert_eq!(block_in_place(|| node.wait()), Some(0));
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
        }
        load.nodes(&self.nodes);
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
        ground: block_in_place(Ground::new),
        nodes: Vec::new(),
        random: ChaCha20Rng::seed_from_u64(seed),
    };
    cluster.start_node();
    cluster.start_node();
    let mut load = Load::start(&cluster.nodes[0], LINES).await;
    load.nodes(&cluster.nodes);
    load.run();
    load.progress(MESSAGES, "at the beginning").await;
    for round in 0..setting("RLY_TEST_FAULT_ROUNDS", 1) {
        for fault in FAULTS {
            let begun = std::time::Instant::now();
            cluster.moment().await;
            cluster.suffer(fault, &load).await;
            load.progress(MESSAGES, &format!("after {fault:?}")).await;
            cluster.recover().await;
            eprintln!("round {round}, {fault:?}: {:.1} s", begun.elapsed().as_secs_f32());
        }
    }
    load.finish().await;
    let mut gaps = 0;
    for node in &cluster.nodes {
        gaps += node.metric("rly_log_gaps_total").await;
    }
    assert_eq!(gaps, 0, "the log was trimmed before it was stored");
}
