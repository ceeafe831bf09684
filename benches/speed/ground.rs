//! Where it is measured: the built program over a Postgres of its own that writes to disk, and the bare server beside.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::ops::Range;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::rc::Rc;
use std::time::{Duration, Instant};

use claviger::config::{self, PostgresUrl};
use claviger::dev::binaries::Binaries;
use claviger::dev::cluster::{Cluster, Purpose};
use claviger::domain::password::Password;
use serde_json::Value;
use tokio_postgres::{Client, NoTls};
use uuid::Uuid;

use super::bare;
use super::http::{Connection, get};
use super::users::{Users, address, user_id};

pub(crate) const ACCESS_SECRET: &str = "fWq3kPz7RtYx1VbN5mLc9HsD2gJ8aKeU4oXi6TvB0nE";
pub(crate) const REFRESH_SECRET: &str = "Zr8uYw2QmXc6TnV4bKp0LsJ7hGf3DdAe9RiOx5EtN1k";
/// Also the audience.
pub(crate) const ISSUER: &str = "claviger";
/// Of all accounts.
pub(crate) const PASSWORD: &str = "correct horse battery staple";
/// Of bcrypt, for the server and for what it is compared with.
pub(crate) const COST: u32 = 10;
/// As installations have it, in the minutes between two checkpoints: the private Postgres is otherwise set up for speed.
const DURABLE: [&str; 8] = [
    "fsync=on",
    "synchronous_commit=on",
    "full_page_writes=on",
    // As docs/operations.md has it, at least for what is needed here.
    "shared_buffers=2GB",
    // One round would meet it and another not.
    "autovacuum=off",
    "checkpoint_timeout=1h",
    "max_wal_size=16GB",
    "min_wal_size=4GB",
];

/// Postgres with its tables filled.
pub(crate) struct Ground {
    cluster: Cluster,
    binaries: Binaries,
    pub(crate) users: Rc<Users>,
}

/// A server process, which ends with this.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    child: Child,
    log: Option<PathBuf>,
}

impl Ground {
    pub(crate) async fn prepare(sessions: u32) -> Self {
        let path = config::environment().remove("PATH").unwrap_or_default();
        let binaries = Binaries::find(None, &path).unwrap_or_else(|error| panic!("{error}"));
        let folder = std::env::temp_dir().join(format!("claviger-speed-{}", Uuid::new_v4().simple()));
        let cluster = Cluster::start(&binaries, &folder, Purpose::Test(&DURABLE)).await.unwrap();
        let config = PostgresUrl::parse(&cluster.default_url()).unwrap().config;
        let (database, connection) = config.connect(NoTls).await.unwrap();
        tokio::spawn(connection);
        eprintln!("the database, for a look: {}", cluster.psql());
        let (server, _) = Server::start(&cluster.default_url()).await;
        drop(server);
        let users = Rc::new(fill(&database, sessions).await);
        touch(&database).await;
        Self { cluster, binaries, users }
    }

    /// A server over it, and how long it took from its start until it was ready.
    pub(crate) async fn server(&self) -> (Server, Duration) {
        Server::start(&self.cluster.default_url()).await
    }

    pub(crate) fn url(&self) -> String {
        self.cluster.default_url()
    }

    pub(crate) fn program(&self, name: &str) -> PathBuf {
        self.binaries.program(name)
    }

    /// The process of Postgres that has started the others.
    pub(crate) fn postgres(&self) -> u32 {
        let file = fs::read_to_string(self.cluster.folder().join("data/postmaster.pid")).unwrap();
        file.lines().next().unwrap().parse().unwrap()
    }
}

impl Server {
    async fn start(database_url: &str) -> (Self, Duration) {
        let cost = COST.to_string();
        let environment = BTreeMap::from([
            ("DATABASE_URL", database_url),
            ("JWT_SECRET", ACCESS_SECRET),
            ("REFRESH_SECRET", REFRESH_SECRET),
            ("PORT", "0"),
            ("CLAVIGER__SERVER__HOST", "127.0.0.1"),
            ("CLAVIGER__SERVER__TRUSTED_PROXIES", "127.0.0.1/32"),
            ("CLAVIGER__PASSWORD__BCRYPT_COST", &cost),
            ("CLAVIGER__SESSIONS__SWEEP_EVERY", "0s"),
            // Every refresh rotates.
            ("CLAVIGER__REFRESH_TOKEN__GRACE", "0s"),
            // As many connections as pgbench has, and those that are not for requests.
            ("CLAVIGER__DATABASE__POOL_SIZE", "18"),
        ]);
        let started = Instant::now();
        // Its log goes where it costs what a log costs, and nobody's time to read it.
        let log = std::env::temp_dir().join(format!("claviger-speed-{}.log", Uuid::new_v4().simple()));
        let mut command = Command::new(env!("CARGO_BIN_EXE_claviger"));
        command.arg("serve").env_clear().envs(environment).stdin(Stdio::null()).stdout(Stdio::null());
        let child = command.stderr(File::create(&log).unwrap()).spawn().unwrap();
        let address = loop {
            let text = fs::read_to_string(&log).unwrap();
            let mut events = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
            if let Some(address) = events.find_map(|event| event["address"].as_str()?.parse().ok()) {
                break address;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        };
        let server = Self { address, child, log: Some(log) };
        let mut connection = Connection::open(address).await.unwrap();
        while connection.call(&get("/health/ready", "")).await.unwrap().status != 200 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        (server, started.elapsed())
    }

    /// The least that there can be: see `bare`.
    pub(crate) async fn bare() -> (Self, Duration) {
        let started = Instant::now();
        let mut command = Command::new(std::env::current_exe().unwrap());
        let mut child = command.arg(bare::ARGUMENT).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let server = Self { address: line.trim().parse().expect("the bare server listens"), child, log: None };
        drop(Connection::open(server.address).await.unwrap().call(&get("/json", "")).await);
        (server, started.elapsed())
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
        drop(self.log.as_ref().map(fs::remove_file));
    }
}

/// Adds everybody, and a table of as many rows of the same size for pgbench.
async fn fill(database: &Client, sessions: u32) -> Users {
    eprintln!("adding {sessions} sessions");
    let hash = Password::claimed(PASSWORD).hash(COST).unwrap();
    for users in chunks(0..Users::number(sessions)) {
        let (ids, addresses): (Vec<_>, Vec<_>) = users.map(|user| (user_id(user), address(user))).unzip();
        let sql = "insert into users (id, email, password_hash) select *, $3::text from unnest($1::uuid[], $2::text[])";
        database.execute(sql, &[&ids, &addresses, &hash.as_stored()]).await.unwrap();
    }
    let mut tokens = Vec::new();
    let users = Users::new(sessions, |token| tokens.push((token.user_id, token.session_id, token.hash())));
    for tokens in tokens.chunks(CHUNK) {
        let user_ids: Vec<_> = tokens.iter().map(|(user, ..)| user).collect();
        let ids: Vec<_> = tokens.iter().map(|(_, id, _)| id).collect();
        let hashes: Vec<_> = tokens.iter().map(|(.., hash)| hash.0.as_slice()).collect();
        let sql = "insert into sessions (user_id, id, secret_hash, rotated_at, created_at, expires_at, user_agent, ip_address)
                   select *, now(), now(), now() + interval '20 days',
                          'Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0', '192.0.2.1'
                   from unnest($1::uuid[], $2::uuid[], $3::bytea[])";
        database.execute(sql, &[&user_ids, &ids, &hashes]).await.unwrap();
    }
    let rows = format!(
        "create table bench_rows (id bigint primary key, generation bigint not null, rotated_at timestamptz not null, filler bytea)
         with (fillfactor = 70);
         insert into bench_rows select n, 0, now(), decode(repeat('00', 170), 'hex') from generate_series(1, {sessions}) n"
    );
    for sql in [&rows, "vacuum (analyze) users", "vacuum (analyze) sessions", "vacuum (analyze) bench_rows"] {
        database.batch_execute(sql).await.unwrap();
    }
    users
}

/// After a checkpoint the first change of each page is logged with the whole page. That is over for most of the time between
/// two, and is brought behind them here: whoever changes more rows in a round would otherwise be favoured by it.
async fn touch(database: &Client) {
    database.batch_execute("checkpoint").await.unwrap();
    for table in ["sessions", "bench_rows"] {
        let sql = format!(
            "update {table} set generation = generation where ctid = any(array(
               select format('(%s,1)', page)::tid from generate_series(0, pg_relation_size('{table}') / 8192 - 1) page))"
        );
        database.batch_execute(&sql).await.unwrap();
    }
}

/// As many rows as are added at once.
const CHUNK: usize = 20_000;

fn chunks(numbers: Range<u32>) -> impl Iterator<Item = Range<u32>> {
    let end = numbers.end;
    numbers.step_by(CHUNK).map(move |from| from..end.min(from + u32::try_from(CHUNK).unwrap()))
}
