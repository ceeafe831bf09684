//! Postgres: the pool, and one file for each table with its SQL and row mapping.
//!
//! Every call is bounded in time here, also when Postgres is frozen and enforces nothing itself.

mod addresses;
mod batch;
pub mod clients;
pub mod deleted_users;
pub mod error;
pub mod events;
mod hosts;
pub mod imports;
pub mod mails;
pub mod migrations;
mod pool;
pub mod revocations;
pub mod sessions;
mod single_flight;
pub mod statements;
pub mod statistics;
mod summary;
pub mod throttles;
pub mod tls;
pub mod turns;
pub mod users;
pub mod verifications;
pub mod walk;
mod with_connection;

use std::iter;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use deadpool_postgres::{BuildError, Pool};
use tokio::runtime::Handle;
use tokio::sync::Notify;
use uuid::Uuid;

use crate::config;
use crate::domain::user::User;
use crate::figures::{Figures, Histogram, durations, observe};
use crate::traces::{self, KeyValue};
use batch::{Batcher, CitusDetection};
pub use error::Error;
use sessions::Refreshes;
pub use statements::{Connection, Statements, Transaction};
use statements::{Parameter, query_all, query_one, query_opt};
use summary::place;
use with_connection::with_connection;

/// The database of one deployment, shared by everything in this process.
///
/// What serves requests has threads, each with a runtime of its own, and a connection lives on one of them: a statement from
/// another goes through two more threads, which takes longer than Postgres does. So each such thread has a part of the pool.
#[derive(Clone)]
pub struct Store {
    /// This one's part of the pool, and which of all parts it is.
    pool: Pool,
    part: usize,
    /// The calls of this worker that are batched.
    batchers: Arc<Batchers>,
    citus: Arc<CitusDetection>,
    /// All parts.
    parts: Arc<[Pool]>,
    /// For getting a connection, however many dead ones have to be found out first.
    get_limit: Duration,
    /// For what is done with it.
    call_limit: Duration,
    /// Whether statements are prepared once for each connection.
    prepared: bool,
    not_set_up: Arc<Notify>,
    /// When idle connections were last closed.
    emptied: Arc<Mutex<Option<Instant>>>,
    /// For connections.
    waits: Histogram,
    /// Where it is, for traces.
    place: Arc<[KeyValue]>,
}

/// The batched calls of one worker.
#[derive(Default)]
struct Batchers {
    refreshes: Refreshes,
    /// By user and session.
    users: Batcher<(Uuid, Uuid), Option<User>>,
}

/// Why there is no store.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// The URL asks for protection that cannot be given.
    #[error(transparent)]
    Tls(#[from] tls::TlsError),
    /// The pool's settings contradict each other.
    #[error("the connection pool cannot be made")]
    Pool(#[source] BuildError),
}

/// How much later than Postgres the client gives up on a statement.
const CLIENT_MARGIN: Duration = Duration::from_secs(1);
/// The client's limit where Postgres has been given none.
const DEFAULT_CALL_LIMIT: Duration = Duration::from_secs(5);
/// Connections of a pool in parts that are for what is not a request: the sweep, the outbox.
const OTHERS: usize = 2;
/// Connections that each thread needs to have a part of its own: some for those who sign in, one for the others.
const LEAST: usize = 4;
/// How long idle connections are kept after others were found to lead to a server that takes no writes.
const EMPTY_AGAIN_AFTER: Duration = Duration::from_secs(1);
impl Store {
    /// Prepares the pool, in one part. No connection is opened yet.
    ///
    /// # Errors
    /// [`SetupError`].
    pub fn new(settings: &config::Database) -> Result<Self, SetupError> {
        let pool = pool::build(settings, settings.pool_size, Some(Handle::current()))?;
        Ok(Self::over(pool.clone(), [pool].into(), settings))
    }

    /// One for each of so many threads, with a part of the pool where there are enough connections for that, and before them
    /// one for everything else in the process, with what is left over.
    ///
    /// # Errors
    /// [`SetupError`].
    pub fn in_parts(settings: &config::Database, threads: usize) -> Result<(Self, Vec<Self>), SetupError> {
        let each = settings.pool_size.saturating_sub(OTHERS) / threads;
        if each < LEAST {
            let whole = Self::new(settings)?;
            let threads = (0..threads).map(|_| Self { batchers: Arc::default(), ..whole.clone() }).collect();
            return Ok((whole, threads));
        }
        let rest = pool::build(settings, settings.pool_size - each * threads, Some(Handle::current()))?;
        let parts: Vec<_> = (0..threads).map(|_| pool::build(settings, each, None)).collect::<Result<_, _>>()?;
        let all = iter::once(&rest).chain(&parts).cloned().collect();
        let whole = Self::over(rest, all, settings);
        let part = |(part, pool)| Self { pool, part, batchers: Arc::default(), ..whole.clone() };
        let threads = (1..).zip(parts).map(part).collect();
        Ok((whole, threads))
    }

    fn over(pool: Pool, parts: Arc<[Pool]>, settings: &config::Database) -> Self {
        let call_limit = match settings.statement_timeout {
            Duration::ZERO => DEFAULT_CALL_LIMIT,
            limit => limit + CLIENT_MARGIN,
        };
        Self {
            pool,
            part: 0,
            batchers: Arc::default(),
            citus: Arc::default(),
            parts,
            get_limit: settings.wait_timeout + settings.connect_timeout,
            call_limit,
            prepared: settings.prepared_statements,
            not_set_up: Arc::default(),
            emptied: Arc::default(),
            waits: durations(),
            place: place(&settings.url.config),
        }
    }

    /// Whether both have the same connections.
    #[must_use]
    pub fn has_pool_of(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.parts, &other.parts) && self.part == other.part
    }

    /// How many connections this part may have.
    #[must_use]
    pub fn most_connections(&self) -> usize {
        self.pool.status().max_size
    }

    /// Lends a connection to `work` for a bounded time.
    ///
    /// A connection that failed or ran out of time is closed rather than given back: its statement may still be running,
    /// and the next to use it would wait behind it.
    ///
    /// # Errors
    /// What `work` fails with, and [`Error::Unavailable`] when there is no connection or no time.
    pub async fn run<T>(&self, work: impl AsyncFnOnce(&mut Connection) -> Result<T, Error>) -> Result<T, Error> {
        let outcome = match self.get(self.get_limit).await {
            Ok(connection) => with_connection(connection, self.call_limit, work).await,
            Err(error) => Err(error),
        };
        self.noticed(outcome)
    }

    /// As [`Store::run`], within `limit` in all.
    ///
    /// # Errors
    /// As [`Store::run`].
    pub async fn run_within<T>(
        &self,
        limit: Duration,
        work: impl AsyncFnOnce(&mut Connection) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let started = Instant::now();
        let outcome = match self.get(limit).await {
            Ok(connection) => with_connection(connection, limit.saturating_sub(started.elapsed()), work).await,
            Err(error) => Err(error),
        };
        self.noticed(outcome)
    }

    /// Notices when the schema is not there, and when the server that connections lead to is no primary any more.
    fn noticed<T>(&self, outcome: Result<T, Error>) -> Result<T, Error> {
        match &outcome {
            Err(Error::NotSetUp(_)) => {
                // Statements that were prepared for the schema as it was.
                for part in &*self.parts {
                    part.manager().statement_caches.clear();
                }
                self.not_set_up.notify_one();
            }
            Err(Error::ReadOnly(_)) => self.empty(),
            Ok(_) | Err(Error::Unavailable(_) | Error::Taken(_) | Error::Bug(_)) => {}
        }
        outcome
    }

    /// Closes what is idle, in all parts: it leads to where one of them led. Not with each request, as a server may take no writes
    /// for a while that is the only one there is.
    fn empty(&self) {
        let mut emptied = self.emptied.lock().unwrap_or_else(PoisonError::into_inner);
        if emptied.is_none_or(|emptied| emptied.elapsed() > EMPTY_AGAIN_AFTER) {
            *emptied = Some(Instant::now());
            for part in &*self.parts {
                part.retain(|_, _| false);
            }
        }
    }

    /// Done when somebody has found that the schema is not there: a test run, for one, has dropped the database and made
    /// it anew.
    pub async fn found_not_set_up(&self) {
        self.not_set_up.notified().await;
    }

    async fn get(&self, limit: Duration) -> Result<Connection, Error> {
        let started = Instant::now();
        let waiting = traces::part("wait for a database connection");
        let client = tokio::time::timeout(limit, self.pool.get()).await;
        observe(&self.waits, started.elapsed());
        let client = client.map_err(Error::unavailable).and_then(|client| Ok(client?));
        waiting.came_to(&client, Error::kind);
        Ok(Connection { client: client?, prepared: self.prepared, place: Arc::clone(&self.place) })
    }

    /// Lends a transaction to `work` and commits it, unless `work` fails.
    ///
    /// # Errors
    /// As [`Store::run`]; nothing is changed then, unless it was the commit whose answer did not come.
    pub async fn transaction<T>(
        &self,
        work: impl AsyncFnOnce(&Transaction<'_>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        self.run(async |connection| {
            let transaction = connection.transaction().await?;
            let value = work(&transaction).await?;
            transaction.commit().await?;
            Ok(value)
        })
        .await
    }

    /// As [`Store::transaction`], but rolls back where `work` comes to a refusal.
    ///
    /// # Errors
    /// As [`Store::run`].
    pub async fn attempt<T, R>(
        &self,
        work: impl AsyncFnOnce(&Transaction<'_>) -> Result<Result<T, R>, Error>,
    ) -> Result<Result<T, R>, Error> {
        self.run(async |connection| {
            let transaction = connection.transaction().await?;
            let outcome = work(&transaction).await?;
            match outcome {
                Ok(_) => transaction.commit().await?,
                Err(_) => transaction.rollback().await?,
            }
            Ok(outcome)
        })
        .await
    }

    /// The longest that a transaction can take from its first statement to its commit.
    #[must_use]
    pub fn call_limit(&self) -> Duration {
        self.call_limit
    }

    /// Enters what is measured of the pool.
    pub fn enter_figures(&self, figures: &mut Figures) {
        let parts = Arc::clone(&self.parts);
        let levels = move || {
            let (open, idle) = connections(&parts);
            [("idle", idle), ("busy", open.saturating_sub(idle))]
        };
        figures.enter_levels(("database_connections", "Connections to the database that are open."), "state", levels);
        let parts = Arc::clone(&self.parts);
        figures.enter_level(
            "database_connection_waiters",
            "Requests that wait for a connection at this moment.",
            move || parts.iter().map(|part| part.status().waiting).sum(),
        );
        figures.enter(
            "database_connection_wait_seconds",
            "How long it took to get a connection, or to give up.",
            self.waits.clone(),
        );
    }

    /// How many connections there are, and how many of them are idle.
    #[must_use]
    pub fn connections(&self) -> (usize, usize) {
        connections(&self.parts)
    }
}

fn connections(parts: &[Pool]) -> (usize, usize) {
    let parts = parts.iter().map(Pool::status);
    parts.fold((0, 0), |(open, idle), part| (open + part.size, idle + part.available))
}
