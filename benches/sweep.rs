//! What sweeping costs those who refresh meanwhile.
//!
//! `make sweep`, or `cargo bench --bench sweep -- 200000 300` for so many dead rows and refreshes a second. Rounds with
//! and without the sweep take turns in one run, so that both meet the same machine: the ratios in the last line say more
//! than the milliseconds, which are those of this disk, with everything on one machine.
//!
//! Fails when a refresh fails, a live row is lost, or a dead one is left.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a benchmark that panics has failed, and prints what it has measured"
)]

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use claviger::app::App;
use claviger::auth::sweep::{Removed, Sweep};
use claviger::config::{self, PostgresUrl};
use claviger::dev::binaries::Binaries;
use claviger::dev::cluster::{Cluster, Purpose};
use claviger::store::Store;
use serde_json::{Value, json};
use tokio::runtime::Runtime;
use tokio::sync::{mpsc as tasks, oneshot};
use tokio_postgres::{Client, NoTls};
use uuid::Uuid;

const DEAD_ROWS: u32 = 1_000_000;
const LIVE_ROWS: u32 = 100_000;
/// Whose rows they are.
const USERS: u32 = 10_000;
/// Those who refresh.
const DEVICES: u32 = 50;
const REFRESHES_PER_SECOND: u32 = 150;
/// How long it goes on with the sweep, or without it, before the other has its turn.
const ROUND: Duration = Duration::from_secs(5);
/// Between rounds, so that a step of the sweep that is under way ends in nobody's time.
const PAUSE: Duration = Duration::from_millis(300);
/// As installations have it: the private server is otherwise set up for speed.
const DURABLE: [&str; 3] = ["fsync=on", "synchronous_commit=on", "full_page_writes=on"];
const DEAD: &str = "select count(*) from sessions where ended_at is not null";
const LIVE: &str = "select count(*) from sessions where ended_at is null";
const TABLE: &str = "select pg_table_size('sessions')";
const WAL: &str = "select pg_current_wal_insert_lsn() - '0/0'";
const MEGABYTE: i64 = 1 << 20;

fn main() -> ExitCode {
    // `cargo bench` adds `--bench`.
    let mut numbers = std::env::args().skip(1).filter(|argument| !argument.starts_with("--"));
    let mut number = |or: u32| numbers.next().map_or(or, |text| text.parse().expect("a number"));
    let (dead, rate) = (number(DEAD_ROWS), number(REFRESHES_PER_SECOND));

    let runtime = Runtime::new().unwrap();
    let (database, server, load) = runtime.block_on(async {
        let database = Database::start().await;
        let server = Server::start(&database.cluster.default_url()).await;
        let load = Load::sign_in(server.address, rate).await;
        database.fill(dead).await;
        (database, server, load)
    });
    let number = |sql: &str| runtime.block_on(database.number(sql));
    let (live, table) = (number(LIVE), number(TABLE));

    let measured = measure(&server, &load, || number(WAL));

    let (dead_left, live_left) = (number(DEAD), number(LIVE));
    let removed = measured.removed.sessions;
    let seconds = measured.swept_for.as_secs_f64();
    println!("| phase | refreshes | errors | p50 ms | p90 ms | p99 ms | max ms |\n|---|--:|--:|--:|--:|--:|--:|");
    println!("| A: no sweep | {} |\n| B: sweep | {} |\n", measured.without.cells(), measured.with.cells());
    println!("| sweep | |\n|---|--:|\n| rows removed | {removed} |\n| length | {seconds:.1} s |");
    println!("| rows removed per second | {:.0} |", f64::from(dead) / seconds);
    println!("| write-ahead log meanwhile | {} MB |", measured.wal / MEGABYTE);
    println!("| table before, after | {} MB, {} MB |", table / MEGABYTE, number(TABLE) / MEGABYTE);
    println!("| dead versions after, for vacuum | {} |", number(&statistic("n_dead_tup")));
    println!("| autovacuums of the table meanwhile | {} |", number(&statistic("autovacuum_count")));
    println!("| dead rows left | {dead_left} |\n| live rows before, after | {live}, {live_left} |\n");
    let ratio = |percent| measured.with.percentile(percent) / measured.without.percentile(percent);
    println!("B/A: p50 {:.2}, p99 {:.2}", ratio(50), ratio(99));

    let kept = live_left == live && dead_left == 0 && removed == i64::from(dead);
    if kept && measured.without.errors + measured.with.errors == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn statistic(name: &str) -> String {
    format!("select {name} from pg_stat_user_tables where relname = 'sessions'")
}

struct Measured {
    without: Figures,
    with: Figures,
    removed: Removed,
    swept_for: Duration,
    wal: i64,
}

/// One sweep, stopped for a round after each round.
fn measure(server: &Server, load: &Load, wal: impl Fn() -> i64) -> Measured {
    let gate = Mutex::new(());
    let gone = AtomicI64::new(0);
    let sweep = || {
        let step = |removed: Removed| {
            gone.store(removed.sessions, Ordering::Relaxed);
            drop(gate.lock());
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(server.sweep.run(&server.store, step)).unwrap()
    };
    let (mut without, mut with) = (Vec::new(), Vec::new());
    let (mut swept_for, mut written) = (Duration::ZERO, 0);
    std::thread::scope(|scope| {
        without.extend(load.round("no sweep", || false));
        let sweeping = scope.spawn(sweep);
        while !sweeping.is_finished() {
            let (started, before) = (Instant::now(), wal());
            with.extend(load.round("sweep", || sweeping.is_finished()));
            swept_for += started.elapsed();
            written += wal() - before;
            let closed = gate.lock();
            eprintln!("{} rows are gone", gone.load(Ordering::Relaxed));
            std::thread::sleep(PAUSE);
            without.extend(load.round("no sweep", || false));
            drop(closed);
        }
        let removed = sweeping.join().expect("the sweep succeeds");
        Measured { without: Figures::of(&without), with: Figures::of(&with), removed, swept_for, wal: written }
    })
}

/// A Postgres that is gone with this process.
struct Database {
    cluster: Cluster,
    client: Client,
}

impl Database {
    async fn start() -> Self {
        let path = config::environment().remove("PATH").unwrap_or_default();
        let binaries = Binaries::find(None, &path).unwrap_or_else(|error| panic!("{error}"));
        let folder = std::env::temp_dir().join(format!("claviger-bench-{}", Uuid::new_v4().simple()));
        let cluster = Cluster::start(&binaries, &folder, Purpose::Test(&DURABLE)).await.unwrap();
        let config = PostgresUrl::parse(&cluster.default_url()).unwrap().config;
        let (client, connection) = config.connect(NoTls).await.unwrap();
        tokio::spawn(connection);
        eprintln!("the database, for a look: {}", cluster.psql());
        Self { cluster, client }
    }

    /// Adds dead and live rows in no order, as many logins over a long time leave them, and makes the database look as if
    /// that was long ago.
    async fn fill(&self, dead: u32) {
        eprintln!("adding {dead} dead and {LIVE_ROWS} live rows");
        let users = format!(
            "insert into users (id, email, password_hash)
             select gen_random_uuid(), 'user' || n || '@example.org', 'none' from generate_series(0, {USERS} - 1) n"
        );
        let sessions = format!(
            "insert into sessions (user_id, id, secret_hash, rotated_at, created_at, expires_at, ended_at, ended_by,
                                   user_agent, ip_address)
             select u.id, gen_random_uuid(), sha256(n::text::bytea), now() - interval '9 days' * (n <= {dead})::int,
                    now() - interval '20 days', now() + interval '10 days',
                    case when n <= {dead} then now() - interval '8 days' - n * interval '1 millisecond' end,
                    case when n <= {dead} then 'logout' end,
                    'Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0', '192.0.2.1'
             from generate_series(1, {dead} + {LIVE_ROWS}) n
             join users u on u.email = 'user' || n % {USERS} || '@example.org'
             order by random()"
        );
        for sql in [&users, &sessions, "vacuum (analyze) users", "vacuum (analyze) sessions", "checkpoint"] {
            self.client.batch_execute(sql).await.unwrap();
        }
    }

    async fn number(&self, sql: &str) -> i64 {
        self.client.query_one(&format!("select ({sql})::int8"), &[]).await.unwrap().get(0)
    }
}

/// A server on a thread of its own, which does not sweep by itself.
struct Server {
    address: SocketAddr,
    store: Store,
    sweep: Sweep,
    _stop: oneshot::Sender<()>,
}

impl Server {
    async fn start(database_url: &str) -> Self {
        let environment = [
            ("DATABASE_URL", database_url),
            ("JWT_SECRET", "fWq3kPz7RtYx1VbN5mLc9HsD2gJ8aKeU4oXi6TvB0nE"),
            ("REFRESH_SECRET", "Zr8uYw2QmXc6TnV4bKp0LsJ7hGf3DdAe9RiOx5EtN1k"),
            ("PORT", "0"),
            ("CLAVIGER__SERVER__HOST", "127.0.0.1"),
            ("CLAVIGER__PASSWORD__BCRYPT_COST", "4"),
            ("CLAVIGER__SESSIONS__SWEEP_EVERY", "0s"),
            // Every refresh rotates.
            ("CLAVIGER__REFRESH_TOKEN__GRACE", "0s"),
        ];
        let environment: BTreeMap<_, _> = environment.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        let settings = config::load(None, &environment, &BTreeMap::new()).unwrap().settings;
        let sweep = Sweep { sessions: settings.sessions, events_kept: settings.events_kept };
        let (stop, stopped) = oneshot::channel::<()>();
        let (tell, told) = oneshot::channel();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let app = App::build(settings).unwrap();
                drop(tell.send((app.address(), app.store())));
                app.run(async { drop(stopped.await) }).await.unwrap();
            });
        });
        let (address, store) = told.await.expect("the server starts");
        while store.check_ready().await.is_err() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Self { address, store, sweep, _stop: stop }
    }
}

/// Devices that refresh at moments fixed beforehand, however long the answers take.
struct Load {
    rate: u32,
    devices: Vec<tasks::UnboundedSender<Instant>>,
    answers: mpsc::Receiver<Answer>,
}

/// How long after its moment a refresh was answered, and whether with new tokens.
struct Answer {
    after: Duration,
    refreshed: bool,
}

impl Load {
    async fn sign_in(server: SocketAddr, rate: u32) -> Self {
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        let (answered, answers) = mpsc::channel();
        let mut devices = Vec::new();
        for n in 0..DEVICES {
            let mut device = Device { http: http.clone(), server, token: String::new() };
            let account =
                json!({ "email": format!("device{n}@example.com"), "password": "correct horse battery staple" });
            assert!(device.post("register", &account).await, "registering works");
            let (call, mut calls) = tasks::unbounded_channel::<Instant>();
            let answered = answered.clone();
            tokio::spawn(async move {
                while let Some(due) = calls.recv().await {
                    let refreshed = device.post("refresh", &json!({ "refresh_token": device.token })).await;
                    drop(answered.send(Answer { after: due.elapsed(), refreshed }));
                }
            });
            devices.push(call);
        }
        Self { rate, devices, answers }
    }

    /// Refreshes for one round, or until `done`, and waits for the answers.
    fn round(&self, name: &str, done: impl Fn() -> bool) -> Vec<Answer> {
        let started = Instant::now();
        let mut sent = 0;
        for device in self.devices.iter().cycle() {
            let due = Duration::from_secs(1) * sent / self.rate;
            if due >= ROUND || done() {
                break;
            }
            std::thread::sleep(due.saturating_sub(started.elapsed()));
            device.send(started + due).unwrap();
            sent += 1;
        }
        let answers: Vec<Answer> = (0..sent).map(|_| self.answers.recv().unwrap()).collect();
        let seconds = started.elapsed().as_secs_f64();
        eprintln!(
            "{name:>8}: refreshes, errors, p50, p90, p99, max: {} in {seconds:.1} s",
            Figures::of(&answers).cells()
        );
        answers
    }
}

struct Device {
    http: reqwest::Client,
    server: SocketAddr,
    token: String,
}

impl Device {
    /// Calls, and keeps the token that comes back; says whether one did.
    async fn post(&mut self, path: &str, body: &Value) -> bool {
        let request = self.http.post(format!("http://{}/api/auth/{path}", self.server)).json(body);
        let Ok(response) = request.send().await else { return false };
        let answer: Value = response.json().await.unwrap_or_default();
        let Some(token) = answer["refresh_token"].as_str() else { return false };
        token.clone_into(&mut self.token);
        true
    }
}

struct Figures {
    sorted: Vec<Duration>,
    errors: usize,
}

impl Figures {
    fn of(answers: &[Answer]) -> Self {
        let errors = answers.iter().filter(|answer| !answer.refreshed).count();
        let mut sorted: Vec<_> = answers.iter().map(|answer| answer.after).collect();
        sorted.sort_unstable();
        Self { sorted, errors }
    }

    /// In milliseconds.
    fn percentile(&self, percent: usize) -> f64 {
        let index = (self.sorted.len() * percent / 100).min(self.sorted.len().saturating_sub(1));
        self.sorted.get(index).map_or(f64::NAN, |time| time.as_secs_f64() * 1_000.0)
    }

    fn cells(&self) -> String {
        let times = [50, 90, 99, 100].map(|percent| format!("{:.1}", self.percentile(percent))).join(" | ");
        format!("{} | {} | {times}", self.sorted.len(), self.errors)
    }
}
