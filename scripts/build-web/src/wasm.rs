//! From a crate to a small wasm module and its glue.

use crate::error::{self, BuildError};
use sha2::{Digest, Sha256};
use std::{
    env, fs,
    io::{self, Write},
    path::{Path, PathBuf},
    process::Command,
};
use wasm_bindgen_cli_support::Bindgen;

const TRIPLE: &str = "wasm32-unknown-unknown";
const PROFILE: &str = "wasm";
const WASM_OPT: &str = "end2end/node_modules/binaryen/bin/wasm-opt";
/// What rustc emits for this target, which wasm-opt does not assume, and the smallest result.
const OPTIONS: [&str; 8] = [
    "-Oz",
    "--enable-bulk-memory",
    "--enable-nontrapping-float-to-int",
    "--enable-sign-ext",
    "--enable-mutable-globals",
    "--enable-reference-types",
    "--enable-multivalue",
    "--strip-producers",
];

/// A module that a page or worker loads.
pub struct Module {
    /// The wasm.
    pub wasm: Vec<u8>,
    /// The JavaScript around it; it is told where the wasm is.
    pub glue: Vec<u8>,
}

/// Builds one package alone, so that the features of the other do not reach it.
pub fn build(target: &Path, package: &str, name: &str, dev: bool) -> Result<Module, BuildError> {
    compile(package)?;
    let library = package.replace('-', "_");
    let compiled = target
        .join(TRIPLE)
        .join(PROFILE)
        .join(library)
        .with_extension("wasm");
    let folder = target.join("web").join(name);
    fs::create_dir_all(&folder).map_err(|error| BuildError::File(folder.clone(), error))?;
    let glue = folder.join(format!("{name}.js"));
    let bound = folder.join(format!("{name}_bg.wasm"));
    let small = folder.join(format!("{name}.wasm"));

    let stamp = folder.join("stamp");
    let inputs = inputs(&compiled, dev)?;
    if fs::read(&stamp).is_ok_and(|known| known == inputs) {
        return Ok(Module {
            wasm: error::read(&small)?,
            glue: error::read(&glue)?,
        });
    }
    say(&format!("{name}: wasm-bindgen"));
    bind(&compiled, &folder, name)?;
    if dev {
        fs::copy(&bound, &small).map_err(|error| BuildError::File(small.clone(), error))?;
    } else {
        say(&format!("{name}: wasm-opt"));
        optimise(&bound, &small)?;
    }
    error::write(&stamp, &inputs)?;
    Ok(Module {
        wasm: error::read(&small)?,
        glue: error::read(&glue)?,
    })
}

/// What the result depends on beside this program's own code.
fn inputs(compiled: &Path, dev: bool) -> Result<Vec<u8>, BuildError> {
    let mut hash = Sha256::new();
    hash.update(error::read(compiled)?);
    if !dev {
        hash.update(OPTIONS.join(" "));
        hash.update(fs::read("end2end/package-lock.json").unwrap_or_default());
    }
    // The program contains wasm-bindgen.
    if let Ok(program) = env::current_exe().and_then(fs::read) {
        hash.update(Sha256::digest(program));
    }
    Ok(hash.finalize().to_vec())
}

fn compile(package: &str) -> Result<(), BuildError> {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(["build", "--quiet", "--locked", "--lib", "--package", package]);
    cargo.args(["--target", TRIPLE, "--profile", PROFILE]);
    run(cargo, "cargo")
}

fn bind(compiled: &Path, folder: &Path, name: &str) -> Result<(), BuildError> {
    let snippets = folder.join("snippets");
    if snippets.exists() {
        fs::remove_dir_all(&snippets).map_err(|error| BuildError::File(snippets.clone(), error))?;
    }
    let refused = |error: &dyn std::fmt::Display| BuildError::Bindgen(name.into(), error.to_string());
    let mut bindgen = Bindgen::new();
    bindgen
        .input_path(compiled)
        .out_name(name)
        .typescript(false)
        .remove_name_section(true)
        .remove_producers_section(true)
        .omit_default_module_path(true);
    bindgen
        .web(true)
        .and_then(|bindgen| bindgen.generate(folder))
        .map_err(|error| refused(&format!("{error:#}")))?;
    if snippets.exists() {
        return Err(BuildError::Snippets(name.into()));
    }
    Ok(())
}

fn optimise(from: &Path, to: &Path) -> Result<(), BuildError> {
    let program = PathBuf::from(WASM_OPT);
    if !program.exists() {
        return Err(BuildError::NoWasmOpt(program));
    }
    // Through node: where symbolic links or file modes are lost, the script is still one.
    let mut wasm_opt = Command::new("node");
    wasm_opt.arg(&program).args(OPTIONS).arg(from).arg("-o").arg(to);
    run(wasm_opt, "wasm-opt")
}

fn run(mut command: Command, name: &str) -> Result<(), BuildError> {
    let status = command
        .status()
        .map_err(|error| BuildError::Tool(name.into(), error))?;
    if status.success() {
        Ok(())
    } else {
        Err(BuildError::Failed(name.into()))
    }
}

fn say(what: &str) {
    // A closed stdout is the reader's choice.
    let _ = writeln!(io::stdout(), "{what}");
}
