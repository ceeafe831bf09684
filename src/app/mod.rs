//! Wires settings into a running server, so that `auth` and `http` need not know where they come from.

mod listen;
mod metrics;
mod signals;
mod upkeep;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, ThreadId};
use std::time::Duration;

use actix_web::dev::Server;
use actix_web::middleware::from_fn;
use actix_web::{App as ActixApp, HttpServer, rt, web};
use tokio::sync::Notify;

use crate::auth::sweep::Sweep;
use crate::auth::{AdmissionLimiter, Auth, Counters, Gate, Hashing, KeyRing, Keys, LargeAnswers, Mailing};
use crate::config::{self, Settings};
use crate::domain::access_token::{AccessTokenPolicy, AccessTokens, SelfTestFailed};
use crate::domain::refresh_token::RefreshKeys;
use crate::domain::secret::Secret;
use crate::figures::Figures;
use crate::http::browser::{Browsers, RefreshCookie};
use crate::http::client_address::Proxies;
use crate::http::connections::{self, Connections};
use crate::http::{self, Measures, ShuttingDown, Surroundings};
use crate::mail::{self, Outbox};
use crate::store::migrations::MigrationError;
use crate::store::{SetupError, Store};
use crate::telemetry;
use crate::traces::{self, Exporting, Tracer};
use listen::{Listeners, Workers};
pub use signals::asked_to_stop;
use upkeep::{Sweeps, Upkeep};

/// A server that listens and is ready to be run.
pub struct App {
    server: Server,
    listeners: Listeners,
    serving: Workers,
    address: SocketAddr,
    metrics: Option<(Server, SocketAddr)>,
    exporting: Option<Exporting>,
    connections: Connections,
    shutting_down: ShuttingDown,
    drain: Duration,
    keys: Arc<KeyRing>,
    access_token: AccessTokenPolicy,
    upkeep: Upkeep,
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
    /// Traces cannot be sent as the settings ask.
    #[error(transparent)]
    Traces(#[from] traces::SetupError),
    /// Mail cannot be sent as the settings ask.
    #[error(transparent)]
    Mail(#[from] mail::SetupError),
    /// The schema cannot be brought up to date.
    #[error("the database cannot be prepared")]
    Migration(#[from] MigrationError),
    /// Signals cannot be received.
    #[error("signals cannot be received")]
    Signals(#[source] std::io::Error),
}

impl App {
    /// Listens. Requests are answered once [`App::run`] is awaited.
    ///
    /// # Errors
    /// [`AppError`].
    pub fn build(settings: Settings) -> Result<Self, AppError> {
        let workers = workers(settings.server.workers);
        let (store, threads) = Store::in_parts(&settings.database, workers)?;
        let (tracer, exporting) = settings.traces.as_ref().map(traces::start).transpose()?.unzip();
        let (mailing, outbox) = mail(settings.mail, &store, tracer.clone())?;
        let auth = Auth {
            store: store.clone(),
            hashing: Arc::new(Hashing::new(settings.password.bcrypt_cost, settings.password.max_wait)),
            gate: Arc::new(Gate::new(settings.access_token.ttl)),
            keys: Arc::new(KeyRing::new(keys(
                settings.access_token.clone(),
                &settings.access_token_secrets,
                &settings.refresh_token_keys,
            )?)),
            sessions: settings.sessions,
            events_kept: settings.events_kept,
            profile_schema: settings.profile_schema.map(Arc::new),
            password_min_length: settings.password.min_length,
            throttling: settings.throttling,
            admission: admission(&store, &settings.database, settings.password),
            large_answers: LargeAnswers::default(),
            mailing,
            counts: Arc::new(Counters::default()),
        };
        let (shutting_down, public_url) = (ShuttingDown::default(), settings.server.public_url.unwrap_or_default());
        let cookie = RefreshCookie::new(&settings.cookie_name, settings.secure_cookie);
        let outside = web::Data::new(Surroundings {
            proxies: Proxies::new(settings.server.trusted_proxies, settings.server.forwarded_header),
            browsers: Browsers::new(settings.allowed_origins, &public_url, cookie),
            https: public_url.starts_with("https://"),
            shutting_down: shutting_down.clone(),
            measures: Measures::default(),
            tracer,
        });
        // The pool's, those of each worker's runtime, and what a process has anyway: a log, listeners, the resolver's.
        let other_files = 100 + settings.database.pool_size + 4 * workers;
        let connections = Connections::new(settings.server.max_connections, other_files);
        let (sweeps, mut figures) = (Sweeps::default(), Figures::default());
        metrics::enter_process(&mut figures);
        outside.measures.enter_figures(&mut figures);
        connections.enter_figures(&mut figures);
        auth.enter_figures(&mut figures);
        sweeps.enter_figures(&mut figures);
        if let Some(outbox) = &outbox {
            outbox.enter_figures(&mut figures);
        }
        if let Some(exporting) = &exporting {
            exporting.enter_figures(&mut figures);
        }
        let metrics = settings.metrics.map(|address| metrics::listen(address, figures)).transpose()?;
        let (newcomers, console) = (connections.clone(), settings.server.console);
        let serving = Workers::default();
        let states = States { free: threads, of_threads: HashMap::new(), serving: serving.clone() };
        let states = Arc::new(Mutex::new(states));
        let rest = auth.clone();
        let factory = move || {
            let state = states.lock().unwrap_or_else(PoisonError::into_inner).of_this_thread(&rest);
            ActixApp::new()
                .wrap(outside.browsers.cors())
                .wrap(from_fn(http::around))
                .app_data(state)
                .app_data(outside.clone())
                .app_data(http::payload_limit())
                .configure(http::routes(console))
        };
        let listeners = Listeners::bind(&settings.server.host, settings.server.port)?;
        let (sockets, address) = listeners.duplicates()?;
        let mut server = HttpServer::new(factory)
            .workers(workers)
            .on_connect(move |stream, data| newcomers.open(stream, data))
            .client_request_timeout(connections::HEAD)
            .keep_alive(connections::KEEP_ALIVE)
            // Beyond its own limit, which makes newcomers wait, where ours makes room for them.
            .max_connections(2 * connections.limit())
            .shutdown_timeout(settings.server.shutdown_timeout.as_secs())
            .disable_signals();
        for socket in sockets {
            server = server.listen(socket).map_err(AppError::Serve)?;
        }
        let server = server.run();
        Ok(Self {
            server,
            listeners,
            serving,
            address,
            metrics,
            exporting,
            connections,
            shutting_down,
            drain: settings.server.drain,
            keys: auth.keys,
            access_token: settings.access_token,
            upkeep: Upkeep {
                database: settings.database,
                store,
                sweep: Sweep { sessions: settings.sessions, events_kept: settings.events_kept },
                sweep_every: settings.sweep_every,
                outbox,
                sweeps,
            },
        })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where Prometheus may ask, if anywhere.
    #[must_use]
    pub fn metrics_address(&self) -> Option<SocketAddr> {
        self.metrics.as_ref().map(|(_, address)| *address)
    }

    /// The database, for whoever wants to look at the pool.
    #[must_use]
    pub fn store(&self) -> Store {
        self.upkeep.store.clone()
    }

    /// Puts other secrets to use while this serves.
    #[must_use]
    pub fn key_changer(&self) -> KeyChanger {
        KeyChanger { keys: Arc::clone(&self.keys), access_token: self.access_token.clone() }
    }

    /// Serves until `stop` is done, then lets requests in flight finish. Meanwhile brings the schema up to date, trying
    /// again for as long as the database is away; `/health/ready` answers 503 until then.
    ///
    /// # Errors
    /// [`AppError`]; a migration that fails stops the server.
    pub async fn run(self, stop: impl Future<Output = ()>) -> Result<(), AppError> {
        tracing::info!(address = %self.address, "listening");
        let measuring = self.metrics.map(|(server, address)| {
            tracing::info!(%address, "metrics at /metrics");
            let handle = server.handle();
            tokio::spawn(server);
            handle
        });
        let handle = self.server.handle();
        let mut serving = tokio::spawn(self.server);
        let mut sending = None;
        let outcome = tokio::select! {
            served = &mut serving => return served.unwrap_or_else(|join| Err(std::io::Error::other(join))).map_err(AppError::Serve),
            error = Box::pin(self.upkeep.keep(&mut sending)) => Err(error),
            never = self.connections.watch() => match never {},
            () = stop => Ok(()),
        };
        self.shutting_down.begin();
        if outcome.is_ok() && !self.drain.is_zero() {
            tracing::info!(
                seconds = self.drain.as_secs(),
                "about to stop; balancers are told, requests are still served"
            );
            tokio::select! {
                () = tokio::time::sleep(self.drain) => {}
                never = self.connections.watch() => match never {},
            }
        }
        tracing::info!("stopping; requests in flight may finish");
        tokio::select! {
            () = self.listeners.settle(&self.connections, &self.serving) => {}
            never = self.connections.watch() => match never {},
        }
        // The kernel closes a socket with its last duplicate, which the server has.
        drop(self.listeners);
        handle.stop(true).await;
        if let Some(measuring) = measuring {
            measuring.stop(false).await;
        }
        if let Some(sending) = sending {
            sending.end().await;
        }
        // Last, as what the others did until their end is told too.
        if let Some(exporting) = self.exporting {
            exporting.end().await;
        }
        outcome
    }
}

/// What the use cases know of mail, and what sends it; neither where no mail is sent.
fn mail(
    settings: Option<config::Mail>,
    store: &Store,
    tracer: Option<Tracer>,
) -> Result<(Option<Mailing>, Option<Outbox>), AppError> {
    let Some(settings) = settings else { return Ok((None, None)) };
    let queued = Arc::new(Notify::new());
    let require_verified_email = settings.require_verified_email;
    let outbox = Outbox::new(store.clone(), settings, Arc::clone(&queued))?.traced(tracer);
    Ok((Some(Mailing { require_verified_email, queued }), Some(outbox)))
}

/// Each thread's application state. A thread asks once for each socket that it listens on.
struct States {
    free: Vec<Store>,
    of_threads: HashMap<ThreadId, web::Data<Auth>>,
    serving: Workers,
}

impl States {
    fn of_this_thread(&mut self, auth: &Auth) -> web::Data<Auth> {
        // In place of one that was lost there is one more than there are parts: it has what is for everything else.
        let Self { free, of_threads, serving } = self;
        let mut part = || free.pop().map_or_else(|| auth.clone(), |part| auth.on(part));
        let begin = || {
            rt::spawn(telemetry::gather());
            serving.join();
            web::Data::new(part())
        };
        of_threads.entry(thread::current().id()).or_insert_with(begin).clone()
    }
}

/// Threads that serve: as many as asked for, or as there are cores.
fn workers(wanted: usize) -> usize {
    match wanted {
        0 => std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
        wanted => wanted,
    }
}

/// Admission of sign-ins to the database. They wait for it as others do, or half of what they may wait for their hashes.
fn admission(store: &Store, database: &config::Database, password: config::Passwords) -> Arc<AdmissionLimiter> {
    let patience = database.wait_timeout.max(password.max_wait / 2);
    Arc::new(AdmissionLimiter::new(store.most_connections(), patience))
}

/// Replaces the secrets of a running server.
pub struct KeyChanger {
    keys: Arc<KeyRing>,
    access_token: AccessTokenPolicy,
}

impl KeyChanger {
    /// From now on tokens are made with the first of each list and understood with all of it.
    ///
    /// # Errors
    /// [`AppError::SelfTest`], [`AppError::Keys`]; the old secrets stay in use then.
    pub fn change(&self, access_token: &[Secret], refresh_token: &[Secret]) -> Result<(), AppError> {
        self.keys.replace(keys(self.access_token.clone(), access_token, refresh_token)?);
        Ok(())
    }
}

fn keys(policy: AccessTokenPolicy, access_token: &[Secret], refresh_token: &[Secret]) -> Result<Keys, AppError> {
    let refresh_keys = RefreshKeys::derive(refresh_token).map_err(|_unspecified| AppError::Keys)?;
    Ok(Keys { access_tokens: AccessTokens::new(policy, access_token)?, refresh_keys })
}
