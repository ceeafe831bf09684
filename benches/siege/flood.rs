//! Logins at ten times what can be hashed, while devices refresh.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::sleep_until;

use super::figures::{Tally, compare, facts};
use super::http::{Line, post};
use super::person::Person;
use super::server::{PASSWORD, Server, user};

/// As many that no account has a failure every minute.
const ACCOUNTS: u32 = 20_000;
/// Each refreshes and calls me once a second.
const DEVICES: u32 = 50;
/// How many times what can be hashed.
const TIMES: f64 = 10.0;
const FLOODED: Duration = Duration::from_mins(1);
const QUIET: Duration = Duration::from_secs(10);
const CAPACITY_MEASURED_FOR: Duration = Duration::from_secs(10);
/// Fewer than the server lets wait, more than it hashes at once.
const CAPACITY_CALLERS: u32 = 12;
const ALLOWED: [&str; 5] =
    ["200", "401 invalid_credentials", "429 rate_limited", "503 overloaded", "503 database_unavailable"];

/// So many seconds with limits on tries, and a tenth of that without.
pub(crate) async fn run(seconds: u32) -> Vec<String> {
    let mut broken = besiege(true, seconds).await;
    broken.extend(besiege(false, seconds.div_ceil(10)).await);
    broken
}

async fn besiege(throttling: bool, seconds: u32) -> Vec<String> {
    let mut server = Server::start(throttling).await;
    server.add_accounts(ACCOUNTS).await;
    let mut devices = sign_in(server.address).await;
    let flood = Arc::new(Flood::new(server.address));
    let mut capacity = flood.capacity().await;
    eprintln!("limits on tries {throttling}: {capacity:.2} logins a second can be hashed");

    let (mut without, mut with, mut answers) =
        ((Tally::default(), Tally::default()), Default::default(), Tally::default());
    let length = Duration::from_secs(seconds.into());
    let mut flooded = Duration::ZERO;
    while flooded < length {
        devices = round(devices, QUIET, &mut without).await;
        let window = FLOODED.min(length.saturating_sub(flooded));
        let began = Instant::now();
        let flooding = tokio::spawn(Arc::clone(&flood).run(capacity * TIMES, window));
        devices = round(devices, window, &mut with).await;
        let answered = flooding.await.unwrap();
        // More than was measured, if others left this machine more of its cores.
        capacity = capacity.max(per_second(hashed(&answered), began.elapsed()));
        answers.append(answered);
        flooded += window;
        eprintln!(
            "{} s of flood: {} answers, {} of them hashed; refresh p99 {:.1} ms, {:.1} ms without; {} in use",
            flooded.as_secs(),
            answers.total(),
            hashed(&answers),
            with.0.figures().percentile(99),
            without.0.figures().percentile(99),
            server.megabytes("VmRSS"),
        );
    }

    println!(
        "Limits on tries: {}. {} s of flood in turns with quiet.\n",
        if throttling { "on" } else { "off" },
        flooded.as_secs()
    );
    compare("flood", &[("refresh", &without.0, &with.0), ("me", &without.1, &with.1)]);
    answers.print("answers to the flood");
    facts(
        "server",
        &[
            ("logins a second that can be hashed", &format!("{capacity:.2}")),
            ("logins a second in the flood", &format!("{:.2}", per_second(answers.total(), flooded))),
            ("of them hashed", &format!("{:.2}", per_second(hashed(&answers), flooded))),
            ("memory, most ever", &server.megabytes("VmHWM")),
            ("memory, at the end", &server.megabytes("VmRSS")),
            ("memory allowed", &Server::memory_limit()),
        ],
    );

    let mut broken = server.complaints();
    let errors = |name: &str, tally: &Tally| {
        tally.others(&["200"]).into_iter().map(|found| format!("{name}: {found}")).collect::<Vec<_>>()
    };
    for (name, tally) in
        [("refresh", &without.0), ("me", &without.1), ("refresh under flood", &with.0), ("me under flood", &with.1)]
    {
        broken.extend(errors(name, tally));
    }
    broken.extend(answers.others(&ALLOWED).into_iter().map(|found| format!("a login of the flood: {found}")));
    if answers.count("503 overloaded") < answers.total() / 2 {
        broken.push("the flood did not fill the queue of hashes, so it shows nothing".to_owned());
    }
    broken
}

/// Answers that took a hash.
fn hashed(answers: &Tally) -> usize {
    answers.count("200") + answers.count("401")
}

fn per_second(count: usize, time: Duration) -> f64 {
    f64::from(u32::try_from(count).unwrap()) / time.as_secs_f64()
}

async fn sign_in(server: SocketAddr) -> Vec<Person> {
    let mut devices = Vec::new();
    for n in 0..DEVICES {
        let mut device = Person::new(Line::kept(server), format!("192.0.2.{n}"), user(n));
        assert_eq!(device.login().await.unwrap().status, 200, "signing in works");
        devices.push(device);
    }
    devices
}

/// Each device refreshes and calls me once a second at moments fixed beforehand, however long the answers take.
async fn round(devices: Vec<Person>, length: Duration, tallies: &mut (Tally, Tally)) -> Vec<Person> {
    let started = Instant::now();
    let mut calling = JoinSet::new();
    for (n, mut device) in (0..DEVICES).zip(devices) {
        calling.spawn(async move {
            let (mut refreshes, mut mes) = (Tally::default(), Tally::default());
            let mut due = started + Duration::from_secs(1) * n / DEVICES;
            while due < started + length {
                sleep_until(due.into()).await;
                refreshes.add(due, &device.refresh().await);
                let due_me = due + Duration::from_millis(500);
                sleep_until(due_me.into()).await;
                mes.add(due_me, &device.me().await);
                due += Duration::from_secs(1);
            }
            (device, refreshes, mes)
        });
    }
    let mut devices = Vec::new();
    while let Some(joined) = calling.join_next().await {
        let (device, refreshes, mes) = joined.unwrap();
        devices.push(device);
        tallies.0.append(refreshes);
        tallies.1.append(mes);
    }
    devices
}

/// Those who flood: from ever new networks, for known and unknown addresses, with wrong and right passwords.
struct Flood {
    server: SocketAddr,
    sent: AtomicU32,
    idle: Mutex<Vec<Line>>,
}

impl Flood {
    fn new(server: SocketAddr) -> Self {
        Self { server, sent: AtomicU32::new(0), idle: Mutex::default() }
    }

    /// Right logins a second, with enough at once that the server is never idle.
    async fn capacity(self: &Arc<Self>) -> f64 {
        let started = Instant::now();
        let mut calling = JoinSet::new();
        for n in 0..CAPACITY_CALLERS {
            let mut line = Line::kept(self.server);
            calling.spawn(async move {
                let mut done = 0;
                while started.elapsed() < CAPACITY_MEASURED_FOR {
                    let login = post(
                        "/api/auth/login",
                        &format!("198.51.100.{n}"),
                        &json!({ "email": user(n), "password": PASSWORD }),
                    );
                    assert_eq!(line.call(&login).await.unwrap().status, 200, "signing in works");
                    done += u32::from(started.elapsed() < CAPACITY_MEASURED_FOR);
                }
                done
            });
        }
        let done: u32 = calling.join_all().await.into_iter().sum();
        f64::from(done) / CAPACITY_MEASURED_FOR.as_secs_f64()
    }

    /// Tries at moments fixed beforehand, and waits for the last answer.
    async fn run(self: Arc<Self>, per_second: f64, length: Duration) -> Tally {
        let started = Instant::now();
        let mut trying = JoinSet::new();
        for n in 0_u32.. {
            let due = Duration::from_secs_f64(f64::from(n) / per_second);
            if due >= length {
                break;
            }
            sleep_until((started + due).into()).await;
            let flood = Arc::clone(&self);
            trying.spawn(async move { flood.attempt(started + due).await });
        }
        let mut answers = Tally::default();
        while let Some(joined) = trying.join_next().await {
            answers.append(joined.unwrap());
        }
        answers
    }

    async fn attempt(&self, due: Instant) -> Tally {
        let request = login(self.sent.fetch_add(1, Ordering::Relaxed));
        let idle = self.idle.lock().unwrap().pop();
        let mut line = idle.unwrap_or_else(|| Line::kept(self.server));
        let answer = line.call(&request).await;
        self.idle.lock().unwrap().push(line);
        let mut tally = Tally::default();
        tally.add(due, &answer);
        tally
    }
}

/// Two in five for known addresses with wrong passwords, two for unknown ones, one with the right password.
fn login(n: u32) -> Vec<u8> {
    // Neighbours in time are strangers in everything else.
    let mixed = n.wrapping_mul(2_654_435_761);
    let known = user(mixed % ACCOUNTS);
    let (email, password) = match n % 5 {
        0 | 1 => (known, format!("wrong {n}")),
        2 | 3 => (format!("nobody{n}@example.net"), PASSWORD.to_owned()),
        _ => (known, PASSWORD.to_owned()),
    };
    post("/api/auth/login", &network(n), &json!({ "email": email, "password": password }))
}

/// An address in a network of its own for each number: IPv4 and IPv6 in turns.
pub(crate) fn network(n: u32) -> String {
    if n.is_multiple_of(2) {
        Ipv4Addr::from_bits(0x0100_0000 + n).to_string()
    } else {
        Ipv6Addr::from_bits((0x2001_0db8 << 96) + (u128::from(n) << 64) + 1).to_string()
    }
}
