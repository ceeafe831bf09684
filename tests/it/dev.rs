//! `claviger dev`: one command from nothing to a service with its own Postgres, and nothing left behind.

use std::io::{BufRead as _, BufReader, Read as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use claviger::config;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;
use uuid::Uuid;

use crate::support::{Anonymous, PASSWORD, free_port, wait_until};

/// A folder as a clone would be one: for root, one that the server's own account can enter.
pub(crate) struct Folder(pub(crate) PathBuf);

impl Folder {
    pub(crate) fn new() -> Self {
        let folder = std::env::temp_dir().join(format!("claviger-test-dev-{}", Uuid::new_v4().simple()));
        std::fs::create_dir(&folder).unwrap();
        Self(folder)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}

pub(crate) struct Dev {
    child: Child,
    pub(crate) caller: Anonymous,
}

fn command(folder: &Path) -> Command {
    let path = config::environment().remove("PATH").unwrap_or_default();
    let mut command = Command::new(env!("CARGO_BIN_EXE_claviger"));
    command.arg("dev").current_dir(folder).env_clear().env("PATH", path).env("PORT", "0");
    command.env("CLAVIGER__PASSWORD__BCRYPT_COST", "4").stdout(Stdio::piped()).stderr(Stdio::null());
    command
}

impl Dev {
    pub(crate) async fn ready(folder: &Path) -> Self {
        Self::ready_on(folder, 0).await
    }

    async fn ready_on(folder: &Path, port: u16) -> Self {
        let mut child = command(folder).env("PORT", port.to_string()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        let health = lines.find_map(|line| Some(line.trim().strip_prefix("health")?.trim().to_owned()));
        let base = health.expect("it prints where it listens").replace("/health/ready", "");
        let caller = Anonymous::of_service(base.trim_start_matches("http://").parse().unwrap());
        wait_until("it is ready", async || caller.get("/health/ready").await.status == 200).await;
        Self { child, caller }
    }

    async fn end(mut self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
        wait_until("it ends", async || self.child.try_wait().unwrap().is_some()).await;
    }
}

impl Drop for Dev {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Processes whose command line names the folder: the server, its supervisor.
fn processes_of(folder: &Path) -> usize {
    let name = folder.file_name().unwrap().to_str().unwrap().to_owned();
    let entries = std::fs::read_dir("/proc").unwrap().map_while(Result::ok);
    let command_line = |entry: std::fs::DirEntry| std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
    entries.map(command_line).filter(|line| String::from_utf8_lossy(line).contains(&name)).count()
}

#[tokio::test]
async fn a_second_start_finds_the_data_of_the_first_and_ctrl_c_leaves_nothing_running() {
    let folder = Folder::new();
    let first = Dev::ready(&folder.0).await;
    let body = json!({"email": "ada@example.com", "password": PASSWORD});
    let registered = first.caller.post("/api/auth/register", body).await;
    assert_eq!(registered.status, 201, "{registered:?}");
    assert!(processes_of(&folder.0) > 0);
    first.end(Signal::INT).await;
    assert_eq!(processes_of(&folder.0), 0);

    let second = Dev::ready(&folder.0).await;
    assert_eq!(second.caller.login("ada@example.com", PASSWORD).await.status, 200);
    let refreshed = second.caller.refresh(registered.text("refresh_token")).await;
    assert_eq!(refreshed.status, 200, "the secrets are kept: {refreshed:?}");
    assert_eq!(second.caller.me(registered.text("access_token")).await.status, 200);
    second.end(Signal::TERM).await;
    assert_eq!(processes_of(&folder.0), 0);
}

#[tokio::test]
async fn second_sigterm_cuts_off_no_request_and_not_the_database() {
    let folder = Folder::new();
    let mut dev = Dev::ready(&folder.0).await;
    let url = std::fs::read_to_string(folder.0.join(".claviger/database_url")).unwrap();
    let (keeper, connection) = tokio_postgres::connect(url.trim(), tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    keeper.batch_execute("begin; lock table users").await.unwrap();
    let caller = dev.caller.clone();
    let body = json!({"email": "ada@example.com", "password": PASSWORD});
    let slow = tokio::spawn(async move { caller.post("/api/auth/register", body).await });
    let waiting = "select count(*) from pg_stat_activity where wait_event_type = 'Lock'";
    wait_until("it is in flight", async || keeper.query_one(waiting, &[]).await.unwrap().get::<_, i64>(0) == 1).await;
    let address = dev.caller.base.trim_start_matches("http://").to_owned();
    for _ in 0..2 {
        kill_process(Pid::from_child(&dev.child), Signal::TERM).unwrap();
        wait_until("it refuses", async || tokio::net::TcpStream::connect(&address).await.is_err()).await;
    }
    keeper.batch_execute("commit").await.unwrap();
    assert_eq!(slow.await.unwrap().status, 201);
    drop(keeper);
    wait_until("it ends", async || dev.child.try_wait().unwrap().is_some()).await;
    assert!(dev.child.wait().unwrap().success());
    assert_eq!(processes_of(&folder.0), 0);
}

#[tokio::test]
async fn its_console_is_the_page_that_it_names_first_and_that_mails_lead_to() {
    let folder = Folder::new();
    let mut child = command(&folder.0).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    let named = lines.find(|line| line.contains("http://")).unwrap();
    kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    assert!(child.wait().unwrap().success());
    assert!(named.trim().starts_with("console") && !named.contains("/api/"), "{named}");

    let port = free_port();
    let dev = Dev::ready_on(&folder.0, port).await;
    let page = dev.caller.http.get(&dev.caller.base).send().await.unwrap();
    assert_eq!(
        (page.status().as_u16(), &page.headers()["content-type"]),
        (200, &"text/html; charset=utf-8".parse().unwrap())
    );
    dev.caller.register("ada@example.com").await;
    dev.caller.post("/api/auth/password-reset", json!({"email": "ada@example.com"})).await;
    let mails = || {
        let files = std::fs::read_dir(folder.0.join(".claviger/mails")).into_iter().flatten();
        let texts = files.map(|file| std::fs::read_to_string(file.unwrap().path()).unwrap_or_default());
        texts.collect::<String>().replace("=\r\n", "").replace("=3D", "=")
    };
    for page in ["verify", "reset"] {
        let link = format!("http://127.0.0.1:{port}/#{page}=");
        wait_until("the mail is there", async || mails().contains(&link)).await;
    }
    dev.end(Signal::TERM).await;
}

#[tokio::test]
async fn a_killed_one_takes_its_database_along_and_is_recovered() {
    let folder = Folder::new();
    let first = Dev::ready(&folder.0).await;
    let body = json!({"email": "ada@example.com", "password": PASSWORD});
    assert_eq!(first.caller.post("/api/auth/register", body).await.status, 201);
    first.end(Signal::KILL).await;
    // At once, while the server of the first may still be shutting down.
    let second = Dev::ready(&folder.0).await;
    assert_eq!(second.caller.login("ada@example.com", PASSWORD).await.status, 200);
    second.end(Signal::KILL).await;
    wait_until("the database is gone too", async || processes_of(&folder.0) == 0).await;
}

#[tokio::test]
async fn a_database_killed_with_everything_is_recovered() {
    let folder = Folder::new();
    let first = Dev::ready(&folder.0).await;
    let body = json!({"email": "ada@example.com", "password": PASSWORD});
    assert_eq!(first.caller.post("/api/auth/register", body).await.status, 201);
    let pid_file = std::fs::read_to_string(folder.0.join(".claviger/postgres/data/postmaster.pid")).unwrap();
    let postmaster = Pid::from_raw(pid_file.lines().next().unwrap().parse().unwrap()).unwrap();
    kill_process(postmaster, Signal::KILL).unwrap();
    first.end(Signal::KILL).await;
    let second = Dev::ready(&folder.0).await;
    assert_eq!(second.caller.login("ada@example.com", PASSWORD).await.status, 200);
    second.end(Signal::TERM).await;
}

#[tokio::test]
async fn a_killed_one_takes_a_stopped_database_along() {
    let folder = Folder::new();
    let dev = Dev::ready(&folder.0).await;
    let pid_file = std::fs::read_to_string(folder.0.join(".claviger/postgres/data/postmaster.pid")).unwrap();
    let postmaster = Pid::from_raw(pid_file.lines().next().unwrap().parse().unwrap()).unwrap();
    kill_process(postmaster, Signal::STOP).unwrap();
    dev.end(Signal::KILL).await;
    // Linux wakes what is stopped in an orphaned group; elsewhere it is woken here.
    let _gone_already = kill_process(postmaster, Signal::CONT);
    wait_until("the database is gone too", async || processes_of(&folder.0) == 0).await;
}

#[tokio::test]
async fn pages_of_the_usual_development_servers_may_call() {
    let folder = Folder::new();
    let dev = Dev::ready(&folder.0).await;
    for origin in ["http://localhost:5173", "http://127.0.0.1:5173", "http://localhost:3000", "http://127.0.0.1:3000"] {
        let body = json!({"email": "ada@", "password": PASSWORD, "token_transport": "cookie"});
        let request = dev.caller.request(reqwest::Method::POST, "/api/auth/register").header("origin", origin);
        let answer = dev.caller.send(request.json(&body)).await;
        assert_eq!((answer.status.as_u16(), answer.header("access-control-allow-origin")), (422, origin));
    }
    dev.end(Signal::TERM).await;
}

#[tokio::test]
async fn two_in_one_folder_get_a_clear_error() {
    let folder = Folder::new();
    let first = Dev::ready(&folder.0).await;
    let second = command(&folder.0).stderr(Stdio::piped()).output().unwrap();
    let said = String::from_utf8_lossy(&second.stderr);
    assert!(!second.status.success());
    assert!(said.contains("already running") && said.contains(&first.caller.base), "{said}");
    assert_eq!(first.caller.get("/health/ready").await.status, 200);
    first.end(Signal::TERM).await;
}

#[tokio::test]
async fn without_server_programs_it_says_how_to_get_them() {
    let (folder, empty) = (Folder::new(), Folder::new());
    let output = command(&folder.0).arg("--postgres-bin").arg(&empty.0).stderr(Stdio::piped()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success());
    for hint in ["sudo apt-get install postgresql", "sudo dnf install postgresql-server", "brew install", "docker run"]
    {
        assert!(said.contains(hint), "{hint}: {said}");
    }
}

#[tokio::test]
async fn data_of_another_version_are_left_alone() {
    let folder = Folder::new();
    Dev::ready(&folder.0).await.end(Signal::TERM).await;
    let version = folder.0.join(".claviger/postgres/data/PG_VERSION");
    std::fs::write(&version, "9\n").unwrap();
    let output = command(&folder.0).stderr(Stdio::piped()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains("was made by PostgreSQL 9"), "{said}");
}

#[tokio::test]
async fn links_that_somebody_put_into_the_folder_are_not_followed() {
    let (folder, victim) = (Folder::new(), Folder::new());
    std::fs::set_permissions(&victim.0, PermissionsExt::from_mode(0o755)).unwrap();
    let before = victim.0.metadata().unwrap();
    std::fs::create_dir(folder.0.join(".claviger")).unwrap();
    symlink(&victim.0, folder.0.join(".claviger/postgres")).unwrap();
    let output = command(&folder.0).stderr(Stdio::piped()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains("move it away"), "{said}");
    let after = victim.0.metadata().unwrap();
    assert_eq!((before.uid(), before.mode()), (after.uid(), after.mode()));
    assert_eq!(std::fs::read_dir(&victim.0).unwrap().count(), 0);
}

#[tokio::test]
async fn a_log_that_is_a_link_to_a_file_of_root_is_not_written() {
    let folder = Folder::new();
    Dev::ready(&folder.0).await.end(Signal::TERM).await;
    let precious = folder.0.join("precious");
    std::fs::write(&precious, "precious").unwrap();
    std::fs::set_permissions(&precious, PermissionsExt::from_mode(0o400)).unwrap();
    let log = folder.0.join(".claviger/postgres/log");
    std::fs::remove_file(&log).unwrap();
    symlink(&precious, &log).unwrap();
    let output = command(&folder.0).stderr(Stdio::piped()).output().unwrap();
    assert!(!output.status.success());
    assert_eq!(std::fs::read_to_string(&precious).unwrap(), "precious");
}

#[tokio::test]
async fn a_taken_port_is_a_clear_error_and_leaves_nothing_running() {
    let folder = Folder::new();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let output = command(&folder.0).env("PORT", &port).stderr(Stdio::piped()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains(&format!("port {port}")) && said.contains("in use"), "{said}");
    wait_until("the database is gone", async || processes_of(&folder.0) == 0).await;
}

#[tokio::test]
async fn a_folder_that_is_long_or_has_spaces_is_no_hindrance() {
    let folder = Folder::new();
    let long = folder.0.join("a b'c\"d %s").join("x".repeat(100));
    std::fs::create_dir_all(&long).unwrap();
    let dev = Dev::ready(&long).await;
    dev.end(Signal::TERM).await;
}

#[tokio::test]
async fn a_database_of_ones_own_is_used_instead() {
    let folder = Folder::new();
    let database = crate::support::TestDatabase::empty().await;
    let mut child = command(&folder.0).env("DATABASE_URL", &database.url).spawn().unwrap();
    wait_until("it migrates", async || {
        database.number("select count(*) from pg_tables where tablename = 'sessions'").await == 1
    })
    .await;
    assert!(!folder.0.join(".claviger/postgres").exists() && !folder.0.join(".claviger/database_url").exists());
    kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    let mut said = String::new();
    child.stdout.take().unwrap().read_to_string(&mut said).unwrap();
    assert!(child.wait().unwrap().success());
    assert!(said.contains("the one that DATABASE_URL names"), "{said}");
}
