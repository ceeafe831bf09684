//! More sign-ins at once than can be hashed: a burst waits, a flood is shed, and no network or account keeps out another.

use std::thread::available_parallelism;

use reqwest::Method;
use serde_json::json;
use tokio::task::JoinSet;

use crate::support::{Account, Answer, MailServer, PASSWORD, TestApp, Tls, wait_until};

const BURST: usize = 64;
const UNLIMITED: (&str, &str) = ("CLAVIGER__THROTTLE__ENABLED", "false");
const BEHIND_A_PROXY: (&str, &str) = ("CLAVIGER__SERVER__TRUSTED_PROXIES", "127.0.0.1");
/// With a cost of 13, two hashes for each lane fill the queue.
const SHORT_QUEUE: [(&str, &str); 2] =
    [("CLAVIGER__PASSWORD__BCRYPT_COST", "13"), ("CLAVIGER__PASSWORD__MAX_WAIT", "1s")];

fn email(index: usize) -> String {
    format!("user{index}@example.com")
}

/// More than the lanes and the short queue of any machine hold.
fn too_many() -> usize {
    20 + 12 * available_parallelism().unwrap().get()
}

async fn login_from(app: &TestApp, address: &str, email: &str, password: &str) -> Answer {
    let request = app.anonymous().request(Method::POST, "/api/auth/login").header("x-forwarded-for", address);
    app.anonymous().send(request.json(&json!({"email": email, "password": password}))).await
}

fn statuses(answers: &[Answer]) -> Vec<u16> {
    let mut statuses: Vec<_> = answers.iter().map(|answer| answer.status.as_u16()).collect();
    statuses.sort_unstable();
    statuses.dedup();
    statuses
}

#[tokio::test(flavor = "multi_thread")]
async fn a_burst_of_registrations_and_logins_waits_and_none_is_refused() {
    // A quarter of what hashes cost by default, so that a busy machine has time left.
    let app = TestApp::start_with(&[("CLAVIGER__PASSWORD__BCRYPT_COST", "10")]).await;
    let mut registering = JoinSet::new();
    for index in 0..BURST {
        let caller = app.anonymous();
        let body = json!({"email": email(index), "password": PASSWORD});
        registering.spawn(async move { caller.post("/api/auth/register", body).await });
    }
    assert_eq!(statuses(&registering.join_all().await), [201]);

    for same_account in [false, true] {
        let mut signing_in = JoinSet::new();
        for index in 0..BURST {
            let (caller, email) = (app.anonymous(), email(if same_account { 0 } else { index }));
            signing_in.spawn(async move { caller.login(&email, PASSWORD).await });
        }
        assert_eq!(statuses(&signing_in.join_all().await), [200], "of the same account: {same_account}");
    }
    // The same of strangers, who have no live session.
    app.database.execute("delete from sessions").await;
    let mut signing_in = JoinSet::new();
    for _ in 0..BURST {
        let caller = app.anonymous();
        signing_in.spawn(async move { caller.login(&email(0), PASSWORD).await });
    }
    assert_eq!(statuses(&signing_in.join_all().await), [200]);
    assert_eq!(app.database.number("select count(*) from events where kind = 'login_failed'").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_one_network_is_shed_with_a_time_to_come_back_and_leaves_others_in() {
    let app = TestApp::start_with(&[&SHORT_QUEUE[..], &[UNLIMITED, BEHIND_A_PROXY]].concat()).await;
    app.register("ada@example.com").await;
    let mut flood = JoinSet::new();
    for index in 0..too_many() {
        let caller = app.anonymous();
        let request = caller.request(Method::POST, "/api/auth/login").header("x-forwarded-for", "198.51.100.9");
        let request = request.json(&json!({"email": email(index), "password": "wrong password"}));
        flood.spawn(async move { caller.send(request).await });
    }
    let shed = loop {
        let answer = flood.join_next().await.unwrap().unwrap();
        if answer.status == 503 {
            break answer;
        }
    };
    shed.assert_problem(503, "overloaded");
    let seconds: u32 = shed.header("retry-after").parse().unwrap();
    assert!((1..=2).contains(&seconds), "half of what waits is done in a second: {seconds}");

    let stranger = login_from(&app, "203.0.113.7", "ada@example.com", PASSWORD).await;

    assert_eq!(stranger.status, 200, "a network with one sign-in displaces one of the flood: {stranger:?}");
    assert_eq!(statuses(&flood.join_all().await), [401, 503]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_try_that_finds_the_queue_full_is_no_failure() {
    let app = TestApp::start_with(&[&SHORT_QUEUE[..], &[BEHIND_A_PROXY]].concat()).await;
    let mut flood = JoinSet::new();
    for index in 0..too_many() {
        let caller = app.anonymous();
        // The second network displaces tries of the first that were taken already.
        let network = if index < too_many() / 2 { "198.51.100.9" } else { "203.0.113.9" };
        let request = caller.request(Method::POST, "/api/auth/login").header("x-forwarded-for", network);
        let request = request.json(&json!({"email": email(index), "password": "wrong password"}));
        flood.spawn(async move { caller.send(request).await });
    }
    let answers = flood.join_all().await;
    let compared = answers.iter().filter(|answer| answer.status == 401).count();
    assert!((1..too_many()).contains(&compared), "{:?}", statuses(&answers));
    // Each failure of an account anywhere takes a quarter of an hour to come back.
    let failures = "select count(*) from throttles where full_at > clock_timestamp() + interval '10 minutes'";
    assert_eq!(app.database.number(failures).await, compared as i64);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_account_that_changes_its_password_all_the_time_keeps_nobody_from_signing_in() {
    let app = TestApp::start_with(&[("CLAVIGER__PASSWORD__BCRYPT_COST", "9")]).await;
    let busy = app.register("busy@example.com").await;
    for index in 0..20 {
        app.register(&email(index)).await;
    }
    let mut changing = JoinSet::new();
    for index in 0..60 {
        let (caller, token) = (busy.caller.clone(), busy.access_token.clone());
        changing.spawn(async move {
            let request = caller.request(Method::POST, "/api/auth/password").bearer_auth(token);
            let body = json!({"current_password": PASSWORD, "new_password": format!("a new password {index}")});
            caller.send(request.json(&body)).await
        });
    }
    let mut signing_in = JoinSet::new();
    for index in 0..20 {
        let caller = app.anonymous();
        signing_in.spawn(async move { caller.login(&email(index), PASSWORD).await });
    }
    assert_eq!(statuses(&signing_in.join_all().await), [200]);
    let mut changes = statuses(&changing.join_all().await);
    changes.retain(|status| *status != 401);
    // Those who come after the change have the wrong password by then.
    assert_eq!(changes, [200, 409]);
}

#[tokio::test]
async fn successful_logins_of_an_account_are_limited_and_failures_take_nothing_of_that() {
    let app = TestApp::start().await;
    let mut account = app.register("ada@example.com").await;
    app.database.execute("delete from throttles").await;
    app.login("ada@example.com").await;
    // All other tries were given back.
    let of_sign_ins = "full_at > clock_timestamp() + interval '20 seconds'";
    let taken = format!("select count(*) from throttles where {of_sign_ins}");
    assert_eq!(app.database.number(&taken).await, 1);
    // As if 499 others had followed.
    let use_up = format!("update throttles set full_at = full_at + 499 * interval '36 seconds' where {of_sign_ins}");
    app.database.execute(&use_up).await;
    let sessions = "select count(*) from sessions";
    let before = app.database.number(sessions).await;

    let refused = app.anonymous().login("ada@example.com", PASSWORD).await;

    refused.assert_problem(429, "rate_limited");
    let seconds: u32 = refused.header("retry-after").parse().unwrap();
    assert!((20..=36).contains(&seconds), "{seconds}");
    assert_eq!(app.database.number(sessions).await, before, "nothing was started");
    assert_eq!(app.database.number("select count(*) from events where kind = 'logged_in'").await, 1);
    assert_eq!(app.database.number(&taken).await, 1, "a right password is no failure");
    account.refresh().await;
    app.database
        .execute(&format!("update throttles set full_at = full_at - interval '40 seconds' where {of_sign_ins}"))
        .await;
    for _ in 0..10 {
        app.anonymous().login("ada@example.com", "wrong password").await.assert_problem(401, "invalid_credentials");
    }
    app.login("ada@example.com").await;
}

/// Spawns a call with the account's token.
fn call(calls: &mut JoinSet<Answer>, account: &Account, method: Method, path: &'static str, body: serde_json::Value) {
    let (caller, token) = (account.caller.clone(), account.access_token.clone());
    calls.spawn(async move { caller.send(caller.request(method, path).bearer_auth(token).json(&body)).await });
}

#[tokio::test]
async fn a_right_password_that_is_replaced_meanwhile_is_a_conflict_and_no_failure() {
    let mails = MailServer::start(Tls::None).await;
    // So that all wait at the same moment, also on a busy machine.
    let app = crate::mail::start_with(&mails, &[("CLAVIGER__DATABASE__STATEMENT_TIMEOUT", "30s")]).await;
    let account = app.register("ada@example.com").await;
    app.database.execute("delete from throttles").await;
    let mut other = app.database.client().await;
    let holder = other.transaction().await.unwrap();
    // Not `for update`: the mail of the registration, which may still be on its way, would wait for that too.
    holder.execute("select from users where id = $1 for no key update", &[&account.user_id()]).await.unwrap();
    let mut calls = JoinSet::new();
    let change = json!({"current_password": PASSWORD, "new_password": "a quite different password"});
    call(&mut calls, &account, Method::POST, "/api/auth/password", change);
    let email = json!({"password": PASSWORD, "new_email": "lovelace@example.com"});
    call(&mut calls, &account, Method::POST, "/api/auth/email", email);
    call(&mut calls, &account, Method::DELETE, "/api/auth/me", json!({ "password": PASSWORD }));
    wait_until("all have verified it", async || app.database.waiting_for_locks().await == 3).await;
    let replace = "update users set password_hash = '{hmac-sha256}$2b$04$new' where id = $1";
    holder.execute(replace, &[&account.user_id()]).await.unwrap();
    holder.commit().await.unwrap();

    for answer in calls.join_all().await {
        answer.assert_problem(409, "password_changed_meanwhile");
    }
    assert_eq!(account.event_kinds().await, ["registered"]);
    let failures = "select count(*) from throttles where full_at > clock_timestamp() + interval '5 seconds'
                    and full_at < clock_timestamp() + interval '4 minutes'";
    assert_eq!(app.database.number(failures).await, 1, "the mails of the network alone");
}
