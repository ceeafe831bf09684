//! What goes wrong around the service: databases, clients and the service itself go away in the middle of things.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Signal, kill_process};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::support::{Account, Dice, PASSWORD, RestartableCluster, ServerProcess, TestApp, TestDatabase, wait_until};

/// Every call that needs the database is turned away in time, with no token.
async fn assert_turned_away(account: &Account) {
    let caller = &account.caller;
    let started = Instant::now();
    let body = json!({"email": "new@example.com", "password": PASSWORD});
    let (refresh, me, login, register, logout, ready) = tokio::join!(
        caller.refresh(&account.refresh_token),
        caller.me(&account.access_token),
        caller.login(&account.email, PASSWORD),
        caller.post("/api/auth/register", body),
        caller.post("/api/auth/logout", json!({"refresh_token": account.refresh_token})),
        caller.get("/health/ready"),
    );
    for answer in [refresh, me, login, register, logout, ready] {
        answer.assert_problem(503, "database_unavailable");
        assert!(!answer.body.to_string().contains("token\":"), "{answer:?}");
    }
    assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
    assert_eq!(caller.get("/health/live").await.status, 200);
}

#[tokio::test]
async fn a_stopped_database_is_an_outage_that_ends_by_itself() {
    let mut postgres = RestartableCluster::start().await;
    let server = ServerProcess::ready(&postgres.cluster.default_url(), &[]).await;
    let mut account = server.anonymous().register("ada@example.com").await;

    postgres.stop();
    assert_turned_away(&account).await;

    postgres.restart().await;
    wait_until("it is ready again", async || account.caller.get("/health/ready").await.status == 200).await;
    account.refresh().await;
    assert_eq!(account.me().await.status, 200);
    assert!(server.log().contains("Connection refused") || server.log().contains("No such file"), "{}", server.log());
}

#[tokio::test]
async fn a_killed_database_is_an_outage_that_ends_by_itself() {
    let mut postgres = RestartableCluster::start().await;
    let server = ServerProcess::ready(&postgres.cluster.default_url(), &[]).await;
    let mut account = server.anonymous().register("ada@example.com").await;

    for pid in postgres.processes() {
        let _gone_already = kill_process(pid, Signal::KILL);
    }
    assert_turned_away(&account).await;

    postgres.restart().await;
    wait_until("it is ready again", async || account.caller.get("/health/ready").await.status == 200).await;
    account.refresh().await;
}

#[tokio::test]
async fn a_frozen_database_is_an_outage_that_ends_by_itself() {
    let postgres = RestartableCluster::start().await;
    let server = ServerProcess::ready(&postgres.cluster.default_url(), &[]).await;
    let mut account = server.anonymous().register("ada@example.com").await;
    // The first is the postmaster, so that no more are born; workers may be gone by the time they are signalled.
    let signal = |signal| postgres.processes().into_iter().for_each(|pid| _ = kill_process(pid, signal));

    signal(Signal::STOP);
    assert_turned_away(&account).await;
    assert_turned_away(&account).await;

    signal(Signal::CONT);
    // What was sent before the freeze may be done now: the logout for one, which was not confirmed.
    wait_until("it is ready again", async || account.caller.get("/health/ready").await.status == 200).await;
    account = Account::of(
        account.caller.clone(),
        "ada@example.com",
        &account.caller.login("ada@example.com", PASSWORD).await,
    );
    account.refresh().await;
    assert_eq!(account.me().await.status, 200);
}

#[tokio::test]
async fn attempts_to_reach_a_database_that_never_answers_do_not_pile_up() {
    // Accepts, as a balancer would, and says nothing.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("postgres://keeper@{}/claviger", silent.local_addr().unwrap());
    let (open, seen) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (now_open, now_seen) = (Arc::clone(&open), Arc::clone(&seen));
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = silent.accept().await.unwrap();
            let open = Arc::clone(&now_open);
            now_seen.fetch_add(1, Ordering::Relaxed);
            open.fetch_add(1, Ordering::Relaxed);
            tokio::spawn(async move {
                drop(stream.read_to_end(&mut Vec::new()).await);
                open.fetch_sub(1, Ordering::Relaxed);
            });
        }
    });
    let settings = [("CLAVIGER__DATABASE__CONNECT_TIMEOUT", "1s"), ("CLAVIGER__DATABASE__WAIT_TIMEOUT", "1s")];
    let server = ServerProcess::listening(&url, &settings).await;
    for _ in 0..3 {
        server.anonymous().get("/health/ready").await.assert_problem(503, "database_unavailable");
        server.anonymous().login("ada@example.com", PASSWORD).await.assert_problem(503, "database_unavailable");
    }
    wait_until("it has tried more than once to migrate", async || {
        server.log().matches("the database is not ready").count() >= 2
    })
    .await;
    assert!(seen.load(Ordering::Relaxed) >= 6);
    // The migration goes on trying, one connection at a time.
    wait_until("all others are closed", async || open.load(Ordering::Relaxed) <= 1).await;
}

#[tokio::test]
async fn locked_tables_are_an_outage_that_ends_by_itself() {
    let app = TestApp::start().await;
    let mut account = app.register("ada@example.com").await;
    let mut other = app.database.client().await;
    let holder = other.transaction().await.unwrap();
    holder.batch_execute("lock table users, sessions").await.unwrap();
    account.caller.refresh(&account.refresh_token).await.assert_problem(503, "database_unavailable");
    account.me().await.assert_problem(503, "database_unavailable");
    drop(holder);
    drop(other);
    account.refresh().await;
}

#[tokio::test]
async fn terminated_connections_cost_at_most_the_requests_that_used_them() {
    let app = TestApp::start().await;
    let mut account = app.register("ada@example.com").await;
    for _ in 0..5 {
        let sql = "select pg_terminate_backend(pid) from pg_stat_activity \
                   where datname = current_database() and pid <> pg_backend_pid()";
        app.database.execute(sql).await;
        wait_until("a refresh succeeds", async || {
            let answer = account.caller.refresh(&account.refresh_token).await;
            if answer.status == 200 {
                answer.text("refresh_token").clone_into(&mut account.refresh_token);
            } else {
                answer.assert_problem(503, "database_unavailable");
            }
            answer.status == 200
        })
        .await;
    }
}

#[tokio::test]
async fn a_server_killed_in_the_middle_of_refreshes_signs_nobody_out() {
    let database = TestDatabase::migrated().await;
    let mut server = ServerProcess::ready(&database.url, &[]).await;
    let port = server.address.port().to_string();
    let mut accounts = Vec::new();
    for index in 0..12 {
        accounts.push(server.anonymous().register(&format!("user{index}@example.com")).await);
    }
    let enough = Arc::new(AtomicBool::new(false));
    let clients: Vec<_> =
        accounts.into_iter().map(|account| tokio::spawn(keep_going(account, Arc::clone(&enough)))).collect();

    for _ in 0..5 {
        tokio::time::sleep(Duration::from_millis(300)).await;
        server.signal(Signal::KILL);
        server.exit_code().await;
        server = ServerProcess::ready(&database.url, &[("PORT", &port)]).await;
    }
    enough.store(true, Ordering::Relaxed);

    let (mut refreshed, mut retried) = (0, 0);
    for client in clients {
        let (successes, failures) = client.await.unwrap();
        refreshed += successes;
        retried += failures;
    }
    assert!(refreshed > 100 && retried > 10, "{refreshed} refreshes, {retried} retries");
    assert_eq!(database.number("select count(*) from sessions where ended_at is null").await, 12);
}

/// A client as docs/api.md wants it: it retries the same token until it gets an answer, and takes only a 401 for an end.
async fn keep_going(mut account: Account, enough: Arc<AtomicBool>) -> (u32, u32) {
    let (mut successes, mut failures) = (0, 0);
    while !enough.load(Ordering::Relaxed) || successes == 0 {
        let request = account.caller.request(reqwest::Method::POST, "/api/auth/refresh");
        let sent = request.json(&json!({"refresh_token": account.refresh_token})).send().await;
        if let Ok(body) = sent.map(reqwest::Response::json::<serde_json::Value>) {
            match body.await {
                Ok(body) if body["refresh_token"].is_string() => {
                    body["refresh_token"].as_str().unwrap().clone_into(&mut account.refresh_token);
                    successes += 1;
                }
                Ok(body) => {
                    assert_eq!(body["status"], 503, "{body}");
                    failures += 1;
                }
                Err(_) => failures += 1,
            }
        } else {
            failures += 1;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    (successes, failures)
}

#[tokio::test]
async fn a_thousand_calls_dropped_at_random_moments_leave_nothing_half_done() {
    let app = TestApp::start().await;
    let mut accounts = Vec::new();
    for index in 0..10 {
        accounts.push(app.register(&format!("user{index}@example.com")).await);
    }
    let mut dice = Dice(42);
    for round in 0..1000 {
        let account = &accounts[round % accounts.len()];
        let (path, body) = match dice.below(4) {
            0 => ("register", json!({"email": format!("new{round}@example.com"), "password": PASSWORD})),
            1 => ("login", json!({"email": account.email, "password": PASSWORD})),
            _ => ("refresh", json!({"refresh_token": account.refresh_token})),
        };
        let body = body.to_string();
        let request = format!(
            "POST /api/auth/{path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        // Some go away before they have said all of it, some before the answer, some just after.
        let said = if dice.below(5) == 0 { dice.below(request.len()) } else { request.len() };
        let patience = Duration::from_micros(dice.below(8000) as u64);
        let mut stream = TcpStream::connect(app.address).await.unwrap();
        stream.write_all(&request.as_bytes()[..said]).await.unwrap();
        tokio::time::sleep(patience).await;
        if round % 2 == 0 {
            // Not a polite end but a reset, on which the server drops the request where it stands.
            stream.set_zero_linger().unwrap();
        }
        drop(stream);
    }

    let idle = "select count(*) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid() \
                and state not in ('idle')";
    wait_until("every statement is done", async || app.database.number(idle).await == 0).await;
    wait_until("every connection is back", async || {
        let (all, available) = app.store.connections();
        all == available && all > 0
    })
    .await;
    assert_eq!(
        app.database
            .number("select count(*) from users u where not exists (select from sessions s where s.user_id = u.id)")
            .await,
        0
    );
    assert_eq!(app.database.number("select count(*) from sessions where ended_at is not null").await, 0);
    assert!(app.database.number("select count(*) from users").await > 10, "some registrations were finished");
    for account in &mut accounts {
        account.refresh().await;
        account.refresh().await;
        assert_eq!(account.me().await.status, 200);
    }
}

#[tokio::test]
async fn a_request_runs_to_its_end_after_its_client_has_gone() {
    let app = TestApp::start().await;
    app.register("ada@example.com").await;
    let mut other = app.database.client().await;
    let holder = other.transaction().await.unwrap();
    holder.batch_execute("lock table users").await.unwrap();
    let body = json!({"email": "ada@example.com", "password": PASSWORD}).to_string();
    let head = "POST /api/auth/login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length:";
    let mut stream = TcpStream::connect(app.address).await.unwrap();
    stream.write_all(format!("{head} {}\r\n\r\n{body}", body.len()).as_bytes()).await.unwrap();
    wait_until("the login waits in its first statement", async || app.database.waiting_for_locks().await == 1).await;
    stream.set_zero_linger().unwrap();
    drop(stream);
    // Another call on the same thread: the server has seen the reset by the time it answers.
    assert_eq!(app.anonymous().get("/health").await.status, 200);
    holder.commit().await.unwrap();

    wait_until("the login has made its session", async || {
        app.database.number("select count(*) from sessions").await == 2
    })
    .await;
}

#[tokio::test]
async fn a_database_that_is_away_at_the_start_is_named_without_its_password_and_waited_for() {
    let url = "postgres://keeper:hunter2@127.0.0.1:9/claviger?connect_timeout=1";
    let server = ServerProcess::listening(url, &[]).await;
    server.anonymous().get("/health/ready").await.assert_problem(503, "database_unavailable");
    assert_eq!(server.anonymous().get("/health").await.status, 200);
    wait_until("it has tried twice", async || server.log().matches("the database is not ready").count() >= 2).await;
    let log = server.log();
    assert!(log.contains("host 127.0.0.1 port 9 user keeper database claviger"), "{log}");
    assert!(log.contains("Connection refused"), "{log}");
    assert!(!log.contains("hunter2"), "{log}");
    drop(server);

    // Comes later: a database without our schema, which the server then makes.
    let fresh = TestDatabase::empty().await;
    let unmigrated = ServerProcess::listening(&fresh.url, &[("CLAVIGER__DATABASE__MIGRATE", "false")]).await;
    unmigrated.anonymous().get("/health/ready").await.assert_problem(503, "database_unavailable");
    assert_eq!(fresh.migrate_to(None).await as i32, claviger::store::migrations::newest_version());
    wait_until("it is ready", async || unmigrated.anonymous().get("/health/ready").await.status == 200).await;
}

#[tokio::test]
async fn a_database_that_is_dropped_and_made_anew_is_migrated_again() {
    let database = TestDatabase::migrated().await;
    let server = ServerProcess::ready(&database.url, &[]).await;
    let before = server.anonymous().register("ada@example.com").await;
    for _ in 0..2 {
        database.make_anew().await;
        let caller = server.anonymous();
        wait_until("somebody can register again", async || {
            let answer =
                caller.post("/api/auth/register", json!({"email": "ada@example.com", "password": PASSWORD})).await;
            assert!([201, 503].contains(&answer.status.as_u16()), "{answer:?}");
            answer.status == 201
        })
        .await;
    }
    // Another connection of the pool may not have heard yet that its database is gone.
    wait_until("the sessions of before are known to be gone", async || {
        let answer = before.caller.refresh(&before.refresh_token).await;
        let code = answer.text("code");
        assert!(["refresh_token_invalid", "database_unavailable"].contains(&code), "{answer:?}");
        code == "refresh_token_invalid"
    })
    .await;
}

#[tokio::test]
async fn a_column_that_changes_under_prepared_statements_costs_one_sign_in_at_most() {
    // One connection: on several, a statement may not come again where it was prepared.
    let app = TestApp::start_with(&[("CLAVIGER__DATABASE__POOL_SIZE", "1")]).await;
    let mut account = app.register("ada@example.com").await;
    for kind in ["varchar(300)", "text"] {
        for _ in 0..3 {
            account.refresh().await;
            assert_eq!(account.me().await.status, 200);
        }
        app.database.execute(&format!("alter table users alter role type {kind}")).await;
        assert_eq!(account.me().await.status, 200);
        account.refresh().await;
        assert_eq!(app.anonymous().login("ada@example.com", PASSWORD).await.status, 200);
    }
    for kind in ["varchar(300)", "text"] {
        app.database.execute(&format!("alter table users alter full_name type {kind}")).await;
        let first = app.anonymous().login("ada@example.com", PASSWORD).await;
        assert!([200, 503].contains(&first.status.as_u16()), "{first:?}");
        assert_eq!(app.anonymous().login("ada@example.com", PASSWORD).await.status, 200);
    }
}

#[tokio::test]
async fn a_host_that_is_silent_leaves_time_for_the_next() {
    let postgres = RestartableCluster::start().await;
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let hosts = format!("@{},", silent.local_addr().unwrap());
    let url = postgres.cluster.default_url().replacen('@', &hosts, 1);
    let server = ServerProcess::ready(&format!("{url}?target_session_attrs=read-write"), &[]).await;
    let mut account = server.anonymous().register("ada@example.com").await;
    account.refresh().await;
    assert!(tokio::time::timeout(Duration::from_secs(1), silent.accept()).await.is_ok(), "it was asked first");
}
