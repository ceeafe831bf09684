//! Those who come while others are at the database go there together: each gets what it would have got alone, and nobody is kept
//! by another.

use reqwest::Method;
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio_postgres::Client;

use crate::support::{Account, Answer, TestApp, TestDatabase, wait_until};

/// One thread, so that all meet.
const SETTINGS: [(&str, &str); 2] = [("CLAVIGER__SERVER__WORKERS", "1"), ("CLAVIGER__SESSIONS__SWEEP_EVERY", "0s")];
/// What only the statements for a group have in them.
const ROTATING: &str = "held as materialized";
const LOOKING: &str = "any((select";

/// How many statements for groups there were.
async fn groups(app: &TestApp, statement: &str) -> i64 {
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

/// A lock on somebody's session, until it is dropped.
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
async fn of_refreshes_that_come_at_once_each_comes_to_what_it_would_alone() {
    let app = TestApp::on(TestDatabase::counting().await, &SETTINGS).await;
    for round in 0.. {
        let [first, locked, mut replayed, ended, twice, broken, fine] = accounts(&app, round).await;
        let stolen = replayed.refresh_token.clone();
        replayed.refresh().await;
        replayed.refresh().await;
        ended.logout().await;
        // What cannot be read, whoever wrote it.
        let sql = format!("update sessions set created_at = 'infinity' where id = '{}'", broken.session_id);
        app.database.execute(&sql).await;
        let (holder, other_holder) = (lock(&app, &first).await, lock(&app, &locked).await);

        let first = refresh(&first);
        wait_until("the first is at it", async || app.database.waiting_for_locks().await == 1).await;
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
        // Whether they met is a matter of time.
        if groups(&app, ROTATING).await > 0 {
            return;
        }
        assert!(round < 50, "nobody ever went together");
    }
}

#[tokio::test]
async fn of_those_who_ask_who_they_are_at_once_each_is_told_of_himself() {
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
        wait_until("the first is at it", async || app.database.waiting_for_locks().await == 1).await;
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
        if groups(&app, LOOKING).await > 0 {
            return;
        }
        assert!(round < 50, "nobody ever went together");
    }
}
