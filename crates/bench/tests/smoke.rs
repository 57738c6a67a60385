//! Every scenario in small numbers, against the server and both ceilings: nothing is lost, doubled or
//! overtaken, and what was confirmed is there after kill -9. It says nothing about speed.
#![cfg(target_os = "linux")]
#![allow(missing_docs, clippy::unwrap_used)]

use std::{path::Path, process::Command};

#[test]
fn every_scenario_works() {
    let bench = Path::new(env!("CARGO_BIN_EXE_rly-bench"));
    let server = bench.with_file_name("rly-server");
    assert!(
        server.is_file(),
        "the server is tested along: cargo test -p rly-server -p rly-bench"
    );
    let output = Command::new(bench)
        .arg("--smoke")
        .arg("--server")
        .arg(server)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert_eq!(output.stdout, b"Every scenario works.\n", "{said}");
}
