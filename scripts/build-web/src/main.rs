//! Builds what browsers load: the wasm modules with their glue, the styles and the public files,
//! under names that contain their hash, compressed, listed in `manifest.json`.
//!
//! `rly-build-web [--dev]`, run in the workspace's root. The result is in `target/site`. What did
//! not change is not made again. `--dev` leaves out wasm-opt. `--vectors` makes the module that runs
//! the test vectors in a browser instead, in the same way, in `target/web/vectors`: nobody serves that.

mod error;
mod site;
mod split;
mod style;
mod wasm;

use error::BuildError;
use site::Site;
use std::{
    collections::BTreeMap,
    env,
    io::{self, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};

fn main() -> ExitCode {
    let (mut dev, mut vectors) = (false, false);
    for argument in env::args().skip(1) {
        match argument.as_str() {
            "--dev" => dev = true,
            "--vectors" => vectors = true,
            other => return fail(&format!("unknown option {other}; there are --dev and --vectors")),
        }
    }
    let target = env::var_os("CARGO_TARGET_DIR").map_or_else(|| PathBuf::from("target"), PathBuf::from);
    let built = if vectors {
        wasm::build(&target, &wasm::VECTORS, dev).map(|_| ())
    } else {
        build(&target, dev)
    };
    match built {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error),
    }
}

fn fail(error: &dyn std::fmt::Display) -> ExitCode {
    // Nobody is left to tell when stderr is closed.
    let _ = writeln!(io::stderr(), "build-web: {error}");
    ExitCode::FAILURE
}

fn build(target: &Path, dev: bool) -> Result<(), BuildError> {
    let mut site = Site::open(target.join("site"))?;
    for package in [wasm::PAGE, wasm::ROOMS, wasm::WORKER, wasm::ROOM_WORKER] {
        let module = wasm::build(target, &package, dev)?;
        let mut served = BTreeMap::new();
        for (part, wasm) in &module.parts {
            served.insert(part.as_str(), site.add(&format!("{part}.wasm"), wasm)?);
        }
        let name = package.name;
        site.add(&format!("{name}.js"), module.glue(&served)?.as_bytes())?;
        site.add(&format!("{name}.wasm"), &module.wasm)?;
    }
    site.add("style.css", style::bundle(Path::new("style"))?.as_bytes())?;
    let public = Path::new("app/public");
    for name in site::names(public)? {
        site.add(&name, &error::read(&public.join(&name))?)?;
    }
    for line in site.finish()? {
        // A closed stdout is the reader's choice.
        let _ = writeln!(io::stdout(), "{line}");
    }
    Ok(())
}
