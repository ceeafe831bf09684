//! A Postgres that is gone with this process, filled as a service leaves it after months.

use std::fs;

use claviger::config::{self, PostgresUrl};
use claviger::dev::binaries::Binaries;
use claviger::dev::cluster::{Cluster, Purpose};
use tokio_postgres::{Client, NoTls};
use uuid::Uuid;

use crate::processes::{Machine, private_kilobytes};

/// As installations have it, with checkpoints only when they are asked for.
const SETTINGS: [&str; 6] = [
    "fsync=on",
    "synchronous_commit=on",
    "full_page_writes=on",
    "shared_buffers=1GB",
    "checkpoint_timeout=1h",
    "max_wal_size=20GB",
];
/// Rows of each round are refreshed in so many parts, so that pages are tidied in between, as they are in life.
const PARTS: u32 = 20;

pub(crate) struct Postgres {
    cluster: Cluster,
    client: Client,
}

/// What a table takes.
pub(crate) struct Size {
    pub(crate) rows: i64,
    pub(crate) heap: i64,
    pub(crate) indexes: i64,
    /// The share of updates that touched no index.
    pub(crate) hot: Option<f64>,
}

impl Postgres {
    pub(crate) async fn start() -> Self {
        let path = config::environment().remove("PATH").unwrap_or_default();
        let binaries = Binaries::find(None, &path).unwrap_or_else(|error| panic!("{error}"));
        let folder = std::env::temp_dir().join(format!("claviger-bench-{}", Uuid::new_v4().simple()));
        let cluster = Cluster::start(&binaries, &folder, Purpose::Test(&SETTINGS)).await.unwrap();
        let config = PostgresUrl::parse(&cluster.default_url()).unwrap().config;
        let (client, connection) = config.connect(NoTls).await.unwrap();
        tokio::spawn(connection);
        eprintln!("the database, for a look: {}", cluster.psql());
        Self { cluster, client }
    }

    pub(crate) fn url(&self) -> String {
        self.cluster.default_url()
    }

    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    pub(crate) async fn version(&self) -> String {
        let version: String = self.client.query_one("show server_version", &[]).await.unwrap().get(0);
        format!("Postgres {}", version.split(' ').next().unwrap_or_default())
    }

    /// Users with a session each, in no order, as many logins over a long time leave them, and an event for every tenth.
    pub(crate) async fn fill(&self, users: u32, password_hash: &str) {
        eprintln!("adding {users} users");
        let people = format!(
            "insert into users (id, email, password_hash, full_name, last_login_at)
             select gen_random_uuid(), 'firstname.lastname' || n || '@example.org', '{password_hash}',
                    'Firstname Lastname', now()
             from generate_series(1, {users}) n"
        );
        let agent = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36";
        let sessions = format!(
            "insert into sessions (user_id, id, secret_hash, rotated_at, created_at, expires_at, user_agent, ip_address)
             select id, gen_random_uuid(), sha256(id::text::bytea), now(), now(), now() + interval '30 days', '{agent}',
                    '192.0.2.1'
             from users order by random()"
        );
        let events = format!(
            "insert into events (user_id, kind, outcome, session_id, ip_address, user_agent, request_id)
             select user_id, 'logged_in', 'success', id, ip_address, user_agent, gen_random_uuid()::text
             from sessions limit {users} / 10"
        );
        for sql in [&people, &sessions, &events, "vacuum (analyze)", "checkpoint"] {
            self.client.batch_execute(sql).await.unwrap();
        }
    }

    /// Every session is refreshed as often as that, a part at a time and in no order.
    pub(crate) async fn churn(&self, rounds: u32) {
        for round in 1..=rounds {
            eprintln!("refreshing all sessions, {round} of {rounds}");
            for part in 0..PARTS {
                let sql = format!(
                    "update sessions set generation = generation + 1, secret_hash = sha256(secret_hash),
                            rotated_at = clock_timestamp(), user_agent = user_agent, ip_address = ip_address
                     where abs(hashtext(id::text || {round})) % {PARTS} = {part}"
                );
                self.client.batch_execute(&sql).await.unwrap();
            }
        }
        self.client.batch_execute("vacuum (analyze) sessions").await.unwrap();
    }

    pub(crate) async fn size(&self, table: &str) -> Size {
        let sql = format!(
            "select (select count(*) from {table}), pg_table_size('{table}'), pg_indexes_size('{table}'),
                    (select n_tup_hot_upd / nullif(n_tup_upd, 0)::float8 from pg_stat_user_tables where relname = '{table}')"
        );
        // What other connections counted is told a moment later.
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
        let row = self.client.query_one(&sql, &[]).await.unwrap();
        Size { rows: row.get(0), heap: row.get(1), indexes: row.get(2), hot: row.get(3) }
    }

    /// How much write-ahead log there was so far, in bytes.
    pub(crate) async fn log(&self) -> i64 {
        let sql = "select (pg_current_wal_insert_lsn() - '0/0')::int8";
        self.client.query_one(sql, &[]).await.unwrap().get(0)
    }

    pub(crate) async fn checkpoint(&self) {
        self.client.batch_execute("checkpoint").await.unwrap();
    }

    /// Changes a setting for everybody.
    pub(crate) async fn set(&self, name: &str, value: &str) {
        self.client.batch_execute(&format!("alter system set {name} = {value}")).await.unwrap();
        self.client.batch_execute("select pg_reload_conf()").await.unwrap();
        let shown = format!("show {name}");
        for _ in 0..500 {
            let now: String = self.client.query_one(&shown, &[]).await.unwrap().get(0);
            if now == value {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        panic!("{name} did not become {value}");
    }

    /// The postmaster, whose children are all others.
    pub(crate) fn machine(&self) -> Machine {
        let file = fs::read_to_string(self.cluster.folder().join("data/postmaster.pid")).unwrap();
        Machine(file.lines().next().unwrap().trim().parse().unwrap())
    }

    /// What the server's connections have for themselves, on average.
    pub(crate) async fn megabytes_of_a_connection(&self) -> f64 {
        let sql = "select pid from pg_stat_activity where backend_type = 'client backend' and pid <> pg_backend_pid()";
        let pids = self.client.query(sql, &[]).await.unwrap();
        let kilobytes: u64 = pids.iter().map(|row| private_kilobytes(row.get::<_, i32>(0).unsigned_abs())).sum();
        kilobytes as f64 / 1_024.0 / pids.len() as f64
    }
}
