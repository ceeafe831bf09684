//! Settings: read in layers, check everything at once, show without secrets.
//!
//! `config/default.toml` names every key; `settings` says what they are, `layers` finds the values, `reader` checks them.

mod layers;
mod mail;
mod postgres_url;
mod reader;
mod settings;
mod traces;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::path::Path;
use std::time::Duration;

use ipnet::IpNet;

pub use layers::{Environment, environment};
pub use mail::{Mail, MailServer, Protection, SmtpServer};
pub use postgres_url::{PostgresUrl, RootCertificates, Tls, percent_encode};
pub use reader::{Problem, Problems};
pub use settings::{Database, Log, LogFormat, Maintenance, Passwords, Server, Settings};
pub use traces::Traces;

use crate::domain::access_token::AccessTokenPolicy;
use crate::domain::cookie_name::CookieName;
use crate::domain::origin::AllowedOrigin;
use crate::domain::profile::ProfileSchema;
use crate::domain::profile_claims::ProfileClaims;
use crate::domain::session::SessionPolicy;
use reader::Reader;

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

const FORWARDED_HEADERS: [(&str, &str); 2] = [("x-forwarded-for", "x-forwarded-for"), ("forwarded", "forwarded")];
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
        max_connections: r.number("server.max_connections", 1..=1_000_000),
        drain: r.duration("server.drain", Duration::ZERO..=10 * MINUTE),
        shutdown_timeout: r.duration("server.shutdown_timeout", Duration::ZERO..=60 * MINUTE),
        public_url: r.public_url("server.public_url"),
        console: r.boolean("server.console"),
        trusted_proxies: r.list_of("server.trusted_proxies", parse_network),
        forwarded_header: r.one_of("server.forwarded_header", &FORWARDED_HEADERS).unwrap_or_default(),
    };
    if server.trusted_proxies.iter().any(|network| network.prefix_len() == 0) {
        r.warn(
            "server.trusted_proxies trusts everybody: all clients choose their addresses, and with them their limits",
        );
    }
    let access_token = AccessTokenPolicy {
        issuer: r.text("access_token.issuer"),
        audience: r.text("access_token.audience"),
        typ: r.one_of("access_token.typ", &[("JWT", "JWT"), ("at+jwt", "at+jwt")]).unwrap_or("JWT").to_owned(),
        ttl: r.duration("access_token.ttl", MINUTE..=DAY),
        profile_claims: read_profile_claims(r),
    };
    let sessions = read_sessions(r);
    let sweep_every = r.duration("sessions.sweep_every", Duration::ZERO..=DAY);
    let events_kept = read_events_kept(r);
    let (allowed_origins, secure_cookie) = read_browsers(r, server.public_url.as_deref());
    let cookie_name = r.parsed("cookie.name", CookieName::parse);
    let profile_schema = read_profile_schema(r);
    let password = read_passwords(r);
    let throttling = r.boolean("throttle.enabled");
    if !throttling {
        r.warn("throttle.enabled is false: passwords can be guessed as fast as they can be hashed; fit for tests only");
    }
    let mail = mail::read_mail(r);
    let metrics = r.socket_address("metrics.address");
    let traces = traces::read_traces(r);
    let log = read_log(r);
    Some(Settings {
        server,
        database: database?,
        access_token,
        access_token_secrets: access?,
        refresh_token_keys: refresh?,
        sessions,
        sweep_every,
        events_kept,
        allowed_origins,
        cookie_name: cookie_name?,
        secure_cookie,
        profile_schema,
        password,
        throttling,
        mail,
        metrics,
        traces,
        log,
    })
}

/// What commands need that work on the database and issue no tokens.
///
/// # Errors
/// As [`load`], but secrets may be missing.
pub fn load_maintenance(file: Option<&Path>, environment: &Environment) -> Result<Maintenance, Problems> {
    let (values, problems) = layers::merge(file, environment, &BTreeMap::new());
    let mut reader = Reader::new(values, problems);
    let database = read_database(&mut reader);
    let (sessions, events_kept) = (read_sessions(&mut reader), read_events_kept(&mut reader));
    let profile_schema = read_profile_schema(&mut reader);
    let password = read_passwords(&mut reader);
    let log = read_log(&mut reader);
    match (database, reader.into_problems()) {
        (Some(database), problems) if problems.is_empty() => {
            Ok(Maintenance { database, sessions, events_kept, profile_schema, password, log })
        }
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

fn read_profile_schema(r: &mut Reader) -> Option<ProfileSchema> {
    let text = r.file("profile.schema")?;
    ProfileSchema::parse(&text).map_err(|problem| r.problem("profile.schema", &problem)).ok()
}

fn read_profile_claims(r: &mut Reader) -> ProfileClaims {
    const KEY: &str = "access_token.profile_claims";
    let names = r.list_of(KEY, ProfileClaims::parse_name);
    ProfileClaims::new(names).map_err(|rule| r.problem(KEY, rule)).unwrap_or_default()
}

fn read_sessions(r: &mut Reader) -> SessionPolicy {
    SessionPolicy {
        grace: r.duration("refresh_token.grace", Duration::ZERO..=MINUTE),
        idle_ttl: r.duration("refresh_token.idle_ttl", SECOND..=YEARS),
        absolute_ttl: r.duration("refresh_token.absolute_ttl", SECOND..=YEARS),
        max_per_user: r.number("sessions.max_per_user", 1..=1000),
        kept_after_end: r.duration("sessions.kept_after_end", 2 * DAY..=YEARS),
    }
}

/// A week at least: the policy of the table lets nobody but its owner remove younger ones.
fn read_events_kept(r: &mut Reader) -> Duration {
    r.duration("events.kept", 7 * DAY..=YEARS)
}

fn read_passwords(r: &mut Reader) -> Passwords {
    let password = Passwords {
        min_length: r.number("password.min_length", 1..=128),
        bcrypt_cost: r.number("password.bcrypt_cost", 4..=16),
        max_wait: r.duration("password.max_wait", SECOND..=MINUTE),
    };
    if password.bcrypt_cost < 10 {
        r.warn("password.bcrypt_cost is below 10: a thief of the table guesses passwords fast; fit for tests only");
    }
    if password.min_length < 8 {
        r.warn("password.min_length is below 8, the least that NIST SP 800-63B allows");
    }
    password
}

fn read_browsers(r: &mut Reader, public_url: Option<&str>) -> (Vec<AllowedOrigin>, bool) {
    let allowed_origins = r.list_of("cors.allowed_origins", AllowedOrigin::parse);
    if allowed_origins.iter().any(AllowedOrigin::is_exposed) {
        r.warn(
            "cors.allowed_origins has a page that comes by plain HTTP: whoever is on the way can act as its visitors",
        );
    }
    let secure_cookie = r.boolean("cookie.secure");
    if !secure_cookie && public_url.is_some_and(|url| url.starts_with("https://")) {
        r.warn("cookie.secure is false though server.public_url is https: the cookie would travel by plain HTTP too");
    }
    (allowed_origins, secure_cookie)
}

/// A network in CIDR form, or a single address.
fn parse_network(text: &str) -> Result<IpNet, &'static str> {
    let single = text.parse::<IpAddr>().map(IpNet::from);
    let network = text.parse().or(single).map_err(|_address| "is no network such as 10.0.0.0/8, and no address")?;
    match network {
        // Peers that come by such an address are taken for the IPv4 address that they are.
        IpNet::V6(network) if network.addr().to_ipv4_mapped().is_some() => Err("must be written as an IPv4 network"),
        IpNet::V4(_) | IpNet::V6(_) => Ok(network),
    }
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
    let prepared_statements = r.boolean("database.prepared_statements");
    let migrate = r.boolean("database.migrate");
    Some(Database {
        url: url?,
        pool_size,
        wait_timeout,
        connect_timeout,
        statement_timeout,
        max_connection_age,
        prepared_statements,
        migrate,
    })
}
