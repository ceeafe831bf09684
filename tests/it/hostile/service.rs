//! The service without a database, asked in this process, and what every answer of it keeps.

use std::collections::BTreeMap;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actix_web::body::to_bytes;
use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue};
use actix_web::http::{Method, StatusCode, Uri};
use actix_web::middleware::from_fn;
use actix_web::rt::System;
use actix_web::test::{TestRequest, init_service, try_call_service};
use actix_web::{App, web};
use claviger::auth::{AdmissionLimiter, Auth, Counters, Gate, Hashing, KeyRing, Keys, LargeAnswers};
use claviger::config;
use claviger::domain::access_token::AccessTokens;
use claviger::domain::client::{Scope, Scopes};
use claviger::domain::refresh_token::RefreshKeys;
use claviger::domain::session::LiveSession;
use claviger::domain::user::Role;
use claviger::http::browser::{Browsers, RefreshCookie};
use claviger::http::client_address::Proxies;
use claviger::http::error::Code;
use claviger::http::{self, Measures, ShuttingDown, Surroundings};
use claviger::store::Store;
use serde_json::Value;
use time::OffsetDateTime;
use uuid::Uuid;

/// Nobody listens there: whoever gets past the parsing is told that the database is away.
const SETTINGS: [(&str, &str); 6] = [
    ("DATABASE_URL", "postgres://nobody@%2Fnonexistent/none"),
    ("JWT_SECRET", "fWq3kPz7RtYx1VbN5mLc9HsD2gJ8aKeU4oXi6TvB0nE"),
    ("REFRESH_SECRET", "Zr8uYw2QmXc6TnV4bKp0LsJ7hGf3DdAe9RiOx5EtN1k"),
    ("CLAVIGER__ACCESS_TOKEN__TTL", "24h"),
    ("CLAVIGER__SERVER__TRUSTED_PROXIES", "10.0.0.0/8"),
    ("CLAVIGER__CORS__ALLOWED_ORIGINS", "https://app.example.com,https://*.example.org"),
];

/// A request as somebody might send it.
pub(crate) struct Request {
    pub(crate) method: Method,
    pub(crate) target: Uri,
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
    pub(crate) body: Vec<u8>,
}

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: web::Bytes,
}

type Asked = Pin<Box<dyn Future<Output = Answer>>>;

/// A service on this thread, and good tokens of it.
pub(crate) struct Service {
    system: actix_web::rt::SystemRunner,
    ask: Box<dyn Fn(Request) -> Asked>,
    /// Of a user.
    pub(crate) access: String,
    /// Of a program, which may do all that programs may.
    pub(crate) program: String,
    pub(crate) administrator: String,
    pub(crate) refresh: String,
}

thread_local! {
    // Never dropped: the framework's own thread-locals are gone before ours.
    static SERVICE: &'static Service = Box::leak(Box::new(Service::start()));
}

/// Runs with the service of this thread.
pub(crate) fn with(work: impl FnOnce(&Service)) {
    SERVICE.with(|service| work(service));
}

impl Service {
    fn start() -> Self {
        let system = System::new();
        let environment = SETTINGS.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        let settings = config::load(None, &environment, &BTreeMap::new()).unwrap().settings;
        let access_tokens = AccessTokens::new(settings.access_token.clone(), &settings.access_token_secrets).unwrap();
        let refresh_keys = RefreshKeys::derive(&settings.refresh_token_keys).unwrap();
        let [access, administrator] =
            [Role::User, Role::Admin].map(|role| access_tokens.issue(&session(role)).unwrap().text);
        let scopes = Scopes::known(Scope::ALL.map(Scope::as_str));
        let program = access_tokens.issue_to_client(Uuid::from_u128(9), scopes, OffsetDateTime::now_utc());
        let program = program.unwrap().text;
        let refresh = refresh_keys.first_token(Uuid::from_u128(7), Uuid::from_u128(8)).unwrap();
        let refresh = refresh_keys.encode(&refresh).unwrap().into_string();
        let proxies = Proxies::new(settings.server.trusted_proxies.clone(), settings.server.forwarded_header);
        let browsers = Browsers {
            allowed_origins: settings.allowed_origins.clone(),
            own_origin: None,
            cookie: RefreshCookie::new(&settings.cookie_name, true),
        };
        let service = system.block_on(async move {
            let auth = Auth {
                store: Store::new(&settings.database).unwrap(),
                hashing: Arc::new(Hashing::new(4, Duration::from_secs(1))),
                gate: Arc::new(Gate::new(settings.access_token.ttl)),
                keys: Arc::new(KeyRing::new(Keys { access_tokens, refresh_keys })),
                sessions: settings.sessions,
                events_kept: settings.events_kept,
                profile_schema: None,
                password_min_length: settings.password.min_length,
                throttling: true,
                admission: Arc::new(AdmissionLimiter::new(2, settings.database.wait_timeout)),
                large_answers: LargeAnswers::default(),
                mailing: None,
                counts: Arc::new(Counters::default()),
            };
            let cors = browsers.cors();
            let (shutting_down, measures) = (ShuttingDown::default(), Measures::default());
            let outside = Surroundings { proxies, browsers, https: true, shutting_down, measures, tracer: None };
            let app = App::new()
                .wrap(cors)
                .wrap(from_fn(http::around))
                .app_data(web::Data::new(auth))
                .app_data(web::Data::new(outside))
                .app_data(http::payload_limit())
                .configure(http::routes(false));
            Rc::new(init_service(app).await)
        });
        let ask = move |request: Request| -> Asked {
            let service = Rc::clone(&service);
            Box::pin(async move {
                let asked = TestRequest::with_uri("/").uri(&request.target.to_string()).method(request.method);
                let asked = asked.peer_addr(SocketAddr::from(([10, 0, 0, 1], 4711))).set_payload(request.body);
                let asked = request.headers.into_iter().fold(asked, TestRequest::append_header);
                match try_call_service(&*service, asked.to_request()).await {
                    Ok(answer) => Answer {
                        status: answer.status(),
                        headers: answer.headers().clone(),
                        body: to_bytes(answer.into_body()).await.unwrap(),
                    },
                    Err(error) => panic!("a handler panicked: {error}"),
                }
            })
        };
        Self { system, ask: Box::new(ask), access, program, administrator, refresh }
    }

    /// Sends it, and fails unless the answer is one that docs/api.md has.
    pub(crate) fn check(&self, request: Request) {
        let Request { method, target, headers, body } = &request;
        let shown = format!("{method} {target} {headers:?} {}", String::from_utf8_lossy(body));
        let long_texts = long_texts(body);
        let (method, path) = (method.clone(), target.path().to_owned());
        let given = |name: &str| headers.iter().find(|(found, _)| *found == name).map(|(_, value)| value.clone());
        let (authorization, origin) = (given("authorization"), given("origin"));
        let may_go_on = self.may_go_on(&request);

        let answer = self.system.block_on((self.ask)(request));
        let text = String::from_utf8_lossy(&answer.body);
        let shown = format!("{shown}\n{} {:?} {text}", answer.status, answer.headers);
        assert_marked(&answer, &shown);
        assert!(may_go_on || answer.status != StatusCode::SERVICE_UNAVAILABLE, "got past the guard: {shown}");
        if answer.status.is_success() {
            let authorization = authorization.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
            assert!(self.may_succeed(&method, &path, authorization.as_deref().unwrap_or_default()), "{shown}");
        } else {
            assert_problem(&answer, method == Method::HEAD, &shown);
        }
        for long in long_texts {
            assert!(!text.contains(&long), "repeats what it was sent: {shown}");
        }
        if let Some(allowed) = answer.headers.get("access-control-allow-origin") {
            let allowed = allowed.to_str().unwrap();
            assert!(is_allowed(allowed), "{shown}");
            assert!(origin.is_some_and(|origin| origin == allowed), "{shown}");
        }
        for cookie in answer.headers.get_all("set-cookie") {
            let cookie = cookie.to_str().unwrap();
            assert!(cookie.starts_with("__Host-refresh_token=;") && cookie.contains("Max-Age=0"), "{shown}");
        }
    }

    /// Whether a request for tokens may reach the database: with a token in the body, or by the cookie from a page that may
    /// use it.
    fn may_go_on(&self, request: &Request) -> bool {
        let body = request.body.strip_prefix("\u{feff}".as_bytes()).unwrap_or(&request.body);
        let body: Value = serde_json::from_slice(body).unwrap_or_default();
        let by_cookie = match request.target.path() {
            "/api/auth/refresh" => body["refresh_token"] != self.refresh,
            "/api/auth/login" | "/api/auth/register" => body["token_transport"] == "cookie",
            _ => false,
        };
        let only = |name: &str| {
            let mut values = request.headers.iter().filter(|(found, _)| *found == name).map(|(_, value)| value);
            values.next().filter(|_| values.next().is_none()).and_then(|value| value.to_str().ok())
        };
        !by_cookie || only("sec-fetch-site") == Some("same-origin") || only("origin").is_some_and(is_allowed)
    }

    /// Without a database nothing is granted but what is public, a sign-out of nobody, and a check of a good token.
    fn may_succeed(&self, method: &Method, path: &str, authorization: &str) -> bool {
        let scheme = authorization.trim_ascii().get(..7).unwrap_or_default();
        let token = authorization.trim_ascii().get(7..).unwrap_or_default().trim_ascii();
        let good = scheme.eq_ignore_ascii_case("bearer ")
            && [&self.access, &self.administrator].iter().any(|one| *one == token);
        let reads = method == Method::GET || method == Method::HEAD;
        match path {
            "/health" | "/health/live" if reads => true,
            "/api/auth/check" if reads => good,
            "/api/auth/logout" => method == Method::POST || method == Method::OPTIONS,
            _ => method == Method::OPTIONS,
        }
    }
}

/// As the settings above have it.
fn is_allowed(origin: &str) -> bool {
    let subdomain = origin.strip_prefix("https://").and_then(|rest| rest.strip_suffix(".example.org"));
    let is_name = |text: &str| text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b));
    origin == "https://app.example.com" || subdomain.is_some_and(is_name)
}

fn session(role: Role) -> LiveSession {
    let now = OffsetDateTime::now_utc();
    let ends_at = now + Duration::from_hours(48);
    let (id, user_id) = (Uuid::from_u128(8), Uuid::from_u128(7));
    LiveSession { id, user_id, email: "ada@example.com".into(), role, created_at: now, ends_at, now, profile: None }
}

/// Texts in a JSON body that no fixed sentence has by chance.
fn long_texts(body: &[u8]) -> Vec<String> {
    let Ok(Value::Object(fields)) = serde_json::from_slice(body) else { return Vec::new() };
    let texts = fields.into_iter().filter_map(|(_, value)| value.as_str().map(str::to_owned));
    texts.filter(|text| text.len() >= 48).collect()
}

fn assert_marked(answer: &Answer, shown: &str) {
    let header = |name: &str| answer.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let id = header("x-request-id");
    let safe = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
    assert!((1..=64).contains(&id.len()) && id.bytes().all(safe), "{shown}");
    assert_eq!(header("cache-control"), "no-store", "{shown}");
    assert_eq!(header("x-content-type-options"), "nosniff", "{shown}");
    assert!(header("content-security-policy").contains("default-src 'none'"), "{shown}");
}

fn assert_problem(answer: &Answer, is_head: bool, shown: &str) {
    let header = |name: &str| answer.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let status = answer.status.as_u16();
    let challenge = header("www-authenticate");
    let challenged = challenge.starts_with("Bearer ") || challenge.starts_with("Basic ");
    assert!(challenged || status != 401, "{shown}");
    assert!(!challenged || matches!(status, 401 | 403), "{shown}");
    assert_eq!(matches!(status, 429 | 503), !header("retry-after").is_empty(), "{shown}");
    if is_head && answer.body.is_empty() {
        return;
    }
    assert_eq!(header("content-type"), "application/problem+json", "{shown}");
    let problem: Value = serde_json::from_slice(&answer.body).unwrap_or_else(|error| panic!("{error}: {shown}"));
    assert_eq!(problem["status"], status, "{shown}");
    assert_eq!(problem["request_id"], header("x-request-id"), "{shown}");
    let known = Code::ALL.iter().map(|code| code.describe());
    let known = known.filter(|(name, known, _)| problem["code"] == *name && answer.status == *known);
    assert_eq!(known.count(), 1, "no such code with that status: {shown}");
    assert_ne!(problem["code"], "internal", "a bug: {shown}");
    for error in problem["errors"].as_array().into_iter().flatten() {
        let field = error["field"].as_str().unwrap_or_default();
        assert!(!field.is_empty() && field.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'), "{shown}");
    }
}
