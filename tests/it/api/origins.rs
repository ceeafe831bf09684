//! Which pages may use the cookie, and what the refusal says. The check of the origin is the defence against forged
//! requests, so each refused combination is here.

use reqwest::Method;
use serde_json::{Value, json};

use super::cookies::{PAGE, cookie, refresh, sign_in, start};
use crate::support::{Answer, PASSWORD, TestApp};

const OWN: &str = "https://auth.example.com";
const EVIL: &str = "https://evil.example.com";

type Headers<'a> = &'a [(&'static str, &'a str)];

const CALLS: [&str; 4] = ["refresh", "logout", "login", "register"];

/// A call that uses the cookie or asks for it, with these headers and nothing else.
async fn call(app: &TestApp, name: &str, cookie: &str, headers: Headers<'_>) -> Answer {
    let caller = app.anonymous();
    let mut request = caller.request(Method::POST, &format!("/api/auth/{name}"));
    request = request.header("cookie", format!("__Host-refresh_token={cookie}"));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let body = match name {
        "login" => json!({"email": "ada@example.com", "password": PASSWORD, "token_transport": "cookie"}),
        "register" => json!({"email": "new@example.com", "password": PASSWORD, "token_transport": "cookie"}),
        _ => Value::Null,
    };
    caller.send(if body.is_null() { request } else { request.json(&body) }).await
}

/// Everything that a forged request could change.
async fn state(app: &TestApp) -> String {
    let rows = "select jsonb_build_object('sessions', (select jsonb_agg(s order by id) from sessions s),
                                          'users', (select jsonb_agg(u order by id) from users u),
                                          'events', (select jsonb_agg(e order by id) from events e))::text";
    app.database.rows(rows).await[0].get(0)
}

/// Fails unless the calls are refused for that reason, and change nothing.
async fn assert_refused(app: &TestApp, calls: &[&str], cookie: &str, headers: Headers<'_>, detail: &str) {
    let before = state(app).await;
    for name in calls {
        let answer = call(app, name, cookie, headers).await;
        answer.assert_problem(403, "origin_not_allowed");
        assert!(answer.text("detail").contains(detail), "{name} {headers:?}: {}", answer.text("detail"));
        assert!(answer.header("set-cookie").is_empty(), "{answer:?}");
    }
    assert_eq!(state(app).await, before, "{headers:?}");
}

#[tokio::test]
async fn bare_fetch_from_an_allowed_page_refreshes_and_logs_out() {
    let app = start().await;
    let registered = sign_in(&app).await;

    let refreshed = call(&app, "refresh", &cookie(&registered), &[("origin", PAGE)]).await;
    assert_eq!((refreshed.status.as_u16(), refreshed.text("session_id")), (200, registered.text("session_id")));
    assert_eq!(refreshed.header("access-control-allow-origin"), PAGE);

    let value = cookie(&refreshed);
    let logged_out = call(&app, "logout", &value, &[("origin", PAGE), ("sec-fetch-site", "same-site")]).await;
    assert_eq!((logged_out.status.as_u16(), cookie(&logged_out)), (204, String::new()));
    refresh(&app, &value).await.assert_problem(401, "session_ended");
}

#[tokio::test]
async fn page_of_another_origin_is_refused_and_told_so() {
    let app = start().await;
    let value = cookie(&sign_in(&app).await);
    for origin in [
        EVIL,
        "null",
        "",
        "http://app.example.com",
        "https://app.example.com:444",
        "https://app.example.com.evil.test",
        "https://apps.example.com",
        // No browser writes an origin like these, so nobody is kept out.
        "HTTPS://APP.EXAMPLE.COM",
        "https://App.example.com",
        "https://app.example.com:443",
        "https://app.example.com/",
        "https://app.example.com, https://app.example.com",
    ] {
        for site in [None, Some("cross-site"), Some("same-site"), Some("none")] {
            let headers: Vec<_> = [("origin", origin)].into_iter().chain(site.map(|s| ("sec-fetch-site", s))).collect();
            assert_refused(&app, &CALLS, &value, &headers, "cors.allowed_origins").await;
        }
    }
    let raw =
        app.anonymous().request(Method::POST, "/api/auth/refresh").header("origin", &b"https://\xff.example.com"[..]);
    let raw = raw.header("cookie", format!("__Host-refresh_token={value}"));
    app.anonymous().send(raw).await.assert_problem(403, "origin_not_allowed");
    assert_eq!(refresh(&app, &value).await.status, 200);
}

#[tokio::test]
async fn request_without_origin_is_refused_unless_the_browser_says_same_origin() {
    let app = start().await;
    let value = cookie(&sign_in(&app).await);
    for headers in [
        &[][..],
        &[("sec-fetch-site", "same-site")],
        &[("sec-fetch-site", "cross-site")],
        &[("sec-fetch-site", "none")],
        &[("sec-fetch-site", "SAME-ORIGIN")],
        &[("sec-fetch-site", "same-origin"), ("sec-fetch-site", "same-origin")],
        &[("referer", "https://app.example.com/")],
    ] {
        assert_refused(&app, &CALLS, &value, headers, "no Origin").await;
    }
    let answer = call(&app, "refresh", &value, &[("sec-fetch-site", "same-origin")]).await;
    assert_eq!(answer.status, 200, "{answer:?}");
}

#[tokio::test]
async fn of_several_origins_none_is_believed() {
    let app = start().await;
    let value = cookie(&sign_in(&app).await);
    for origins in [[PAGE, EVIL], [EVIL, PAGE], [PAGE, PAGE]] {
        let headers = origins.map(|origin| ("origin", origin));
        assert_refused(&app, &CALLS, &value, &headers, "several Origin").await;
        let with_site = [headers[0], headers[1], ("sec-fetch-site", "same-origin")];
        assert_refused(&app, &CALLS, &value, &with_site, "several Origin").await;
    }
}

#[tokio::test]
async fn same_origin_with_the_origin_of_another_host_is_a_contradiction() {
    let app = start().await;
    let value = cookie(&sign_in(&app).await);
    for origin in [EVIL, "null", "https://127.0.0.1.evil.test"] {
        let headers = [("origin", origin), ("sec-fetch-site", "same-origin")];
        assert_refused(&app, &CALLS, &value, &headers, "same-origin").await;
    }
    // The service's own page: some proxies drop the port of `Host`.
    let own = format!("http://{}", app.address);
    for origin in [&*own, "http://127.0.0.1"] {
        let answer = call(&app, "login", "", &[("origin", origin), ("sec-fetch-site", "same-origin")]).await;
        assert_eq!(answer.status, 200, "{origin}: {answer:?}");
        assert_refused(&app, &CALLS, &value, &[("origin", origin)], "cors.allowed_origins").await;
    }
}

#[tokio::test]
async fn body_that_is_not_json_is_refused_beside_the_cookie() {
    let app = start().await;
    let value = cookie(&sign_in(&app).await);
    let token = app.login("ada@example.com").await.refresh_token;
    let before = state(&app).await;
    for media_type in
        ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "application/jsonx"]
    {
        for path in ["/api/auth/refresh", "/api/auth/logout"] {
            let request = app.anonymous().request(Method::POST, path).header("origin", PAGE);
            let request = request.header("cookie", format!("__Host-refresh_token={value}"));
            let request = request.header("content-type", media_type).body(json!({"refresh_token": token}).to_string());
            let answer = app.anonymous().send(request).await;
            answer.assert_problem(403, "origin_not_allowed");
            assert!(answer.text("detail").contains("not JSON") && answer.header("set-cookie").is_empty(), "{answer:?}");
        }
    }
    assert_eq!(state(&app).await, before);
}

#[tokio::test]
async fn cookie_that_the_browser_would_not_keep_is_not_given() {
    let settings = [("CLAVIGER__CORS__ALLOWED_ORIGINS", "https://app.example.com,https://app.example.net")];
    let app = TestApp::start_with(&settings).await;
    let value = cookie(&sign_in(&app).await);
    for origin in [PAGE, "https://app.example.net"] {
        let headers = [("origin", origin), ("sec-fetch-site", "cross-site")];
        assert_refused(&app, &["login", "register", "refresh"], &value, &headers, "another site").await;
    }
    // Browsers hold the cookie back there. The page is told why nobody is signed in.
    let request = app.anonymous().request(Method::POST, "/api/auth/refresh").header("sec-fetch-site", "cross-site");
    let answer = app.anonymous().send(request.header("origin", "https://app.example.net")).await;
    answer.assert_problem(401, "refresh_token_missing");
    assert!(answer.text("detail").contains("another site"), "{answer:?}");
    // A token in the body is kept by the page itself, and an end is an end.
    let login = app.anonymous().request(Method::POST, "/api/auth/login").header("origin", "https://app.example.net");
    let login = login.header("sec-fetch-site", "cross-site");
    let login = app.anonymous().send(login.json(&json!({"email": "ada@example.com", "password": PASSWORD}))).await;
    assert!(login.text("refresh_token").starts_with("rt1_"), "{login:?}");
    let answer = call(&app, "logout", &value, &[("origin", PAGE), ("sec-fetch-site", "cross-site")]).await;
    assert_eq!(answer.status, 204);
    refresh(&app, &value).await.assert_problem(401, "session_ended");
}

#[tokio::test]
async fn without_sec_fetch_site_the_names_tell_another_site() {
    let settings = [
        ("CLAVIGER__CORS__ALLOWED_ORIGINS", "https://app.example.com,https://app.example.net"),
        ("CLAVIGER__SERVER__PUBLIC_URL", OWN),
    ];
    let app = TestApp::start_with(&settings).await;
    let value = cookie(&sign_in(&app).await);
    let headers = [("origin", "https://app.example.net")];
    assert_refused(&app, &["login", "register", "refresh"], &value, &headers, "another site").await;
    assert_eq!(call(&app, "refresh", &value, &[("origin", PAGE)]).await.status, 200);
}

#[tokio::test]
async fn public_url_is_the_service_itself() {
    for url in [OWN, "HTTPS://Auth.Example.com/"] {
        let app = TestApp::start_with(&[("CLAVIGER__SERVER__PUBLIC_URL", url)]).await;
        let registered = call(&app, "register", "", &[("origin", OWN)]).await;
        assert_eq!(registered.status, 201, "{registered:?}");
        assert_eq!(registered.header("access-control-allow-origin"), OWN);
        let value = cookie(&registered);
        for origin in ["https://auth.example.com:444", "http://auth.example.com", "https://x.auth.example.com", PAGE] {
            assert_refused(&app, &CALLS, &value, &[("origin", origin)], "server.public_url").await;
        }
        let contradiction = [("origin", OWN), ("sec-fetch-site", "cross-site")];
        assert_refused(&app, &["login", "register", "refresh"], &value, &contradiction, "another site").await;

        let refreshed = call(&app, "refresh", &value, &[("origin", OWN)]).await;
        assert_eq!(refreshed.status, 200, "{refreshed:?}");
        assert_eq!(call(&app, "logout", &cookie(&refreshed), &[("origin", OWN)]).await.status, 204);
        let preflight = app.anonymous().request(Method::OPTIONS, "/api/auth/refresh").header("origin", OWN);
        let preflight = app.anonymous().send(preflight.header("access-control-request-method", "POST")).await;
        assert_eq!((preflight.status.as_u16(), preflight.header("access-control-allow-origin")), (200, OWN));
    }
}
