//! From a crate to a small wasm module and its glue.

use crate::{
    error::{self, BuildError},
    split::{self, Split},
};
use sha2::{Digest, Sha256};
use std::{
    collections::BTreeMap,
    env, fs,
    io::{self, Write},
    path::{Path, PathBuf},
    process::Command,
};
use walrus::{
    FunctionKind, Module, ModuleConfig,
    ir::{Instr, InstrLocId, Unreachable},
};
use wasm_bindgen_cli_support::Bindgen;

const TRIPLE: &str = "wasm32-unknown-unknown";
const PROFILE: &str = "wasm";
const WASM_OPT: &str = "end2end/node_modules/binaryen/bin/wasm-opt";
/// What rustc emits for this target, which wasm-opt does not assume, and what is smallest compressed:
/// a function in one place, called from many, packs better than in all of these, and `-O2` better than `-Oz`.
const OPTIONS: [&str; 16] = [
    "--generate-global-effects",
    "-O2",
    "--converge",
    "--always-inline-max-function-size",
    "0",
    "--flexible-inline-max-function-size",
    "0",
    "--one-caller-inline-max-function-size",
    "0",
    "--enable-bulk-memory",
    "--enable-nontrapping-float-to-int",
    "--enable-sign-ext",
    "--enable-mutable-globals",
    "--enable-reference-types",
    "--enable-multivalue",
    "--strip-producers",
];

/// A crate that becomes a module.
pub struct Package {
    /// The name of its files.
    pub name: &'static str,
    package: &'static str,
    features: Option<&'static str>,
    /// It has pages in it.
    page: bool,
    /// It has parts that are loaded later.
    splits: bool,
}

/// What a page loads.
pub const PAGE: Package = Package {
    name: "app",
    package: "rly-frontend",
    features: None,
    page: true,
    splits: true,
};
/// What the pages of rooms load instead.
pub const ROOMS: Package = Package {
    name: "rooms",
    package: "rly-frontend",
    features: Some("rooms"),
    page: true,
    splits: false,
};
/// What its worker loads.
pub const WORKER: Package = Package {
    name: "worker",
    package: "rly-worker",
    features: None,
    page: false,
    splits: false,
};
/// What its worker for rooms loads.
pub const ROOM_WORKER: Package = Package {
    name: "room-worker",
    package: "rly-room-worker",
    features: None,
    page: false,
    splits: false,
};
/// What runs the test vectors in a browser. Nobody serves it.
pub const VECTORS: Package = Package {
    name: "vectors",
    package: "rly-vectors",
    features: None,
    page: false,
    splits: false,
};

/// A module that a page or worker loads.
pub struct Built {
    /// What is loaded at first.
    pub wasm: Vec<u8>,
    /// What is loaded later, by name.
    pub parts: Vec<(String, Vec<u8>)>,
    name: &'static str,
    glue: String,
    split: Option<Split>,
}

impl Built {
    /// The JavaScript around it, which is told where the wasm is. `served` says so for the parts.
    pub fn glue(&self, served: &BTreeMap<&str, String>) -> Result<String, BuildError> {
        let file = |part: &str| served.get(part).cloned().unwrap_or_default();
        match &self.split {
            Some(split) => split.complete(self.name, &self.glue, file),
            None => Ok(self.glue.clone()),
        }
    }
}

/// Builds one package alone, so that the features of others do not reach it.
pub fn build(target: &Path, package: &Package, dev: bool) -> Result<Built, BuildError> {
    compile(package, dev)?;
    let name = package.name;
    let compiled = target
        .join(TRIPLE)
        .join(PROFILE)
        .join(package.package.replace('-', "_"))
        .with_extension("wasm");
    let folder = target.join("web").join(name);
    fs::create_dir_all(&folder).map_err(|error| BuildError::File(folder.clone(), error))?;
    let apart = folder.join("split");
    let file = |name: &str| folder.join(name).with_extension("wasm");

    let stamp = folder.join("stamp");
    let inputs = inputs(&compiled, dev)?;
    let split;
    if fs::read(&stamp).is_ok_and(|known| known == inputs) {
        split = package.splits.then(|| Split::read(&apart)).transpose()?;
    } else {
        split = if package.splits {
            say(&format!("{name}: wasm-split"));
            Some(split::split(name, &error::read(&compiled)?, &apart)?)
        } else {
            None
        };
        say(&format!("{name}: wasm-bindgen"));
        let main = if package.splits {
            split::main(&apart)
        } else {
            compiled
        };
        bind(&main, &folder, name, dev)?;
        finish(&folder.join(format!("{name}_bg.wasm")), &file(name), dev)?;
        for part in split.iter().flat_map(|split| &split.parts) {
            let bare = apart.join(format!("{part}.wasm"));
            error::write(&bare, &parse(name, &split::part(&apart, part), dev)?.emit_wasm())?;
            finish(&bare, &file(part), dev)?;
        }
        error::write(&stamp, &inputs)?;
    }
    let parts = split.iter().flat_map(|split| &split.parts);
    Ok(Built {
        wasm: error::read(&file(name))?,
        parts: parts
            .map(|part| Ok((part.clone(), error::read(&file(part))?)))
            .collect::<Result<_, BuildError>>()?,
        name,
        glue: String::from_utf8_lossy(&error::read(&folder.join(format!("{name}.js")))?).into_owned(),
        split,
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
    // The program contains wasm-bindgen and the splitter.
    if let Ok(program) = env::current_exe().and_then(fs::read) {
        hash.update(Sha256::digest(program));
    }
    Ok(hash.finalize().to_vec())
}

/// What makes the wasm small and the same everywhere, beside its profile. The standard library is
/// built along, without the words and places of panics: a panic is a trap, which is all that a
/// release could show of it. None of this is stable, hence `RUSTC_BOOTSTRAP`; the toolchain is pinned.
const SMALL: [&str; 10] = [
    "-Zbuild-std=std,panic_abort",
    "-Zbuild-std-features=optimize_for_size",
    "-Zpanic-immediate-abort",
    "-Ztrim-paths",
    "--config",
    "profile.wasm.panic='immediate-abort'",
    "--config",
    "profile.wasm.trim-paths='all'",
    "--config",
    "build.rustflags=['-Zlocation-detail=none', '-Zfmt-debug=none', '-Zunstable-options']",
];

fn compile(package: &Package, dev: bool) -> Result<(), BuildError> {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args([
        "rustc",
        "--quiet",
        "--locked",
        "--lib",
        "--package",
        package.package,
    ]);
    cargo.args(["--target", TRIPLE, "--profile", PROFILE]);
    if let Some(features) = package.features {
        cargo.args(["--features", features]);
    }
    if !dev {
        find_std()?;
        cargo.env("RUSTC_BOOTSTRAP", "1").args(SMALL);
        if package.page {
            cargo.args(EXACT);
        }
    }
    if package.splits {
        // Who calls whom is read from them.
        cargo.args(["--", "-Clink-arg=--emit-relocs"]);
    }
    run(cargo, "cargo")
}

/// Cargo's own words for a missing source are a page long.
fn find_std() -> Result<(), BuildError> {
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let told = Command::new(rustc)
        .args(["--print", "sysroot"])
        .output()
        .map_err(|error| BuildError::Tool("rustc".into(), error))?;
    let sysroot = String::from_utf8_lossy(&told.stdout).trim_end().to_owned();
    let source = Path::new(&sysroot).join("lib/rustlib/src/rust/library/Cargo.lock");
    if source.is_file() {
        Ok(())
    } else {
        Err(BuildError::NoStd(source))
    }
}

fn bind(compiled: &Path, folder: &Path, name: &str, dev: bool) -> Result<(), BuildError> {
    let snippets = folder.join("snippets");
    if snippets.exists() {
        fs::remove_dir_all(&snippets).map_err(|error| BuildError::File(snippets.clone(), error))?;
    }
    let refused = |error: &dyn std::fmt::Display| BuildError::Bindgen(name.into(), error.to_string());
    let module = parse(name, compiled, dev)?;
    let mut bindgen = Bindgen::new();
    bindgen
        .input_module(name, module)
        .out_name(name)
        .typescript(false)
        .omit_default_module_path(true)
        // Later parts use them too.
        .keep_lld_exports(true);
    bindgen
        .web(true)
        .and_then(|bindgen| bindgen.generate(folder))
        .map_err(|error| refused(&format!("{error:#}")))?;
    if snippets.exists() {
        return Err(BuildError::Snippets(name.into()));
    }
    Ok(())
}

/// A page is hydrated at once, never piece by piece as its code arrives, but each type of view brings
/// the functions for that along, where no linker sees that nobody calls them: an eighth of the page.
/// They become traps, and what only they need goes. That is right only as long as a name stands for
/// one function: see [`EXACT`].
const NEVER_CALLED: &str = "hydrate_async";

/// What tells the splitter that a module can be split.
const SPLIT_MARK: &str = "_WASM_SPLIT_MARKER_";

/// The compiler would let functions of the same code share one under either's name.
const EXACT: [&str; 2] = ["--config", "build.rustflags=['-Zmerge-functions=disabled']"];

fn parse(name: &str, path: &Path, dev: bool) -> Result<Module, BuildError> {
    let mut module = ModuleConfig::new()
        // What the linker makes is well-formed.
        .strict_validate(false)
        .generate_name_section(false)
        .generate_producers_section(false)
        .parse(&error::read(path)?)
        .map_err(|error| BuildError::Bindgen(name.into(), format!("{error:#}")))?;
    if dev {
        return Ok(module);
    }
    // Its name holds a hash of the folder that the program was built in. Whoever splits has used it by now.
    let marks: Vec<_> = (module.exports.iter())
        .filter(|export| export.name.starts_with(SPLIT_MARK))
        .map(|export| export.id())
        .collect();
    marks.into_iter().for_each(|mark| module.exports.delete(mark));
    for function in module.funcs.iter_mut() {
        let named = function
            .name
            .as_deref()
            .is_some_and(|name| name.contains(NEVER_CALLED));
        if let FunctionKind::Local(local) = &mut function.kind
            && named
        {
            let start = local.entry_block();
            local.block_mut(start).instrs = vec![(Instr::Unreachable(Unreachable {}), InstrLocId::default())];
        }
    }
    Ok(module)
}

/// As small as it gets; `dev`: as it is.
fn finish(from: &Path, to: &Path, dev: bool) -> Result<(), BuildError> {
    if dev {
        return error::write(to, &error::read(from)?);
    }
    say(&format!("{}: wasm-opt", to.display()));
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
