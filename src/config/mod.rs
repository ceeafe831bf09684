//! Settings: read in layers, check everything at once, show without secrets.
//!
//! `config/default.toml` names every key; `layers` finds the values, `reader` checks them, this file says what they are.

mod layers;
mod postgres_url;
mod reader;

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::path::Path;
use std::time::Duration;

pub use layers::{Environment, environment};
pub use postgres_url::{PostgresUrl, RootCertificates, Tls, percent_encode};
pub use reader::{Problem, Problems};

use crate::domain::access_token::AccessTokenPolicy;
use crate::domain::secret::Secret;
use crate::domain::session::SessionPolicy;
use reader::Reader;

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
    /// Rules and cost of passwords.
    pub password: Passwords,
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
    /// Grace for requests in flight at shutdown.
    pub shutdown_timeout: Duration,
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
    /// Hashes that may wait.
    pub queue: usize,
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

/// Good settings, and what an operator may want to know about them.
#[derive(Debug)]
pub struct Loaded {
    /// The settings.
    pub settings: Settings,
    /// What is doubtful but does not stop the start.
    pub warnings: Vec<String>,
    /// Every key with its value (or that it is a secret) and where it comes from.
    pub shown: Vec<(String, String, String)>,
}

/// Reads defaults, `overlay` (the development defaults of `claviger dev`), `file` and `environment`, each stronger than
/// the one before.
///
/// # Errors
/// Every problem there is, not just the first.
pub fn load(
    file: Option<&Path>,
    environment: &Environment,
    overlay: &BTreeMap<String, String>,
) -> Result<Loaded, Problems> {
    let (values, problems) = layers::merge(file, environment, overlay);
    let mut reader = Reader::new(values, problems);
    let settings = read(&mut reader);
    let warnings = reader.take_warnings();
    let shown = reader.shown();
    match (settings, reader.into_problems()) {
        (Some(settings), problems) if problems.is_empty() => Ok(Loaded { settings, warnings, shown }),
        (_, problems) => Err(Problems(problems)),
    }
}

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_mins(1);
const DAY: Duration = Duration::from_hours(24);
const YEARS: Duration = Duration::from_hours(10 * 365 * 24);

/// The one list of keys, types and ranges. None means that the reader has noted a problem.
fn read(r: &mut Reader) -> Option<Settings> {
    let database = read_database(r);
    let access = r.secrets("access_token.secrets");
    let refresh = r.secrets("refresh_token.keys");
    if let (Some(access), Some(refresh)) = (&access, &refresh)
        && refresh.iter().any(|key| access.iter().any(|secret| secret.bytes() == key.bytes()))
    {
        r.problem("refresh_token.keys", "must not repeat a secret of access_token.secrets: APIs hold those");
    }
    let server = Server {
        host: r.text("server.host"),
        port: r.number("server.port", 0..=u16::MAX),
        workers: r.number("server.workers", 0..=1024),
        shutdown_timeout: r.duration("server.shutdown_timeout", Duration::ZERO..=60 * MINUTE),
    };
    let access_token = AccessTokenPolicy {
        issuer: r.text("access_token.issuer"),
        audience: r.text("access_token.audience"),
        typ: r.one_of("access_token.typ", &[("JWT", "JWT"), ("at+jwt", "at+jwt")]).unwrap_or("JWT").to_owned(),
        ttl: r.duration("access_token.ttl", MINUTE..=DAY),
    };
    let sessions = SessionPolicy {
        grace: r.duration("refresh_token.grace", Duration::ZERO..=MINUTE),
        idle_ttl: r.duration("refresh_token.idle_ttl", SECOND..=YEARS),
        absolute_ttl: r.duration("refresh_token.absolute_ttl", SECOND..=YEARS),
    };
    let password = Passwords {
        min_length: r.number("password.min_length", 1..=128),
        bcrypt_cost: r.number("password.bcrypt_cost", 4..=16),
        queue: r.number("password.queue", 1..=10_000),
    };
    if password.bcrypt_cost < 10 {
        r.warn("password.bcrypt_cost is below 10: a thief of the table guesses passwords fast; fit for tests only");
    }
    if password.min_length < 8 {
        r.warn("password.min_length is below 8, the least that NIST SP 800-63B allows");
    }
    let log = read_log(r);
    Some(Settings {
        server,
        database: database?,
        access_token,
        access_token_secrets: access?,
        refresh_token_keys: refresh?,
        sessions,
        password,
        log,
    })
}

/// The database's settings alone: all that `claviger migrate` and `claviger user` need.
///
/// # Errors
/// As [`load`], but secrets may be missing.
pub fn load_database(file: Option<&Path>, environment: &Environment) -> Result<(Database, Log), Problems> {
    let (values, problems) = layers::merge(file, environment, &BTreeMap::new());
    let mut reader = Reader::new(values, problems);
    let database = read_database(&mut reader);
    let log = read_log(&mut reader);
    match (database, reader.into_problems()) {
        (Some(database), problems) if problems.is_empty() => Ok((database, log)),
        (_, problems) => Err(Problems(problems)),
    }
}

/// Whether the file or the environment names a database.
#[must_use]
pub fn names_database(file: Option<&Path>, environment: &Environment) -> bool {
    let (values, _problems) = layers::merge(file, environment, &BTreeMap::new());
    values.get("database.url").is_some_and(|found| found.value.as_str() != Some(""))
}

/// The port that `serve` listens on with this file and environment, for a probe from beside it.
///
/// # Errors
/// As [`load`], but about this one key.
pub fn load_port(file: Option<&Path>, environment: &Environment) -> Result<u16, Problems> {
    let (values, _problems) = layers::merge(file, environment, &BTreeMap::new());
    let mut reader = Reader::new(values, Vec::new());
    let port = reader.number("server.port", 0..=u16::MAX);
    let problems = reader.into_problems();
    if problems.is_empty() { Ok(port) } else { Err(Problems(problems)) }
}

fn read_log(r: &mut Reader) -> Log {
    let formats = [("auto", LogFormat::Auto), ("pretty", LogFormat::Pretty), ("json", LogFormat::Json)];
    let format = r.one_of("log.format", &formats).unwrap_or(LogFormat::Auto);
    Log { level: r.log_filter("log.level"), format }
}

fn read_database(r: &mut Reader) -> Option<Database> {
    const WAIT: RangeInclusive<Duration> = SECOND..=MINUTE;
    let url = r.postgres_url("database.url");
    let pool_size = r.number("database.pool_size", 1..=1000);
    let wait_timeout = r.duration("database.wait_timeout", WAIT);
    let connect_timeout = r.duration("database.connect_timeout", WAIT);
    let statement_timeout = r.duration("database.statement_timeout", Duration::ZERO..=MINUTE);
    let max_connection_age = r.duration("database.max_connection_age", SECOND..=30 * DAY);
    let migrate = r.boolean("database.migrate");
    Some(Database {
        url: url?,
        pool_size,
        wait_timeout,
        connect_timeout,
        statement_timeout,
        max_connection_age,
        migrate,
    })
}
