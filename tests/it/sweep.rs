//! Old rows go, and nothing else.

use std::process::Command;
use std::time::Instant;

use crate::support::{Account, ServerProcess, TestApp, TestDatabase, environment, wait_until};

/// Sessions that are dead for long enough, one for each way to be dead.
const DEAD: &str = "(interval '0 days',  interval '20 days', interval '8 days'),
                    (interval '15 days', interval '20 days', null),
                    (interval '0 days',  interval '-8 days', null)";

/// Sessions that are over, or nearly, and are kept all the same.
const KEPT: &str = "(interval '0 days',  interval '20 days', interval '6 days'),
                    (interval '13 days', interval '20 days', null),
                    (interval '6 days',  interval '20 days', null),
                    (interval '0 days',  interval '-6 days', null)";

/// Adds sessions for every user: each idle for some time, with some time to its end, and ended some time ago.
async fn add(database: &TestDatabase, kinds: &str, copies: usize) {
    let sql = format!(
        "insert into sessions (user_id, id, secret_hash, rotated_at, created_at, expires_at, ended_at, ended_by)
         select u.id, gen_random_uuid(), sha256('x'), now() - k.idle, now() - interval '60 days', now() + k.rest,
                now() - k.ended, case when k.ended is not null then 'logout' end
         from users u, (values {kinds}) as k(idle, rest, ended), generate_series(1, {copies})"
    );
    database.execute(&sql).await;
}

async fn add_event(database: &TestDatabase, age: &str) {
    let sql = "insert into events (user_id, occurred_at, kind, outcome)";
    let event = format!("select id, now() - interval '{age}', 'logged_in', 'success' from users");
    database.execute(&format!("{sql} {event}")).await;
}

pub(crate) fn sweep_command(database: &TestDatabase) -> String {
    let mut environment = environment(&database.url);
    environment.remove("JWT_SECRET");
    environment.remove("REFRESH_SECRET");
    let output = Command::new(env!("CARGO_BIN_EXE_claviger"))
        .args(["sessions", "sweep"])
        .env_clear()
        .envs(environment)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().lines().last().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_dead_for_longer_than_it_is_kept_goes_and_nothing_else() {
    let app = TestApp::start().await;
    let mut account = app.register("ada@example.com").await;
    add(&app.database, DEAD, 1).await;
    add(&app.database, KEPT, 1).await;
    add_event(&app.database, "91 days").await;
    add_event(&app.database, "89 days").await;
    app.database
        .execute("insert into deleted_users select gen_random_uuid(), now() - n * interval '1 day' from generate_series(6, 8) n")
        .await;

    let said = sweep_command(&app.database);

    assert_eq!(said, "removed 3 sessions, 1 events");
    assert_eq!(app.database.number("select count(*) from sessions").await, 5);
    assert_eq!(app.database.number("select count(*) from events").await, 2);
    assert_eq!(app.database.number("select count(*) from deleted_users").await, 1);
    account.refresh().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sweeps_at_once_share_the_work_and_refreshes_go_on() {
    let app = TestApp::start().await;
    let mut accounts = Vec::new();
    for index in 0..5 {
        accounts.push(app.register(&format!("user{index}@example.com")).await);
    }
    add(&app.database, DEAD, 2_000).await;

    let sweeps: Vec<_> = (0..3)
        .map(|_| {
            let mut environment = environment(&app.database.url);
            environment.insert("RUST_LOG".to_owned(), "warn".to_owned());
            tokio::task::spawn_blocking(move || {
                Command::new(env!("CARGO_BIN_EXE_claviger"))
                    .args(["sessions", "sweep"])
                    .env_clear()
                    .envs(environment)
                    .output()
            })
        })
        .collect();
    while !sweeps.iter().all(tokio::task::JoinHandle::is_finished) {
        for account in &mut accounts {
            Account::refresh(account).await;
        }
    }
    let mut removed = 0;
    for sweep in sweeps {
        let output = sweep.await.unwrap().unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        assert!(
            output.status.success() && output.stderr.is_empty(),
            "{said}{}",
            String::from_utf8_lossy(&output.stderr)
        );
        removed += said.lines().last().unwrap().split(' ').nth(1).unwrap().parse::<i64>().unwrap();
    }
    assert_eq!(removed, 5 * 3 * 2_000);
    assert_eq!(app.database.number("select count(*) from sessions").await, 5);
}

#[tokio::test]
async fn a_row_that_somebody_holds_is_left_for_the_next_time() {
    let app = TestApp::start().await;
    app.register("ada@example.com").await;
    add(&app.database, DEAD, 1).await;
    let mut other = app.database.client().await;
    let holder = other.transaction().await.unwrap();
    holder.execute("select from sessions where ended_at is not null for update", &[]).await.unwrap();
    let database = &app.database;
    assert_eq!(sweep_command(database), "removed 2 sessions, 0 events");
    holder.commit().await.unwrap();
    assert_eq!(sweep_command(database), "removed 1 sessions, 0 events");
}

#[tokio::test]
async fn servers_sweep_by_themselves_and_one_of_them_at_a_time() {
    let started = Instant::now();
    let database = TestDatabase::migrated().await;
    let first = ServerProcess::ready(&database.url, &[("CLAVIGER__SESSIONS__SWEEP_EVERY", "2s")]).await;
    let second = ServerProcess::ready(&database.url, &[("CLAVIGER__SESSIONS__SWEEP_EVERY", "2s")]).await;
    first.anonymous().register("ada@example.com").await;
    // As who makes sure that a session is not there, all the time.
    let mut other = database.client().await;
    let sure = other.transaction().await.unwrap();
    sure.batch_execute("select from turns for key share").await.unwrap();
    for _ in 0..3 {
        add(&database, DEAD, 10).await;
        wait_until("the dead are gone", async || database.number("select count(*) from sessions").await == 1).await;
    }
    let sweeps =
        || [&first, &second].map(|server| server.log().matches("swept old rows").count()).iter().sum::<usize>();
    wait_until("each sweep is told", async || sweeps() >= 3).await;
    let turns = 1 + started.elapsed().as_secs() as usize / 2;
    assert!(sweeps() <= turns, "{} sweeps in {turns} turns", sweeps());
}
