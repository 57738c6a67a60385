//! `./bench`: the server's speed, beside what is possible at all on the same machine.
//!
//! Each scenario runs against the product and against two ceilings (see [`ceiling`]) in turn, in the
//! same minutes and under the same load. The load is one thread, since it shares the cores.

mod ceiling;
mod cluster;
mod keys;
mod member;
mod message;
mod party;
mod report;
mod scenarios;
mod server;
mod site;
mod socket;
mod users;

use clap::{Parser, Subcommand};
use report::{Results, Run};
use scenarios::{Place, Scale, Scenario};
use server::Target;
use std::{io::Write, path::PathBuf, process::ExitCode, time::Duration};
use tokio::{
    runtime::{Builder, Runtime},
    time::timeout,
};

/// Whatever went wrong, for a person to read.
type Failure = Box<dyn std::error::Error>;

/// No scenario takes nearly as long.
const PATIENCE: Duration = Duration::from_secs(120);

/// Measures rly-server beside two ceilings, and prints tables in Markdown.
#[derive(Debug, Parser)]
#[command(
    name = "rly-bench",
    max_term_width = 100,
    args_conflicts_with_subcommands = true
)]
struct Options {
    /// What to run, separated by commas [default: all]
    #[arg(value_enum, value_delimiter = ',')]
    scenarios: Vec<Scenario>,

    /// Against what, separated by commas [default: all]
    #[arg(long, value_enum, value_delimiter = ',')]
    targets: Vec<Target>,

    /// How often
    #[arg(long, default_value_t = 3)]
    rounds: usize,

    /// Small numbers: shows that everything works and says nothing about speed
    #[arg(long)]
    smoke: bool,

    /// The server's executable [default: beside this one]
    #[arg(long, global = true, value_name = "FILE")]
    server: Option<PathBuf>,

    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs a ceiling until it is killed
    Ceiling {
        /// SQLite file [default: in memory, without SQLite]
        file: Option<PathBuf>,
    },
    /// Measures nodes on the Kafka and the PostgreSQL that ./bench cluster starts
    Cluster(cluster::Options),
}

fn main() -> ExitCode {
    let options = Options::parse();
    let result = match &options.command {
        Some(Command::Ceiling { file }) => runtime(Builder::new_multi_thread())
            .and_then(|runtime| runtime.block_on(ceiling::serve(file.as_deref()))),
        Some(Command::Cluster(cluster)) => runtime(Builder::new_current_thread())
            .and_then(|runtime| runtime.block_on(cluster::measure(cluster, &relay(&options)?))),
        None => runtime(Builder::new_current_thread()).and_then(|runtime| measure(&options, &runtime)),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nobody is left to tell when stderr is closed.
            let _ = writeln!(std::io::stderr(), "rly-bench: {error}");
            ExitCode::FAILURE
        }
    }
}

fn runtime(mut builder: Builder) -> Result<Runtime, Failure> {
    Ok(builder.enable_all().build()?)
}

fn or_all<T: Copy>(chosen: &[T], all: &[T]) -> Vec<T> {
    if chosen.is_empty() {
        all.to_vec()
    } else {
        chosen.to_vec()
    }
}

/// The server's executable.
fn relay(options: &Options) -> Result<PathBuf, Failure> {
    Ok(match &options.server {
        Some(file) => file.clone(),
        None => std::env::current_exe()?.with_file_name("rly-server"),
    })
}

fn measure(options: &Options, runtime: &Runtime) -> Result<(), Failure> {
    let relay = relay(options)?;
    let scale = if options.smoke {
        Scale::smoke()
    } else {
        Scale::full()
    };
    let rounds = if options.smoke { 1 } else { options.rounds };
    let targets = or_all(&options.targets, &Target::ALL);
    let mut results = Results::default();
    for round in 1..=rounds {
        for scenario in or_all(&options.scenarios, &Scenario::ALL) {
            // Memory is the same each time, and takes long.
            if scenario == Scenario::Idle && round > 1 {
                continue;
            }
            for target in targets.iter().copied().filter(|target| scenario.suits(*target)) {
                let folder = tempfile::tempdir()?;
                let place = Place {
                    relay: relay.clone(),
                    folder: folder.path().to_owned(),
                    scale: scale.clone(),
                };
                let run = async { timeout(PATIENCE, scenarios::run(scenario, &place, target)).await };
                let figures = runtime
                    .block_on(run)
                    .map_err(|_| "it took too long".into())
                    .and_then(|figures| figures)
                    .map_err(|error: Failure| format!("{scenario:?} with {}: {error}", target.name()))?;
                eprintln!("round {round} of {rounds}: {scenario:?}, {}", target.name());
                results.0.push(Run {
                    scenario,
                    target,
                    round,
                    figures,
                });
            }
        }
    }
    if options.smoke {
        writeln!(std::io::stdout(), "Every scenario works.")?;
    } else {
        writeln!(std::io::stdout(), "{}", results.print())?;
    }
    Ok(())
}
