//! Cookie mode as a browser's requests look; tests/it/browser.rs has a real one.

use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use crate::support::{Answer, PASSWORD, TestApp};

pub(super) const PAGE: &str = "https://app.example.com";

pub(super) async fn start() -> TestApp {
    TestApp::start_with(&[("CLAVIGER__CORS__ALLOWED_ORIGINS", "https://app.example.com,https://*.apps.example.com")])
        .await
}

/// The value that an answer sets the cookie to.
pub(super) fn cookie(answer: &Answer) -> String {
    let set = answer.header("set-cookie");
    let value = set.strip_prefix("__Host-refresh_token=").unwrap_or_else(|| panic!("no cookie in {answer:?}"));
    value.split(';').next().unwrap().to_owned()
}

pub(super) fn from_page(app: &TestApp, path: &str, cookie: &str) -> RequestBuilder {
    let request = app.anonymous().request(Method::POST, path).header("origin", PAGE);
    request.header("cookie", format!("other=1; __Host-refresh_token={cookie}"))
}

pub(super) async fn sign_in(app: &TestApp) -> Answer {
    let request = app.anonymous().request(Method::POST, "/api/auth/register").header("origin", PAGE);
    let body = json!({"email": "ada@example.com", "password": PASSWORD, "token_transport": "cookie"});
    app.anonymous().send(request.json(&body)).await
}

pub(super) async fn refresh(app: &TestApp, cookie: &str) -> Answer {
    app.anonymous().send(from_page(app, "/api/auth/refresh", cookie).json(&json!({}))).await
}

#[tokio::test]
async fn the_cookie_holds_the_refresh_token_and_the_body_does_not() {
    let app = start().await;
    let registered = sign_in(&app).await;
    assert_eq!(registered.status, 201, "{registered:?}");
    assert!(registered.body.get("refresh_token").is_none() && registered.body["access_token"].is_string());
    let set = registered.header("set-cookie").to_owned();
    let attributes: Vec<&str> = set.split("; ").skip(1).collect();
    for attribute in ["Secure", "HttpOnly", "SameSite=Strict", "Path=/", "Max-Age=604800"] {
        assert!(attributes.contains(&attribute), "{set}");
    }
    assert!(!set.contains("Domain"));

    let refreshed = refresh(&app, &cookie(&registered)).await;

    assert_eq!(refreshed.status, 200, "{refreshed:?}");
    assert!(refreshed.body.get("refresh_token").is_none() && refreshed.body["access_token"].is_string());
    assert_ne!(cookie(&refreshed), cookie(&registered));
    assert_eq!(refresh(&app, &cookie(&refreshed)).await.status, 200);
}

#[tokio::test]
async fn unchanged_refresh_sets_no_cookie() {
    let app = start().await;
    let first = cookie(&sign_in(&app).await);
    let second = cookie(&refresh(&app, &first).await);

    let unchanged = refresh(&app, &second).await;
    assert_eq!((unchanged.status.as_u16(), unchanged.header("set-cookie")), (200, ""));

    assert_eq!(
        cookie(&refresh(&app, &first).await),
        second,
        "a repeated refresh sets it: the first answer may be lost"
    );
    app.database.close_grace_windows().await;
    assert_ne!(cookie(&refresh(&app, &second).await), second);
}

#[tokio::test]
async fn a_login_may_ask_for_the_cookie_too_and_for_nothing_unknown() {
    let app = start().await;
    sign_in(&app).await;
    let login = async |transport: Value| {
        let request = app.anonymous().request(Method::POST, "/api/auth/login").header("origin", PAGE);
        let body = json!({"email": "ada@example.com", "password": PASSWORD, "token_transport": transport});
        app.anonymous().send(request.json(&body)).await
    };
    assert!(cookie(&login(json!("cookie")).await).starts_with("rt1_"));
    for transport in [json!("body"), Value::Null] {
        let answer = login(transport).await;
        assert!(answer.text("refresh_token").starts_with("rt1_") && answer.header("set-cookie").is_empty());
    }
    login(json!("header")).await.assert_invalid(&[("token_transport", "unknown_value")]);
}

#[tokio::test]
async fn a_page_that_is_not_allowed_can_do_nothing_with_the_cookie() {
    let app = start().await;
    let cookie = cookie(&sign_in(&app).await);
    let state = "select generation + case when ended_at is null then 0 else 100 end from sessions";
    let with = |path: &str, headers: &[(&'static str, &str)]| {
        let request = app.anonymous().request(Method::POST, path);
        let request = request.header("cookie", format!("__Host-refresh_token={cookie}"));
        headers.iter().fold(request, |request, (name, value)| request.header(*name, *value))
    };
    for headers in [
        vec![],
        vec![("origin", "https://evil.example.com")],
        vec![("origin", "https://apps.example.com")],
        vec![("origin", "http://app.example.com")],
        vec![("origin", "null")],
        vec![("sec-fetch-site", "same-site")],
        vec![("sec-fetch-site", "none")],
        vec![("origin", "https://evil.example.com"), ("sec-fetch-site", "cross-site")],
    ] {
        for path in ["/api/auth/refresh", "/api/auth/logout"] {
            let answer = app.anonymous().send(with(path, &headers).json(&json!({}))).await;
            answer.assert_problem(403, "origin_not_allowed");
            assert!(answer.header("set-cookie").is_empty() && answer.header("access-control-allow-origin").is_empty());
        }
        for path in ["/api/auth/login", "/api/auth/register"] {
            let body = json!({"email": "eve@example.com", "password": PASSWORD, "token_transport": "cookie"});
            app.anonymous().send(with(path, &headers).json(&body)).await.assert_problem(403, "origin_not_allowed");
        }
    }
    // What a form can send, even from an allowed page.
    for media_type in ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data"] {
        for path in ["/api/auth/refresh", "/api/auth/logout"] {
            let request = with(path, &[("origin", PAGE), ("content-type", media_type)]).body("{}");
            app.anonymous().send(request).await.assert_problem(403, "origin_not_allowed");
        }
    }
    assert_eq!(app.database.number(state).await, 0);
    assert_eq!(app.database.number("select count(*) from users").await, 1);
    assert_eq!(refresh(&app, &cookie).await.status, 200);
}

#[tokio::test]
async fn allowed_subdomains_and_the_service_itself_may_use_the_cookie() {
    let app = start().await;
    let mut cookie_value = cookie(&sign_in(&app).await);
    for (name, value) in [("origin", "https://one.apps.example.com"), ("sec-fetch-site", "same-origin")] {
        let request = app.anonymous().request(Method::POST, "/api/auth/refresh").header(name, value);
        let request = request.header("cookie", format!("__Host-refresh_token={cookie_value}"));
        let answer = app.anonymous().send(request.json(&json!({}))).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        cookie_value = cookie(&answer);
        app.database.close_grace_windows().await;
    }
}

#[tokio::test]
async fn a_token_in_the_body_goes_before_the_cookie() {
    let app = start().await;
    let in_cookie = cookie(&sign_in(&app).await);
    let phone = app.login("ada@example.com").await;
    let request = app.anonymous().request(Method::POST, "/api/auth/refresh");
    let request = request.header("cookie", format!("__Host-refresh_token={in_cookie}"));
    let answer = app.anonymous().send(request.json(&json!({"refresh_token": phone.refresh_token}))).await;
    assert_eq!(answer.text("session_id"), phone.session_id);
    assert!(answer.header("set-cookie").is_empty());
}

#[tokio::test]
async fn a_logout_removes_the_cookie() {
    let app = start().await;
    let registered = sign_in(&app).await;
    let spent = cookie(&registered);
    let answer = app.anonymous().send(from_page(&app, "/api/auth/logout", &spent).json(&json!({}))).await;
    assert_eq!((answer.status.as_u16(), cookie(&answer)), (204, String::new()));
    assert!(answer.header("set-cookie").contains("Max-Age=0"));
    assert_eq!(app.database.number("select count(*) from sessions where ended_by = 'logout'").await, 1);

    let refused = refresh(&app, &spent).await;
    refused.assert_problem(401, "session_ended");
    assert!(refused.header("set-cookie").contains("Max-Age=0"), "a cookie that opens nothing is removed too");
    refresh(&app, "").await.assert_problem(401, "refresh_token_missing");
}

#[tokio::test]
async fn a_neighbours_cookies_neither_take_its_place_nor_hide_it() {
    let app = start().await;
    let registered = sign_in(&app).await;
    let mut own = cookie(&registered);
    let evil = app.register("eve@example.com").await.refresh_token;
    for planted in
        [&b"%5F_Host-refresh_token="[..], b"\xc2\xa0__Host-refresh_token=", b"__host-refresh_token=", b"x=\xff"]
    {
        let line = [planted, evil.as_bytes(), b"; __Host-refresh_token=", own.as_bytes()].concat();
        let request = app.anonymous().request(Method::POST, "/api/auth/refresh").header("origin", PAGE);
        let answer = app.anonymous().send(request.header("cookie", line).json(&json!({}))).await;
        assert_eq!(answer.text("session_id"), registered.text("session_id"));
        own = cookie(&answer);
        app.database.close_grace_windows().await;
    }
    let line = [b"x=\xff; __Host-refresh_token=", own.as_bytes()].concat();
    let request = app.anonymous().request(Method::POST, "/api/auth/logout").header("origin", PAGE);
    assert_eq!(app.anonymous().send(request.header("cookie", line).json(&json!({}))).await.status, 204);
    refresh(&app, &own).await.assert_problem(401, "session_ended");
}

#[tokio::test]
async fn an_outage_leaves_the_cookie_where_it_is() {
    let app = start().await;
    let value = cookie(&sign_in(&app).await);
    app.database.execute("alter table sessions rename to hidden").await;
    let answer = refresh(&app, &value).await;
    answer.assert_problem(503, "database_unavailable");
    assert!(answer.header("set-cookie").is_empty());
}

#[tokio::test]
async fn without_https_in_development_the_cookie_has_another_name() {
    let settings =
        [("CLAVIGER__CORS__ALLOWED_ORIGINS", "http://localhost:5173"), ("CLAVIGER__COOKIE__SECURE", "false")];
    let app = TestApp::start_with(&settings).await;
    let request = app.anonymous().request(Method::POST, "/api/auth/register").header("origin", "http://localhost:5173");
    let body = json!({"email": "ada@example.com", "password": PASSWORD, "token_transport": "cookie"});
    let answer = app.anonymous().send(request.json(&body)).await;
    let set = answer.header("set-cookie");
    assert!(set.starts_with("refresh_token=rt1_") && set.contains("HttpOnly") && !set.contains("Secure"), "{set}");
}

#[tokio::test]
async fn allowed_pages_can_read_answers_and_errors_and_others_cannot() {
    let app = start().await;
    for (origin, allowed) in [(PAGE, true), ("https://x.apps.example.com", true), ("https://evil.example.com", false)] {
        for (path, status) in [("/api/auth/me", 401), ("/health", 200), ("/nowhere", 404)] {
            let request = app.anonymous().request(Method::GET, path).header("origin", origin);
            let answer = app.anonymous().send(request).await;
            let told = answer.header("access-control-allow-origin");
            assert_eq!((answer.status.as_u16(), told), (status, if allowed { origin } else { "" }), "{origin} {path}");
            assert!(answer.header("vary").to_ascii_lowercase().contains("origin"));
            if allowed {
                assert_eq!(answer.header("access-control-allow-credentials"), "true");
                assert!(answer.header("access-control-expose-headers").contains("retry-after"));
            }
        }
    }
}

#[tokio::test]
async fn a_preflight_is_answered_for_allowed_pages_and_refused_for_others() {
    let app = start().await;
    let preflight = async |origin: &str, method: &str, headers: &str| {
        let request = app.anonymous().request(Method::OPTIONS, "/api/auth/refresh").header("origin", origin);
        let request = request.header("access-control-request-method", method);
        app.anonymous().send(request.header("access-control-request-headers", headers)).await
    };
    let answer = preflight(PAGE, "POST", "content-type,authorization,idempotency-key").await;
    assert_eq!((answer.status.as_u16(), answer.header("access-control-allow-origin")), (200, PAGE));
    assert_eq!(answer.header("access-control-allow-credentials"), "true");
    assert_eq!(answer.header("access-control-max-age"), "600");
    assert!(!answer.header("x-request-id").is_empty());
    assert_eq!(preflight(PAGE, "DELETE", "authorization").await.status, 200);
    preflight("https://evil.example.com", "POST", "content-type").await.assert_problem(403, "origin_not_allowed");
    preflight(PAGE, "PUT", "content-type").await.assert_problem(400, "malformed_request");
    preflight(PAGE, "POST", "x-unknown").await.assert_problem(400, "malformed_request");
}

#[tokio::test]
async fn login_replaces_the_session_of_the_cookie_and_a_late_refresh_leaves_the_new_cookie() {
    let app = start().await;
    let registered = sign_in(&app).await;
    let old = cookie(&registered);
    let body = json!({"email": "ada@example.com", "password": PASSWORD, "token_transport": "cookie"});
    let answer = app.anonymous().send(from_page(&app, "/api/auth/login", &old).json(&body)).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(app.database.number("select count(*) from sessions where ended_by = 'replaced'").await, 1);

    let late = refresh(&app, &old).await;
    late.assert_problem(401, "session_ended");
    assert!(late.header("set-cookie").is_empty(), "it would remove the cookie that the login has set");
    assert_eq!(refresh(&app, &cookie(&answer)).await.status, 200);
}
