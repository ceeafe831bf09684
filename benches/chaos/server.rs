//! The service: the built program, as a child process on a port that it keeps.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::ground::Ground;
use crate::{free_port, wait_until};

/// The same for all, so that all understand each other's tokens. Cheap hashes, as hashing is not what is looked at; no
/// limits on tries and many sessions for one account, as clients here sign in more often than people do.
const SETTINGS: [(&str, &str); 8] = [
    ("JWT_SECRET", "fWq3kPz7RtYx1VbN5mLc9HsD2gJ8aKeU4oXi6TvB0nE"),
    ("REFRESH_SECRET", "Zr8uYw2QmXc6TnV4bKp0LsJ7hGf3DdAe9RiOx5EtN1k"),
    ("RUST_LOG", "warn"),
    ("CLAVIGER__SERVER__HOST", "127.0.0.1"),
    // Every refresh rotates.
    ("CLAVIGER__REFRESH_TOKEN__GRACE", "0s"),
    ("CLAVIGER__PASSWORD__BCRYPT_COST", "4"),
    ("CLAVIGER__THROTTLE__ENABLED", "false"),
    ("CLAVIGER__SESSIONS__MAX_PER_USER", "1000"),
];

/// A server that waits for its database looks at least every 10 s.
const START_LIMIT: Duration = Duration::from_secs(30);

/// One process after the other, on one port.
pub(crate) struct Server {
    ground: Arc<Ground>,
    pub(crate) address: SocketAddr,
    environment: Vec<(String, String)>,
    log: PathBuf,
    process: Option<Child>,
}

impl Server {
    /// A server that is not started yet, with settings of its own as environment variables.
    pub(crate) fn prepare(ground: &Arc<Ground>, database_url: &str, settings: &[(&str, &str)]) -> Self {
        let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let port = address.port().to_string();
        let all = [&SETTINGS[..], &[("DATABASE_URL", database_url), ("PORT", &port)], settings].concat();
        let environment = all.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let log = ground.folder.join(format!("server-{port}.log"));
        Self { ground: Arc::clone(ground), address, environment, log, process: None }
    }

    /// Starts it and does not wait.
    pub(crate) fn launch(&mut self) {
        let log = File::options().create(true).append(true).open(&self.log).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_claviger"));
        command.arg("serve").env_clear().envs(self.environment.iter().cloned()).current_dir(&self.ground.folder);
        self.process = Some(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().unwrap());
    }

    /// Starts it and waits until it is ready.
    pub(crate) async fn start(&mut self) {
        self.launch();
        self.wait_until_ready().await;
    }

    pub(crate) async fn wait_until_ready(&self) {
        let started = Instant::now();
        while !self.is_ready().await {
            assert!(started.elapsed() < START_LIMIT, "{} is not ready: {}", self.address, self.last_words());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    pub(crate) async fn is_ready(&self) -> bool {
        let http = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(2)).build().unwrap();
        let answer = http.get(format!("http://{}/health/ready", self.address)).send().await;
        answer.is_ok_and(|answer| answer.status() == 200)
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let process = self.process.as_ref().expect("a server that runs");
        kill_process(Pid::from_child(process), signal).unwrap();
    }

    /// Ends it without a chance to do anything.
    pub(crate) fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            drop(process.kill());
            drop(process.wait());
        }
    }

    /// Waits until it has ended by itself.
    pub(crate) async fn ended(&mut self) {
        wait_until("the server ends", async || !self.is_running()).await;
        self.process = None;
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.process.as_mut().is_some_and(|process| process.try_wait().unwrap().is_none())
    }

    /// Lines of the log that only a bug writes: outages are warnings.
    pub(crate) fn bugs(&self) -> Vec<String> {
        let is_bug = |line: &&str| line.contains(r#""level":"ERROR""#) || line.contains("panicked");
        fs::read_to_string(&self.log).unwrap_or_default().lines().filter(is_bug).map(str::to_owned).collect()
    }

    /// Why requests were turned away, one by one.
    pub(crate) fn reasons(&self) -> Vec<String> {
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let turned_away = lines.filter(|line| line["code"].is_string());
        turned_away.map(|line| line["error"].as_str().unwrap_or_default().to_owned()).collect()
    }

    /// The last lines of the log.
    pub(crate) fn last_words(&self) -> String {
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        let (turned_away, rest): (Vec<&str>, Vec<&str>) = lines.iter().partition(|line| line.contains("turned away"));
        let last = |lines: &[&str], count: usize| lines[lines.len().saturating_sub(count)..].join("\n");
        format!("{}\n{}", last(&turned_away, 1), last(&rest, 8))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}
