//! `./bench cluster`: nodes on a real Kafka and a real PostgreSQL, beside what Kafka alone can do in the
//! same minutes.

mod backends;
mod kafka;
mod load;

use crate::{
    Failure,
    report::{
        Bound::{AtLeast, AtMost},
        short, table, verdict,
    },
    scenarios::{Figures, Scale},
};
use clap::Args;
use load::Cluster;
use std::{io::Write, path::Path};

/// How a cluster is measured.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Small numbers: shows that everything works and says nothing about speed
    #[arg(long)]
    smoke: bool,

    /// How often what the marks are about is measured
    #[arg(long, default_value_t = 3)]
    rounds: usize,

    /// Only what the marks are about
    #[arg(long)]
    marks: bool,
}

/// What is measured.
#[derive(Clone, Copy)]
struct Shape {
    nodes: usize,
    partitions: i32,
    queues: usize,
}

/// What the marks are about.
const USUAL: Shape = Shape {
    nodes: 1,
    partitions: 64,
    queues: 50,
};

/// Rows of a table.
#[derive(Default)]
struct Rows(Vec<(String, Figures)>);

impl Rows {
    fn add(&mut self, name: String, figures: Figures) {
        eprintln!("{name}: {}", said(&figures));
        self.0.push((name, figures));
    }
}

fn said(figures: &Figures) -> String {
    let parts = figures
        .iter()
        .map(|(name, value)| format!("{name} {}", short(*value)));
    parts.collect::<Vec<_>>().join(", ")
}

fn value(figures: &Figures, name: &str) -> Result<f64, Failure> {
    let found = figures.iter().find(|(found, _)| found == name);
    Ok(found.ok_or_else(|| format!("{name} was not measured"))?.1)
}

/// A cluster in a folder of its own.
fn start(relay: &Path, shape: &Shape) -> Result<(Cluster, tempfile::TempDir), Failure> {
    let folder = tempfile::tempdir()?;
    let cluster = Cluster::start(relay, folder.path(), shape)?;
    Ok((cluster, folder))
}

/// Everything, in tables.
pub(crate) async fn measure(options: &Options, relay: &Path) -> Result<(), Failure> {
    let scale = if options.smoke {
        Scale::smoke()
    } else {
        Scale::cluster()
    };
    let mut text = marks(&scale, relay, if options.smoke { 1 } else { options.rounds }).await?;
    if !options.marks {
        text += &shapes(&scale, relay, options.smoke).await?;
        text += &queues(&scale, relay, options.smoke).await?;
    }
    let mut out = std::io::stdout();
    if options.smoke {
        writeln!(out, "Every scenario works.")?;
    } else {
        writeln!(out, "{text}")?;
    }
    Ok(())
}

/// Ratios of one round each, since only what was measured in the same minutes compares.
async fn marks(scale: &Scale, relay: &Path, rounds: usize) -> Result<String, Failure> {
    let (mut rows, mut ratios) = (Rows::default(), [const { Vec::new() }; 3]);
    for round in 1..=rounds {
        let plain = kafka::publish(scale, USUAL.partitions, USUAL.queues).await?;
        let (cluster, _folder) = start(relay, &USUAL)?;
        let published = cluster.publish(scale, USUAL.queues).await?;
        ratios[0].push(value(&published, "confirmed/s")? / value(&plain, "messages/s")?);
        rows.add(format!("plain Kafka, published ({round})"), plain);
        rows.add(format!("cluster, published ({round})"), published);

        let plain = kafka::latency(scale, USUAL.partitions).await?;
        let commit = backends::commit(scale.messages)?;
        let one = cluster.one_by_one(scale).await?;
        let ceiling = 2.0 * value(&plain, "p50 us")? + commit;
        ratios[1].push(value(&one, "p50 us")? / ceiling);
        rows.add(format!("plain Kafka, one after another ({round})"), plain);
        rows.add(
            format!("one SQL commit ({round})"),
            vec![("p50 us".into(), commit)],
        );
        rows.add(format!("cluster, one after another ({round})"), one);

        let one = cluster.pairs(scale).await?;
        drop(cluster);
        let (cluster, _folder) = start(relay, &Shape { nodes: 2, ..USUAL })?;
        let two = cluster.pairs(scale).await?;
        let cpu = "server CPU us/message";
        ratios[2].push(value(&two, cpu)? / value(&one, cpu)?);
        rows.add(format!("1 node, pairs ({round})"), one);
        rows.add(format!("2 nodes, pairs ({round})"), two);
    }
    let [publish, latency, cpu] = &ratios;
    let marks = [
        verdict("published/s / plain Kafka", &AtLeast(0.7), publish),
        verdict(
            "online p50 / (2 x plain Kafka + one SQL commit)",
            &AtMost(1.0),
            latency,
        ),
        verdict("CPU per message, 2 nodes / 1 node", &AtMost(1.25), cpu),
    ];
    Ok(format!(
        "{}\n### Marks\n\n| what | mark | measured | met |\n|---|---|---|---|\n{}",
        table("What the marks are about, by round", &rows.0),
        marks.concat()
    ))
}

async fn shapes(scale: &Scale, relay: &Path, smoke: bool) -> Result<String, Failure> {
    let (most, partitions): (_, &[i32]) = if smoke { (2, &[8]) } else { (3, &[8, 64, 256]) };
    let mut rows = Rows::default();
    for partitions in partitions {
        let plain = kafka::publish(scale, *partitions, USUAL.queues).await?;
        let plain = vec![("published/s".to_owned(), value(&plain, "messages/s")?)];
        rows.add(format!("plain Kafka, {partitions} partitions"), plain);
        for nodes in 1..=most {
            let shape = Shape {
                nodes,
                partitions: *partitions,
                ..USUAL
            };
            let (cluster, _folder) = start(relay, &shape)?;
            let published = cluster.publish(scale, shape.queues).await?;
            let pairs = cluster.pairs(scale).await?;
            let one = cluster.one_by_one(scale).await?;
            let figures = vec![
                ("published/s".to_owned(), value(&published, "confirmed/s")?),
                ("stored/s".to_owned(), value(&published, "stored/s")?),
                ("pairs: messages/s".to_owned(), value(&pairs, "messages/s")?),
                ("p50 ms".to_owned(), value(&pairs, "p50 us")? / 1e3),
                (
                    "CPU us/message".to_owned(),
                    value(&pairs, "server CPU us/message")?,
                ),
                ("one: p50 ms".to_owned(), value(&one, "p50 us")? / 1e3),
                ("p99 ms".to_owned(), value(&one, "p99 us")? / 1e3),
            ];
            rows.add(format!("{nodes} nodes, {partitions} partitions"), figures);
        }
    }
    Ok(table("Nodes and partitions", &rows.0))
}

async fn queues(scale: &Scale, relay: &Path, smoke: bool) -> Result<String, Failure> {
    let counts: &[usize] = if smoke {
        &[10, 100]
    } else {
        &[10, 100, 1_000, 10_000, 100_000]
    };
    let mut rows = Rows::default();
    for queues in counts {
        let shape = Shape {
            nodes: 2,
            queues: *queues,
            ..USUAL
        };
        let (cluster, _folder) = start(relay, &shape)?;
        let figures = cluster.publish(scale, shape.queues).await?;
        rows.add(format!("2 nodes, 64 partitions, {queues} queues"), figures);
    }
    Ok(table("Queues", &rows.0))
}
