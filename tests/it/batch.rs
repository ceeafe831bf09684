//! Batches: every call gets the outcome that it would get alone, and no call delays the others.

use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio_postgres::Client;

use crate::support::{Account, Answer, TestApp, TestDatabase, wait_until};

/// One worker, so that all calls share its queues.
const SETTINGS: [(&str, &str); 2] = [("CLAVIGER__SERVER__WORKERS", "1"), ("CLAVIGER__SESSIONS__SWEEP_EVERY", "0s")];
/// Text that only the statements of batches have.
const REFRESH: &str = "refresh_batch";
const FIND: &str = "of_session, item)";

/// Statements of batches since the start.
async fn batches(app: &TestApp, statement: &str) -> i64 {
    app.database
        .number(&format!(
            "select coalesce(sum(calls), 0) from pg_stat_statements
             where query like '%{statement}%' and query not like '%pg_stat_statements%'
               and dbid = (select oid from pg_database where datname = current_database())"
        ))
        .await
}

async fn accounts<const N: usize>(app: &TestApp, round: usize) -> [Account; N] {
    let mut accounts = Vec::new();
    for number in 0..N {
        accounts.push(app.register(&format!("{round}-{number}@example.com")).await);
    }
    accounts.try_into().unwrap_or_else(|_| unreachable!())
}

/// Locks a session until the client is dropped.
async fn lock(app: &TestApp, account: &Account) -> Client {
    let client = app.database.client().await;
    let sql = format!("begin; select from sessions where id = '{}' for update", account.session_id);
    client.batch_execute(&sql).await.unwrap();
    client
}

fn refresh(account: &Account) -> JoinHandle<Answer> {
    let (caller, token) = (account.caller.clone(), account.refresh_token.clone());
    tokio::spawn(async move { caller.refresh(&token).await })
}

#[tokio::test]
async fn batched_refreshes_have_the_outcomes_of_single_ones() {
    let app = TestApp::on(TestDatabase::counting().await, &SETTINGS).await;
    for round in 0.. {
        let [first, locked, mut replayed, ended, twice, broken, fine] = accounts(&app, round).await;
        let stolen = replayed.refresh_token.clone();
        replayed.refresh().await;
        app.database.close_grace_windows().await;
        replayed.refresh().await;
        ended.logout().await;
        // A row that cannot be read.
        let sql = format!("update sessions set created_at = 'infinity' where id = '{}'", broken.session_id);
        app.database.execute(&sql).await;
        let other_holder = lock(&app, &locked).await;
        // The first call waits for the table and holds the turn; the others queue up behind it.
        let holder = app.database.client().await;
        holder.batch_execute("begin; lock table sessions in share mode").await.unwrap();

        let first = refresh(&first);
        wait_until("the first holds the turn", async || app.database.waiting_for_locks().await == 1).await;
        let of_locked = refresh(&locked);
        let caller = replayed.caller.clone();
        let of_replayed = tokio::spawn(async move { caller.refresh(&stolen).await });
        let (of_ended, of_twice, again) = (refresh(&ended), refresh(&twice), refresh(&twice));
        let (of_broken, of_fine) = (refresh(&broken), refresh(&fine));
        drop(holder);

        assert_eq!(first.await.unwrap().status, 200);
        of_replayed.await.unwrap().assert_problem(401, "refresh_token_replayed");
        of_ended.await.unwrap().assert_problem(401, "session_ended");
        let (of_twice, again) = (of_twice.await.unwrap(), again.await.unwrap());
        assert_eq!(of_twice.text("refresh_token"), again.text("refresh_token"));
        assert!(of_broken.await.unwrap().status.is_server_error());
        let of_fine = of_fine.await.unwrap();
        let access_token = of_fine.text("access_token");
        assert_eq!(fine.caller.me(access_token).await.text("email"), fine.email);
        assert!(!of_locked.is_finished());
        drop(other_holder);
        let of_locked = of_locked.await.unwrap();
        locked.caller.refresh(of_locked.text("refresh_token")).await.text("refresh_token");
        // Whether calls were batched depends on timing.
        if batches(&app, REFRESH).await > 0 {
            return;
        }
        assert!(round < 50, "no batch in 50 rounds");
    }
}

#[tokio::test]
async fn batched_me_calls_answer_each_caller_about_itself() {
    let app = TestApp::on(TestDatabase::counting().await, &SETTINGS).await;
    for round in 0.. {
        let [first, gone, mut renamed, broken, fine] = accounts(&app, round).await;
        renamed.call(Method::PATCH, "/api/auth/me", json!({"full_name": "Ada"})).await;
        renamed.refresh().await;
        app.database.execute(&format!("delete from users where id = '{}'", gone.user_id())).await;
        let sql = format!("update users set created_at = 'infinity' where id = '{}'", broken.user_id());
        app.database.execute(&sql).await;
        let holder = app.database.client().await;
        holder.batch_execute("begin; lock table users").await.unwrap();
        let me = |account: &Account| {
            let (caller, token) = (account.caller.clone(), account.access_token.clone());
            tokio::spawn(async move { caller.me(&token).await })
        };

        let of_first = me(&first);
        wait_until("the first holds the turn", async || app.database.waiting_for_locks().await == 1).await;
        let others = [me(&renamed), me(&gone), me(&broken), me(&fine), me(&fine)];
        drop(holder);

        assert_eq!(of_first.await.unwrap().text("email"), first.email);
        let [of_renamed, of_gone, of_broken, of_fine, again] = others;
        assert_eq!(of_renamed.await.unwrap().text("full_name"), "Ada");
        assert!(of_broken.await.unwrap().status.is_server_error());
        of_gone.await.unwrap().assert_problem(401, "access_token_invalid");
        for answer in [of_fine, again] {
            let answer = answer.await.unwrap();
            assert_eq!((answer.text("email"), &answer.body["full_name"]), (&*fine.email, &Value::Null));
        }
        if batches(&app, FIND).await > 0 {
            return;
        }
        assert!(round < 50, "no batch in 50 rounds");
    }
}

/// Statements that answered single refreshes since the last call.
async fn single_refreshes(app: &TestApp) -> i64 {
    let sql = "select coalesce(sum(calls), 0) from pg_stat_statements
               where query like '%refresh_one%' and query not like '%pg_stat_statements%'
                 and dbid = (select oid from pg_database where datname = current_database())";
    app.database.number(sql).await
}

#[tokio::test]
async fn refresh_that_waits_for_a_row_lock_delays_no_other() {
    const OTHERS: u32 = 20;
    let app = TestApp::on(TestDatabase::migrated().await, &SETTINGS).await;
    let [locked, mut other] = accounts(&app, 0).await;
    let holder = lock(&app, &locked).await;
    let waiting = refresh(&locked);
    wait_until("it waits for the row", async || app.database.waiting_for_locks().await == 1).await;

    let started = Instant::now();
    for _ in 0..OTHERS {
        other.refresh().await;
    }

    // With the turn of the batch taken, each would wait 250 ms for it.
    assert!(started.elapsed() < OTHERS * Duration::from_millis(125), "{:?}", started.elapsed());
    assert!(!waiting.is_finished());
    drop(holder);
    assert_eq!(waiting.await.unwrap().status, 200);
}

#[tokio::test]
async fn equal_refreshes_that_wait_are_one_statement() {
    const EQUAL: usize = 40;
    let app = TestApp::on(TestDatabase::counting().await, &SETTINGS).await;
    for round in 0.. {
        let [account] = accounts(&app, round).await;
        let successor = account.caller.refresh(&account.refresh_token).await.text("refresh_token").to_owned();
        let before = single_refreshes(&app).await;
        let holder = lock(&app, &account).await;
        let repeats: Vec<_> = (0..EQUAL).map(|_| refresh(&account)).collect();
        wait_until("the first waits for the row", async || app.database.waiting_for_locks().await == 1).await;
        tokio::task::yield_now().await;
        drop(holder);

        for repeat in repeats {
            assert_eq!(repeat.await.unwrap().text("refresh_token"), successor);
        }
        // One that waits in vain, one that waits, one for all that came meanwhile. More if some came later.
        let statements = single_refreshes(&app).await - before;
        if statements <= 4 {
            return;
        }
        assert!(round < 20, "{statements} statements for {EQUAL} equal refreshes");
    }
}

/// A session as `refresh_batch` meets it, by the change that makes it so, and whether the batch answers it.
const CASES: [(&str, &str, Option<&str>); 11] = [
    // The first, so that a test can stop the batch before it has locked a row.
    ("rotated token", "generation = 2", None),
    ("first token", "generation = generation", Some("rotate")),
    ("current token after the window", "generation = 1, rotated_at = now() - interval '31 s'", Some("rotate")),
    ("current token inside the window", "generation = 1, rotated_at = now() - interval '20 s'", Some("unchanged")),
    ("token of another secret", "secret_hash = sha256('other')", None),
    ("token ahead of its row", "generation = 0", None),
    ("ended session", "ended_at = now(), ended_by = 'logout'", None),
    ("session past its absolute end", "expires_at = now()", None),
    ("session past its idle end", "rotated_at = now() - interval '7 d'", None),
    ("session just before its idle end", "rotated_at = now() - interval '6 d 23 h', generation = 1", Some("rotate")),
    ("disabled user", "", None),
];

/// Presents the tokens of all cases in one batch, as generations 0 or 1 with the secret `secret`.
async fn present_cases(client: &Client) -> Vec<(String, String)> {
    let sql = "select c.name, b.verdict from (
                 select array_agg(user_id order by n) users, array_agg(id order by n) ids, array_agg(generation order by n) generations,
                        array_agg(name order by n) names, count(*)::int as cases from cases
               ) a,
               refresh_batch(a.users, a.ids, a.generations, array_fill(sha256('secret'), array[a.cases]),
                 array_fill(sha256('next'), array[a.cases]), array_fill(null::bytea, array[a.cases]),
                 array_fill('agent'::text, array[a.cases]), array_fill(null::inet, array[a.cases]), 604800, 30, false) b,
               unnest(a.names) with ordinality c (name, item)
               where c.item = b.item order by c.item";
    let rows = client.query(sql, &[]).await.unwrap();
    rows.iter().map(|row| (row.get(0), row.get(1))).collect()
}

/// A row for each case, and a table of what is presented.
async fn prepare_cases(app: &TestApp, client: &Client) {
    client
        .batch_execute("create table cases (n serial, name text, user_id uuid, id uuid, generation bigint)")
        .await
        .unwrap();
    for (number, (name, change, _)) in CASES.into_iter().enumerate() {
        let account = app.register(&format!("case-{number}@example.com")).await;
        let (user, session) = (account.user_id(), &account.session_id);
        let generation = i64::from(change.contains("generation = 1") || name == "token ahead of its row");
        let change = match change {
            "" => format!("update users set disabled_at = now() where id = '{user}'"),
            change => format!("update sessions set {change} where id = '{session}'"),
        };
        let sql = format!(
            "insert into cases (name, user_id, id, generation) values ('{name}', '{user}', '{session}', {generation});
             update sessions set secret_hash = sha256('secret') where id = '{session}'; {change}"
        );
        client.batch_execute(&sql).await.unwrap();
    }
}

#[tokio::test]
async fn batch_answers_what_rotates_or_stays_unchanged_and_leaves_the_rest() {
    let app = TestApp::start().await;
    let client = app.database.client().await;
    prepare_cases(&app, &client).await;
    let others = "select coalesce(md5(string_agg(s::text, ',' order by s.id)), '') from sessions s
                  where id not in (select id from cases where name = any($1))";
    let rotating: Vec<&str> = CASES.iter().filter(|case| case.2 == Some("rotate")).map(|case| case.0).collect();
    let before: String = client.query_one(others, &[&rotating]).await.unwrap().get(0);

    let answered = present_cases(&client).await;

    let expected: Vec<(String, String)> =
        CASES.iter().filter_map(|case| Some((case.0.to_owned(), case.2?.to_owned()))).collect();
    assert_eq!(answered, expected);
    let after: String = client.query_one(others, &[&rotating]).await.unwrap().get(0);
    assert_eq!(after, before, "the rest stays as it is");
    let rotated = "select count(*) from sessions where secret_hash = sha256('next')";
    assert_eq!(app.database.number(rotated).await, rotating.len() as i64);
}

/// The verdict of one session waits for an advisory lock, so that another session changes after the batch has taken its snapshot.
#[tokio::test]
async fn batch_leaves_a_session_that_was_changed_after_its_snapshot() {
    for change in [
        "ended_at = clock_timestamp(), ended_by = 'logout'",
        "generation = generation + 1, secret_hash = sha256('newer'), rotated_at = clock_timestamp()",
        "expires_at = clock_timestamp()",
    ] {
        let app = TestApp::start().await;
        let (mut holder, client) = (app.database.client().await, app.database.client().await);
        prepare_cases(&app, &client).await;
        let arguments =
            "bigint, bytea, timestamptz, bytea, timestamptz, timestamptz, text, timestamptz, bigint, bytea, bytea[],
                         bytea, timestamptz, timestamptz, timestamptz";
        client
            .batch_execute(&format!(
                "alter function refresh_verdict rename to real_verdict;
                 create function refresh_verdict({arguments}) returns text language plpgsql as $$ begin
                   if $1 = 2 then perform pg_advisory_xact_lock_shared(1); end if;
                   return real_verdict($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15);
                 end $$"
            ))
            .await
            .unwrap();
        let held = holder.transaction().await.unwrap();
        held.batch_execute("select pg_advisory_xact_lock(1)").await.unwrap();

        let batch = tokio::spawn(async move { present_cases(&client).await });
        wait_until("the batch has its snapshot", async || app.database.waiting_for_locks().await == 1).await;
        let changed = "id = (select id from cases where name = 'first token')";
        let other = app.database.client().await;
        other.batch_execute(&format!("update sessions set {change} where {changed}")).await.unwrap();
        let row = format!("select s::text from sessions s where {changed}");
        let before: String = other.query_one(&row, &[]).await.unwrap().get(0);
        held.commit().await.unwrap();

        let answered = batch.await.unwrap();
        assert!(answered.len() == 3 && answered.iter().all(|(name, _)| name != "first token"), "{answered:?}");
        assert_eq!(other.query_one(&row, &[]).await.unwrap().get::<_, String>(0), before, "{change}");
    }
}
