//! Why a request was not carried out, as its sender may know it.

use rly_protocol::{ErrorCode, Timestamp};
use std::time::Duration;
use thiserror::Error;

/// A request refused. Nothing was changed.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("{code}")]
pub struct Refusal {
    /// What is wrong.
    pub code: ErrorCode,
    /// When the same request may succeed; `None` if it cannot.
    pub retry_after: Option<Duration>,
    /// With `invite_used`: when the invite was opened.
    pub opened_at: Option<Timestamp>,
}

impl Refusal {
    /// A refusal that time does not mend.
    pub fn new(code: ErrorCode) -> Self {
        Self {
            code,
            retry_after: None,
            opened_at: None,
        }
    }

    /// A refusal that may end after `wait`.
    pub fn later(code: ErrorCode, wait: Duration) -> Self {
        Self {
            retry_after: Some(wait),
            ..Self::new(code)
        }
    }

    /// The store or disk does not work now.
    pub(crate) fn unavailable() -> Self {
        Self::later(ErrorCode::Unavailable, Duration::from_secs(1))
    }

    /// The server is about to end.
    pub(crate) fn stopping() -> Self {
        Self::later(ErrorCode::Stopping, Duration::from_secs(1))
    }

    /// `retry_after` as frames carry it: milliseconds, 0 for never.
    pub(crate) fn retry_ms(&self) -> u32 {
        self.retry_after.map_or(0, |wait| {
            u32::try_from(wait.as_millis()).unwrap_or(u32::MAX).max(1)
        })
    }
}

impl From<ErrorCode> for Refusal {
    fn from(code: ErrorCode) -> Self {
        Self::new(code)
    }
}
