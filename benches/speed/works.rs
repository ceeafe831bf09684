//! The works that are measured, and their limits.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Plan;
use super::callers::{Round, closed, open};
use super::ground::{Ground, Server};
use super::processes::{memory, worked, worked_with_children};
use super::users::Call;
use super::{limits, report};

/// Callers at once, and pgbench's clients.
const CALLERS: u32 = 16;
/// Requests a second in the open loop.
const ME_RATE: u32 = 500;
const REFRESH_RATE: u32 = 150;
const MANY_CONNECTIONS: u32 = 1_000;
const STARTS: u32 = 15;

/// All that was measured.
#[derive(Default)]
pub(crate) struct Measured {
    pub(crate) shares: Vec<Share>,
    pub(crate) latencies: Vec<Latency>,
    pub(crate) numbers: Vec<Number>,
    pub(crate) failures: BTreeMap<String, u32>,
}

/// A work in closed loop beside its limit.
pub(crate) struct Share {
    pub(crate) work: &'static str,
    pub(crate) limit: &'static str,
    pub(crate) rounds: Vec<Pair>,
    /// What it should reach: the share of the limit, and the multiple of the least processor time.
    pub(crate) target: (f64, f64),
}

/// One round of each.
pub(crate) struct Pair {
    pub(crate) rate: f64,
    pub(crate) limit: f64,
    /// Milliseconds of processor time for a request: the server's, Postgres', and the least.
    pub(crate) server: f64,
    pub(crate) postgres: f64,
    pub(crate) least: f64,
}

/// Times in milliseconds.
pub(crate) struct Latency {
    pub(crate) what: String,
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    /// Of p50 and p99.
    pub(crate) target: Option<(f64, f64)>,
}

/// A number and what it should be at most.
pub(crate) struct Number {
    pub(crate) what: &'static str,
    pub(crate) value: f64,
    pub(crate) bare: f64,
    pub(crate) target: f64,
    pub(crate) unit: &'static str,
}

impl Measured {
    pub(crate) fn failed(&self) -> bool {
        !self.failures.is_empty()
    }

    fn note(&mut self, round: &Round) {
        for (failure, times) in &round.failures {
            *self.failures.entry(failure.clone()).or_default() += times;
        }
    }
}

/// How fast something goes, and the processor time that one of it takes in Postgres, in milliseconds.
#[derive(Clone, Copy)]
struct Speed {
    rate: f64,
    postgres: f64,
}

struct Bench<'a> {
    plan: &'a Plan,
    ground: Ground,
    server: Server,
    bare: Server,
}

pub(crate) async fn measure(plan: &Plan) -> Measured {
    let ground = Ground::prepare(plan.sessions).await;
    let mut measured = Measured::default();
    if plan.wants("start") {
        starts(&ground, &mut measured).await;
    }
    let ((server, _), (bare, _)) = (ground.server().await, Server::bare().await);
    let bench = Bench { plan, ground, server, bare };
    if plan.wants("memory") {
        bench.memory(&mut measured).await;
    }
    let (login, register, refresh, me, check, mix) =
        (Call::Login, Call::Register, Call::Refresh, Call::Me, Call::Check, Call::Mix);
    for (work, call, limit, target) in [
        ("me", me, "pgbench, one row selected", (0.6, 2.5)),
        ("check", check, "bare actix-web that verifies HS256", (0.85, 1.3)),
        ("refresh", refresh, "pgbench, one row updated", (0.75, 2.0)),
        ("login", login, "the crate bcrypt on all cores", (1.1, 0.9)),
        ("register", register, "the crate bcrypt on all cores", (1.1, 0.9)),
        ("mix", mix, "the same mix of limits", (0.8, 1.15)),
    ] {
        if plan.wants(work) {
            let mut share = Share { work, limit, rounds: Vec::new(), target };
            for number in 1..=plan.rounds {
                let pair = bench.pair(call, &mut measured).await;
                eprintln!("{work} {number}: {:.0}/s of {:.0}/s", pair.rate, pair.limit);
                share.rounds.push(pair);
            }
            measured.shares.push(share);
        }
    }
    if plan.wants("latency") {
        bench.latencies(&mut measured).await;
    }
    if plan.wants("saturated") {
        bench.saturated(&mut measured).await;
    }
    measured
}

impl Plan {
    fn wants(&self, work: &str) -> bool {
        self.works.is_empty() || self.works.iter().any(|wanted| wanted == work)
    }
}

impl Bench<'_> {
    /// A work and its limit, one after the other.
    async fn pair(&self, call: Call, measured: &mut Measured) -> Pair {
        let (limit, least) = self.limit(call).await;
        let postgres = self.ground.postgres();
        let before = (worked(self.server.pid()), worked_with_children(postgres));
        let round = closed(self.server.address, &self.ground.users, call, CALLERS, self.plan.length).await;
        let after = (worked(self.server.pid()), worked_with_children(postgres));
        measured.note(&round);
        let each = |before, after| each(before, after, round.times.len() as f64);
        Pair { rate: round.rate(), limit, server: each(before.0, after.0), postgres: each(before.1, after.1), least }
    }

    /// What could be done at most in a second, and the least processor time for one, in milliseconds.
    async fn limit(&self, call: Call) -> (f64, f64) {
        match call {
            Call::Me => {
                let select = self.pgbench(limits::SELECT);
                (select.rate, select.postgres)
            }
            Call::Refresh => {
                let update = self.pgbench(limits::UPDATE);
                (update.rate, update.postgres)
            }
            Call::Login | Call::Register => {
                let (hashes, hash) = self.bcrypt();
                let (select, update) = (self.pgbench(limits::SELECT), self.pgbench(limits::UPDATE));
                (hashes, hash + select.postgres + update.postgres)
            }
            Call::Mix => {
                let (hashes, hash) = self.bcrypt();
                let (select, update) = (self.pgbench(limits::SELECT), self.pgbench(limits::UPDATE));
                let login = hash + select.postgres + update.postgres;
                let rate = 1.0 / (0.9 / select.rate + 0.08 / update.rate + 0.02 / hashes);
                (rate, 0.9 * select.postgres + 0.08 * update.postgres + 0.02 * login)
            }
            Call::Check | Call::Verify | Call::Json => {
                let call = if call == Call::Json { call } else { Call::Verify };
                let before = worked(self.bare.pid());
                let round = closed(self.bare.address, &self.ground.users, call, CALLERS, self.plan.length).await;
                (round.rate(), each(before, worked(self.bare.pid()), round.times.len() as f64))
            }
        }
    }

    fn pgbench(&self, sql: &str) -> Speed {
        let before = worked_with_children(self.ground.postgres());
        let rate = limits::pgbench(&self.ground, sql, self.plan.sessions, CALLERS, self.plan.length);
        let after = worked_with_children(self.ground.postgres());
        Speed { rate, postgres: each(before, after, rate * self.plan.length.as_secs_f64()) }
    }

    fn bcrypt(&self) -> (f64, f64) {
        let own = std::process::id();
        let before = worked(own);
        let rate = limits::bcrypt(self.plan.length);
        (rate, each(before, worked(own), rate * self.plan.length.as_secs_f64()))
    }

    async fn latencies(&self, measured: &mut Measured) {
        let length = self.plan.length;
        let mut rounds: [Option<Round>; 3] = [const { None }; 3];
        for _ in 0..self.plan.rounds {
            let asked = [
                open(self.bare.address, &self.ground.users, Call::Json, ME_RATE, length).await,
                open(self.server.address, &self.ground.users, Call::Me, ME_RATE, length).await,
                open(self.server.address, &self.ground.users, Call::Refresh, REFRESH_RATE, length).await,
            ];
            merge(&mut rounds, asked);
        }
        let names = ["bare handler, 500/s", "me, 500/s", "refresh, 150/s"];
        let targets = [None, Some((0.2, 0.6)), Some((1.2, 2.5))];
        for ((round, what), target) in rounds.into_iter().flatten().zip(names).zip(targets) {
            measured.note(&round);
            measured.latencies.push(latency(&round, what.to_owned(), target));
        }
    }

    /// Refresh and me in the open loop, without logins and while there are more of them than can be hashed.
    async fn saturated(&self, measured: &mut Measured) {
        let length = self.plan.length;
        let mut rounds: [Option<Round>; 4] = [const { None }; 4];
        let users = &self.ground.users;
        let server = self.server.address;
        let both = || async move {
            tokio::join!(
                open(server, users, Call::Me, ME_RATE / 2, length),
                open(server, users, Call::Refresh, REFRESH_RATE / 2, length)
            )
        };
        for _ in 0..self.plan.rounds {
            let without = both().await;
            let (with, logins) = tokio::join!(both(), closed(server, users, Call::Login, CALLERS, length));
            measured.note(&logins);
            merge(&mut rounds, [without.0, without.1, with.0, with.1]);
        }
        let [Some(me), Some(refresh), Some(me_with), Some(refresh_with)] = rounds else { return };
        for (what, without, with) in [("me", me, me_with), ("refresh", refresh, refresh_with)] {
            measured.note(&without);
            measured.note(&with);
            let most = 3.0 * without.percentile(99.0);
            measured.latencies.push(latency(&without, format!("{what}, no logins"), None));
            measured.latencies.push(latency(&with, format!("{what}, logins saturate"), Some((f64::INFINITY, most))));
        }
    }

    async fn memory(&self, measured: &mut Measured) {
        let idle = [&self.server, &self.bare].map(|server| memory(server.pid(), "VmRSS"));
        let mut most = [0.0; 2];
        for (most, (server, call)) in most.iter_mut().zip([(&self.server, Call::Me), (&self.bare, Call::Json)]) {
            let round = closed(server.address, &self.ground.users, call, MANY_CONNECTIONS, self.plan.length).await;
            measured.note(&round);
            *most = memory(server.pid(), "VmHWM");
        }
        measured.numbers.push(Number { what: "memory, idle", value: idle[0], bare: idle[1], target: 15.0, unit: "MB" });
        let what = "memory, 1,000 connections";
        measured.numbers.push(Number { what, value: most[0], bare: most[1], target: 60.0, unit: "MB" });
    }
}

async fn starts(ground: &Ground, measured: &mut Measured) {
    let mut times = [Vec::new(), Vec::new()];
    for _ in 0..STARTS {
        times[0].push(ground.server().await.1.as_secs_f64() * 1_000.0);
        times[1].push(Server::bare().await.1.as_secs_f64() * 1_000.0);
    }
    let [value, bare] = times.map(report::median);
    measured.numbers.push(Number { what: "start until ready", value, bare, target: 50.0, unit: "ms" });
}

fn merge<const N: usize>(rounds: &mut [Option<Round>; N], more: [Round; N]) {
    for (round, more) in rounds.iter_mut().zip(more) {
        match round {
            Some(round) => round.add(&more),
            None => *round = Some(more),
        }
    }
}

fn latency(round: &Round, what: String, target: Option<(f64, f64)>) -> Latency {
    Latency { what, p50: round.percentile(50.0), p99: round.percentile(99.0), target }
}

/// Milliseconds of processor time for each of so many.
fn each(before: Duration, after: Duration, number: f64) -> f64 {
    after.saturating_sub(before).as_secs_f64() * 1_000.0 / number
}
