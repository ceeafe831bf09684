//! What an operator can choose.

use std::net::SocketAddr;
use std::time::Duration;

use ipnet::IpNet;

use super::{Mail, PostgresUrl, Traces};
use crate::domain::access_token::AccessTokenPolicy;
use crate::domain::cookie_name::CookieName;
use crate::domain::origin::AllowedOrigin;
use crate::domain::profile::ProfileSchema;
use crate::domain::secret::Secret;
use crate::domain::session::SessionPolicy;

/// Everything an operator can choose, checked.
#[derive(Debug)]
pub struct Settings {
    /// Where and how to listen.
    pub server: Server,
    /// Where Postgres is and how long to wait for it.
    pub database: Database,
    /// What access tokens say.
    pub access_token: AccessTokenPolicy,
    /// What signs and verifies them, newest first.
    pub access_token_secrets: Vec<Secret>,
    /// What refresh tokens are derived from, newest first.
    pub refresh_token_keys: Vec<Secret>,
    /// How long sessions live.
    pub sessions: SessionPolicy,
    /// How often old rows are looked for; zero for never.
    pub sweep_every: Duration,
    /// How long events are kept.
    pub events_kept: Duration,
    /// Pages that may call with the cookie and read answers.
    pub allowed_origins: Vec<AllowedOrigin>,
    /// The refresh cookie's name without prefix.
    pub cookie_name: CookieName,
    /// Whether the cookie travels by HTTPS alone.
    pub secure_cookie: bool,
    /// What profiles may hold.
    pub profile_schema: Option<ProfileSchema>,
    /// Rules and cost of passwords.
    pub password: Passwords,
    /// Whether tries are limited.
    pub throttling: bool,
    /// How mails leave, if they do.
    pub mail: Option<Mail>,
    /// Where Prometheus may ask, if anywhere.
    pub metrics: Option<SocketAddr>,
    /// Where traces go, if anywhere.
    pub traces: Option<Traces>,
    /// What to log and how.
    pub log: Log,
}

/// Where and how to listen.
#[derive(Debug)]
pub struct Server {
    /// An address or a name of this machine.
    pub host: String,
    /// 0 for any free one.
    pub port: u16,
    /// 0 for one a core.
    pub workers: usize,
    /// Clients connected at once.
    pub max_connections: usize,
    /// How long to serve on after being asked to stop, so that balancers notice.
    pub drain: Duration,
    /// Grace for requests in flight at shutdown.
    pub shutdown_timeout: Duration,
    /// Where people reach it, if that is known.
    pub public_url: Option<String>,
    /// Whether the console is served at `/`.
    pub console: bool,
    /// Networks of proxies that tell whose requests they pass on.
    pub trusted_proxies: Vec<IpNet>,
    /// The header they tell by, in lower case.
    pub forwarded_header: &'static str,
}

/// Where Postgres is and how long to wait for it.
#[derive(Debug)]
pub struct Database {
    /// Host, role, database, TLS.
    pub url: PostgresUrl,
    /// Connections of this process.
    pub pool_size: usize,
    /// Longest wait for a free connection.
    pub wait_timeout: Duration,
    /// Longest time to open one.
    pub connect_timeout: Duration,
    /// Postgres' own limit for a statement; zero to set none.
    pub statement_timeout: Duration,
    /// When a connection is replaced.
    pub max_connection_age: Duration,
    /// Whether statements are prepared once for each connection.
    pub prepared_statements: bool,
    /// Whether `serve` migrates.
    pub migrate: bool,
}

/// Rules and cost of passwords.
#[derive(Debug, Clone, Copy)]
pub struct Passwords {
    /// In characters.
    pub min_length: usize,
    /// The logarithm of bcrypt's rounds.
    pub bcrypt_cost: u32,
    /// How long a sign-in may wait for its hash.
    pub max_wait: Duration,
}

/// What to log and how.
#[derive(Debug, Clone)]
pub struct Log {
    /// A filter directive.
    pub level: String,
    /// How lines look.
    pub format: LogFormat,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people on a terminal, JSON elsewhere.
    Auto,
    /// For people.
    Pretty,
    /// For machines.
    Json,
}

/// What commands need that work on the database and issue no tokens.
#[derive(Debug)]
pub struct Maintenance {
    /// Where Postgres is.
    pub database: Database,
    /// How long sessions live.
    pub sessions: SessionPolicy,
    /// How long events are kept.
    pub events_kept: Duration,
    /// What profiles may hold.
    pub profile_schema: Option<ProfileSchema>,
    /// Rules and cost of passwords.
    pub password: Passwords,
    /// What to log and how.
    pub log: Log,
}
