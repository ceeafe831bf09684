//! Wires settings into a running server, so that `auth` and `http` need not know where they come from.

use std::net::SocketAddr;
use std::time::Duration;

use actix_web::dev::Server;
use actix_web::middleware::from_fn;
use actix_web::{App as ActixApp, HttpServer, web};
use tokio::signal::unix::{SignalKind, signal};

use crate::auth::{Auth, Hashing};
use crate::config::{Database, Settings};
use crate::domain::access_token::{AccessTokens, SelfTestFailed};
use crate::domain::refresh_token::RefreshKeys;
use crate::http::{self, ShuttingDown};
use crate::store::migrations::{MigrationError, migrate};
use crate::store::{SetupError, Store};
use crate::telemetry::chain;

/// A server that listens and is ready to be run.
pub struct App {
    server: Server,
    address: SocketAddr,
    shutting_down: ShuttingDown,
    database: Database,
    store: Store,
}

/// Why the server did not start, or stopped.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// The address is taken or not ours.
    #[error("cannot listen on {0}")]
    Listen(String, #[source] std::io::Error),
    /// The server broke down.
    #[error("the server stopped")]
    Serve(#[source] std::io::Error),
    /// Tokens cannot be made on this machine.
    #[error(transparent)]
    SelfTest(#[from] SelfTestFailed),
    /// Refresh keys cannot be derived on this machine.
    #[error("refresh keys cannot be derived")]
    Keys,
    /// The database cannot be used as its URL asks.
    #[error(transparent)]
    Store(#[from] SetupError),
    /// The schema cannot be brought up to date.
    #[error("the database cannot be prepared")]
    Migration(#[from] MigrationError),
    /// Signals cannot be received.
    #[error("signals cannot be received")]
    Signals(#[source] std::io::Error),
}

const FIRST_RETRY: Duration = Duration::from_millis(200);
const LONGEST_RETRY: Duration = Duration::from_secs(10);

impl App {
    /// Listens. Requests are answered once [`App::run`] is awaited.
    ///
    /// # Errors
    /// [`AppError`].
    pub fn build(settings: Settings) -> Result<Self, AppError> {
        let store = Store::new(&settings.database)?;
        let auth = web::Data::new(Auth {
            store: store.clone(),
            hashing: Hashing::new(settings.password.bcrypt_cost, settings.password.queue),
            access_tokens: AccessTokens::new(settings.access_token, &settings.access_token_secrets)?,
            refresh_keys: RefreshKeys::derive(&settings.refresh_token_keys).map_err(|_unspecified| AppError::Keys)?,
            sessions: settings.sessions,
            password_min_length: settings.password.min_length,
        });
        let name = format!("{} port {}", settings.server.host, settings.server.port);
        let shutting_down = ShuttingDown::default();
        let closing = web::Data::new(shutting_down.clone());
        let workers = match settings.server.workers {
            0 => std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            workers => workers,
        };
        let factory = move || {
            ActixApp::new()
                .wrap(from_fn(http::around))
                .app_data(auth.clone())
                .app_data(closing.clone())
                .app_data(http::payload_limit())
                .configure(http::routes)
        };
        let server = HttpServer::new(factory)
            .workers(workers)
            .shutdown_timeout(settings.server.shutdown_timeout.as_secs())
            .disable_signals()
            .bind((settings.server.host, settings.server.port))
            .map_err(|error| AppError::Listen(name.clone(), error))?;
        let nowhere = || AppError::Listen(name, std::io::ErrorKind::AddrNotAvailable.into());
        let address = server.addrs().first().copied().ok_or_else(nowhere)?;
        let server = server.run();
        Ok(Self { server, address, shutting_down, database: settings.database, store })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The database, for whoever wants to look at the pool.
    #[must_use]
    pub fn store(&self) -> Store {
        self.store.clone()
    }

    /// Serves until `stop` is done, then lets requests in flight finish. Meanwhile brings the schema up to date, trying
    /// again for as long as the database is away; `/health/ready` answers 503 until then.
    ///
    /// # Errors
    /// [`AppError`]; a migration that fails stops the server.
    pub async fn run(self, stop: impl Future<Output = ()>) -> Result<(), AppError> {
        tracing::info!(address = %self.address, "listening");
        let handle = self.server.handle();
        let mut serving = tokio::spawn(self.server);
        let failing = async {
            match prepare(&self.database, &self.store).await {
                Ok(()) => std::future::pending().await,
                Err(error) => error,
            }
        };
        let outcome = tokio::select! {
            served = &mut serving => return served.unwrap_or_else(|join| Err(std::io::Error::other(join))).map_err(AppError::Serve),
            error = failing => Err(error),
            () = stop => Ok(()),
        };
        tracing::info!("stopping; requests in flight may finish");
        self.shutting_down.begin();
        handle.stop(true).await;
        outcome
    }
}

/// Done at the first SIGTERM or SIGINT. A second one ends the process at once.
///
/// # Errors
/// [`AppError::Signals`].
pub fn asked_to_stop() -> Result<impl Future<Output = ()>, AppError> {
    let mut terminate = signal(SignalKind::terminate()).map_err(AppError::Signals)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(AppError::Signals)?;
    let (asked, first) = tokio::sync::oneshot::channel();
    tokio::spawn(async move {
        let mut asked = Some(asked);
        loop {
            tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
            match asked.take() {
                Some(asked) => drop(asked.send(())),
                None => std::process::exit(130),
            }
        }
    });
    Ok(async { first.await.unwrap_or_default() })
}

/// Migrates if told to, then waits until the schema is there.
async fn prepare(database: &Database, store: &Store) -> Result<(), AppError> {
    let mut pause = FIRST_RETRY;
    loop {
        let attempt = async {
            if database.migrate {
                let applied = migrate(database, None).await?;
                tracing::info!(applied, "the schema is up to date");
            }
            Ok(())
        };
        let reason: Box<dyn std::error::Error + Send + Sync> = match attempt.await {
            Ok(()) => match store.check_ready().await {
                Ok(()) => {
                    tracing::info!(database = %database.url, "ready");
                    return Ok(());
                }
                Err(error) => Box::new(error),
            },
            Err(MigrationError::Unreachable(cause)) => cause,
            Err(error @ (MigrationError::Tls(_) | MigrationError::Failed(_))) => return Err(error.into()),
        };
        tracing::warn!(
            error = chain(&*reason), database = %database.url, retry_in_ms = pause.as_millis(),
            "the database is not ready; trying again",
        );
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_RETRY);
    }
}
