//! Batches: every call gets the outcome that it would get alone, and no call delays the others.

use reqwest::Method;
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio_postgres::Client;

use crate::support::{Account, Answer, TestApp, TestDatabase, wait_until};

/// One worker, so that all calls share its queues.
const SETTINGS: [(&str, &str); 2] = [("CLAVIGER__SERVER__WORKERS", "1"), ("CLAVIGER__SESSIONS__SWEEP_EVERY", "0s")];
/// Text that only the statements of batches have.
const REFRESH: &str = "refresh_batch";
const FIND: &str = "any((select";

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
