//! Tables in Markdown: what was measured, and whether the marks are met.

use crate::{
    scenarios::{Figures, Scenario},
    server::Target,
};
use std::fmt::Write;

/// One run of a scenario.
pub(crate) struct Run {
    pub scenario: Scenario,
    pub target: Target,
    pub round: usize,
    pub figures: Figures,
}

/// Everything that was measured.
#[derive(Default)]
pub(crate) struct Results(pub Vec<Run>);

/// The fastest of the other servers with 50 pairs: mosquitto with QoS 1 and a kept session reached
/// 50,600 messages a second on such a machine, at 17 us of CPU each.
const FASTEST_PEER: f64 = 50_600.0;
const CHEAPEST_PEER: f64 = 17.1;

enum Than {
    Target(Target),
    Fixed(f64),
}

pub(crate) enum Bound {
    AtMost(f64),
    AtLeast(f64),
}
use Bound::{AtLeast, AtMost};

struct Mark {
    what: &'static str,
    scenario: Scenario,
    figure: &'static str,
    than: Than,
    bound: Bound,
}

const fn mark(
    what: &'static str,
    scenario: Scenario,
    figure: &'static str,
    than: Than,
    bound: Bound,
) -> Mark {
    Mark {
        what,
        scenario,
        figure,
        than,
        bound,
    }
}

const CPU: &str = "server CPU us/message";
const MARKS: [Mark; 16] = [
    mark(
        "online p50 / memory ceiling",
        Scenario::Lat,
        "p50 us",
        Than::Target(Target::Memory),
        AtMost(1.5),
    ),
    mark(
        "50 pairs, messages/s / SQLite ceiling",
        Scenario::Thr,
        "messages/s",
        Than::Target(Target::Sqlite),
        AtLeast(0.8),
    ),
    mark(
        "50 pairs, messages/s / fastest peer",
        Scenario::Thr,
        "messages/s",
        Than::Fixed(FASTEST_PEER),
        AtLeast(2.0),
    ),
    mark(
        "50 pairs, CPU / cheapest peer",
        Scenario::Thr,
        CPU,
        Than::Fixed(CHEAPEST_PEER),
        AtMost(0.5),
    ),
    mark(
        "CPU, acknowledged before the commit / SQLite ceiling",
        Scenario::Thr,
        CPU,
        Than::Target(Target::Sqlite),
        AtMost(1.0),
    ),
    mark(
        "CPU, acknowledged after the commit / SQLite ceiling",
        Scenario::Late,
        CPU,
        Than::Target(Target::Sqlite),
        AtMost(1.4),
    ),
    mark(
        "group of 100, deliveries/s",
        Scenario::Fan,
        "deliveries/s",
        Than::Fixed(1.0),
        AtLeast(250_000.0),
    ),
    mark(
        "group of 100, CPU us/delivery",
        Scenario::Fan,
        "server CPU us/delivery",
        Than::Fixed(1.0),
        AtMost(4.0),
    ),
    mark(
        "CPU, stored and fetched / SQLite ceiling",
        Scenario::Off,
        CPU,
        Than::Target(Target::Sqlite),
        AtMost(1.4),
    ),
    mark(
        "stored/s / SQLite ceiling",
        Scenario::Off,
        "stored/s",
        Than::Target(Target::Sqlite),
        AtLeast(0.7),
    ),
    mark(
        "drained/s / SQLite ceiling",
        Scenario::Off,
        "drained/s",
        Than::Target(Target::Sqlite),
        AtLeast(0.7),
    ),
    mark(
        "left after kill -9, %",
        Scenario::Crash,
        "left after kill -9, %",
        Than::Fixed(1.0),
        AtLeast(100.0),
    ),
    mark(
        "syncs/message, absent reader",
        Scenario::Syncs,
        "syncs/message, absent reader",
        Than::Fixed(1.0),
        AtMost(0.02),
    ),
    mark(
        "syncs/message, pairs",
        Scenario::Syncs,
        "syncs/message, pairs",
        Than::Fixed(1.0),
        AtMost(0.02),
    ),
    mark(
        "KiB each of 2,000 idle",
        Scenario::Idle,
        "KiB each of 2000",
        Than::Fixed(1.0),
        AtMost(16.0),
    ),
    mark(
        "KiB each of 10,000 idle",
        Scenario::Idle,
        "KiB each of 10000",
        Than::Fixed(1.0),
        AtMost(16.0),
    ),
];

impl Results {
    /// All values of a figure, by round.
    fn values(&self, scenario: Scenario, target: Target, figure: &str) -> Vec<(usize, f64)> {
        let runs = (self.0.iter()).filter(|run| run.scenario == scenario && run.target == target);
        runs.filter_map(|run| {
            let (_, value) = run.figures.iter().find(|(name, _)| name == figure)?;
            Some((run.round, *value))
        })
        .collect()
    }

    /// A mark's values: ratios of one round, since only what was measured in the same minutes compares.
    fn marked(&self, mark: &Mark) -> Vec<f64> {
        let ours = self.values(mark.scenario, Target::Relay, mark.figure);
        match mark.than {
            Than::Fixed(value) => ours.iter().map(|(_, own)| own / value).collect(),
            Than::Target(target) => {
                let theirs = self.values(mark.scenario, target, mark.figure);
                let pairs = ours.iter().filter_map(|(round, own)| {
                    let (_, other) = theirs.iter().find(|(other, _)| other == round)?;
                    Some(own / other)
                });
                pairs.collect()
            }
        }
    }

    /// A table for each scenario, and one of the marks.
    pub fn print(&self) -> String {
        let mut text = String::new();
        for scenario in Scenario::ALL {
            self.table(scenario, &mut text);
        }
        let mut rows = String::new();
        for mark in &MARKS {
            let values = self.marked(mark);
            rows.push_str(&verdict(mark.what, &mark.bound, &values));
        }
        if !rows.is_empty() {
            // Writing to a String cannot fail, here and below.
            let _ = writeln!(
                text,
                "\n### Marks\n\n| what | mark | measured | met |\n|---|---|---|---|\n{rows}"
            );
        }
        text
    }

    fn table(&self, scenario: Scenario, text: &mut String) {
        let runs: Vec<&Run> = self.0.iter().filter(|run| run.scenario == scenario).collect();
        let mut names: Vec<&str> = Vec::new();
        for name in runs
            .iter()
            .flat_map(|run| &run.figures)
            .map(|(name, _)| name.as_str())
        {
            if !names.contains(&name) {
                names.push(name);
            }
        }
        if names.is_empty() {
            return;
        }
        let _ = writeln!(
            text,
            "\n### {}\n\n| | {} |\n|---|{}",
            scenario.title(),
            names.join(" | "),
            "---|".repeat(names.len())
        );
        for target in Target::ALL {
            let cells = names.iter().map(|name| {
                let values = self.values(scenario, target, name);
                cell(&values.into_iter().map(|(_, value)| value).collect::<Vec<_>>())
            });
            let cells: Vec<String> = cells.collect();
            if cells.iter().any(|cell| !cell.is_empty()) {
                let _ = writeln!(text, "| {} | {} |", target.name(), cells.join(" | "));
            }
        }
    }
}

/// A row that says whether the median of these values is within a bound; nothing without values.
pub(crate) fn verdict(what: &str, bound: &Bound, values: &[f64]) -> String {
    let Some((_, median, _)) = spread(values) else {
        return String::new();
    };
    let (sign, bound, met) = match *bound {
        AtMost(most) => ("<=", most, median <= most),
        AtLeast(least) => (">=", least, median >= least),
    };
    let met = if met { "yes" } else { "**no**" };
    format!(
        "| {what} | {sign} {} | {} | {met} |\n",
        short(bound),
        cell(values)
    )
}

/// Rows of figures, each with a name.
pub(crate) fn table(title: &str, rows: &[(String, Figures)]) -> String {
    let mut names: Vec<&str> = Vec::new();
    for (name, _) in rows.iter().flat_map(|(_, figures)| figures) {
        if !names.contains(&name.as_str()) {
            names.push(name);
        }
    }
    let columns = names.join(" | ");
    let mut text = format!(
        "\n### {title}\n\n| | {columns} |\n|---|{}\n",
        "---|".repeat(names.len())
    );
    for (what, figures) in rows {
        let cells = names.iter().map(|name| {
            let found = figures.iter().find(|(found, _)| found == name);
            found.map_or(String::new(), |(_, value)| short(*value))
        });
        let cells: Vec<String> = cells.collect();
        let _ = writeln!(text, "| {what} | {} |", cells.join(" | "));
    }
    text
}

/// Least, middle, most.
fn spread(values: &[f64]) -> Option<(f64, f64, f64)> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let median = sorted.get(sorted.len() / 2)?;
    Some((*sorted.first()?, *median, *sorted.last()?))
}

/// "median (least-most)".
fn cell(values: &[f64]) -> String {
    let Some((least, median, most)) = spread(values) else {
        return String::new();
    };
    let (least, median, most) = (short(least), short(median), short(most));
    if least == most {
        median
    } else {
        format!("{median} ({least}-{most})")
    }
}

pub(crate) fn short(value: f64) -> String {
    let text = match value {
        v if v >= 100.0 => format!("{v:.0}"),
        v if v >= 10.0 => format!("{v:.1}"),
        v if v >= 0.1 => format!("{v:.2}"),
        v => format!("{v:.4}"),
    };
    if text.contains('.') {
        return text.trim_end_matches('0').trim_end_matches('.').to_owned();
    }
    // 1234567 -> 1,234,567
    let mut grouped = String::new();
    for (at, digit) in text.chars().enumerate() {
        if at > 0 && (text.len() - at).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(target: Target, round: usize, value: f64) -> Run {
        let figures = vec![("p50 us".to_owned(), value)];
        Run {
            scenario: Scenario::Lat,
            target,
            round,
            figures,
        }
    }

    #[test]
    fn a_mark_compares_within_a_round() {
        let results = Results(vec![
            run(Target::Relay, 1, 30.0),
            run(Target::Memory, 1, 30.0),
            run(Target::Relay, 2, 1800.0),
            run(Target::Memory, 2, 1000.0),
            run(Target::Relay, 3, 3400.0),
            run(Target::Memory, 3, 2000.0),
        ]);
        let text = results.print();
        assert!(
            text.contains("| online p50 / memory ceiling | <= 1.5 | 1.7 (1-1.8) | **no** |"),
            "{text}"
        );
        assert!(text.contains("| Rly Chat | 1,800 (30-3,400) |"), "{text}");
    }
}
