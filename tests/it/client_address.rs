//! Whose address the service believes.

use reqwest::Method;
use serde_json::json;

use crate::support::{PASSWORD, TestApp};

/// The address that is recorded for a login with these headers.
async fn recorded(app: &TestApp, headers: &[(&str, &str)]) -> String {
    let request = app.anonymous().request(Method::POST, "/api/auth/login");
    let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
    let answer = app.anonymous().send(request.json(&json!({"email": "ada@example.com", "password": PASSWORD}))).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let id = answer.text("session_id");
    let sql = format!(
        "select host(s.ip_address) || ' ' || host(e.ip_address) from sessions s join events e on e.session_id = s.id where s.id = '{id}'"
    );
    let both = app.database.rows(&sql).await[0].get::<_, String>(0);
    let (session, event) = both.split_once(' ').unwrap();
    assert_eq!(session, event);
    session.to_owned()
}

#[tokio::test]
async fn forwarding_headers_change_nothing_unless_a_proxy_is_trusted() {
    let app = TestApp::start().await;
    app.register("ada@example.com").await;
    for name in ["x-forwarded-for", "forwarded", "x-real-ip", "cf-connecting-ip", "true-client-ip"] {
        assert_eq!(recorded(&app, &[(name, "for=203.0.113.1, 203.0.113.2")]).await, "127.0.0.1", "{name}");
    }
}

#[tokio::test]
async fn behind_a_trusted_proxy_the_rightmost_untrusted_address_is_the_client() {
    let app = TestApp::start_with(&[("CLAVIGER__SERVER__TRUSTED_PROXIES", "127.0.0.0/8, 10.0.0.0/8")]).await;
    app.register("ada@example.com").await;
    for (headers, expected) in [
        (&[][..], "127.0.0.1"),
        (&[("x-forwarded-for", "203.0.113.1")], "203.0.113.1"),
        (&[("x-forwarded-for", "198.51.100.1, 203.0.113.1, 10.0.0.7")], "203.0.113.1"),
        (&[("x-forwarded-for", "198.51.100.1"), ("x-forwarded-for", "2001:db8::1")], "2001:db8::1"),
        (&[("x-forwarded-for", "203.0.113.1"), ("forwarded", "for=198.51.100.1")], "203.0.113.1"),
        (&[("forwarded", "for=198.51.100.1")], "127.0.0.1"),
        (&[("x-forwarded-for", "203.0.113.1, garbage")], "127.0.0.1"),
    ] {
        assert_eq!(recorded(&app, headers).await, expected, "{headers:?}");
    }
}

#[tokio::test]
async fn a_proxy_may_speak_rfc_7239() {
    let settings =
        [("CLAVIGER__SERVER__TRUSTED_PROXIES", "127.0.0.1"), ("CLAVIGER__SERVER__FORWARDED_HEADER", "forwarded")];
    let app = TestApp::start_with(&settings).await;
    app.register("ada@example.com").await;
    let headers = [("forwarded", "for=198.51.100.1, for=\"[2001:db8::1]:4711\""), ("x-forwarded-for", "203.0.113.1")];
    assert_eq!(recorded(&app, &headers).await, "2001:db8::1");
}
