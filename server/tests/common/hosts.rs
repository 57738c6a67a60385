//! Where servers are, while they come and go: what a load balancer would know.
#![allow(dead_code, clippy::unwrap_used, reason = "tests")]

use std::sync::{Arc, Mutex};

#[derive(Default)]
struct Nodes {
    here: Vec<String>,
    /// Their connections are ended, and no new ones made.
    shunned: Vec<String>,
    /// How often everybody was sent away, to come again.
    spread: u32,
}

#[derive(Clone, Default)]
pub struct Hosts(Arc<Mutex<Nodes>>);

/// Where somebody was sent to.
#[derive(Clone, Default)]
pub struct Way {
    pub host: String,
    spread: u32,
}

impl Hosts {
    /// These, from now on.
    pub fn are<'a>(&self, hosts: impl IntoIterator<Item = &'a str>) {
        let mut nodes = self.0.lock().unwrap();
        nodes.here = hosts.into_iter().map(Into::into).collect();
        nodes.shunned.clear();
    }

    /// Everybody connects anew, to all that are there.
    pub fn spread(&self) {
        self.0.lock().unwrap().spread += 1;
    }

    /// This one is not ready.
    pub fn shun(&self, host: &str) {
        let mut nodes = self.0.lock().unwrap();
        nodes.here.retain(|other| other != host);
        nodes.shunned.push(host.into());
    }

    pub fn is_empty(&self) -> bool {
        self.0.lock().unwrap().here.is_empty()
    }

    /// One of them: all in turn.
    pub fn way(&self, turn: usize) -> Option<Way> {
        let nodes = self.0.lock().unwrap();
        let n = nodes.here.len();
        (n > 0).then(|| Way {
            host: nodes.here[turn % n].clone(),
            spread: nodes.spread,
        })
    }

    /// Whether connections that were made so are ended.
    pub fn is_over(&self, way: &Way) -> bool {
        let nodes = self.0.lock().unwrap();
        nodes.spread != way.spread || nodes.shunned.contains(&way.host)
    }
}
