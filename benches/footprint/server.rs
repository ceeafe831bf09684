//! The built server as a process, gone when dropped, or when this process is killed.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use crate::postgres::Postgres;
use crate::processes::Machine;

/// Of all accounts.
pub(crate) const PASSWORD: &str = "correct horse battery staple";
pub(crate) const REFRESH_SECRET: &str = "Zr8uYw2QmXc6TnV4bKp0LsJ7hGf3DdAe9RiOx5EtN1k";
/// Ends the server when this process is gone, whatever ended it: the kernel closes our end of the pipe.
const GUARD: &str = "trap '' HUP INT TERM; cat; kill -KILL \"$0\" 2>/dev/null";

pub(crate) struct Server {
    pub(crate) base: String,
    child: Child,
    guard: Child,
}

impl Server {
    /// Starts it with passwords at that cost, and waits until it is ready.
    pub(crate) async fn start(database_url: &str, bcrypt_cost: u32) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_claviger"))
            .arg("serve")
            .env_clear()
            .env("DATABASE_URL", database_url)
            .env("JWT_SECRET", "fWq3kPz7RtYx1VbN5mLc9HsD2gJ8aKeU4oXi6TvB0nE")
            .env("REFRESH_SECRET", REFRESH_SECRET)
            .env("PORT", "0")
            .env("CLAVIGER__SERVER__HOST", "127.0.0.1")
            .env("CLAVIGER__THROTTLE__ENABLED", "false")
            .env("CLAVIGER__SESSIONS__SWEEP_EVERY", "0s")
            // Every refresh rotates.
            .env("CLAVIGER__REFRESH_TOKEN__GRACE", "0s")
            .env("CLAVIGER__PASSWORD__BCRYPT_COST", bcrypt_cost.to_string())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let pid = child.id().to_string();
        let guard =
            Command::new("/bin/sh").args(["-c", GUARD, &pid]).stdin(Stdio::piped()).stdout(Stdio::null()).spawn();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
        let address = lines.by_ref().find_map(|line| {
            let event: Value = serde_json::from_str(&line).ok()?;
            (event["message"] == "listening").then(|| event["address"].as_str().map(str::to_owned))?
        });
        // Somebody must read on, or the server would wait.
        std::thread::spawn(move || lines.for_each(drop));
        let server = Self { base: format!("http://{}", address.expect("it listens")), child, guard: guard.unwrap() };
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        let ready = format!("{}/health/ready", server.base);
        while !http.get(&ready).send().await.is_ok_and(|answer| answer.status() == 200) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        server
    }

    /// The hash that it makes of everybody's password.
    pub(crate) async fn password_hash(&self, postgres: &Postgres) -> String {
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        let account = json!({ "email": "first@example.com", "password": PASSWORD });
        let answer = http.post(format!("{}/api/auth/register", self.base)).json(&account).send().await.unwrap();
        assert_eq!(answer.status(), 201, "registering works");
        postgres.client().query_one("select password_hash from users", &[]).await.unwrap().get(0)
    }

    pub(crate) fn machine(&self) -> Machine {
        Machine(self.child.id())
    }

    pub(crate) fn stop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
        drop(self.guard.stdin.take());
        drop(self.guard.wait());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}
