//! What librdkafka calls back.

use super::{Pending, one_line};
use crate::{Refusal, metrics::Counters};
use parking_lot::{Mutex, RwLock};
use rdkafka::{
    ClientContext, Message,
    config::RDKafkaLogLevel,
    consumer::ConsumerContext,
    error::{KafkaError as Rd, RDKafkaErrorCode},
    producer::{DeliveryResult, ProducerContext},
};
use std::{collections::HashMap, sync::Arc, time::Instant};

/// Where librdkafka's own words go. It names brokers, topics and partitions, never a record.
fn log(level: RDKafkaLogLevel, facility: &str, message: &str) {
    match level {
        RDKafkaLogLevel::Emerg
        | RDKafkaLogLevel::Alert
        | RDKafkaLogLevel::Critical
        | RDKafkaLogLevel::Error
        | RDKafkaLogLevel::Warning => tracing::warn!(target: "librdkafka", facility, "{message}"),
        // A broker that is away is mentioned at every attempt to reach it.
        _ => tracing::debug!(target: "librdkafka", facility, "{message}"),
    }
}

/// Nothing but logging.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Quiet;

impl ClientContext for Quiet {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        log(level, facility, message);
    }

    fn error(&self, error: Rd, reason: &str) {
        tracing::debug!(target: "librdkafka", error = one_line(&error), reason, "an error");
    }
}

impl ConsumerContext for Quiet {}

/// Answers the senders of one producer's records.
#[derive(Clone, Default)]
pub(crate) struct Deliveries {
    counters: Arc<RwLock<Option<Arc<Counters>>>>,
    /// Partitions whose last record was not taken in time, and when it was handed over.
    late: Arc<Mutex<HashMap<i32, Instant>>>,
}

impl Deliveries {
    pub fn count_with(&self, counters: Arc<Counters>) {
        *self.counters.write() = Some(counters);
    }

    /// For another producer, whose records are counted with these.
    pub fn of_another(&self) -> Self {
        Self {
            counters: self.counters.clone(),
            late: Arc::default(),
        }
    }

    /// Whether a record that was handed over after this ran out of time, and none of its partition came through
    /// since.
    pub fn is_late(&self, after: Instant) -> bool {
        self.late.lock().values().any(|handed| *handed > after)
    }
}

impl ClientContext for Deliveries {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        log(level, facility, message);
    }

    fn error(&self, error: Rd, reason: &str) {
        tracing::debug!(target: "librdkafka", error = one_line(&error), reason, "an error");
    }
}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = Box<Pending>;

    fn delivery(&self, result: &DeliveryResult<'_>, pending: Box<Pending>) {
        let Pending::Envelope { reply, since } = *pending else {
            return;
        };
        let counters = self.counters.read();
        match result {
            Ok(record) => {
                self.late.lock().remove(&record.partition());
                if let Some(counters) = &*counters {
                    counters.published(since.elapsed());
                }
                debug_assert!(record.offset() >= 0);
                reply.done();
            }
            Err((error, record)) => {
                if error.rdkafka_error_code() == Some(RDKafkaErrorCode::MessageTimedOut) {
                    self.late.lock().insert(record.partition(), since);
                }
                if let Some(counters) = &*counters {
                    Counters::count(&counters.publish_failures);
                }
                tracing::debug!(error = one_line(error), "the log did not take an envelope");
                reply.refuse(&Refusal::unavailable());
            }
        }
    }
}
