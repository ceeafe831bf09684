//! What processes have taken from the machine, as Linux counts it.

use std::fs;

/// In how many parts of a second Linux counts processor time for programs: 100 on every machine that Rust runs on.
const TICKS: f64 = 100.0;

/// A process, and those that it started.
pub(crate) struct Machine(pub(crate) u32);

impl Machine {
    /// Processors and system.
    pub(crate) fn name() -> String {
        let information = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let model = information.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
        let cores = std::thread::available_parallelism().map_or(0, usize::from);
        format!("{cores} cores of {}", model.map_or("an unknown kind", |(_, name)| name))
    }

    /// Processor time so far, that of children too, gone or alive.
    pub(crate) fn milliseconds(&self) -> f64 {
        let ticks: u64 = self.processes().into_iter().filter_map(ticks).sum();
        let gone = stat(self.0).map_or(0, |fields| number(&fields, 13) + number(&fields, 14));
        (ticks + gone) as f64 * 1_000.0 / TICKS
    }

    /// Memory that is its alone.
    pub(crate) fn private_megabytes(&self) -> f64 {
        private_kilobytes(self.0) as f64 / 1_024.0
    }

    fn processes(&self) -> Vec<u32> {
        let entries = fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        let all = entries.filter_map(|name| name.parse().ok());
        all.filter(|pid| *pid == self.0 || stat(*pid).is_some_and(|fields| number(&fields, 1) == u64::from(self.0)))
            .collect()
    }
}

/// Memory that is one process's alone.
pub(crate) fn private_kilobytes(pid: u32) -> u64 {
    let map = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
    let private = map.lines().filter(|line| line.starts_with("Private_"));
    private.filter_map(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok()).sum()
}

/// What follows the name in a process's line: its state, its parent, and so on (proc(5)).
fn stat(pid: u32) -> Option<Vec<String>> {
    let line = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    Some(line.rsplit_once(')')?.1.split_whitespace().map(str::to_owned).collect())
}

fn number(fields: &[String], index: usize) -> u64 {
    fields.get(index).and_then(|field| field.parse().ok()).unwrap_or(0)
}

/// In user mode and in the kernel.
fn ticks(pid: u32) -> Option<u64> {
    stat(pid).map(|fields| number(&fields, 11) + number(&fields, 12))
}
