//! The server of Rly Chat as a process.

use rly_server::{Config, Manifest, PublicUrl, Task, serve, verify};
use std::{
    error::Error,
    io::{self, Write},
    path::Path,
    process::ExitCode,
};
use tokio::runtime::{Builder, Runtime};
use tracing_subscriber::EnvFilter;

/// Whatever keeps the server from starting, or a question from being answered.
const CANNOT_START: u8 = 2;

fn main() -> ExitCode {
    let outcome = match Task::from_process() {
        Ok(Some(Task::Serve(config))) => run(*config),
        Ok(Some(Task::Manifest(site))) => print_manifest(&site),
        Ok(Some(Task::Verify(url, site))) => compare(&url, &site),
        Ok(None) => Ok(ExitCode::SUCCESS),
        Err(error) => Err(error.into()),
    };
    outcome.unwrap_or_else(|error| {
        // Nobody is left to tell when stderr is closed.
        let _ = writeln!(io::stderr(), "rly-server: {error}");
        ExitCode::from(CANNOT_START)
    })
}

fn run(config: Config) -> Result<ExitCode, Box<dyn Error>> {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(false)
        .init();
    runtime()?.block_on(serve(config))?;
    Ok(ExitCode::SUCCESS)
}

fn print_manifest(site: &Path) -> Result<ExitCode, Box<dyn Error>> {
    let manifest = runtime()?.block_on(Manifest::make(site))?;
    let mut out = io::stdout().lock();
    serde_json::to_writer_pretty(&mut out, &manifest)?;
    writeln!(out)?;
    Ok(ExitCode::SUCCESS)
}

fn compare(url: &PublicUrl, site: &Path) -> Result<ExitCode, Box<dyn Error>> {
    let manifest = Manifest::read(site)?;
    let differences = verify(url, &manifest)?;
    let mut out = io::stdout().lock();
    if differences.is_empty() {
        writeln!(out, "{url} serves this build: {manifest}")?;
        return Ok(ExitCode::SUCCESS);
    }
    for difference in &differences {
        writeln!(out, "{difference}")?;
    }
    writeln!(
        out,
        "{url} does not serve this build: {} differences",
        differences.len()
    )?;
    Ok(ExitCode::FAILURE)
}

fn runtime() -> io::Result<Runtime> {
    Builder::new_multi_thread().enable_all().build()
}
