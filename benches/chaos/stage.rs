//! What a row takes place on: a Postgres, servers, and clients that keep calling. And how each row ends.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use crate::audit;
use crate::caller::{Caller, Connections};
use crate::client::Client;
use crate::ledger::Ledger;
use crate::postgres::{Postgres, Template};
use crate::record::Record;
use crate::server::Server;
use crate::wait_until;

const CLIENTS: usize = 16;
/// Before a fault begins, so that it finds everybody at work.
const WARM_UP: Duration = Duration::from_secs(1);

pub(crate) struct Stage {
    pub(crate) postgres: Postgres,
    pub(crate) servers: Vec<Server>,
    pub(crate) load: Load,
    begun: Instant,
}

/// One line of the table.
pub(crate) struct Line {
    /// Under way between the beginning of the fault and recovery.
    pub(crate) requests: usize,
    pub(crate) failed: usize,
    pub(crate) wrong: usize,
    pub(crate) lost: Lost,
    /// See [`Record::recovery`], counted from the moment the fault was lifted; none if it took longer than allowed.
    pub(crate) recovery: Option<Duration>,
}

/// How many sessions a client could not go on with.
pub(crate) enum Lost {
    Tokens(usize),
    /// The data were thrown away on purpose.
    AllByDesign,
    /// Nobody had any.
    NotAsked,
}

/// The row needs what this machine lacks.
pub(crate) struct Skipped {
    pub(crate) lacks: &'static str,
    pub(crate) remedy: &'static str,
}

pub(crate) type Row = Result<Line, Skipped>;

impl Stage {
    /// Two servers on one Postgres, and clients at work.
    pub(crate) async fn set(template: &Arc<Template>, settings: &[&str]) -> Self {
        Self::on(Postgres::prepare(template, "postgres", settings), template).await
    }

    pub(crate) async fn on(mut postgres: Postgres, template: &Arc<Template>) -> Self {
        postgres.start().await;
        let url = postgres.url();
        Self::with_url(template, postgres, &url).await
    }

    /// Where servers reach a Postgres that runs by another way.
    pub(crate) async fn with_url(template: &Arc<Template>, postgres: Postgres, url: &str) -> Self {
        let servers = [(); 2].map(|()| Server::prepare(&template.ground, url, &[]));
        let mut stage = Self::set_up(postgres, servers.into());
        for server in &mut stage.servers {
            server.start().await;
        }
        stage.warm_up().await;
        stage
    }

    /// With clients at work, though nothing may be running yet.
    pub(crate) fn set_up(postgres: Postgres, servers: Vec<Server>) -> Self {
        let load = Load::start(servers.iter().map(|server| server.address).collect(), Connections::Kept);
        Self { postgres, servers, load, begun: Instant::now() }
    }

    /// With clients that know a proxy alone.
    pub(crate) fn behind(postgres: Postgres, servers: Vec<Server>, proxy: SocketAddr) -> Self {
        Self { postgres, servers, load: Load::start(vec![proxy], Connections::New), begun: Instant::now() }
    }

    pub(crate) async fn warm_up(&self) {
        let started = Instant::now();
        wait_until("every client has refreshed", async || self.load.record.recovery(started, CLIENTS).is_some()).await;
        tokio::time::sleep(WARM_UP).await;
    }

    /// The fault begins now.
    pub(crate) fn begin(&mut self) {
        self.begun = Instant::now();
    }

    /// The fault is lifted now. Waits for recovery, then holds the service to what it has confirmed.
    pub(crate) async fn finish(mut self, limit: Duration) -> Row {
        let lifted = Instant::now();
        let record = Arc::clone(&self.load.record);
        let recovery = record.recovered(lifted, CLIENTS, limit).await;
        let until = lifted + recovery.unwrap_or(limit);
        let (requests, failed) = record.between(self.begun, until);
        self.load.stop(recovery.is_some()).await;
        if recovery.is_none() {
            let words: Vec<String> = self.servers.iter().map(Server::last_words).collect();
            eprintln!("  not recovered within {limit:?}; the servers say:\n{}", words.join("\n"));
        }
        let lost = audit::hold_to_account(&mut self, &record).await;
        Ok(Line { requests, failed, wrong: record.count_wrong(), lost: Lost::Tokens(lost), recovery })
    }
}

/// Clients at work.
pub(crate) struct Load {
    pub(crate) record: Arc<Record>,
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) drops: Arc<AtomicBool>,
    servers: Arc<[SocketAddr]>,
    connections: Connections,
    stop: Arc<AtomicBool>,
    given_up: Arc<AtomicBool>,
    clients: JoinSet<()>,
}

impl Load {
    pub(crate) fn start(servers: Vec<SocketAddr>, connections: Connections) -> Self {
        let mut load = Self {
            record: Arc::default(),
            ledger: Arc::default(),
            drops: Arc::default(),
            servers: servers.into(),
            connections,
            stop: Arc::default(),
            given_up: Arc::default(),
            clients: JoinSet::new(),
        };
        for id in 0..CLIENTS {
            let (ledger, given_up) = (Arc::clone(&load.ledger), Arc::clone(&load.given_up));
            let client = Client { caller: load.caller(id), ledger, given_up, session: None };
            load.clients.spawn(client.run(Arc::clone(&load.stop)));
        }
        load
    }

    /// Somebody who calls the same servers, and whose wrong answers count.
    pub(crate) fn caller(&self, id: usize) -> Caller {
        let (record, drops) = (Arc::clone(&self.record), Arc::clone(&self.drops));
        Caller::new(id, Arc::clone(&self.servers), record, drops, self.connections)
    }

    /// The same, who calls one of them.
    pub(crate) fn caller_of(&self, server: SocketAddr) -> Caller {
        let (record, drops) = (Arc::clone(&self.record), Arc::clone(&self.drops));
        Caller::new(CLIENTS, [server].into(), record, drops, self.connections)
    }

    /// Lets clients end with what they are at, if there is any hope that they can.
    async fn stop(&mut self, hope: bool) {
        self.stop.store(true, Ordering::Relaxed);
        self.given_up.store(!hope, Ordering::Relaxed);
        let given_up = Arc::clone(&self.given_up);
        let impatient = tokio::spawn(async move {
            tokio::time::sleep(Duration::from_secs(20)).await;
            given_up.store(true, Ordering::Relaxed);
        });
        while let Some(ended) = self.clients.join_next().await {
            ended.expect("a client runs to its end");
        }
        impatient.abort();
    }
}
