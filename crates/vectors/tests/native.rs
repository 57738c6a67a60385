//! All vectors that need no browser, natively.

use rly_vectors::Report;
use std::time::{SystemTime, UNIX_EPOCH};

#[test]
fn every_set_runs_in_full_and_holds() {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |now| now.as_secs());
    let reports = rly_vectors::run(now);
    for report in &reports {
        println!("{:>6}  {}", report.ran, report.name);
    }
    println!(
        "{:>6}  checks natively",
        reports.iter().map(|report| report.ran).sum::<usize>()
    );
    let bad: Vec<&Report> = reports.iter().filter(|report| !report.is_good()).collect();
    assert!(bad.is_empty(), "{bad:#?}");
}
