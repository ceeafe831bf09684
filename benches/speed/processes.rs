//! What the kernel says of processes: the time they had a core, and their memory.

use std::fs;
use std::time::Duration;

/// Ticks of the kernel's accounts in a second, on Linux for all programs.
const TICKS: u64 = 100;

/// Processor time of a process and of those that it started and that have ended.
pub(crate) fn worked(pid: u32) -> Duration {
    let [user, system, children_user, children_system] = times(pid).unwrap_or_default();
    ticks(user + system + children_user + children_system)
}

/// The same of Postgres: its first process, and all that live now.
pub(crate) fn worked_with_children(pid: u32) -> Duration {
    let children =
        fs::read_dir("/proc").into_iter().flatten().filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    let live: Duration = children.filter(|child| parent(*child) == Some(pid)).map(worked).sum();
    worked(pid) + live
}

/// Resident memory, in megabytes, by the name of its line: `VmRSS` is now, `VmHWM` the most there ever was.
pub(crate) fn memory(pid: u32, line: &str) -> f64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|text| text.strip_prefix(line)?.strip_prefix(':')).unwrap_or_default();
    let kilobytes: f64 = line.trim().trim_end_matches(" kB").parse().unwrap_or(f64::NAN);
    kilobytes / 1_024.0
}

/// The fields of /proc/PID/stat behind the name, which may have anything in it.
fn fields(pid: u32) -> Option<Vec<String>> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, fields) = text.rsplit_once(") ")?;
    Some(fields.split(' ').map(str::to_owned).collect())
}

fn times(pid: u32) -> Option<[u64; 4]> {
    let fields = fields(pid)?;
    // The 14th to the 17th of all, of which two are gone.
    fields.get(11..15)?.iter().map(|field| field.parse().unwrap_or_default()).collect::<Vec<_>>().try_into().ok()
}

fn parent(pid: u32) -> Option<u32> {
    fields(pid)?.get(1)?.parse().ok()
}

fn ticks(number: u64) -> Duration {
    Duration::from_millis(number * 1_000 / TICKS)
}
