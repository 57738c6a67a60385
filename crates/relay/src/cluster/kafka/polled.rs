//! A producer and the thread that hears what became of its records.
//!
//! rdkafka's own such thread asks ten times a second, and each time spins for what is less than a millisecond
//! of its time: a hundredth of a core for each producer that has nothing to do.

use super::context::Deliveries;
use rdkafka::{ClientConfig, config::FromClientConfigAndContext, error::KafkaError, producer::BaseProducer};
use std::{
    ops::Deref,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

/// How long after its end a producer may still be there.
const POLL: Duration = Duration::from_secs(1);

/// A producer. When it is dropped its thread ends it before long, and tells of what was still on its way.
pub(super) struct Polled {
    producer: Arc<BaseProducer<Deliveries>>,
    ended: Arc<AtomicBool>,
    pub begun: Instant,
}

impl Polled {
    pub fn start(config: &ClientConfig, deliveries: &Deliveries) -> Result<Self, KafkaError> {
        let producer = BaseProducer::from_config_and_context(config, deliveries.clone())?;
        let (producer, ended) = (Arc::new(producer), Arc::<AtomicBool>::default());
        let (polled, over) = (producer.clone(), ended.clone());
        std::thread::Builder::new()
            .name("deliveries".into())
            .spawn(move || {
                while !over.load(Relaxed) {
                    polled.poll(POLL);
                }
            })
            .map_err(|error| KafkaError::ClientCreation(error.to_string()))?;
        Ok(Self {
            producer,
            ended,
            begun: Instant::now(),
        })
    }

    /// For a question that takes its time.
    pub fn shared(&self) -> Arc<BaseProducer<Deliveries>> {
        self.producer.clone()
    }
}

impl Deref for Polled {
    type Target = BaseProducer<Deliveries>;
    fn deref(&self) -> &Self::Target {
        &self.producer
    }
}

impl Drop for Polled {
    fn drop(&mut self) {
        self.ended.store(true, Relaxed);
    }
}
