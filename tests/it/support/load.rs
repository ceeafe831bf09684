//! Users who keep calling a service as docs/api.md asks clients to, each with a chain of refresh tokens, and what they met.

use std::collections::HashMap;
use std::fmt::{self, Display, Formatter};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use reqwest::StatusCode;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use uuid::Uuid;

use super::{Dice, PASSWORD, wait_until};

const USERS: usize = 12;
/// Longer than any limit of the service or of a proxy.
const PATIENCE: Duration = Duration::from_secs(20);
const HANGS: Duration = Duration::from_millis(500);

/// Users at work.
pub(crate) struct Load {
    met: Arc<Met>,
    stop: Arc<AtomicBool>,
    users: JoinSet<User>,
}

/// What they met.
#[derive(Default)]
struct Met {
    requests: Mutex<HashMap<&'static str, usize>>,
    failed: Mutex<Vec<Failed>>,
    lost: Mutex<Vec<String>>,
    /// When each user sent the last refresh that was answered.
    refreshed: Mutex<HashMap<usize, Instant>>,
    /// The request that each user waits for.
    under_way: Mutex<HashMap<usize, (&'static str, Instant)>>,
}

/// A request that was answered 5xx, or otherwise than it must be, or not at all.
#[derive(Debug, Clone)]
pub(crate) struct Failed {
    pub(crate) path: &'static str,
    pub(crate) with: String,
}

/// How it went, all in all.
pub(crate) struct Outcome {
    pub(crate) requests: HashMap<&'static str, usize>,
    pub(crate) failed: Vec<Failed>,
    /// Sessions that their users could not go on with, and ended ones that somebody could.
    pub(crate) lost: Vec<String>,
}

struct User {
    id: usize,
    base: String,
    http: reqwest::Client,
    met: Arc<Met>,
    dice: Dice,
    email: String,
    access_token: String,
    refresh_token: String,
    /// Refresh tokens of sessions that were signed out.
    ended: Vec<String>,
}

impl Load {
    /// Users of the service at this address, and waits until all are at work. Each request has a connection of its own, as
    /// a client cannot know whether one that it kept is still good.
    pub(crate) async fn start(address: SocketAddr) -> Self {
        let mut load = Self { met: Arc::default(), stop: Arc::default(), users: JoinSet::new() };
        for id in 0..USERS {
            let http = reqwest::Client::builder().no_proxy().timeout(PATIENCE).pool_max_idle_per_host(0);
            let user = User {
                id,
                base: format!("http://{address}/api/auth"),
                http: http.build().unwrap(),
                met: Arc::clone(&load.met),
                dice: Dice(Uuid::new_v4().as_u64_pair().0),
                email: String::new(),
                access_token: String::new(),
                refresh_token: String::new(),
                ended: Vec::new(),
            };
            load.users.spawn(user.run(Arc::clone(&load.stop)));
        }
        load.goes_on().await;
        load
    }

    /// Waits until every user has had a refresh that was asked for from now on.
    pub(crate) async fn goes_on(&self) {
        let now = Instant::now();
        wait_until("every user has refreshed", async || {
            let refreshed = self.met.refreshed.lock().unwrap();
            refreshed.len() == USERS && refreshed.values().all(|sent| *sent >= now)
        })
        .await;
    }

    /// Waits until most users wait for somebody who has their requests in hand, refreshes among them, and does nothing.
    pub(crate) async fn hangs(&self) {
        wait_until("requests hang", async || {
            let under_way = self.met.under_way.lock().unwrap();
            let hang = under_way.values().filter(|(_, sent)| sent.elapsed() > HANGS).map(|(path, _)| *path);
            let hang: Vec<&str> = hang.collect();
            hang.len() > USERS / 2 && hang.contains(&"/refresh")
        })
        .await;
    }

    /// Lets all end what they are at, has them show that they are still signed in where they should be, and nowhere
    /// else, and says how it went.
    pub(crate) async fn end(mut self) -> Outcome {
        self.stop.store(true, Ordering::Relaxed);
        while let Some(user) = self.users.join_next().await {
            user.expect("a user goes on to the end").look_back().await;
        }
        let Met { requests, failed, lost, .. } = &*self.met;
        Outcome {
            requests: requests.lock().unwrap().clone(),
            failed: failed.lock().unwrap().clone(),
            lost: lost.lock().unwrap().clone(),
        }
    }
}

impl Outcome {
    /// How many requests of this path failed; all of them, if none is given.
    pub(crate) fn failed(&self, path: Option<&str>) -> usize {
        self.failed.iter().filter(|failed| path.is_none_or(|path| failed.path == path)).count()
    }

    /// Fails unless everything went as if nothing had happened.
    #[track_caller]
    pub(crate) fn assert_nobody_noticed(&self, what: &str) {
        self.tell(what);
        assert!(self.failed.is_empty() && self.lost.is_empty(), "{what}: {self}");
    }

    /// The figures.
    #[expect(clippy::print_stderr, reason = "for who asks for them by --nocapture")]
    pub(crate) fn tell(&self, what: &str) {
        eprintln!("{what}: {self}");
    }
}

impl Display for Outcome {
    fn fmt(&self, f: &mut Formatter) -> fmt::Result {
        let requests: usize = self.requests.values().sum();
        write!(f, "{requests} requests {:?}, {} failed, {} lost", self.requests, self.failed.len(), self.lost.len())?;
        let few = self.failed.iter().take(10).map(|failed| format!("\n  {}: {}", failed.path, failed.with));
        few.chain(self.lost.iter().map(|lost| format!("\n  LOST: {lost}"))).try_for_each(|line| f.write_str(&line))
    }
}

impl User {
    async fn run(mut self, stop: Arc<AtomicBool>) -> Self {
        self.register().await;
        while !stop.load(Ordering::Relaxed) {
            match self.dice.below(100) {
                0..60 => self.refresh().await,
                60..75 => self.show("/me", StatusCode::OK).await,
                75..85 => self.show("/check", StatusCode::NO_CONTENT).await,
                85..95 => {
                    self.logout().await;
                    self.login().await;
                }
                _ => {
                    self.logout().await;
                    self.register().await;
                }
            }
            let pause = self.dice.below(40);
            tokio::time::sleep(Duration::from_millis(pause as u64)).await;
        }
        self
    }

    async fn register(&mut self) {
        self.email = format!("user{}-{}@example.com", self.id, Uuid::new_v4().simple());
        let body = json!({"email": self.email, "password": PASSWORD});
        let (status, answer) = self.insist("/register", |http| http.json(&body)).await;
        // An earlier try, which had no answer, made it.
        if status == StatusCode::CONFLICT { self.login().await } else { self.keep(&answer) }
    }

    async fn login(&mut self) {
        let body = json!({"email": self.email, "password": PASSWORD});
        let (_, answer) = self.insist("/login", |http| http.json(&body)).await;
        self.keep(&answer);
    }

    /// With a key that every try has, as clients/web does.
    async fn refresh(&mut self) {
        let (sent, key) = (Instant::now(), Uuid::new_v4().simple().to_string());
        let body = json!({ "refresh_token": self.refresh_token });
        let (status, answer) = self.insist("/refresh", |http| http.header("idempotency-key", &key).json(&body)).await;
        if status == StatusCode::OK {
            self.keep(&answer);
            self.met.refreshed.lock().unwrap().insert(self.id, sent);
        } else {
            self.lose(&format!("a refresh was {status} {answer}"));
            self.register().await;
        }
    }

    async fn show(&mut self, path: &'static str, expected: StatusCode) {
        let token = self.access_token.clone();
        let (status, answer) = self.insist(path, |http| http.bearer_auth(&token)).await;
        if status != expected {
            self.lose(&format!("{path} was {status} {answer}"));
        }
    }

    async fn logout(&mut self) {
        let body = json!({ "refresh_token": self.refresh_token });
        self.insist("/logout", |http| http.json(&body)).await;
        self.ended.push(std::mem::take(&mut self.refresh_token));
    }

    async fn look_back(mut self) {
        self.refresh().await;
        for token in std::mem::take(&mut self.ended) {
            let (status, answer) = self.insist("/refresh", |http| http.json(&json!({ "refresh_token": token }))).await;
            if status != StatusCode::UNAUTHORIZED {
                self.lose(&format!("an ended session was {status} {answer}"));
            }
        }
    }

    fn keep(&mut self, answer: &Value) {
        let text = |name: &str| answer[name].as_str().unwrap_or_else(|| panic!("no {name} in {answer}")).to_owned();
        (self.access_token, self.refresh_token) = (text("access_token"), text("refresh_token"));
    }

    fn lose(&self, what: &str) {
        self.met.lost.lock().unwrap().push(format!("{}: {what}", self.email));
    }

    /// Asks until there is an answer that is not 5xx, and notes every one that is, or that does not come.
    async fn insist(
        &mut self,
        path: &'static str,
        with: impl Fn(reqwest::RequestBuilder) -> reqwest::RequestBuilder,
    ) -> (StatusCode, Value) {
        let url = format!("{}{path}", self.base);
        let started = Instant::now();
        loop {
            let request = if matches!(path, "/me" | "/check") { self.http.get(&url) } else { self.http.post(&url) };
            *self.met.requests.lock().unwrap().entry(path).or_default() += 1;
            self.met.under_way.lock().unwrap().insert(self.id, (path, Instant::now()));
            let answer = read(with(request)).await;
            self.met.under_way.lock().unwrap().remove(&self.id);
            let with = match answer {
                Ok((status, body)) if !status.is_server_error() => return (status, body),
                Ok((status, body)) => format!("{status} {body}"),
                Err(error) => format!("{error:?}"),
            };
            assert!(started.elapsed() < PATIENCE * 2, "{path} is given up: {with}");
            self.met.failed.lock().unwrap().push(Failed { path, with });
            tokio::time::sleep(Duration::from_millis(20 + self.dice.below(80) as u64)).await;
        }
    }
}

async fn read(request: reqwest::RequestBuilder) -> Result<(StatusCode, Value), reqwest::Error> {
    let response = request.send().await?;
    let status = response.status();
    let text = response.text().await?;
    Ok((status, serde_json::from_str(&text).unwrap_or(Value::String(text))))
}
