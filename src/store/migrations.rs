//! Brings the schema up to date, one process at a time.

use std::error::Error as StdError;
use std::time::{Duration, Instant};

use time::OffsetDateTime;
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, SimpleQueryMessage};

use super::error::{passes, without_values};
use super::pool::set_limits;
use super::{Connection, Error, Store, hosts, tls};
use crate::config;

mod embedded {
    refinery::embed_migrations!("migrations");
}
use embedded::migrations;

/// refinery takes no lock, and two processes that start at once then collide. Any fixed number will do; this one is
/// "claviger" in ASCII.
const LOCK: i64 = 0x636c_6176_6967_6572;
const LOCK_RETRY: Duration = Duration::from_millis(200);
/// For one attempt, which waits for nobody.
const LOCK_LIMIT: Duration = Duration::from_secs(5);
/// How long a migration waits for a lock on a table. Requests wait behind it meanwhile.
const YIELD_AFTER: Duration = Duration::from_millis(30);
/// Now and then it waits long enough for Postgres to send a vacuum away that is in the way (`deadlock_timeout`, a second).
const INSIST_FOR: Duration = Duration::from_millis(1200);
const INSIST_EVERY: u32 = 100;
/// After this the failure is told. A server tries again.
const YIELD_LIMIT: Duration = Duration::from_mins(1);
/// Balancers that ask for readiness want to know soon.
const READY_LIMIT: Duration = Duration::from_secs(1);

/// The rights of a role that serves and nothing else, as SQL to be run by the owner of the tables.
#[must_use]
pub fn grants(role: &str) -> String {
    let role = format!("\"{}\"", role.replace('"', "\"\""));
    include_str!("grants.sql").replace("$role", &role)
}

/// The schema could not be brought up to date.
#[derive(Debug, thiserror::Error)]
pub enum MigrationError {
    /// Postgres is away; trying again may help.
    #[error("the database cannot be reached")]
    Unreachable(#[source] Box<dyn StdError + Send + Sync>),
    /// Others use the tables without a pause; trying again may help.
    #[error("the tables were in use for a minute, by other statements than requests make; see pg_locks, and try again")]
    Busy,
    /// Certificates to trust cannot be read.
    #[error(transparent)]
    Tls(#[from] tls::TlsError),
    /// A migration failed or does not match what was applied before; trying again does not help.
    #[error("the schema cannot be migrated")]
    Failed(#[source] Box<refinery::Error>),
    /// There is no such role, or the tables are not ours.
    #[error("the role cannot be given its rights")]
    Grant(#[source] tokio_postgres::Error),
}

/// The highest migration this program knows.
#[must_use]
pub fn newest_version() -> i32 {
    migrations::runner().get_migrations().iter().map(refinery::Migration::version).max().unwrap_or_default()
}

/// Applies what is missing, up to `target` if given, and says how many there were.
///
/// It uses a connection of its own, and the URL must not lead through a pooler in transaction mode, which would lose the
/// lock. A schema that is newer than this program is left alone, so that an old version can restart during a roll-out.
///
/// # Errors
/// [`MigrationError`]; a migration that fails is rolled back whole.
pub async fn migrate(settings: &config::Database, target: Option<i32>) -> Result<usize, MigrationError> {
    let mut client = connect(settings).await?;
    lock(&client).await?;
    let target = target.map_or(refinery::Target::Latest, refinery::Target::Version);
    let runner = migrations::runner().set_abort_missing(false).set_target(target);
    let started = Instant::now();
    let mut applied = 0;
    for attempt in 1.. {
        wait_for_locks(&client, if attempt % INSIST_EVERY == 0 { INSIST_FOR } else { YIELD_AFTER }).await?;
        let error = match runner.run_async(&mut client).await {
            Ok(report) => return Ok(applied + report.applied_migrations().len()),
            Err(error) => error,
        };
        let is_in_the_way = source(&error).and_then(tokio_postgres::Error::code).is_some_and(waits_for_others);
        if !is_in_the_way {
            return Err(failed(error));
        }
        if started.elapsed() > YIELD_LIMIT {
            return Err(MigrationError::Busy);
        }
        applied += error.report().map_or(0, |report| report.applied_migrations().len());
        tokio::time::sleep(YIELD_AFTER).await;
    }
    Ok(applied)
}

/// Gives a role the rights of one that serves and nothing else, all or none, as the owner of the tables. One at a time, too: two
/// would be in each other's way.
///
/// # Errors
/// [`MigrationError`].
pub async fn grant(settings: &config::Database, role: &str) -> Result<(), MigrationError> {
    let client = connect(settings).await?;
    lock(&client).await?;
    client.batch_execute(&grants(role)).await.map_err(MigrationError::Grant)
}

/// A connection past any pool. It ends when the client is dropped, and a lock with it.
async fn connect(settings: &config::Database) -> Result<Client, MigrationError> {
    let mut config = settings.url.config.clone();
    set_limits(&mut config, settings);
    let connector = tls::connector(&settings.url.tls)?;
    let connecting = tokio::time::timeout(settings.connect_timeout, hosts::connect(&config, &connector));
    let (client, connection) = connecting.await.map_err(unreachable)?.map_err(unreachable)?;
    tokio::spawn(connection);
    Ok(client)
}

/// Servers of the version before go on serving while this changes their tables, and take those in another order than it
/// does. It must not wait for them for as long as Postgres takes to look for deadlocks (a second): each would cost requests
/// of theirs, and this its work. So it lets go, and tries again.
async fn wait_for_locks(client: &Client, limit: Duration) -> Result<(), MigrationError> {
    // What a role has as its limit is meant for requests: a table takes as long as it takes.
    let limits = format!("set lock_timeout = {}; set statement_timeout = 0", limit.as_millis());
    client.batch_execute(&limits).await.map_err(unreachable)
}

fn waits_for_others(code: &SqlState) -> bool {
    [&SqlState::LOCK_NOT_AVAILABLE, &SqlState::T_R_DEADLOCK_DETECTED].contains(&code)
}

fn unreachable(cause: impl Into<Box<dyn StdError + Send + Sync>>) -> MigrationError {
    MigrationError::Unreachable(cause.into())
}

/// A migration that failed because the database went away, or is the standby of a fail-over, is worth another try.
fn failed(error: refinery::Error) -> MigrationError {
    match source(&error).filter(|error| error.code().is_none_or(passes)) {
        Some(error) => unreachable(without_values(error)),
        None => MigrationError::Failed(Box::new(error)),
    }
}

/// What Postgres, or the way to it, said.
fn source(error: &refinery::Error) -> Option<&tokio_postgres::Error> {
    let mut cause: Option<&(dyn StdError + 'static)> = Some(error);
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref() {
            return Some(error);
        }
        cause = error.source();
    }
    None
}

async fn lock(client: &Client) -> Result<(), MigrationError> {
    let mut waiting = false;
    let attempt = format!("select pg_try_advisory_lock({LOCK})");
    loop {
        let answer = tokio::time::timeout(LOCK_LIMIT, client.simple_query(&attempt));
        let answer = answer.await.map_err(unreachable)?.map_err(unreachable)?;
        let taken =
            |message: &SimpleQueryMessage| matches!(message, SimpleQueryMessage::Row(row) if row.get(0) == Some("t"));
        if answer.iter().any(taken) {
            return Ok(());
        }
        if !waiting {
            tracing::info!("another process is migrating the database; waiting for it");
        }
        waiting = true;
        tokio::time::sleep(LOCK_RETRY).await;
    }
}

impl Store {
    /// Whether Postgres answers within a second and has every table this program needs; gives the time of its clock.
    ///
    /// # Errors
    /// [`Error::Unavailable`] with the reason.
    pub async fn check_ready(&self) -> Result<OffsetDateTime, Error> {
        let (version, now) = self.run_within(READY_LIMIT, applied_version).await?;
        if version < newest_version() {
            let reason = format!("the schema is at version {version}, this program needs {}", newest_version());
            return Err(Error::NotSetUp(reason.into()));
        }
        Ok(now)
    }
}

async fn applied_version(client: &mut Connection) -> Result<(i32, OffsetDateTime), Error> {
    let sql =
        "select coalesce(max(version), 0)::int4 as version, clock_timestamp() as now from refinery_schema_history";
    let row = super::query_one(client, sql, &[]).await?;
    Ok((row.try_get("version")?, row.try_get("now")?))
}
