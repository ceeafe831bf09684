//! Programs that a machine may lack, and ports for those that cannot choose one themselves.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
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

/// Node, if it is here and as new as the packages of the tests need it.
pub(crate) fn find_node() -> Option<PathBuf> {
    let node = find_program(&["node"], &[])?;
    let said = Command::new(&node).arg("--version").output().ok()?;
    is_new_enough(&String::from_utf8_lossy(&said.stdout)).then_some(node)
}

/// Which one that is.
pub(crate) const NODE: &str = "NODE 20.19 OR NEWER";

fn is_new_enough(version: &str) -> bool {
    let mut numbers = version.trim().trim_start_matches('v').split('.').map(|number| number.parse::<u32>().ok());
    (numbers.next().flatten(), numbers.next().flatten()) >= (Some(20), Some(19))
}

#[test]
fn a_node_that_is_too_old_counts_as_none() {
    for (version, expected) in [
        ("v20.19.0\n", true),
        ("v20.20.2\n", true),
        ("v22.1.0\n", true),
        ("v100.0.0", true),
        ("v20.18.1\n", false),
        ("v18.20.4\n", false),
        ("v9.99.0", false),
        ("", false),
        ("no version", false),
    ] {
        assert_eq!(is_new_enough(version), expected, "{version}");
    }
}

/// Says that the current test is left out because this machine lacks `what`, and `how` to get it. In CI that is a
/// failure.
pub(crate) fn skipped(what: &str, how: &str) {
    let said = left_out(what, how);
    assert!(!config::environment().contains_key("CI"), "{said}");
}

/// As [`skipped`], of what no package has that CI could install.
pub(crate) fn left_out(what: &str, how: &str) -> String {
    let thread = std::thread::current();
    let said = format!("SKIPPED, NOT PASSED: {} NEEDS {what}. TO RUN IT: {how}", thread.name().unwrap_or("A TEST"));
    // Written to the stream itself: of a test that passes, libtest hides what `eprintln!` says.
    std::io::stderr().write_all(format!("\n*** {said} ***\n\n").as_bytes()).unwrap();
    said
}

/// A port for each server of this process, below those that the kernel gives out to outgoing connections.
pub(crate) fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let start = 20_000 + (std::process::id() % 10_000) as u16;
    let mut candidates = std::iter::repeat_with(|| start + NEXT.fetch_add(1, Ordering::Relaxed));
    candidates.find(|port| std::net::TcpListener::bind(("127.0.0.1", *port)).is_ok()).unwrap()
}

/// Whom programs run as that refuse to be root; nobody else if we are not root.
pub(crate) fn server_account() -> Option<(u32, u32)> {
    let is_root = rustix::process::geteuid().is_root();
    is_root.then(|| account("postgres").or_else(|| account("nobody")).expect("an account for servers"))
}

fn account(name: &str) -> Option<(u32, u32)> {
    let accounts = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let line = accounts.lines().find(|line| line.split(':').next() == Some(name))?;
    let mut numbers = line.split(':').skip(2).map_while(|field| field.parse().ok());
    Some((numbers.next()?, numbers.next()?))
}
