//! Topics are made with explicit settings at the first start, and checked at every one. A setting that
//! could lose what was confirmed stops the start.

use super::{CONNECT, Kafka, KafkaError};
use rdkafka::{
    admin::{AdminOptions, NewTopic, ResourceSpecifier, TopicReplication},
    error::RDKafkaErrorCode,
    producer::Producer,
};
use std::{collections::HashMap, time::Duration};

/// Hints are spread over so many partitions, so that a node reads few of others.
const WAKE_PARTITIONS: i32 = 16;
/// Copies of each record, where there are as many brokers.
const COPIES: i32 = 3;
/// How often a new topic is looked for.
const LOOKS: u32 = 50;

/// What a topic is like.
struct Found {
    partitions: i32,
    copies: i32,
}

impl Kafka {
    /// Makes the topics if they are not there, and checks them.
    pub async fn prepare_topics(mut self, partitions: i32) -> Result<Self, KafkaError> {
        let (queues, wakes) = (self.queues.clone(), self.wakes.clone());
        let brokers = self.brokers()?;
        let copies = if brokers >= COPIES { COPIES } else { 1 };
        if self.look(&queues)?.is_none() {
            // One broker has no other to take over: its disk must have each record before it says so.
            let (in_sync, flush) = if copies == COPIES {
                ("2", None)
            } else {
                ("1", Some("1"))
            };
            let mut topic = NewTopic::new(&queues, partitions, TopicReplication::Fixed(copies))
                .set("cleanup.policy", "delete")
                .set("retention.ms", "-1")
                .set("retention.bytes", "-1")
                .set("min.insync.replicas", in_sync)
                .set("unclean.leader.election.enable", "false")
                .set("compression.type", "producer")
                // What was trimmed leaves the disk when its segment is rolled.
                .set("segment.ms", "3600000")
                .set("segment.bytes", "67108864");
            if let Some(every) = flush {
                topic = topic.set("flush.messages", every);
            }
            self.make(topic).await?;
        }
        if self.look(&wakes)?.is_none() {
            let topic = NewTopic::new(&wakes, WAKE_PARTITIONS, TopicReplication::Fixed(copies))
                .set("cleanup.policy", "delete")
                .set("retention.ms", "60000")
                .set("segment.ms", "60000")
                .set("min.insync.replicas", "1");
            self.make(topic).await?;
        }
        let found = self.made(&queues).await?;
        self.partitions = found.partitions;
        self.wake_partitions = self.made(&wakes).await?.partitions;
        self.check_settings(&queues, found.copies).await?;
        Ok(self)
    }

    fn brokers(&self) -> Result<i32, KafkaError> {
        let producer = self.hints.producer.read();
        let metadata = producer.client().fetch_metadata(None, CONNECT)?;
        Ok(i32::try_from(metadata.brokers().len()).unwrap_or(i32::MAX))
    }

    fn look(&self, topic: &str) -> Result<Option<Found>, KafkaError> {
        let producer = self.hints.producer.read();
        let metadata = producer.client().fetch_metadata(Some(topic), CONNECT)?;
        let found = metadata.topics().iter().find(|found| found.name() == topic);
        let partitions = found.map_or(&[][..], |found| found.partitions());
        let copies = partitions
            .iter()
            .map(|partition| partition.replicas().len())
            .min();
        let number = |n: usize| i32::try_from(n).unwrap_or(i32::MAX);
        Ok(copies.map(|copies| Found {
            partitions: number(partitions.len()),
            copies: number(copies),
        }))
    }

    async fn make(&self, topic: NewTopic<'_>) -> Result<(), KafkaError> {
        let options = AdminOptions::new()
            .request_timeout(Some(CONNECT))
            .operation_timeout(Some(CONNECT));
        for made in self.admin.create_topics([&topic], &options).await? {
            match made {
                // Another node was faster.
                Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
                Err((name, code)) => {
                    return Err(KafkaError::Failed(format!(
                        "the topic {name} cannot be made: {code}"
                    )));
                }
            }
        }
        Ok(())
    }

    /// The broker makes it known a moment later.
    async fn made(&self, topic: &str) -> Result<Found, KafkaError> {
        for _ in 0..LOOKS {
            if let Some(found) = self.look(topic)? {
                return Ok(found);
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        Err(KafkaError::Failed(format!("the topic {topic} does not appear")))
    }

    async fn check_settings(&self, topic: &str, copies: i32) -> Result<(), KafkaError> {
        let options = AdminOptions::new().request_timeout(Some(CONNECT));
        let described = self
            .admin
            .describe_configs([&ResourceSpecifier::Topic(topic)], &options)
            .await?;
        let mut settings = HashMap::new();
        for resource in described {
            let resource = resource.map_err(|code| {
                KafkaError::Failed(format!("the topic {topic} cannot be looked at: {code}"))
            })?;
            settings.extend((resource.entries.into_iter()).map(|entry| (entry.name, entry.value)));
        }
        let value = |name: &str| settings.get(name).cloned().flatten().unwrap_or_default();
        judge(topic, copies, value)
    }
}

/// Whether these settings keep what is confirmed.
fn judge(topic: &str, copies: i32, value: impl Fn(&str) -> String) -> Result<(), KafkaError> {
    let wrong = |setting, needed| KafkaError::Topic {
        topic: topic.into(),
        setting,
        found: value(setting),
        needed,
    };
    for (setting, right, needed) in [
        (
            "cleanup.policy",
            "delete",
            "delete is needed: compaction drops envelopes",
        ),
        (
            "retention.ms",
            "-1",
            "-1 is needed: after any other time, what is confirmed and not yet stored would be deleted",
        ),
        (
            "retention.bytes",
            "-1",
            "-1 is needed: beyond any other size, what is confirmed and not yet stored would be deleted",
        ),
        (
            "unclean.leader.election.enable",
            "false",
            "false is needed: a broker that was behind would drop what is confirmed",
        ),
    ] {
        if value(setting) != right {
            return Err(wrong(setting, needed));
        }
    }
    let in_sync: i32 = value("min.insync.replicas").parse().unwrap_or(0);
    let each_flushed = value("flush.messages") == "1";
    if copies >= COPIES && in_sync < 2 {
        return Err(wrong(
            "min.insync.replicas",
            "at least 2 are needed with 3 copies",
        ));
    }
    if copies < COPIES && !each_flushed {
        return Err(wrong(
            "flush.messages",
            "1 is needed where a record has fewer than 3 copies: a power cut would lose what is confirmed",
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(copies: i32, change: Option<(&str, &str)>) -> Result<(), &'static str> {
        let base = HashMap::from([
            ("cleanup.policy", "delete"),
            ("retention.ms", "-1"),
            ("retention.bytes", "-1"),
            ("unclean.leader.election.enable", "false"),
            ("min.insync.replicas", if copies >= 3 { "2" } else { "1" }),
            (
                "flush.messages",
                if copies >= 3 { "9223372036854775807" } else { "1" },
            ),
        ]);
        let value = |name: &str| match change {
            Some((changed, value)) if changed == name => value.to_owned(),
            _ => base[name].to_owned(),
        };
        judge("rly.queues", copies, value).map_err(|error| match error {
            KafkaError::Topic { setting, .. } => setting,
            _ => "something else",
        })
    }

    #[test]
    fn settings_that_could_lose_something_are_refused() {
        for copies in [1, 2, 3, 5] {
            assert_eq!(judged(copies, None), Ok(()));
            for (setting, wrong) in [
                ("cleanup.policy", "compact,delete"),
                ("retention.ms", "604800000"),
                ("retention.bytes", "1073741824"),
                ("unclean.leader.election.enable", "true"),
            ] {
                assert_eq!(judged(copies, Some((setting, wrong))), Err(setting));
            }
        }
        assert_eq!(
            judged(3, Some(("min.insync.replicas", "1"))),
            Err("min.insync.replicas")
        );
        assert_eq!(
            judged(2, Some(("flush.messages", "10000"))),
            Err("flush.messages")
        );
        assert_eq!(judged(3, Some(("min.insync.replicas", "3"))), Ok(()));
    }
}
