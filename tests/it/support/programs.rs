//! Programs that a machine may lack, and ports for those that cannot choose one themselves.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU16, Ordering};

use claviger::config;

/// The first of these programs that is here, looked for on the `PATH` and then in `folders`.
pub(crate) fn find_program(names: &[&str], folders: &[&str]) -> Option<PathBuf> {
    let path = config::environment().remove("PATH").unwrap_or_default();
    let folders: Vec<&str> =
        path.split(':').filter(|folder| !folder.is_empty()).chain(folders.iter().copied()).collect();
    let candidates = names.iter().flat_map(|name| folders.iter().map(move |folder| Path::new(folder).join(name)));
    candidates.into_iter().find(|program| program.is_file())
}

/// Says that the current test is left out because this machine lacks `what`, and `how` to get it. In CI that is a
/// failure.
pub(crate) fn skipped(what: &str, how: &str) {
    let thread = std::thread::current();
    let said = format!("SKIPPED, NOT PASSED: {} NEEDS {what}. TO RUN IT: {how}", thread.name().unwrap_or("A TEST"));
    assert!(!config::environment().contains_key("CI"), "{said}");
    // Written to the stream itself: of a test that passes, libtest hides what `eprintln!` says.
    std::io::stderr().write_all(format!("\n*** {said} ***\n\n").as_bytes()).unwrap();
}

/// A port for each server of this process, below those that the kernel gives out to outgoing connections.
pub(crate) fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let start = 20_000 + (std::process::id() % 10_000) as u16;
    let mut candidates = std::iter::repeat_with(|| start + NEXT.fetch_add(1, Ordering::Relaxed));
    candidates.find(|port| std::net::TcpListener::bind(("127.0.0.1", *port)).is_ok()).unwrap()
}
