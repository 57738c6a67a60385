//! A message: its number and when it was sent, in an envelope of the smallest size.

use std::{sync::LazyLock, time::Instant};

/// The smallest envelope of the protocol.
pub(crate) const SIZE: usize = 256;

static EPOCH: LazyLock<Instant> = LazyLock::new(Instant::now);

fn nanos() -> u64 {
    u64::try_from(EPOCH.elapsed().as_nanos()).unwrap_or(u64::MAX)
}

/// Bytes to send.
pub(crate) struct Message([u8; SIZE]);

impl Message {
    pub fn new() -> Self {
        Self([b'x'; SIZE])
    }

    /// With this number, sent now.
    pub fn stamped(&mut self, number: u64) -> &[u8] {
        self.0[..8].copy_from_slice(&number.to_be_bytes());
        self.0[8..16].copy_from_slice(&nanos().to_be_bytes());
        &self.0
    }
}

/// The number of a message that is whole.
pub(crate) fn number(body: &[u8]) -> Option<u64> {
    let number = u64::from_be_bytes(*body.first_chunk()?);
    (body.len() == SIZE).then_some(number)
}

/// Expects messages in order, each once, and notes how long each took.
#[derive(Default)]
pub(crate) struct Inbox {
    /// Messages that came as they should.
    pub got: u64,
    /// Microseconds from send to receipt.
    pub ages: Vec<f32>,
    wrong: bool,
}

impl Inbox {
    pub fn take(&mut self, body: &[u8]) {
        match (number(body), body.get(8..).and_then(<[u8]>::first_chunk)) {
            (Some(number), Some(sent)) if number == self.got => {
                self.got += 1;
                let sent = u64::from_be_bytes(*sent);
                self.ages.push(nanos().saturating_sub(sent) as f32 / 1e3);
            }
            _ => self.wrong = true,
        }
    }

    /// Whether a message was lost, doubled, changed or overtaken.
    pub fn check(&self) -> Result<(), crate::Failure> {
        if self.wrong {
            return Err(format!("message {} was lost, doubled or overtaken", self.got).into());
        }
        Ok(())
    }
}

/// The value below which this share of the values lies.
pub(crate) fn percentile(values: &mut [f32], share: f64) -> f64 {
    values.sort_by(f32::total_cmp);
    let at = (values.len() as f64 * share) as usize;
    values
        .get(at.min(values.len().saturating_sub(1)))
        .copied()
        .unwrap_or_default()
        .into()
}
