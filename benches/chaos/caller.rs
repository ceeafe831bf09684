//! One request and its answer, and whether that keeps to docs/api.md whatever was asked.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use reqwest::header::HeaderMap;
use serde_json::Value;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use crate::dice::Dice;
use crate::record::{Event, Outcome, Record};

/// Longer than any limit of the service: whoever has no answer then would never get one.
const PATIENCE: Duration = Duration::from_secs(15);

/// What a request says.
#[derive(Debug, Default)]
pub(crate) struct Request {
    /// Without one it is a GET.
    pub(crate) body: Option<Value>,
    pub(crate) path: &'static str,
    pub(crate) key: Option<String>,
    pub(crate) bearer: Option<String>,
}

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Value,
    text: String,
    headers: HeaderMap,
    server: SocketAddr,
}

#[derive(Debug)]
pub(crate) enum Reply {
    Answered(Answer),
    /// 503, or none, and what was there instead: to be tried again.
    Failed(String),
}

/// How a client reaches servers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Connections {
    /// Directly, and they are used again.
    Kept,
    /// By a balancer, which opens one for each request. It hides what may be hidden, so nothing may fail.
    New,
}

/// Who sends requests, to one of several servers each time.
pub(crate) struct Caller {
    pub(crate) id: usize,
    http: reqwest::Client,
    servers: Arc<[SocketAddr]>,
    record: Arc<Record>,
    /// Whether every second request is dropped at some moment.
    drops: Arc<AtomicBool>,
    connections: Connections,
    pub(crate) dice: Dice,
}

impl Caller {
    pub(crate) fn new(
        id: usize,
        servers: Arc<[SocketAddr]>,
        record: Arc<Record>,
        drops: Arc<AtomicBool>,
        connections: Connections,
    ) -> Self {
        let kept = if connections == Connections::Kept { usize::MAX } else { 0 };
        let http =
            reqwest::Client::builder().no_proxy().timeout(PATIENCE).pool_max_idle_per_host(kept).build().unwrap();
        Self { id, http, servers, record, drops, connections, dice: Dice::new() }
    }

    pub(crate) fn wrong(&self, what: impl std::fmt::Display) {
        self.record.wrong(format!("client {}: {what}", self.id));
    }

    pub(crate) async fn send(&mut self, request: &Request) -> Reply {
        let server = self.servers[self.dice.below(self.servers.len())];
        let sent = Instant::now();
        let (outcome, reply) = if self.drops.load(Ordering::Relaxed) && self.dice.below(2) == 0 {
            self.drop_midway(server, request).await;
            (Outcome::Dropped, Reply::Failed("went away".to_owned()))
        } else {
            match self.ask(server, request).await {
                Ok(answer) => self.judge(request, answer),
                Err(error) => {
                    if error.is_timeout() {
                        self.wrong(format!("{} of {server} had no answer within {PATIENCE:?}", request.path));
                    }
                    (Outcome::NoAnswer, Reply::Failed(format!("{error:?}")))
                }
            }
        };
        if let (Reply::Failed(instead), Connections::New) = (&reply, self.connections) {
            self.wrong(format!("behind a balancer {} gave {instead}", request.path));
        }
        self.record.push(Event { client: self.id, sent, ended: Instant::now(), outcome });
        reply
    }

    async fn ask(&self, server: SocketAddr, request: &Request) -> Result<Answer, reqwest::Error> {
        let url = format!("http://{server}{}", request.path);
        let mut http = match &request.body {
            Some(body) => self.http.post(url).json(body),
            None => self.http.get(url),
        };
        if let Some(key) = &request.key {
            http = http.header("idempotency-key", key);
        }
        if let Some(bearer) = &request.bearer {
            http = http.bearer_auth(bearer);
        }
        let response = http.send().await?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let text = response.text().await?;
        let body = serde_json::from_str(&text).unwrap_or_default();
        Ok(Answer { status, body, text, headers, server })
    }

    fn judge(&self, request: &Request, answer: Answer) -> (Outcome, Reply) {
        if let Some(fault) = answer.fault(request.path) {
            self.wrong(format!("{fault}: {} of {} gave {answer:?}", request.path, answer.server));
        }
        match answer.status {
            503 => (Outcome::Unavailable, Reply::Failed(answer.text)),
            200 if request.path.ends_with("/refresh") => (Outcome::Refreshed, Reply::Answered(answer)),
            _ => (Outcome::Answered, Reply::Answered(answer)),
        }
    }

    /// Goes away with a reset, before it has said all, before the answer, or just after.
    async fn drop_midway(&mut self, server: SocketAddr, request: &Request) {
        let Ok(mut stream) = TcpStream::connect(server).await else { return };
        let body = request.body.as_ref().map(Value::to_string).unwrap_or_default();
        let method = if request.body.is_some() { "POST" } else { "GET" };
        let header = |name, value: &Option<String>| value.as_ref().map(|value| format!("{name}{value}\r\n"));
        let text = format!(
            "{method} {} HTTP/1.1\r\nHost: {server}\r\nContent-Type: application/json\r\n{}{}Content-Length: {}\r\n\r\n{body}",
            request.path,
            header("Idempotency-Key: ", &request.key).unwrap_or_default(),
            header("Authorization: Bearer ", &request.bearer).unwrap_or_default(),
            body.len(),
        );
        let said = if self.dice.below(5) == 0 { self.dice.below(text.len()) } else { text.len() };
        drop(stream.write_all(&text.as_bytes()[..said]).await);
        tokio::time::sleep(Duration::from_micros(self.dice.up_to(10_000))).await;
        drop(stream.set_zero_linger());
    }
}

impl Answer {
    /// What no answer may be, whatever was asked.
    fn fault(&self, path: &str) -> Option<&'static str> {
        if self.status < 400 {
            return None;
        }
        let header = |name: &str| self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let code = self.body["code"].as_str().unwrap_or_default();
        let is_sign_in = path.ends_with("/login") || path.ends_with("/register");
        if self.text.contains("rt1_") || self.text.contains("eyJ") {
            Some("an error with a token")
        } else if header("content-type") != "application/problem+json" || self.body["status"] != self.status {
            Some("not a problem document")
        } else if self.body["request_id"].as_str() != Some(header("x-request-id")) {
            Some("no request id")
        } else if self.status == 503 && header("retry-after").is_empty() {
            Some("503 without Retry-After")
        } else if self.status == 503 && code != "database_unavailable" && !(code == "overloaded" && is_sign_in) {
            Some("503 with a code that is not documented for it")
        } else {
            None
        }
    }
}
