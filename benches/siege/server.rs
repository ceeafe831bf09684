//! What is besieged: the built program over a Postgres of its own, both gone when dropped, or when this process is killed.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use claviger::config::{self, PostgresUrl};
use claviger::dev::binaries::Binaries;
use claviger::dev::cluster::{Cluster, Purpose};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::{Value, json};
use tokio_postgres::{Client, NoTls};
use uuid::Uuid;

use super::http::{Line, get, post};

/// Of all accounts.
pub(crate) const PASSWORD: &str = "correct horse battery staple";
/// What the server may take of memory: its writable private pages, thread stacks among them.
const MEMORY: u64 = 256 << 20;
/// The limit of open files that most systems start a service with.
const USUAL_FILES: u64 = 1_024;
/// As installations have it: the private Postgres is otherwise set up for speed.
const DURABLE: [&str; 3] = ["fsync=on", "synchronous_commit=on", "full_page_writes=on"];
/// Ends the server when this process is gone, whatever ended it: the kernel closes our end of the pipe.
const GUARD: &str = "trap '' HUP INT TERM; cat; kill -KILL \"$0\" 2>/dev/null";

/// What it logged as its own fault, and how often.
type Errors = BTreeMap<String, u32>;

/// A server under attack, which takes the caller's word (`X-Forwarded-For`) for where requests come from.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    child: Child,
    guard: Child,
    errors: Arc<Mutex<Errors>>,
    database: Client,
    _cluster: Cluster,
}

impl Server {
    /// Starts it with limits on tries or without, and waits until it is ready.
    pub(crate) async fn start(throttling: bool) -> Self {
        let path = config::environment().remove("PATH").unwrap_or_default();
        let binaries = Binaries::find(None, &path).unwrap_or_else(|error| panic!("{error}"));
        let folder = std::env::temp_dir().join(format!("claviger-siege-{}", Uuid::new_v4().simple()));
        let cluster = Cluster::start(&binaries, &folder, Purpose::Test(&DURABLE)).await.unwrap();
        let url = cluster.default_url();
        let (database, connection) = PostgresUrl::parse(&url).unwrap().config.connect(NoTls).await.unwrap();
        tokio::spawn(connection);

        let mails = format!("file:{}", cluster.folder().join("mails").display());
        let mut child = with_usual_files(|| serve(&url, &mails, throttling));
        let pid = child.id().to_string();
        let guard = Command::new("/bin/sh")
            .args(["-c", GUARD, &pid])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .process_group(0)
            .spawn()
            .unwrap();
        let stderr = child.stderr.take().unwrap();
        let (tell, listening) = mpsc::channel();
        let errors: Arc<Mutex<Errors>> = Arc::default();
        let kept = Arc::clone(&errors);
        std::thread::spawn(move || read_log(stderr, &tell, &kept));
        // From here on a panic ends the server.
        let nowhere = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut server = Self { address: nowhere, child, guard, errors, database, _cluster: cluster };
        let limited = Command::new("prlimit").args(["--pid", &pid, &format!("--data={MEMORY}")]).status();
        assert!(limited.expect("prlimit, of util-linux, is there").success(), "the server's memory is limited");
        server.address = listening.recv_timeout(Duration::from_secs(20)).expect("the server listens");
        let mut line = Line::renewed(server.address);
        while !line.call(&get("/health/ready", "", "")).await.is_ok_and(|answer| answer.status == 200) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        server
    }

    /// Makes accounts `user0@example.org` and so on: one by registration, the others by copying its hash.
    pub(crate) async fn add_accounts(&self, number: u32) {
        let account = json!({ "email": user(0), "password": PASSWORD });
        let answer = Line::renewed(self.address).call(&post("/api/auth/register", "192.0.2.1", &account)).await;
        assert_eq!(answer.unwrap().status, 201, "registering works");
        let sql = format!(
            "insert into users (id, email, password_hash)
             select gen_random_uuid(), 'user' || n || '@example.org', u.password_hash
             from users u, generate_series(1, {number} - 1) n where u.email = '{}'",
            user(0)
        );
        self.database.batch_execute(&sql).await.unwrap();
        self.database.batch_execute("vacuum (analyze) users").await.unwrap();
    }

    /// The number that a query gives.
    pub(crate) async fn number(&self, sql: &str) -> i64 {
        self.database.query_one(&format!("select ({sql})::int8"), &[]).await.unwrap().get(0)
    }

    /// A size from its status, such as `VmHWM`, the most memory that it ever used.
    pub(crate) fn megabytes(&self, name: &str) -> String {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        let kilobytes: Option<u32> = line.and_then(|text| text.trim().strip_suffix(" kB")?.parse().ok());
        kilobytes.map_or("gone".to_owned(), |kilobytes| format!("{:.1} MB", f64::from(kilobytes) / 1_024.0))
    }

    /// Files and connections that it has open.
    pub(crate) fn open_files(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.child.id())).map_or(0, Iterator::count)
    }

    /// What is wrong with the server itself: that it is gone, and what it logged at level ERROR.
    pub(crate) fn complaints(&mut self) -> Vec<String> {
        let errors = self.errors.lock().unwrap();
        let mut complaints: Vec<String> =
            errors.iter().map(|(text, times)| format!("logged {times} times: {text}")).collect();
        complaints.extend(self.child.try_wait().unwrap().map(|status| format!("the server ended: {status}")));
        complaints
    }

    pub(crate) fn memory_limit() -> String {
        format!("{} MB", MEMORY >> 20)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // The guard first: the server's process id is free for others once it was waited for.
        for process in [&mut self.guard, &mut self.child] {
            drop(process.kill());
            drop(process.wait());
        }
    }
}

/// The address of the account of that number.
pub(crate) fn user(number: u32) -> String {
    format!("user{number}@example.org")
}

fn serve(database_url: &str, mails: &str, throttling: bool) -> Child {
    let throttling = throttling.to_string();
    let environment = BTreeMap::from([
        ("DATABASE_URL", database_url),
        ("JWT_SECRET", "fWq3kPz7RtYx1VbN5mLc9HsD2gJ8aKeU4oXi6TvB0nE"),
        ("REFRESH_SECRET", "Zr8uYw2QmXc6TnV4bKp0LsJ7hGf3DdAe9RiOx5EtN1k"),
        ("PORT", "0"),
        ("CLAVIGER__SERVER__HOST", "127.0.0.1"),
        // Every refresh rotates.
        ("CLAVIGER__REFRESH_TOKEN__GRACE", "0s"),
        ("CLAVIGER__SERVER__TRUSTED_PROXIES", "127.0.0.1/32"),
        ("CLAVIGER__THROTTLE__ENABLED", &throttling),
        ("SMTP_URL", mails),
        ("CLAVIGER__MAIL__FROM", "claviger@localhost"),
        ("CLAVIGER__MAIL__VERIFY_LINK", "http://localhost/verify?token={token}"),
        ("CLAVIGER__MAIL__RESET_LINK", "http://localhost/reset?token={token}"),
    ]);
    let mut command = Command::new(env!("CARGO_BIN_EXE_claviger"));
    command.arg("serve").env_clear().envs(environment).stdin(Stdio::null()).stdout(Stdio::null());
    command.stderr(Stdio::piped()).spawn().unwrap()
}

/// Starts something that inherits the usual limit of open files, and then raises our own as far as it goes.
fn with_usual_files<T>(start: impl FnOnce() -> T) -> T {
    let limit = getrlimit(Resource::Nofile);
    let usual = limit.maximum.map_or(USUAL_FILES, |most| most.min(USUAL_FILES));
    setrlimit(Resource::Nofile, Rlimit { current: Some(usual), ..limit }).unwrap();
    let started = start();
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }).unwrap();
    started
}

/// Tells the address, keeps errors, and drops the rest, which must be read for the server to go on.
fn read_log(stderr: ChildStderr, tell: &mpsc::Sender<SocketAddr>, errors: &Mutex<Errors>) {
    let mut lines = BufReader::with_capacity(1 << 16, stderr);
    let (mut line, mut told) = (Vec::new(), false);
    while lines.read_until(b'\n', &mut line).is_ok_and(|length| length > 0) {
        // The level stands behind the time, and nothing that clients say stands before it.
        let level = line.get(..80).unwrap_or(&line);
        if level.windows(7).any(|part| part == b"\"ERROR\"") {
            let event: Value = serde_json::from_slice(&line).unwrap_or_default();
            *errors.lock().unwrap().entry(format!("{} {}", event["message"], event["error"])).or_default() += 1;
        } else if !told {
            let event: Value = serde_json::from_slice(&line).unwrap_or_default();
            let address = event["address"].as_str().and_then(|address| address.parse().ok());
            told = address.is_some_and(|address| tell.send(address).is_ok());
        }
        line.clear();
    }
}
