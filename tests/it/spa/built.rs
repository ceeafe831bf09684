//! The files of the application, built once for all tests.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::LazyLock;

use crate::support::{Browser, NODE, Nginx, find_node, find_program, skipped};

/// Hosts of the README's command, and those of the tests, with a port that each test replaces by its own.
const HOSTS: [(&str, &str); 2] = [
    ("https://auth.example.com", "https://auth.example.test:65533"),
    ("https://api.example.com", "https://api.example.test:65533"),
];

pub(super) fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/spa")
}

/// The line of the README that ends so.
pub(super) fn command(end: &str) -> String {
    let readme = fs::read_to_string(folder().join("README.md")).unwrap();
    readme.lines().find(|line| line.ends_with(end)).expect(end).to_owned()
}

/// Whether this machine has what the tests need; if not, says that the test is left out.
pub(super) fn can_be_built() -> bool {
    if Nginx::program().is_none() || Browser::programs().is_none() {
        skipped("NGINX AND CHROMIUM", "apt-get install nginx chromium chromium-driver");
        return false;
    }
    if find_node().is_none() || find_program(&["npm"], &[]).is_none() || !folder().join("node_modules").is_dir() {
        skipped(NODE, "apt-get install nodejs npm && make packages");
        return false;
    }
    true
}

/// Runs a command of the README in the folder of the application.
pub(super) fn run(command: &str) -> String {
    let output =
        Command::new("sh").args(["-euc", command]).current_dir(folder()).stdin(Stdio::null()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{command}: {said}{}", String::from_utf8_lossy(&output.stderr));
    said
}

/// Each file, by its place.
static FILES: LazyLock<Vec<(PathBuf, String)>> = LazyLock::new(|| {
    let target = tempfile::tempdir().unwrap();
    let build = HOSTS.iter().fold(command("npm run build"), |command, (from, to)| {
        assert!(command.contains(from), "{command}");
        command.replace(from, to)
    });
    run(&format!("{build} -- --outDir '{}'", target.path().display()));
    let read =
        |path: PathBuf| (path.strip_prefix(target.path()).unwrap().to_owned(), fs::read_to_string(path).unwrap());
    files(target.path()).into_iter().map(read).collect()
});

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

/// Puts the application into a folder, for servers on this port.
pub(super) fn copy_to(target: &Path, port: u16) {
    for (path, text) in &*FILES {
        let path = target.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text.replace(".example.test:65533", &format!(".example.test:{port}"))).unwrap();
    }
}
