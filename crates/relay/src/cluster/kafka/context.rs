//! What librdkafka calls back.

use super::{Pending, one_line};
use crate::{Refusal, metrics::Counters};
use parking_lot::RwLock;
use rdkafka::{
    ClientContext, Message,
    config::RDKafkaLogLevel,
    consumer::ConsumerContext,
    error::KafkaError as Rd,
    producer::{DeliveryResult, ProducerContext},
};
use std::sync::Arc;

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

/// Answers senders.
#[derive(Clone, Default)]
pub(crate) struct Deliveries(Arc<RwLock<Option<Arc<Counters>>>>);

impl Deliveries {
    pub fn count_with(&self, counters: Arc<Counters>) {
        *self.0.write() = Some(counters);
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
        let counters = self.0.read();
        match result {
            Ok(record) => {
                if let Some(counters) = &*counters {
                    counters.published(since.elapsed());
                }
                debug_assert!(record.offset() >= 0);
                reply.done();
            }
            Err((error, _)) => {
                if let Some(counters) = &*counters {
                    Counters::count(&counters.publish_failures);
                }
                tracing::debug!(error = one_line(error), "the log did not take an envelope");
                reply.refuse(&Refusal::unavailable());
            }
        }
    }
}
