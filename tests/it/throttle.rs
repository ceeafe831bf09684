//! Guessing is slowed, and nobody is kept out by a stranger's failures.

use reqwest::Method;
use serde_json::json;
use tokio::task::JoinSet;

use crate::support::{Answer, PASSWORD, ServerProcess, TestApp, TestDatabase};

const BEHIND_A_PROXY: [(&str, &str); 1] = [("CLAVIGER__SERVER__TRUSTED_PROXIES", "127.0.0.1")];

async fn login_from(app: &TestApp, address: &str, email: &str, password: &str) -> Answer {
    let request = app.anonymous().request(Method::POST, "/api/auth/login").header("x-forwarded-for", address);
    app.anonymous().send(request.json(&json!({"email": email, "password": password}))).await
}

/// How many of so many wrong tries from one address were looked at.
async fn tries(app: &TestApp, address: &str, email: &str, count: usize) -> usize {
    let mut looked_at = 0;
    for _ in 0..count {
        let answer = login_from(app, address, email, "wrong password").await;
        match answer.status.as_u16() {
            401 => looked_at += 1,
            _ => answer.assert_problem(429, "rate_limited"),
        }
    }
    looked_at
}

/// As if so many seconds had passed.
async fn wait(app: &TestApp, seconds: u32) {
    app.database.execute(&format!("update throttles set full_at = full_at - interval '{seconds} seconds'")).await;
}

#[tokio::test]
async fn after_fifty_failures_from_one_place_an_account_can_be_tried_once_a_minute() {
    let app = TestApp::start_with(&BEHIND_A_PROXY).await;
    app.register("ada@example.com").await;
    let from = ["203.0.113.1", "203.0.113.2", "203.0.113.3"];
    for (address, email) in from.into_iter().zip(["ada@example.com", "nobody@example.com", "no address"]) {
        assert_eq!(tries(&app, address, email, 53).await, 50, "{email}");
        let refused = login_from(&app, address, email, PASSWORD).await;
        refused.assert_problem(429, "rate_limited");
        let seconds: u32 = refused.header("retry-after").parse().unwrap();
        assert!((1..=60).contains(&seconds), "{seconds}");
    }
    wait(&app, 61).await;
    assert_eq!(tries(&app, "203.0.113.1", "ada@example.com", 3).await, 1);
}

#[tokio::test]
async fn a_success_forgives_the_failures_before_it() {
    let app = TestApp::start_with(&BEHIND_A_PROXY).await;
    app.register("ada@example.com").await;
    for _ in 0..4 {
        assert_eq!(tries(&app, "203.0.113.1", "ada@example.com", 40).await, 40);
        assert_eq!(login_from(&app, "203.0.113.1", "ADA@example.com", PASSWORD).await.status, 200);
        wait(&app, 450).await;
    }
}

#[tokio::test]
async fn one_network_cannot_try_one_password_on_many_accounts() {
    let app = TestApp::start_with(&BEHIND_A_PROXY).await;
    app.register("ada@example.com").await;
    let mut looked_at = 0;
    for index in 0..110 {
        // One network of 64 bits, whatever the rest of the address.
        let address = format!("2001:db8:1:2::{index:x}");
        looked_at += tries(&app, &address, &format!("user{index}@example.com"), 1).await;
    }
    assert!((100..=102).contains(&looked_at), "{looked_at}");
    login_from(&app, "2001:db8:1:2:ffff::1", "ada@example.com", PASSWORD).await.assert_problem(429, "rate_limited");
    assert_eq!(login_from(&app, "2001:db8:1:3::1", "ada@example.com", PASSWORD).await.status, 200);
}

#[tokio::test]
async fn strangers_everywhere_get_a_hundred_tries_and_do_not_keep_the_owner_out() {
    let app = TestApp::start_with(&BEHIND_A_PROXY).await;
    app.register("ada@example.com").await;
    let at_home = login_from(&app, "198.51.100.7", "ada@example.com", PASSWORD).await;
    let mut phone = app.login("ada@example.com").await;
    let mut looked_at = 0;
    for index in 0..130 {
        looked_at += tries(&app, &format!("203.0.113.{index}"), "ada@example.com", 1).await;
    }
    assert_eq!(looked_at, 100);
    // A device that the account has never seen is a stranger too.
    login_from(&app, "192.0.2.1", "ada@example.com", PASSWORD).await.assert_problem(429, "rate_limited");

    assert_eq!(
        login_from(&app, "198.51.100.7", "ada@example.com", PASSWORD).await.status,
        200,
        "where a session lives"
    );
    let request = app.anonymous().request(Method::POST, "/api/auth/login").header("x-forwarded-for", "192.0.2.1");
    let body =
        json!({"email": "ada@example.com", "password": PASSWORD, "refresh_token": at_home.text("refresh_token")});
    assert_eq!(app.anonymous().send(request.json(&body)).await.status, 200, "whoever shows a token of a live session");
    phone.refresh().await;
    assert_eq!(app.database.number("select count(*) from users where disabled_at is not null").await, 0);
}

#[tokio::test]
async fn a_token_of_somebody_else_or_of_an_ended_session_makes_no_device_known() {
    let app = TestApp::start_with(&BEHIND_A_PROXY).await;
    app.register("ada@example.com").await;
    app.database.execute("delete from sessions").await;
    let bob = app.register("bob@example.com").await;
    let ended = app.login("ada@example.com").await;
    ended.logout().await;
    for index in 0..100 {
        assert_eq!(tries(&app, &format!("203.0.113.{index}"), "ada@example.com", 1).await, 1);
    }
    for token in [&bob.refresh_token, &ended.refresh_token, "rt1_x", ""] {
        let request = app.anonymous().request(Method::POST, "/api/auth/login").header("x-forwarded-for", "192.0.2.1");
        let body = json!({"email": "ada@example.com", "password": PASSWORD, "refresh_token": token});
        app.anonymous().send(request.json(&body)).await.assert_problem(429, "rate_limited");
    }
}

#[tokio::test]
async fn an_old_token_of_a_live_session_makes_no_device_known() {
    let app = TestApp::start_with(&BEHIND_A_PROXY).await;
    let mut account = app.register("ada@example.com").await;
    let old = account.refresh_token.clone();
    account.refresh().await;
    let before = account.refresh_token.clone();
    app.database.close_grace_windows().await;
    account.refresh().await;
    for index in 0..100 {
        assert_eq!(tries(&app, &format!("203.0.113.{index}"), "ada@example.com", 1).await, 1);
    }
    let login = async |token: &str| {
        let request = app.anonymous().request(Method::POST, "/api/auth/login").header("x-forwarded-for", "192.0.2.1");
        let body = json!({"email": "ada@example.com", "password": PASSWORD, "refresh_token": token});
        app.anonymous().send(request.json(&body)).await
    };
    login(&old).await.assert_problem(429, "rate_limited");
    for newest in [&before, &account.refresh_token] {
        assert_eq!(login(newest).await.status, 200);
        app.database.execute("delete from sessions where ip_address = '192.0.2.1'").await;
        // The login has replaced it.
        app.database.execute("update sessions set ended_at = null, ended_by = null, ended_ip_address = null").await;
    }
}

#[tokio::test]
async fn a_crowd_of_strangers_keeps_no_program_of_its_network_from_a_token() {
    let app = TestApp::start().await;
    let program = app.program("orders", "revocations:read").await;
    let mut other = app.database.client().await;
    let holder = other.transaction().await.unwrap();
    holder.batch_execute("lock table users").await.unwrap();
    let mut crowd = JoinSet::new();
    for _ in 0..140 {
        let caller = app.anonymous();
        crowd.spawn(async move { caller.login("ada@example.com", "a wrong password").await });
    }
    let turned_away = crowd.join_next().await.unwrap().unwrap();
    turned_away.assert_problem(503, "overloaded");

    let answer = program.ask(&[("grant_type", "client_credentials")]).await;

    assert_eq!(answer.status, 200, "{answer:?}");
    app.anonymous().login("ada@example.com", "a wrong password").await.assert_problem(503, "overloaded");
    holder.rollback().await.unwrap();
    crowd.join_all().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn processes_count_together_and_tries_at_once_do_not_slip_through() {
    let database = TestDatabase::migrated().await;
    let servers = [ServerProcess::ready(&database.url, &[]).await, ServerProcess::ready(&database.url, &[]).await];
    let tries: Vec<_> = (0..150)
        .map(|index| {
            let caller = servers[index % 2].anonymous();
            tokio::spawn(async move { caller.login("ada@example.com", "wrong password").await.status.as_u16() })
        })
        .collect();
    let mut looked_at = 0;
    for one in tries {
        match one.await.unwrap() {
            401 => looked_at += 1,
            status => assert!([429, 503].contains(&status), "{status}"),
        }
    }
    assert!((1..=50).contains(&looked_at), "{looked_at}");
}

#[tokio::test]
async fn whoever_holds_an_access_token_cannot_guess_the_password_with_it() {
    let app = TestApp::start().await;
    let account = app.register("ada@example.com").await;
    let wrong = json!({"current_password": "wrong password", "new_password": "another good password"});
    for index in 0..52 {
        let answer = account.call(Method::POST, "/api/auth/password", wrong.clone()).await;
        answer.assert_problem(
            if index < 50 { 401 } else { 429 },
            if index < 50 { "invalid_credentials" } else { "rate_limited" },
        );
    }
}

#[tokio::test]
async fn registrations_of_one_network_are_limited() {
    let app = TestApp::start_with(&BEHIND_A_PROXY).await;
    let register = async |address: &str, index: usize| {
        let request = app.anonymous().request(Method::POST, "/api/auth/register").header("x-forwarded-for", address);
        let body = json!({"email": format!("user{index}@example.com"), "password": PASSWORD});
        app.anonymous().send(request.json(&body)).await.status.as_u16()
    };
    for index in 0..100 {
        assert_eq!(register("203.0.113.1", index).await, 201);
    }
    assert_eq!(register("203.0.113.1", 100).await, 429);
    assert_eq!(register("203.0.113.2", 100).await, 201);
}

#[tokio::test]
async fn limits_can_be_turned_off_for_tests() {
    let app = TestApp::start_with(&[("CLAVIGER__THROTTLE__ENABLED", "false")]).await;
    for _ in 0..30 {
        app.anonymous().login("ada@example.com", "wrong password").await.assert_problem(401, "invalid_credentials");
    }
    assert_eq!(app.database.number("select count(*) from throttles").await, 0);
}

#[tokio::test]
async fn refreshes_are_never_limited() {
    let app = TestApp::start().await;
    let mut account = app.register("ada@example.com").await;
    while app.anonymous().login("ada@example.com", "wrong password").await.status != 429 {}
    for _ in 0..150 {
        account.refresh().await;
        app.anonymous().refresh("rt1_nonsense").await.assert_problem(401, "refresh_token_invalid");
    }
}
