//! The primary fails under load and the standby takes over: every session survives, and so does everything that was answered.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use reqwest::{Method, RequestBuilder};
use serde_json::json;
use tokio::task::JoinHandle;
use tokio_postgres::NoTls;
use uuid::Uuid;

use crate::support::{Account, Anonymous, Answer, PASSWORD, Patroni, ServerProcess, own_cluster, wait_until};

#[tokio::test]
async fn planned_switchover_loses_no_session() {
    let Some(cluster) = Patroni::start().await else { return };
    let load = Load::on(&cluster).await;
    let standby = cluster.standby().await.unwrap();

    cluster.switch_over().await;

    wait_until("the standby has taken over", async || cluster.nodes[standby].is("primary").await).await;
    wait_until("the old primary is the standby", async || cluster.nodes[1 - standby].is("synchronous").await).await;
    load.goes_on(100).await;
    load.everything_is_there("switch-over").await;
}

#[tokio::test]
async fn killed_primary_loses_no_session() {
    let Some(cluster) = Patroni::start().await else { return };
    let load = Load::on(&cluster).await;
    let (primary, standby) = (cluster.primary().await.unwrap(), cluster.standby().await.unwrap());

    cluster.nodes[primary].kill().await;

    load.goes_on(100).await;
    cluster.assert_primary(standby).await;
    load.everything_is_there("primary killed").await;
}

#[tokio::test]
async fn frozen_primary_that_resumes_loses_no_session() {
    let Some(cluster) = Patroni::start().await else { return };
    let load = Load::on(&cluster).await;
    let (primary, standby) = (cluster.primary().await.unwrap(), cluster.standby().await.unwrap());

    cluster.nodes[primary].freeze(true);
    load.goes_on(100).await;
    cluster.assert_primary(standby).await;

    // For a moment two nodes take themselves for the primary.
    cluster.nodes[primary].freeze(false);
    wait_until("the old primary is the standby", async || cluster.nodes[primary].is("synchronous").await).await;
    cluster.assert_primary(standby).await;
    load.goes_on(100).await;
    load.everything_is_there("primary frozen").await;
}

/// Patroni reads who leads, asks Postgres something, and renews its lock. Here the lock goes to the other node between the first
/// step and the last, so a renewal that does not compare would take it back, and drop everything that was written meanwhile.
#[tokio::test]
async fn hung_postgres_that_resumes_loses_no_session() {
    let Some(cluster) = Patroni::start().await else { return };
    let load = Load::on(&cluster).await;
    let (primary, standby) = (cluster.primary().await.unwrap(), cluster.standby().await.unwrap());

    cluster.nodes[primary].freeze_postgres(true);
    load.goes_on(100).await;
    cluster.assert_primary(standby).await;

    cluster.nodes[primary].freeze_postgres(false);
    wait_until("the old primary is the standby", async || cluster.nodes[primary].is("synchronous").await).await;
    cluster.assert_primary(standby).await;
    load.goes_on(100).await;
    load.everything_is_there("Postgres of the primary hung").await;
}

#[tokio::test]
async fn standby_that_was_away_is_not_promoted() {
    let Some(mut cluster) = Patroni::start().await else { return };
    let load = Load::on(&cluster).await;
    let (primary, standby) = (cluster.primary().await.unwrap(), cluster.standby().await.unwrap());
    cluster.nodes[standby].kill().await;
    load.goes_on(100).await;
    cluster.nodes[primary].kill().await;

    // The standby lacks acknowledged commits, so it must not take over.
    cluster.nodes[standby].start_again();
    wait_until("it runs, and nobody leads", async || cluster.nodes[standby].runs_without_leader().await).await;

    cluster.nodes[primary].start_again();
    load.goes_on(100).await;
    cluster.assert_primary(primary).await;
    load.everything_is_there("standby away, primary restarted").await;
}

/// A primary that was replaced while it was frozen holds rows as they were before that. Here nobody replaces it, so it is right in
/// the end; but as long as commits wait, nothing that it says of a session may reach a client.
#[tokio::test]
async fn stale_primary_signs_nobody_out() {
    let cluster = own_cluster(&["synchronous_commit=on"]).await;
    let settings = [("CLAVIGER__DATABASE__STATEMENT_TIMEOUT", "1s")];
    let server = ServerProcess::ready(&cluster.default_url(), &settings).await;
    let caller = &server.anonymous();
    let (keeper, connection) = tokio_postgres::connect(&cluster.default_url(), NoTls).await.unwrap();
    tokio::spawn(connection);
    let run = async |sql: &str| keeper.batch_execute(sql).await.unwrap();
    let reconfigure = async |sql: &str| {
        run(sql).await;
        run("select pg_reload_conf()").await;
    };

    let waiting = "select exists (select from pg_stat_activity where wait_event = 'SyncRep')";
    let is_waiting = async || keeper.query_one(waiting, &[]).await.unwrap().get::<_, bool>(0);

    let mut accounts = Vec::new();
    for name in ["current", "missing", "ahead", "expired", "replayed", "ended"] {
        accounts.push(caller.register(&format!("{name}@example.com")).await);
    }
    let Ok::<[Account; 6], _>([current, missing, mut ahead, expired, mut replayed, ended]) = accounts.try_into() else {
        panic!("one account for each name");
    };
    run("create table before as select * from sessions").await;
    let oldest = replayed.refresh_token.clone();
    for _ in 0..2 {
        replayed.refresh().await;
        run("update sessions set rotated_at = rotated_at - interval '1 hour'").await;
    }
    ahead.refresh().await;
    assert_eq!(caller.post("/api/auth/logout", json!({ "refresh_token": ended.refresh_token })).await.status, 204);
    run(&format!(
        "delete from users where id = '{}';
         update sessions set (generation, secret_hash) = (select generation, secret_hash from before where id = sessions.id)
         where user_id = '{}';
         update sessions set rotated_at = now() - interval '1 year' where user_id = '{}'",
        missing.user_id(),
        ahead.user_id(),
        expired.user_id(),
    ))
    .await;
    // The checkpointer turns this on and off, later than sessions show the setting: only a commit that waits proves it.
    reconfigure("alter system set synchronous_standby_names = 'gone'").await;
    wait_until("commits wait", async || {
        commit(&cluster.default_url()).await;
        is_waiting().await
    })
    .await;

    let cases = [
        (&missing.refresh_token, "refresh_token_invalid"),
        (&ahead.refresh_token, "refresh_token_invalid"),
        (&expired.refresh_token, "session_expired"),
        // The statement that was given up has ended it, and is committed when commits no longer wait.
        (&oldest, "session_ended"),
        (&ended.refresh_token, "session_ended"),
    ];
    // One after another: in a batch with a rotation all would wait for that.
    for (token, end) in cases {
        let answer = caller.refresh(token).await;
        assert_eq!((answer.status.as_u16(), answer.text("code")), (503, "database_unavailable"), "instead of {end}");
    }
    let logout = async || caller.post("/api/auth/logout", json!({ "refresh_token": missing.refresh_token })).await;
    logout().await.assert_problem(503, "database_unavailable");
    caller.refresh(&current.refresh_token).await.assert_problem(503, "database_unavailable");

    // The answers of a primary that is one.
    run("set synchronous_commit = off").await;
    reconfigure("alter system reset synchronous_standby_names").await;
    wait_until("no commit waits", async || !is_waiting().await).await;
    caller.refresh(&current.refresh_token).await.text("refresh_token");
    for (token, end) in cases {
        caller.refresh(token).await.assert_problem(401, end);
    }
    assert_eq!(logout().await.status, 204);
}

/// Commits something, for a moment at most.
async fn commit(url: &str) {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    tokio::spawn(connection);
    let commit = client.batch_execute("select pg_logical_emit_message(true, 'test', 'a record of its own')");
    if let Ok(committed) = tokio::time::timeout(Duration::from_millis(500), commit).await {
        committed.unwrap();
    }
}

#[tokio::test]
async fn logout_that_waited_for_the_standby_is_heard_by_checks_that_went_on_meanwhile() {
    let cluster = own_cluster(&["synchronous_commit=on"]).await;
    // Readers of the list go on four seconds behind the clock then.
    let settings = [("CLAVIGER__DATABASE__STATEMENT_TIMEOUT", "1s")];
    let server = ServerProcess::ready(&cluster.default_url(), &settings).await;
    let caller = &server.anonymous();
    let account = caller.register("a@example.com").await;
    let check = async || account.call(Method::GET, "/api/auth/check", serde_json::Value::Null).await.status.as_u16();
    let (keeper, connection) = tokio_postgres::connect(&cluster.default_url(), NoTls).await.unwrap();
    tokio::spawn(connection);
    keeper.batch_execute("set synchronous_commit = off").await.unwrap();
    let set = async |sql: &str| {
        keeper.batch_execute(sql).await.unwrap();
        keeper.batch_execute("select pg_reload_conf()").await.unwrap();
    };
    set("alter system set synchronous_standby_names = 'away'").await;
    let waits = "select current_setting('synchronous_standby_names') = 'away'";
    wait_until("commits wait", async || keeper.query_one(waits, &[]).await.unwrap().get(0)).await;

    let logout = async || caller.post("/api/auth/logout", json!({ "refresh_token": account.refresh_token })).await;
    logout().await.assert_problem(503, "database_unavailable");
    let ended = Instant::now();
    wait_until("readers are behind it", async || {
        assert_eq!(check().await, 204, "nothing is visible");
        ended.elapsed() > Duration::from_secs(7)
    })
    .await;
    set("alter system reset synchronous_standby_names").await;
    let done = "select ended_at is not null from sessions";
    wait_until("it is visible", async || keeper.query_one(done, &[]).await.unwrap().get(0)).await;
    let visible = Instant::now();
    assert_eq!(logout().await.status, 204);
    wait_until("the check has heard", async || check().await == 401).await;
    assert!(visible.elapsed() < Duration::from_secs(20), "{:?}", visible.elapsed());
}

/// People at work on a server.
struct Load {
    server: ServerProcess,
    people: Vec<JoinHandle<Person>>,
    enough: Arc<AtomicBool>,
    written: Arc<Written>,
}

/// When something was written and answered.
#[derive(Default)]
struct Written {
    count: AtomicUsize,
    /// The last one, and the longest time between two.
    last: Mutex<Option<(Instant, Duration)>>,
}

impl Written {
    fn add(&self) {
        self.count.fetch_add(1, Ordering::Relaxed);
        let (mut last, now) = (self.last.lock().unwrap(), Instant::now());
        let longest = last.map_or(Duration::ZERO, |(before, longest)| longest.max(now - before));
        *last = Some((now, longest));
    }
}

impl Load {
    /// Eight people on a server that knows both nodes, once they have written something. Without a grace window every refresh
    /// rotates, and only the `Idempotency-Key` tells a repetition from a replay.
    async fn on(cluster: &Patroni) -> Self {
        let settings = [("CLAVIGER__THROTTLE__ENABLED", "false"), ("CLAVIGER__REFRESH_TOKEN__GRACE", "0s")];
        let server = ServerProcess::ready(&cluster.url, &settings).await;
        let (enough, written) = (Arc::new(AtomicBool::new(false)), Arc::new(Written::default()));
        let people = (0..8).map(|number| {
            let person = Person::new(number, server.anonymous(), Arc::clone(&written));
            tokio::spawn(person.live(Arc::clone(&enough)))
        });
        let load = Self { people: people.collect(), server, enough, written: Arc::clone(&written) };
        load.goes_on(200).await;
        load
    }

    /// Waits until so much more is written.
    async fn goes_on(&self, more: usize) {
        let until = self.written.count.load(Ordering::Relaxed) + more;
        wait_until("things are written", async || {
            assert!(self.people.iter().all(|person| !person.is_finished()), "somebody was let down");
            self.written.count.load(Ordering::Relaxed) >= until
        })
        .await;
    }

    /// Ends the work and looks after everything that was ever confirmed.
    #[expect(clippy::print_stdout, reason = "shown with --nocapture: the figures of docs/how-to/failover.md")]
    async fn everything_is_there(self, after: &str) {
        self.enough.store(true, Ordering::Relaxed);
        let (mut refreshed, mut repeated) = (0, 0);
        for person in self.people {
            let mut person = person.await.unwrap();
            person.has_everything().await;
            refreshed += person.refreshed;
            repeated += person.repeated;
        }
        let longest = self.written.last.lock().unwrap().unwrap().1;
        println!(
            "{after}: {:.1} s without writes; {} writes, {refreshed} refreshes, {repeated} requests repeated, 0 tokens lost",
            longest.as_secs_f64(),
            self.written.count.load(Ordering::Relaxed),
        );
        assert!(!self.server.log().contains("\"ERROR\""), "{}", self.server.log());
    }
}

/// Somebody with several devices whose clients do as docs/api.md says: they repeat what was not answered, a refresh with the
/// same `Idempotency-Key`, and take only a 401 for an end.
struct Person {
    caller: Anonymous,
    email: String,
    written: Arc<Written>,
    /// Signed in.
    devices: Vec<Account>,
    /// Refresh tokens of devices that signed out.
    over: Vec<String>,
    refreshed: usize,
    repeated: usize,
}

impl Person {
    fn new(number: usize, caller: Anonymous, written: Arc<Written>) -> Self {
        let email = format!("person{number}@example.com");
        Self { caller, email, written, devices: Vec::new(), over: Vec::new(), refreshed: 0, repeated: 0 }
    }

    async fn live(mut self, enough: Arc<AtomicBool>) -> Self {
        self.register().await;
        for turn in 0.. {
            if enough.load(Ordering::Relaxed) {
                break;
            }
            match turn % 10 {
                4 => self.login().await,
                9 => self.logout().await,
                _ => self.refresh(turn % self.devices.len()).await,
            }
            self.look(turn % self.devices.len()).await;
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        self
    }

    /// What the service says to a request, which is repeated as long as it says 503; and whether it was.
    async fn insist(&mut self, request: RequestBuilder) -> (Answer, bool) {
        let mut is_repeated = false;
        loop {
            let asked = Instant::now();
            let answer = self.caller.send(request.try_clone().unwrap()).await;
            assert!(asked.elapsed() < Duration::from_secs(15), "{:?}: {answer:?}", asked.elapsed());
            if answer.status != 503 {
                return (answer, is_repeated);
            }
            // The second where others who sign in wait for the database already.
            assert!(["database_unavailable", "overloaded"].contains(&answer.text("code")), "{answer:?}");
            assert_ne!(answer.header("retry-after"), "", "{answer:?}");
            is_repeated = true;
            self.repeated += 1;
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    async fn register(&mut self) {
        let body = json!({ "email": self.email, "password": PASSWORD });
        let (answer, is_repeated) = self.insist(self.post("register").json(&body)).await;
        if answer.status == 409 && is_repeated {
            return self.login().await;
        }
        self.signed_in(201, &answer);
    }

    async fn login(&mut self) {
        let body = json!({ "email": self.email, "password": PASSWORD });
        let (answer, _) = self.insist(self.post("login").json(&body)).await;
        self.signed_in(200, &answer);
    }

    fn post(&self, call: &str) -> RequestBuilder {
        self.caller.request(Method::POST, &format!("/api/auth/{call}"))
    }

    fn signed_in(&mut self, status: u16, answer: &Answer) {
        assert_eq!(answer.status, status, "{answer:?}");
        self.devices.push(Account::of(self.caller.clone(), &self.email, answer));
        self.written.add();
    }

    async fn refresh(&mut self, device: usize) {
        let body = json!({ "refresh_token": self.devices[device].refresh_token });
        let request = self.post("refresh").header("idempotency-key", Uuid::new_v4().to_string()).json(&body);
        let (answer, _) = self.insist(request).await;
        assert_eq!(answer.status, 200, "{} is signed out: {answer:?}", self.email);
        self.devices[device] = Account::of(self.caller.clone(), &self.email, &answer);
        self.refreshed += 1;
        self.written.add();
    }

    async fn logout(&mut self) {
        let token = self.devices.remove(0).refresh_token;
        let request = self.post("logout").json(&json!({ "refresh_token": token }));
        let (answer, _) = self.insist(request).await;
        assert_eq!(answer.status, 204, "{answer:?}");
        self.over.push(token);
        self.written.add();
    }

    /// Reads the account. A stale primary may not know the session, so 401 means here what it means to clients: refresh, repeat.
    async fn look(&mut self, device: usize) {
        let started = Instant::now();
        loop {
            let token = &self.devices[device].access_token;
            let request = self.caller.request(Method::GET, "/api/auth/me").bearer_auth(token);
            let (answer, _) = self.insist(request).await;
            if answer.status == 200 {
                assert_eq!(answer.body["email"], self.email);
                return;
            }
            answer.assert_problem(401, "access_token_invalid");
            assert!(started.elapsed() < Duration::from_secs(30), "{} cannot read the account", self.email);
            self.refresh(device).await;
        }
    }

    /// Every device goes on, those that signed out stay so, and the password is still good.
    async fn has_everything(&mut self) {
        for device in 0..self.devices.len() {
            self.refresh(device).await;
            self.look(device).await;
        }
        for token in &self.over {
            self.caller.refresh(token).await.assert_problem(401, "session_ended");
        }
        self.login().await;
        let alive: Vec<String> = self.devices.iter().map(|device| device.session_id.clone()).collect();
        let sessions = self.devices.last().unwrap().sessions().await;
        let told = sessions.iter().filter(|session| session["ended_at"].is_null());
        let told: Vec<&str> = told.map(|session| session["id"].as_str().unwrap()).collect();
        assert!(alive.iter().all(|id| told.contains(&id.as_str())), "{alive:?} {told:?}");
    }
}
