//! What was measured, as rows of tables.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::io::Result;
use std::time::{Duration, Instant};

use super::http::{Answer, outcome};

/// How long after their moments calls were answered, by what became of them.
#[derive(Default)]
pub(crate) struct Tally(BTreeMap<String, Vec<Duration>>);

/// Times, the shortest first.
pub(crate) struct Figures(Vec<Duration>);

impl Tally {
    /// Adds a call that was due at that moment.
    pub(crate) fn add(&mut self, due: Instant, answer: &Result<Answer>) {
        self.add_after(due.elapsed(), answer);
    }

    /// Adds a call that was answered so long after its moment.
    pub(crate) fn add_after(&mut self, after: Duration, answer: &Result<Answer>) {
        self.0.entry(outcome(answer)).or_default().push(after);
    }

    pub(crate) fn append(&mut self, other: Self) {
        for (outcome, times) in other.0 {
            self.0.entry(outcome).or_default().extend(times);
        }
    }

    /// How many calls had an outcome that begins like this.
    pub(crate) fn count(&self, outcome: &str) -> usize {
        self.0.iter().filter(|(found, _)| found.starts_with(outcome)).map(|(_, times)| times.len()).sum()
    }

    pub(crate) fn total(&self) -> usize {
        self.count("")
    }

    /// Outcomes, with their number, of which `allowed` has not the whole name.
    pub(crate) fn others(&self, allowed: &[&str]) -> Vec<String> {
        let others = self.0.iter().filter(|(outcome, _)| !allowed.contains(&outcome.as_str()));
        others.map(|(outcome, times)| format!("{} times {outcome}", times.len())).collect()
    }

    /// Times of all calls.
    pub(crate) fn figures(&self) -> Figures {
        Figures::of(self.0.values().flatten().copied().collect())
    }

    /// One line for each outcome.
    pub(crate) fn print(&self, title: &str) {
        println!("| {title} | number | p50 ms | p90 ms | p99 ms | max ms |\n|---|--:|--:|--:|--:|--:|");
        for (outcome, times) in &self.0 {
            println!("| {outcome} | {} |", Figures::of(times.clone()).cells());
        }
        println!();
    }
}

impl Figures {
    pub(crate) fn of(mut times: Vec<Duration>) -> Self {
        times.sort_unstable();
        Self(times)
    }

    /// In milliseconds.
    pub(crate) fn percentile(&self, percent: usize) -> f64 {
        let index = (self.0.len() * percent / 100).min(self.0.len().saturating_sub(1));
        self.0.get(index).map_or(f64::NAN, |time| time.as_secs_f64() * 1_000.0)
    }

    /// How many, and four percentiles.
    pub(crate) fn cells(&self) -> String {
        let times = [50, 90, 99, 100].map(|percent| format!("{:.1}", self.percentile(percent))).join(" | ");
        format!("{} | {times}", self.0.len())
    }
}

/// The same calls without an attack and under it: a line each, and what the attack makes of the times.
pub(crate) fn compare(attack: &str, rows: &[(&str, &Tally, &Tally)]) {
    println!("| calls | number | p50 ms | p90 ms | p99 ms | max ms |\n|---|--:|--:|--:|--:|--:|");
    for (name, without, with) in rows {
        println!("| {name}, nothing else | {} |", without.figures().cells());
        println!("| {name}, {attack} | {} |", with.figures().cells());
    }
    println!("\n| {attack} / nothing else | p50 | p90 | p99 | max |\n|---|--:|--:|--:|--:|");
    for (name, without, with) in rows {
        let ratio =
            |percent| format!("{:.2}", with.figures().percentile(percent) / without.figures().percentile(percent));
        println!("| {name} | {} |", [50, 90, 99, 100].map(ratio).join(" | "));
    }
    println!();
}

/// A table of two columns.
pub(crate) fn facts(title: &str, rows: &[(&str, &dyn Display)]) {
    println!("| {title} | |\n|---|--:|");
    for (name, value) in rows {
        println!("| {name} | {value} |");
    }
    println!();
}
