//! Devices all over the table of sessions, and what they call.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use claviger::domain::refresh_token::RefreshKeys;
use claviger::domain::secret::Secret;
use reqwest::RequestBuilder;
use serde_json::{Value, json};
use tokio::sync::Mutex;
use uuid::Uuid;

use crate::postgres::Postgres;
use crate::server::{PASSWORD, REFRESH_SECRET, Server};

/// At once. Those that hash a password go one by one, or the queue for that would turn some away.
const CALLERS: usize = 16;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Call {
    Refresh,
    Me,
    Check,
    Login,
    Register,
}

impl Call {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Refresh => "refresh",
            Self::Me => "me",
            Self::Check => "check",
            Self::Login => "login",
            Self::Register => "register",
        }
    }
}

struct Device {
    email: String,
    refresh_token: String,
    access_token: String,
}

/// Everybody who calls.
pub(crate) struct Crowd {
    devices: Arc<Vec<Mutex<Device>>>,
    http: reqwest::Client,
    base: String,
}

impl Crowd {
    /// Sessions from all over the table, given tokens that the server takes, and refreshed once.
    pub(crate) async fn pick(postgres: &Postgres, server: &Server, number: usize) -> Self {
        eprintln!("picking {number} sessions");
        let keys = RefreshKeys::derive(&Secret::parse_list(REFRESH_SECRET).unwrap()).unwrap();
        let sql = format!(
            "select s.user_id, s.id, u.email from sessions s join users u on u.id = s.user_id order by random() limit {number}"
        );
        let renew = "update sessions set generation = 0, secret_hash = $3 where user_id = $1 and id = $2";
        let mut devices = Vec::new();
        for row in postgres.client().query(&sql, &[]).await.unwrap() {
            let (user_id, id): (Uuid, Uuid) = (row.get(0), row.get(1));
            let token = keys.first_token(user_id, id).unwrap();
            let hash = token.hash().0.to_vec();
            postgres.client().execute(renew, &[&user_id, &id, &hash]).await.unwrap();
            let refresh_token = keys.encode(&token).unwrap().into_string();
            devices.push(Mutex::new(Device { email: row.get(2), refresh_token, access_token: String::new() }));
        }
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        let crowd = Self { devices: Arc::new(devices), http, base: server.base.clone() };
        crowd.call_each(Call::Refresh, number).await;
        crowd
    }

    pub(crate) fn len(&self) -> usize {
        self.devices.len()
    }

    /// So many devices call once each, some at a time.
    pub(crate) async fn call_each(&self, call: Call, number: usize) {
        let next = Arc::new(AtomicUsize::new(0));
        let mut callers = tokio::task::JoinSet::new();
        let callers_at_once = if matches!(call, Call::Login | Call::Register) { 1 } else { CALLERS };
        for _ in 0..callers_at_once {
            let (next, devices) = (Arc::clone(&next), Arc::clone(&self.devices));
            let (http, base) = (self.http.clone(), self.base.clone());
            callers.spawn(async move {
                loop {
                    let turn = next.fetch_add(1, Ordering::Relaxed);
                    if turn >= number {
                        return;
                    }
                    let mut device = devices[turn % devices.len()].lock().await;
                    device.call(call, &http, &base).await;
                }
            });
        }
        callers.join_all().await;
    }
}

impl Device {
    async fn call(&mut self, call: Call, http: &reqwest::Client, base: &str) {
        let post = |path: &str, body: &Value| http.post(format!("{base}/api/auth/{path}")).json(body);
        let get = |path: &str| http.get(format!("{base}/api/auth/{path}")).bearer_auth(&self.access_token);
        let account = |email: &str| json!({ "email": email, "password": PASSWORD });
        match call {
            Call::Refresh => {
                let answer = send(post("refresh", &json!({ "refresh_token": self.refresh_token })), 200).await;
                answer["refresh_token"].as_str().unwrap().clone_into(&mut self.refresh_token);
                answer["access_token"].as_str().unwrap().clone_into(&mut self.access_token);
            }
            Call::Me => _ = send(get("me"), 200).await,
            Call::Check => _ = send(get("check"), 204).await,
            Call::Login => _ = send(post("login", &account(&self.email)), 200).await,
            Call::Register => {
                let email = format!("{}@example.net", Uuid::new_v4().simple());
                drop(send(post("register", &account(&email)), 201).await);
            }
        }
    }
}

async fn send(request: RequestBuilder, status: u16) -> Value {
    let answer = request.send().await.unwrap();
    let (found, text) = (answer.status(), answer.text().await.unwrap());
    assert_eq!(found, status, "{text}");
    serde_json::from_str(&text).unwrap_or_default()
}
