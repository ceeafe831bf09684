//! A server in a process of its own: for kills, signals, logs, and several at once.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::{Anonymous, environment};

/// `claviger serve`, killed when dropped.
pub(crate) struct ServerProcess {
    pub(crate) address: SocketAddr,
    pub(crate) child: Child,
    log: Arc<Mutex<String>>,
}

impl ServerProcess {
    /// Starts it and waits until it is ready.
    pub(crate) async fn ready(database_url: &str, settings: &[(&str, &str)]) -> Self {
        let process = Self::listening(database_url, settings).await;
        let caller = process.anonymous();
        wait_until("the server is ready", async || caller.get("/health/ready").await.status == 200).await;
        process
    }

    /// Starts it and waits until it listens.
    pub(crate) async fn listening(database_url: &str, settings: &[(&str, &str)]) -> Self {
        Self::by(Command::new(env!("CARGO_BIN_EXE_claviger")), database_url, settings).await
    }

    /// Starts it by a command that is, or becomes, the program.
    pub(crate) async fn by(mut command: Command, database_url: &str, settings: &[(&str, &str)]) -> Self {
        let mut child = command
            .arg("serve")
            .env_clear()
            .envs(environment(database_url))
            .envs(settings.iter().copied())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let log = Arc::new(Mutex::new(String::new()));
        let (stderr, writer) = (child.stderr.take().unwrap(), Arc::clone(&log));
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                let mut log = writer.lock().unwrap();
                log.push_str(&line);
                log.push('\n');
            }
        });
        let address = |log: &str| {
            let listening = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
            let address =
                listening.filter(|event| event["message"] == "listening").map(|e| e["address"].clone()).next();
            address.and_then(|address| address.as_str().unwrap().parse().ok())
        };
        wait_until("the server listens", async || address(&log.lock().unwrap()).is_some()).await;
        let address = address(&log.lock().unwrap()).unwrap();
        Self { address, child, log }
    }

    pub(crate) fn anonymous(&self) -> Anonymous {
        Anonymous::of_service(self.address)
    }

    /// Everything it has logged so far.
    pub(crate) fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Waits until it has ended and gives its exit code.
    pub(crate) async fn exit_code(&mut self) -> Option<i32> {
        wait_until("the server ends", async || self.child.try_wait().unwrap().is_some()).await;
        self.child.wait().unwrap().code()
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Waits for a condition, and fails when it does not come true within a time that only a fault can take.
pub(crate) async fn wait_until(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let started = Instant::now();
    while !condition().await {
        assert!(started.elapsed() < Duration::from_mins(1), "waited in vain until {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
