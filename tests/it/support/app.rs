//! A server in this process, and those who call it.

use std::net::SocketAddr;
use std::thread::JoinHandle;

use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine as _};
use claviger::app::App;
use claviger::config::{self, Environment};
use claviger::store::Store;
use jsonwebtoken::{EncodingKey, Header};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::sync::oneshot;
use uuid::Uuid;

use super::contract::{self, Asked};
use super::way::Way;
use super::{JWT_SECRET, PASSWORD, TestDatabase, environment};

/// A server over a real socket, with a database of its own, on a thread of its own.
pub(crate) struct TestApp {
    pub(crate) address: SocketAddr,
    pub(crate) database: TestDatabase,
    pub(crate) store: Store,
    /// Where its figures are, if settings say so.
    pub(crate) metrics: Option<SocketAddr>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
    /// Stays open as long as the server.
    way: Option<Way>,
}

impl TestApp {
    pub(crate) async fn start() -> Self {
        Self::start_with(&[]).await
    }

    /// With settings of the test's own, as environment variables.
    pub(crate) async fn start_with(settings: &[(&str, &str)]) -> Self {
        Self::on(TestDatabase::migrated().await, settings).await
    }

    pub(crate) async fn on(database: TestDatabase, settings: &[(&str, &str)]) -> Self {
        let way = Way::to(&database).await;
        // A pooler takes no statement timeout, whatever the test asks for.
        let settings = [settings, &*way.settings].concat();
        let mut app = Self::on_url(database, &way.url.clone(), &settings).await;
        app.way = Some(way);
        app
    }

    /// With a URL of the test's own to the database.
    pub(crate) async fn on_url(database: TestDatabase, url: &str, settings: &[(&str, &str)]) -> Self {
        let mut environment = environment(url);
        environment.insert("CLAVIGER__DATABASE__MIGRATE".to_owned(), "false".to_owned());
        environment.extend(settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        let (Running { address, store, metrics }, stop, thread) = run(environment).await;
        Self { address, database, store, metrics, stop: Some(stop), thread: Some(thread), way: None }
    }

    pub(crate) fn anonymous(&self) -> Anonymous {
        Anonymous::of_service(self.address)
    }

    /// A new user, signed in.
    pub(crate) async fn register(&self, email: &str) -> Account {
        self.anonymous().register(email).await
    }

    /// A new administrator, signed in.
    pub(crate) async fn administrator(&self, email: &str) -> Account {
        self.register(email).await;
        self.database.execute(&format!("update users set role = 'admin' where email = '{email}'")).await;
        self.login(email).await
    }

    /// Another session of a user.
    pub(crate) async fn login(&self, email: &str) -> Account {
        let answer = self.anonymous().login(email, PASSWORD).await;
        assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
        Account::of(self.anonymous(), email, &answer)
    }
}

impl Drop for TestApp {
    fn drop(&mut self) {
        self.stop.take().map(|stop| stop.send(()));
        if let Some(thread) = self.thread.take() {
            assert!(thread.join().is_ok() || std::thread::panicking(), "the server panicked");
        }
        drop(self.way.take());
    }
}

/// What a server says of itself.
struct Running {
    address: SocketAddr,
    store: Store,
    metrics: Option<SocketAddr>,
}

async fn run(environment: Environment) -> (Running, oneshot::Sender<()>, JoinHandle<()>) {
    let (stop, stopped) = oneshot::channel();
    let (tell, told) = oneshot::channel();
    let thread = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let settings = config::load(None, &environment, &Default::default()).unwrap().settings;
            let app = App::build(settings).unwrap();
            let running = Running { address: app.address(), store: app.store(), metrics: app.metrics_address() };
            assert!(tell.send(running).is_ok());
            app.run(async { stopped.await.unwrap_or_default() }).await.unwrap();
        });
    });
    (told.await.expect("the server starts"), stop, thread)
}

/// Somebody without an account.
#[derive(Clone)]
pub(crate) struct Anonymous {
    pub(crate) base: String,
    pub(crate) http: reqwest::Client,
    /// Whether every answer is held against the document of the API.
    is_described: bool,
}

/// An answer, read whole.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: reqwest::header::HeaderMap,
    pub(crate) body: Value,
}

impl Answer {
    pub(crate) async fn of(response: reqwest::Response) -> Self {
        let (status, headers) = (response.status(), response.headers().clone());
        let text = response.text().await.unwrap();
        let body = if text.is_empty() { Value::Null } else { serde_json::from_str(&text).expect(&text) };
        Self { status, headers, body }
    }

    pub(crate) fn text(&self, field: &str) -> &str {
        self.body[field].as_str().unwrap_or_else(|| panic!("no text {field} in {self:?}"))
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// Fails unless this is a complete problem document with that status and code.
    #[track_caller]
    pub(crate) fn assert_problem(&self, status: u16, code: &str) {
        assert_eq!((self.status.as_u16(), self.body["code"].as_str()), (status, Some(code)), "{self:?}");
        assert_eq!(self.header("content-type"), "application/problem+json");
        assert_eq!(self.body["status"], status);
        assert_eq!(self.text("request_id"), self.header("x-request-id"));
        assert!(!self.text("title").is_empty() && !self.text("detail").is_empty() && !self.text("type").is_empty());
        let scheme = if code == "invalid_client" { "Basic " } else { "Bearer " };
        let challenged = status == 401 || code == "insufficient_scope";
        assert_eq!(challenged, self.header("www-authenticate").starts_with(scheme), "{self:?}");
        assert_eq!(matches!(status, 429 | 503), !self.header("retry-after").is_empty(), "{self:?}");
    }

    /// Fails unless this is a 422 about exactly these fields and codes.
    #[track_caller]
    pub(crate) fn assert_invalid(&self, expected: &[(&str, &str)]) {
        self.assert_problem(422, "validation_failed");
        let errors = self.body["errors"].as_array().unwrap();
        let found: Vec<(&str, &str)> =
            errors.iter().map(|e| (e["field"].as_str().unwrap(), e["code"].as_str().unwrap())).collect();
        assert_eq!(found, expected);
        assert!(errors.iter().all(|e| !e["message"].as_str().unwrap().is_empty()));
    }
}

impl Anonymous {
    /// Before some server.
    pub(crate) fn at(address: SocketAddr) -> Self {
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        Self { base: format!("http://{address}"), http, is_described: false }
    }

    /// Before the service itself.
    pub(crate) fn of_service(address: SocketAddr) -> Self {
        Self { is_described: true, ..Self::at(address) }
    }

    pub(crate) fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        self.http.request(method, format!("{}{path}", self.base))
    }

    pub(crate) async fn send(&self, request: reqwest::RequestBuilder) -> Answer {
        let request = request.build().unwrap();
        let asked = Asked::by(&request);
        let answer = Answer::of(self.http.execute(request).await.unwrap()).await;
        if self.is_described {
            contract::check(&asked, &answer);
        }
        answer
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Answer {
        self.send(self.request(Method::POST, path).json(&body)).await
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send(self.request(Method::GET, path)).await
    }

    /// Becomes a new user, signed in.
    pub(crate) async fn register(&self, email: &str) -> Account {
        let answer = self.post("/api/auth/register", json!({"email": email, "password": PASSWORD})).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{answer:?}");
        Account::of(self.clone(), email, &answer)
    }

    pub(crate) async fn refresh(&self, token: &str) -> Answer {
        self.post("/api/auth/refresh", json!({ "refresh_token": token })).await
    }

    /// A refresh that may be repeated by whoever knows the key.
    pub(crate) async fn refresh_keyed(&self, token: &str, key: &str) -> Answer {
        let request = self.request(Method::POST, "/api/auth/refresh").header("idempotency-key", key);
        self.send(request.json(&json!({ "refresh_token": token }))).await
    }

    pub(crate) async fn login(&self, email: &str, password: &str) -> Answer {
        self.post("/api/auth/login", json!({"email": email, "password": password})).await
    }

    pub(crate) async fn me(&self, access_token: &str) -> Answer {
        self.send(self.request(Method::GET, "/api/auth/me").bearer_auth(access_token)).await
    }
}

/// What an access token says, unverified.
pub(crate) fn claims(access_token: &str) -> Value {
    let claims = access_token.split('.').nth(1).unwrap();
    serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(claims).unwrap()).unwrap()
}

/// An access token as this one was an hour ago, when its time was over.
pub(crate) fn expired(access_token: &str) -> String {
    let mut claims = claims(access_token);
    for time in ["iat", "exp"] {
        claims[time] = json!(claims[time].as_i64().unwrap() - 3600);
    }
    let key = EncodingKey::from_secret(JWT_SECRET.as_bytes());
    jsonwebtoken::encode(&Header::default(), &claims, &key).unwrap()
}

/// Somebody signed in on one device, with the tokens as that device holds them.
pub(crate) struct Account {
    pub(crate) caller: Anonymous,
    pub(crate) email: String,
    pub(crate) access_token: String,
    pub(crate) refresh_token: String,
    pub(crate) session_id: String,
}

impl Account {
    pub(crate) fn of(caller: Anonymous, email: &str, answer: &Answer) -> Self {
        Self {
            caller,
            email: email.to_owned(),
            access_token: answer.text("access_token").to_owned(),
            refresh_token: answer.text("refresh_token").to_owned(),
            session_id: answer.text("session_id").to_owned(),
        }
    }

    /// Refreshes and keeps the new tokens.
    pub(crate) async fn refresh(&mut self) {
        let answer = self.caller.refresh(&self.refresh_token).await;
        assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
        answer.text("access_token").clone_into(&mut self.access_token);
        answer.text("refresh_token").clone_into(&mut self.refresh_token);
    }

    pub(crate) async fn me(&self) -> Answer {
        self.caller.me(&self.access_token).await
    }

    pub(crate) fn user_id(&self) -> Uuid {
        claims(&self.access_token)["sub"].as_str().unwrap().parse().unwrap()
    }

    /// A call with the bearer token.
    pub(crate) async fn call(&self, method: Method, path: &str, body: Value) -> Answer {
        let request = self.caller.request(method, path).bearer_auth(&self.access_token);
        self.caller.send(if body.is_null() { request } else { request.json(&body) }).await
    }

    pub(crate) async fn sessions(&self) -> Vec<Value> {
        let answer = self.call(Method::GET, "/api/auth/sessions", Value::Null).await;
        assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
        answer.body["sessions"].as_array().unwrap().clone()
    }

    /// The names of what happened to the account, newest first.
    pub(crate) async fn event_kinds(&self) -> Vec<String> {
        let answer = self.call(Method::GET, "/api/auth/events", Value::Null).await;
        assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
        let events = answer.body["events"].as_array().unwrap();
        events.iter().map(|event| event["kind"].as_str().unwrap().to_owned()).collect()
    }

    pub(crate) async fn logout(&self) {
        let answer = self.caller.post("/api/auth/logout", json!({ "refresh_token": self.refresh_token })).await;
        assert_eq!(answer.status, StatusCode::NO_CONTENT, "{answer:?}");
    }

    pub(crate) async fn logout_all(&self, body: Value) -> Answer {
        let request = self.caller.request(Method::POST, "/api/auth/logout-all").bearer_auth(&self.access_token);
        self.caller.send(request.json(&body)).await
    }
}
