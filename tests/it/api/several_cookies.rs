//! Several cookies of the refresh cookie's name: of two services on one host, or of an old path. And cookies that must stay.

use reqwest::Method;
use serde_json::{Value, json};

use super::cookies::{PAGE, cookie, refresh, sign_in, start};
use crate::support::{Account, Answer, PASSWORD, TestApp};

/// A call from the allowed page with these cookies, in this order.
async fn call(app: &TestApp, path: &str, cookies: &[&str]) -> Answer {
    let request = app.anonymous().request(Method::POST, path).header("origin", PAGE);
    let cookies: Vec<String> = cookies.iter().map(|value| format!("__Host-refresh_token={value}")).collect();
    app.anonymous().send(request.header("cookie", cookies.join("; "))).await
}

async fn login_by_cookie(app: &TestApp, email: &str) -> Answer {
    let request = app.anonymous().request(Method::POST, "/api/auth/login").header("origin", PAGE);
    let body = json!({"email": email, "password": PASSWORD, "token_transport": "cookie"});
    app.anonymous().send(request.json(&body)).await
}

/// A token of another service: its keys are not ours.
async fn foreign() -> String {
    let other = TestApp::start_with(&[("REFRESH_SECRET", "Qx7bN2kLm9PzR4vT8wYc3HsD6gJ1fKaE5uOi0XtBnVq")]).await;
    other.register("eve@example.com").await.refresh_token
}

fn both_orders<'a>(first: &'a str, second: &'a str) -> [[&'a str; 2]; 2] {
    [[first, second], [second, first]]
}

#[tokio::test]
async fn genuine_cookie_counts_beside_one_of_another_service() {
    let app = start().await;
    let registered = sign_in(&app).await;
    let (foreign, mut own) = (foreign().await, cookie(&registered));
    for other in [&*foreign, "x", "rt1_x"] {
        for first in [true, false] {
            let order = both_orders(&own, other)[usize::from(first)];
            let answer = call(&app, "/api/auth/refresh", &order).await;
            assert_eq!(answer.text("session_id"), registered.text("session_id"), "{order:?}");
            own = cookie(&answer);
            app.database.close_grace_windows().await;
        }
    }
    let answer = call(&app, "/api/auth/logout", &[&foreign, &own]).await;
    assert_eq!((answer.status.as_u16(), answer.header("set-cookie")), (204, ""), "the other one may be good");
    for order in both_orders(&own, &foreign) {
        let answer = call(&app, "/api/auth/refresh", &order).await;
        answer.assert_problem(401, "session_ended");
        assert_eq!(answer.header("set-cookie"), "", "the other one may be good");
    }
    assert!(refresh(&app, &own).await.header("set-cookie").contains("Max-Age=0"), "alone and dead it is removed");
}

#[tokio::test]
async fn cookie_of_another_service_is_never_removed() {
    let app = start().await;
    let foreign = foreign().await;
    let refused = refresh(&app, &foreign).await;
    refused.assert_problem(401, "refresh_token_invalid");
    assert_eq!(refused.header("set-cookie"), "");
    let answer = call(&app, "/api/auth/logout", &[&foreign]).await;
    assert_eq!((answer.status.as_u16(), answer.header("set-cookie")), (204, ""));

    let account = app.register("ada@example.com").await;
    let request = app.anonymous().request(Method::POST, "/api/auth/logout").header("origin", PAGE);
    let request =
        request.header("cookie", format!("__Host-refresh_token={foreign}")).bearer_auth(&account.access_token);
    assert_eq!(app.anonymous().send(request).await.status, 204);
    account.caller.refresh(&account.refresh_token).await.assert_problem(401, "session_ended");
}

#[tokio::test]
async fn session_that_is_alive_counts_beside_one_that_is_dead() {
    let app = start().await;
    let registered = sign_in(&app).await;
    for dead_is_newer in [true, false] {
        let (older, newer) =
            (login_by_cookie(&app, "ada@example.com").await, login_by_cookie(&app, "ada@example.com").await);
        let (dead, alive) = if dead_is_newer { (newer, older) } else { (older, newer) };
        assert_eq!(call(&app, "/api/auth/logout", &[&cookie(&dead)]).await.status, 204);
        let mut token = cookie(&alive);
        for first in [true, false] {
            let dead = cookie(&dead);
            let answer = call(&app, "/api/auth/refresh", &both_orders(&dead, &token)[usize::from(first)]).await;
            assert_eq!(answer.text("session_id"), alive.text("session_id"));
            token = cookie(&answer);
            app.database.close_grace_windows().await;
        }
    }
    assert_eq!(refresh(&app, &cookie(&registered)).await.status, 200, "a session that nobody showed goes on");
}

#[tokio::test]
async fn newest_token_of_a_session_counts_and_the_older_one_is_no_replay() {
    let app = start().await;
    let old = cookie(&sign_in(&app).await);
    let mut new = cookie(&refresh(&app, &old).await);
    for first in [true, false] {
        app.database.execute("update sessions set rotated_at = rotated_at - interval '1 hour'").await;
        let answer = call(&app, "/api/auth/refresh", &both_orders(&old, &new)[usize::from(first)]).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        new = cookie(&answer);
    }
    assert_eq!(app.database.number("select count(*) from sessions where ended_at is not null").await, 0);
}

#[tokio::test]
async fn logout_ends_the_sessions_of_all_own_cookies() {
    let app = start().await;
    let (first, second) = (cookie(&sign_in(&app).await), cookie(&login_by_cookie(&app, "ada@example.com").await));
    let phone = app.login("ada@example.com").await;

    let answer = call(&app, "/api/auth/logout", &[&first, &second]).await;

    assert_eq!((answer.status.as_u16(), cookie(&answer)), (204, String::new()));
    for token in [&first, &second] {
        refresh(&app, token).await.assert_problem(401, "session_ended");
    }
    assert_eq!(phone.me().await.status, 200);
    let both_dead = call(&app, "/api/auth/refresh", &[&first, &second]).await;
    both_dead.assert_problem(401, "session_ended");
    assert!(both_dead.header("set-cookie").contains("Max-Age=0"));
}

#[tokio::test]
async fn very_many_cookies_cost_no_more_statements_than_a_few() {
    let app = start().await;
    sign_in(&app).await;
    let mut dead = Vec::new();
    for _ in 0..6 {
        dead.push(cookie(&login_by_cookie(&app, "ada@example.com").await));
    }
    app.database.execute("update sessions set ended_at = now(), ended_by = 'logout'").await;
    let texts: Vec<&str> = dead.iter().map(String::as_str).collect();
    let answer = call(&app, "/api/auth/refresh", &texts).await;
    answer.assert_problem(401, "session_ended");
    assert_eq!(answer.header("set-cookie"), "", "some were not tried");
}

#[tokio::test]
async fn dead_token_in_the_body_leaves_a_good_cookie() {
    let app = start().await;
    let good = cookie(&sign_in(&app).await);
    let phone = app.login("ada@example.com").await;
    phone.logout().await;
    for (path, status) in [("/api/auth/refresh", 401), ("/api/auth/logout", 204)] {
        for token in [&*phone.refresh_token, "made up"] {
            let request = app.anonymous().request(Method::POST, path).header("origin", PAGE);
            let request = request.header("cookie", format!("__Host-refresh_token={good}"));
            let answer = app.anonymous().send(request.json(&json!({ "refresh_token": token }))).await;
            assert_eq!((answer.status.as_u16(), answer.header("set-cookie")), (status, ""), "{path} {token}");
        }
    }
    assert_eq!(refresh(&app, &good).await.status, 200);
}

#[tokio::test]
async fn deleted_account_takes_its_own_cookie_along_and_no_other() {
    let app = start().await;
    let ada = cookie(&sign_in(&app).await);
    let delete = async |account: &Account, value: &str| {
        let request = account.caller.request(Method::DELETE, "/api/auth/me").bearer_auth(&account.access_token);
        let request = request.header("cookie", format!("__Host-refresh_token={value}"));
        account.caller.send(request.json(&json!({ "password": PASSWORD }))).await
    };
    let answer = delete(&app.register("bob@example.com").await, &ada).await;
    assert_eq!((answer.status.as_u16(), answer.header("set-cookie")), (204, ""));
    assert_eq!(refresh(&app, &ada).await.status, 200);
    let answer = delete(&app.register("eve@example.com").await, &foreign().await).await;
    assert_eq!((answer.status.as_u16(), answer.header("set-cookie")), (204, ""));

    let answer = delete(&app.login("ada@example.com").await, &ada).await;
    assert_eq!((answer.status.as_u16(), cookie(&answer)), (204, String::new()));
}

#[tokio::test]
async fn name_of_the_cookie_is_a_setting() {
    for (secure, full_name) in [("true", "__Host-shop.refresh"), ("false", "shop.refresh")] {
        let app = TestApp::start_with(&[
            ("CLAVIGER__CORS__ALLOWED_ORIGINS", PAGE),
            ("CLAVIGER__COOKIE__NAME", "shop.refresh"),
            ("CLAVIGER__COOKIE__SECURE", secure),
        ])
        .await;
        let registered = sign_in(&app).await;
        let set = registered.header("set-cookie");
        let (name, rest) = set.split_once('=').unwrap();
        let value = rest.split(';').next().unwrap();
        assert_eq!((name, rest.contains("Secure")), (full_name, secure == "true"), "{set}");
        let with = async |name: &str| {
            let request = app.anonymous().request(Method::POST, "/api/auth/refresh").header("origin", PAGE);
            app.anonymous().send(request.header("cookie", format!("{name}={value}"))).await
        };
        for other in ["refresh_token", "__Host-refresh_token", "shop.refresh2", "xshop.refresh", "Shop.refresh"] {
            with(other).await.assert_problem(401, "refresh_token_missing");
        }
        assert_eq!(with(full_name).await.body.get("refresh_token"), None::<&Value>);
        assert_eq!(with(full_name).await.status, 200);
    }
}
