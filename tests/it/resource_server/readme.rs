//! Its README is so.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use claviger::config;
use serde_json::Value;

use crate::dev::{Dev, Folder};

/// The program, up to date. As Cargo builds no programs of other packages for a test, it is asked to; with the features of
/// these tests, so that only the linking is left to do.
fn program() -> PathBuf {
    let cargo = config::environment().remove("CARGO").unwrap_or("cargo".to_owned());
    let arguments = ["build", "--quiet", "--locked", "--offline", "--bin", "resource-server", "--test", "it"];
    let built = Command::new(cargo).args(arguments).current_dir(env!("CARGO_MANIFEST_DIR")).status().unwrap();
    assert!(built.success());
    Path::new(env!("CARGO_BIN_EXE_claviger")).with_file_name("resource-server")
}

/// The commands of the README, first those of the API's own terminal.
fn commands() -> [String; 2] {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/resource-server/README.md");
    let readme = std::fs::read_to_string(path).unwrap();
    let blocks = readme.split("```sh\n").skip(1).map(|block| block.split("```").next().unwrap().to_owned());
    <[String; 2]>::try_from(blocks.collect::<Vec<_>>()).unwrap()
}

/// A shell in a folder, which stops at the first command that fails.
fn shell(script: &str, folder: &Path) -> Command {
    let mut shell = Command::new("sh");
    shell.args(["-euc", script]).current_dir(folder).env_clear();
    shell.env("PATH", config::environment().remove("PATH").unwrap_or_default());
    shell
}

/// Killed with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// Starts the API as the README does, and waits until it listens; says where.
fn start(first: &str, folder: &Path) -> (Running, String) {
    let mut child = shell(first, folder).env("PORT", "0").stdout(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    let api = Running(child);
    let address = { lines }.find_map(|line| Some(line.strip_prefix("listening on ")?.to_owned()));
    (api, address.expect("it listens"))
}

#[tokio::test]
async fn the_commands_of_its_readme_work_as_printed_and_work_again() {
    let program = tokio::task::spawn_blocking(program).await.unwrap();
    let folder = Folder::new();
    let dev = Dev::ready(&folder.0).await;
    let [first, second] = commands();
    let first = first
        .replace("http://127.0.0.1:8080", &dev.caller.base)
        .replace("cargo run -q --bin resource-server", &format!("exec {}", program.display()))
        .replace("cargo run -q --", env!("CARGO_BIN_EXE_claviger"));

    for email in ["grace@example.com", "ida@example.com"] {
        let (api, address) = start(&first, &folder.0);
        let second =
            second.replace("http://127.0.0.1:8080", &dev.caller.base).replace("http://127.0.0.1:9000", &address);
        let script = second.replace("grace@example.com", email);
        let output = shell(&script, &folder.0).output().unwrap();

        let (said, errors) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
        assert!(output.status.success() && errors.contains("401"), "{said}{errors}");
        let answers: Vec<Value> = said.lines().map(|line| serde_json::from_str(line).expect(&said)).collect();
        let [nobodys, kept, history] = answers.as_slice() else { panic!("{said}") };
        assert_eq!((&nobodys["kept"], &nobodys["words"], &kept["kept"]), (&false.into(), &13.into(), &true.into()));
        assert_eq!(history["documents"], Value::Array(vec![kept.clone()]));
        drop(api);
    }
}
