//! A database for each test, on one server for all.

use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use claviger::config::{self, Database, PostgresUrl};
use claviger::dev::binaries::Binaries;
use claviger::dev::cluster::{Cluster, Purpose};
use claviger::store::Store;
use claviger::store::migrations::migrate;
use rustix::process::Pid;
use tokio::sync::OnceCell;
use tokio_postgres::{Client, NoTls, Row};
use uuid::Uuid;

use super::way::through;
use super::{Citus, TlsPostgres};

/// The server that all databases of this run are on. Ends and is removed with this process.
static SERVER: OnceCell<Server> = OnceCell::const_new();

enum Server {
    Ours(Cluster),
    Tls(TlsPostgres),
    Citus(Citus),
    Given(String),
}

/// A database of one test's own, dropped with it.
pub(crate) struct TestDatabase {
    pub(crate) name: String,
    pub(crate) url: String,
    admin_url: String,
    /// By `deploy/citus/distribute.sql`.
    pub(crate) is_distributed: bool,
}

impl TestDatabase {
    /// One with our schema.
    pub(crate) async fn migrated() -> Self {
        if let Server::Citus(citus) = SERVER.get_or_init(Server::start).await {
            return Self::distributed(citus).await;
        }
        let database = Self::empty().await;
        database.migrate_to(None).await;
        database
    }

    /// One with nothing in it.
    pub(crate) async fn empty() -> Self {
        Self::on(SERVER.get_or_init(Server::start).await).await
    }

    /// One with our schema, distributed.
    pub(crate) async fn distributed(citus: &Citus) -> Self {
        let name = new_name();
        citus.create_distributed(&name).await;
        Self { url: citus.cluster.url(&name), admin_url: citus.cluster.url("postgres"), name, is_distributed: true }
    }

    /// One with Citus and nothing else in it.
    pub(crate) async fn on_citus(citus: &Citus) -> Self {
        let name = new_name();
        citus.create(&name).await;
        Self { url: citus.cluster.url(&name), admin_url: citus.cluster.url("postgres"), name, is_distributed: false }
    }

    async fn on(server: &Server) -> Self {
        let name = new_name();
        let admin_url = server.admin_url("postgres");
        let database = Self { url: server.url(&name), admin_url, name, is_distributed: false };
        let create = format!("create database {}", database.name);
        connect(&database.admin_url).await.batch_execute(&create).await.unwrap();
        database
    }

    /// One with our schema on a server of this run, also when another is given.
    pub(crate) async fn private() -> Self {
        static OWN: OnceCell<Server> = OnceCell::const_new();
        let server = match SERVER.get_or_init(Server::start).await {
            ours @ Server::Ours(_) => ours,
            Server::Tls(_) | Server::Citus(_) | Server::Given(_) => {
                OWN.get_or_init(async || Server::Ours(own_cluster(&[]).await)).await
            }
        };
        let database = Self::on(server).await;
        database.migrate_to(None).await;
        database
    }

    /// One on a server that counts statements, and the means to read the counts.
    pub(crate) async fn counting() -> Self {
        let database = Self::private().await;
        database.execute("create extension pg_stat_statements").await;
        database
    }

    /// How many statements ran in this database since the last call, without those that ask, and without the server's own
    /// look at the schema, which it may still be about to take when a test begins, and what a pooler sets on its own account.
    pub(crate) async fn statements(&self) -> i64 {
        let sum = "select coalesce(sum(calls), 0) from pg_stat_statements
                   where dbid = (select oid from pg_database where datname = current_database())
                     and query not ilike '%pg_stat_statements%' and query not ilike '%refinery_schema_history%'
                     and query not ilike 'set %'";
        let count = self.number(sum).await;
        self.execute(&format!(
            "select pg_stat_statements_reset(0, oid, 0) from pg_database where datname = '{}'",
            self.name
        ))
        .await;
        count
    }

    /// Drops it under everybody who is connected, and makes it again with nothing in it.
    pub(crate) async fn make_anew(&self) {
        let server = connect(&self.admin_url).await;
        for sql in ["drop database NAME with (force)", "create database NAME"] {
            server.batch_execute(&sql.replace("NAME", &self.name)).await.unwrap();
        }
    }

    pub(crate) async fn migrate_to(&self, version: Option<i32>) -> usize {
        migrate(&self.settings(), version).await.unwrap()
    }

    pub(crate) fn settings(&self) -> Database {
        let environment = super::environment(&self.url);
        config::load(None, &environment, &Default::default()).unwrap().settings.database
    }

    /// This database for the role that owns the tables, as an operator's commands have it.
    pub(crate) fn owner(&self) -> Store {
        Store::new(&self.settings()).unwrap()
    }

    /// The URL of this database for another role.
    pub(crate) fn url_as(&self, role: &str, password: &str) -> String {
        let (scheme, rest) = self.url.split_once("://").unwrap();
        let server = rest.split_once('@').map_or(rest, |(_, server)| server);
        format!("{scheme}://{role}:{password}@{server}")
    }

    pub(crate) async fn client(&self) -> Client {
        let (server, _) = self.admin_url.split_once("/postgres").expect("the URL of the database postgres");
        let query = self.admin_url.split_once('?').map_or("", |(_, query)| query);
        connect(&format!("{server}/{}?{query}", self.name)).await
    }

    /// Rows of one query, on a connection of its own.
    pub(crate) async fn rows(&self, sql: &str) -> Vec<Row> {
        self.client().await.query(sql, &[]).await.unwrap()
    }

    /// How many statements wait for a lock here.
    pub(crate) async fn waiting_for_locks(&self) -> i64 {
        self.number(
            "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'",
        )
        .await
    }

    /// The first number of one query.
    pub(crate) async fn number(&self, sql: &str) -> i64 {
        self.rows(&format!("select ({sql})::int8")).await[0].get(0)
    }

    /// Ages every rotation beyond the default grace window.
    pub(crate) async fn close_grace_windows(&self) {
        self.execute("update sessions set rotated_at = rotated_at - interval '31 seconds'").await;
    }

    pub(crate) async fn execute(&self, sql: &str) {
        let client = self.client().await;
        match sql.strip_prefix("update sessions set ") {
            // Citus computes no time from a row, but its parts do.
            Some(change) if self.is_distributed && !change.contains(';') => {
                let change = format!("update %s set {change}");
                let sql = "select bool_and(success) from run_command_on_shards('sessions', $1)";
                assert!(client.query_one(sql, &[&change]).await.unwrap().get::<_, bool>(0), "{change}");
            }
            _ => client.batch_execute(sql).await.unwrap(),
        }
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        let (url, sql) = (self.admin_url.clone(), format!("drop database if exists {} with (force)", self.name));
        let dropped = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async { connect(&url).await.batch_execute(&sql).await })
        });
        // A test that failed has the say; the next run sweeps.
        drop(dropped.join());
    }
}

impl Server {
    async fn start() -> Self {
        let environment = config::environment();
        let server = match environment.get("TEST_DATABASE_URL") {
            Some(url) => Self::Given(url.clone()),
            None if through().as_deref() == Some("tls") => Self::Tls(TlsPostgres::start().await),
            None if through().as_deref() == Some("citus") => {
                Self::Citus(Citus::start().await.expect("Citus is installed"))
            }
            None => Self::Ours(own_cluster(&[]).await),
        };
        server.sweep().await;
        server
    }

    fn url(&self, database: &str) -> String {
        match self {
            Self::Ours(cluster) | Self::Citus(Citus { cluster }) => cluster.url(database),
            Self::Tls(postgres) => postgres.url("localhost", database, "sslmode=verify-full&sslrootcert=CA"),
            Self::Given(url) => {
                let (address, query) = url.split_once('?').unwrap_or((url, ""));
                let (server, _) = address.rsplit_once('/').expect("TEST_DATABASE_URL ends in /database");
                format!("{server}/{database}?{query}")
            }
        }
    }

    /// For the tests themselves, which do not go by way of TLS.
    fn admin_url(&self, database: &str) -> String {
        match self {
            Self::Tls(postgres) => postgres.cluster.url(database),
            Self::Ours(_) | Self::Citus(_) | Self::Given(_) => self.url(database),
        }
    }

    /// Drops what runs that were killed left behind: their names have the time of their making.
    async fn sweep(&self) {
        let hour_ago =
            SystemTime::now().duration_since(UNIX_EPOCH).unwrap().checked_sub(Duration::from_hours(1)).unwrap();
        let client = connect(&self.admin_url("postgres")).await;
        let names = client.query("select datname from pg_database where datname like 'claviger\\_test\\_%'", &[]);
        for row in names.await.unwrap() {
            let name: String = row.get(0);
            let made: Option<u64> = name.split('_').nth(2).and_then(|seconds| seconds.parse().ok());
            if made.is_some_and(|made| made < hour_ago.as_secs()) {
                drop(client.batch_execute(&format!("drop database if exists {name} with (force)")).await);
            }
        }
    }
}

/// A private server that is thrown away with the process, for tests that stop it or need it set up in their own way.
pub(crate) async fn own_cluster(settings: &[&str]) -> Cluster {
    let started = Cluster::start(&server_programs(), &new_folder(), Purpose::Test(settings)).await;
    started.unwrap_or_else(|error| panic!("{error}"))
}

/// Where the programs of a Postgres server are.
pub(crate) fn server_programs() -> Binaries {
    let path = config::environment().remove("PATH").unwrap_or_default();
    Binaries::find(None, &path).unwrap_or_else(|error| panic!("{error}"))
}

fn new_name() -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    format!("claviger_test_{now}_{}", Uuid::new_v4().simple())
}

/// A folder that is not there yet.
pub(crate) fn new_folder() -> PathBuf {
    std::env::temp_dir().join(format!("claviger-test-{}", Uuid::new_v4().simple()))
}

/// A private server that can be stopped and started again on the same data.
pub(crate) struct RestartableCluster {
    binaries: Binaries,
    folder: PathBuf,
    pub(crate) cluster: Cluster,
}

impl RestartableCluster {
    pub(crate) async fn start() -> Self {
        let (binaries, folder) = (server_programs(), new_folder());
        let cluster = Cluster::start(&binaries, &folder, Purpose::Development).await.unwrap();
        Self { binaries, folder, cluster }
    }

    pub(crate) fn stop(&mut self) {
        self.cluster.stop().unwrap();
    }

    pub(crate) async fn restart(&mut self) {
        self.cluster = Cluster::start(&self.binaries, &self.folder, Purpose::Development).await.unwrap();
    }

    /// The process ids of the server and of all its children.
    pub(crate) fn processes(&self) -> Vec<Pid> {
        let pid_file = std::fs::read_to_string(self.folder.join("data/postmaster.pid")).unwrap();
        let postmaster = pid_file.lines().next().unwrap().parse::<i32>().unwrap();
        let entries =
            std::fs::read_dir("/proc").unwrap().filter_map(|entry| entry.unwrap().file_name().into_string().ok());
        let parent = |pid: i32| {
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
            stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse::<i32>().ok()
        };
        let children = entries.filter_map(|name| name.parse().ok()).filter(|pid| parent(*pid) == Some(postmaster));
        std::iter::once(postmaster).chain(children).filter_map(Pid::from_raw).collect()
    }
}

impl Drop for RestartableCluster {
    fn drop(&mut self) {
        drop(self.cluster.stop());
        drop(std::fs::remove_dir_all(&self.folder));
    }
}

pub(super) async fn connect(url: &str) -> Client {
    let config = PostgresUrl::parse(url).unwrap().config;
    let (client, connection) = config.connect(NoTls).await.unwrap_or_else(|error| panic!("{url}: {error:?}"));
    tokio::spawn(connection);
    client
}
