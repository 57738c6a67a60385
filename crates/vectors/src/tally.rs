//! Counting what ran.

use serde::Serialize;

/// What a set has shown.
#[derive(Debug, Serialize)]
pub struct Report {
    /// Source, algorithm, and whose function.
    pub name: &'static str,
    /// How many checks there have to be.
    pub expected: usize,
    /// How many there were.
    pub ran: usize,
    /// Which of them did not hold.
    pub failed: Vec<String>,
}

impl Report {
    /// Whether all of it ran and held.
    pub fn is_good(&self) -> bool {
        self.failed.is_empty() && self.ran == self.expected
    }
}

/// A set while it runs.
pub struct Set(Report);

impl Set {
    /// Starts a set.
    pub fn new(name: &'static str, expected: usize) -> Self {
        Self(Report {
            name,
            expected,
            ran: 0,
            failed: Vec::new(),
        })
    }

    /// One check.
    pub fn check(&mut self, held: bool, id: impl FnOnce() -> String) {
        self.0.ran += 1;
        if !held {
            self.0.failed.push(id());
        }
    }

    /// A check whose steps may each say why it does not hold.
    pub fn case(&mut self, id: impl FnOnce() -> String, run: impl FnOnce() -> Result<(), String>) {
        let result = run();
        self.check(result.is_ok(), || {
            format!("{}: {}", id(), result.err().unwrap_or_default())
        });
    }

    /// The end of it.
    pub fn end(self) -> Report {
        self.0
    }
}

/// For [`Set::case`]: goes on if it holds.
pub(crate) fn holds(what: &str, held: bool) -> Result<(), String> {
    if held { Ok(()) } else { Err(what.into()) }
}
