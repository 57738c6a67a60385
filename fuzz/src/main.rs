//! The fuzz targets under libFuzzer, which brings `main`. Chosen by the environment:
//!
//! `RLY_FUZZ=list` prints the names; `RLY_FUZZ=NAME` fuzzes one with libFuzzer's own arguments; with
//! `RLY_FUZZ_UNPACK=FOLDER` its seeds, corpus and dictionary are written there instead, with
//! `RLY_FUZZ_PACK=FOLDER` the corpus file is made of the files there.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rly_fuzzing::{Target, corpus, to_lines};
use std::{env, fs, path::Path, process::exit, sync::OnceLock};

/// What a corpus file may hold, in bytes of text, so that all of them together stay small. The
/// longest inputs go first.
const FILE_MAX: usize = 44_000;

static CHOSEN: OnceLock<&'static Target> = OnceLock::new();

fuzz_target!(init: choose(), |input: &[u8]| {
    if let Some(target) = CHOSEN.get() {
        (target.run)(input);
    }
});

fn targets() -> Vec<&'static Target> {
    let all = [
        rly_protocol::fuzz::TARGETS,
        rly_view::fuzz::TARGETS,
        rly_crypto::fuzz::TARGETS,
        rly_client::fuzz::TARGETS,
        rly_relay::fuzz::TARGETS,
        rly_server::fuzz::TARGETS,
    ];
    all.into_iter().flatten().collect()
}

fn choose() {
    let wanted = env::var("RLY_FUZZ").unwrap_or_default();
    if wanted == "list" {
        for target in targets() {
            println!("{}", target.name);
        }
        exit(0);
    }
    let Some(target) = targets().into_iter().find(|target| target.name == wanted) else {
        eprintln!("There is no target '{wanted}'. RLY_FUZZ=list names them.");
        exit(2);
    };
    if let Some(folder) = env::var_os("RLY_FUZZ_UNPACK") {
        unpack(target, Path::new(&folder));
        exit(0);
    }
    if let Some(folder) = env::var_os("RLY_FUZZ_PACK") {
        pack(target, Path::new(&folder));
        exit(0);
    }
    let _ = CHOSEN.set(target);
}

fn unpack(target: &Target, folder: &Path) {
    let inputs = (target.seeds)().into_iter().chain(corpus(target.name));
    for (n, input) in inputs.enumerate() {
        fs::write(folder.join(format!("seed-{n}")), input).expect("the folder can be written");
    }
    let words = target.words.iter().map(|word| {
        let bytes = word.bytes().map(|byte| format!("\\x{byte:02x}"));
        format!("\"{}\"\n", bytes.collect::<String>())
    });
    // libFuzzer refuses an empty file.
    let words = format!("# words\n{}", words.collect::<String>());
    fs::write(folder.with_extension("dict"), words).expect("the folder can be written");
}

fn pack(target: &Target, folder: &Path) {
    let files = fs::read_dir(folder).expect("the folder can be read");
    let mut inputs: Vec<Vec<u8>> = files
        .map(|file| fs::read(file.expect("a file").path()).expect("a file"))
        .collect();
    inputs.sort_by_key(Vec::len);
    let mut size = 0;
    inputs.retain(|input| {
        size += 2 * input.len() + 1;
        !input.is_empty() && size <= FILE_MAX
    });
    let file = format!("{}/corpus/{}.txt", env!("CARGO_MANIFEST_DIR"), target.name);
    let old = fs::read_to_string(&file).unwrap_or_default();
    fs::write(file, to_lines(&inputs, &old)).expect("the corpus can be written");
}
