//! How connections are made, kept and tried.

use std::pin::Pin;
use std::time::Duration;

use deadpool_postgres::{Connect, Hook, HookError, Manager, ManagerConfig, Pool, RecyclingMethod, Runtime};
use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio_postgres_rustls::MakeRustlsConnect;

use super::{SetupError, hosts, tls};
use crate::config;
use crate::telemetry::chain;

/// A connection that was idle for longer is asked whether it still lives before it is used: firewalls and serverless
/// Postgres drop idle ones silently.
const PING_AFTER: Duration = Duration::from_secs(30);
const PING_LIMIT: Duration = Duration::from_secs(1);

/// A part of the pool. Its connections live on `runtime`, or where they are opened.
pub(super) fn build(settings: &config::Database, size: usize, runtime: Option<Handle>) -> Result<Pool, SetupError> {
    let mut config = settings.url.config.clone();
    set_limits(&mut config, settings);
    if !settings.statement_timeout.is_zero() {
        let limit = format!("-c statement_timeout={}", settings.statement_timeout.as_millis());
        let options = config.get_options().map_or_else(|| limit.clone(), |options| format!("{options} {limit}"));
        config.options(options);
    }
    let manager_config = ManagerConfig { recycling_method: RecyclingMethod::Fast };
    let connect = ConnectOn { runtime, tls: tls::connector(&settings.url.tls)? };
    let manager = Manager::from_connect(config, connect, manager_config);
    let max_age = settings.max_connection_age;
    Pool::builder(manager)
        .max_size(size)
        .wait_timeout(Some(settings.wait_timeout))
        .create_timeout(Some(settings.connect_timeout))
        .recycle_timeout(Some(PING_LIMIT))
        .runtime(Runtime::Tokio1)
        .pre_recycle(Hook::sync_fn(move |_, metrics| {
            if metrics.age() > max_age { Err(HookError::message("old enough")) } else { Ok(()) }
        }))
        .pre_recycle(Hook::async_fn(|client, metrics| {
            Box::pin(async move {
                if metrics.last_used() < PING_AFTER {
                    return Ok(());
                }
                let ping = tokio::time::timeout(PING_LIMIT, client.simple_query(""));
                ping.await.is_ok_and(|answer| answer.is_ok()).then_some(()).ok_or(HookError::message("dead"))
            })
        }))
        .build()
        .map_err(SetupError::Pool)
}

/// Keeps connections on one runtime. Server threads have runtimes of their own, which end one by one at shutdown, and a
/// connection must not end under a request of another thread.
struct ConnectOn {
    /// That of whoever opens them, if none.
    runtime: Option<Handle>,
    tls: MakeRustlsConnect,
}

type Connected = Result<(tokio_postgres::Client, JoinHandle<()>), tokio_postgres::Error>;

impl Connect for ConnectOn {
    fn connect(&self, config: &tokio_postgres::Config) -> Pin<Box<dyn Future<Output = Connected> + Send + '_>> {
        let (config, tls) = (config.clone(), self.tls.clone());
        let runtime = self.runtime.clone().unwrap_or_else(Handle::current);
        let connecting = runtime.spawn(async move {
            let (client, connection) = hosts::connect(&config, &tls).await?;
            let task = tokio::spawn(async move {
                if let Err(error) = connection.await {
                    tracing::warn!(error = chain(&error), "a database connection ended");
                }
            });
            Ok((client, task))
        });
        // Given up together with the wait for it, or else attempts would pile up against a peer that never answers.
        let mut connecting = AbortOnDrop(connecting);
        Box::pin(async move {
            match (&mut connecting.0).await {
                Ok(connected) => connected,
                // The runtime is shutting down; the pool's limit for opening a connection ends this.
                Err(_stopped) => std::future::pending().await,
            }
        })
    }
}

struct AbortOnDrop<T>(JoinHandle<T>);

impl<T> Drop for AbortOnDrop<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Limits that every connection has, the migrating one too.
pub(super) fn set_limits(config: &mut tokio_postgres::Config, settings: &config::Database) {
    if config.get_connect_timeout().is_none() {
        config.connect_timeout(settings.connect_timeout);
    }
    // A peer that vanished without a word is noticed within seconds, not after the system's two hours.
    if config.get_tcp_user_timeout().is_none() {
        config.tcp_user_timeout(Duration::from_secs(10));
    }
    config.keepalives_idle(Duration::from_secs(30));
}
