//! The headers that every answer promises, on every route and with every kind of error; and that reading changes nothing.

use std::collections::BTreeSet;

use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::cookies::PAGE;
use crate::support::contract::document;
use crate::support::{Answer, PASSWORD, TestApp, promises};

/// Every path that is served, ids filled in, with the methods that the document has for it.
fn routes() -> Vec<(String, BTreeSet<String>)> {
    let id = uuid::Uuid::nil().to_string();
    let paths = document()["paths"].as_object().unwrap().iter();
    let described = paths.map(|(path, calls)| {
        (path.replace("{id}", &id), calls.as_object().unwrap().keys().map(|name| name.to_uppercase()).collect())
    });
    let pages = ["/", "/docs", "/docs/start.js", "/docs/swagger-ui.css", "/console/console.css", "/console/icon.svg"];
    let pages = pages.map(|path| (path.to_owned(), BTreeSet::from(["GET".to_owned(), "HEAD".to_owned()])));
    let nowhere = ["/nowhere", "/docs/nowhere", "/api/auth/%00"].map(|path| (path.to_owned(), BTreeSet::new()));
    described.chain(pages).chain(nowhere).collect()
}

/// What callers do well and wrong.
fn kinds(request: impl Fn() -> RequestBuilder, tokens: &[String]) -> Vec<RequestBuilder> {
    let json_type = |request: RequestBuilder| request.header("content-type", "application/json");
    let mut kinds = vec![
        request(),
        request().json(&json!({})),
        json_type(request()).body("{"),
        json_type(request()).body(vec![b' '; 20_000]),
        json_type(request()).header("content-encoding", "gzip").body("{}"),
        request().header("content-type", "text/plain").body("x"),
        request().bearer_auth("x.y.z").json(&json!({})),
        request().header("authorization", "Bearer a").header("authorization", "Bearer b"),
        request().json(&json!({"email": "ada@example.com", "password": "wrong"})),
        request().json(&json!({"email": "ada@example.com", "password": PASSWORD, "token_transport": "cookie"})),
        request().basic_auth("x", Some("y")).form(&[("grant_type", "client_credentials")]),
        request().header("origin", PAGE).header("cookie", "__Host-refresh_token=x"),
        request().header("if-none-match", "*"),
        request().header("origin", PAGE).header("access-control-request-method", "POST"),
        request().header("origin", "https://evil.test").header("access-control-request-method", "POST"),
        request().query(&[("limit", "0"), ("email", "x"), ("after", "x")]),
    ];
    kinds.extend(tokens.iter().map(|token| request().bearer_auth(token).json(&json!({"password": "wrong"}))));
    kinds
}

/// Asks every route in every way, and gives the statuses and codes that came. Fails for an answer without the headers.
async fn ask_everything(app: &TestApp, tokens: &[String], https: bool) -> BTreeSet<(u16, String)> {
    let caller = app.anonymous();
    let mut seen = BTreeSet::new();
    for (path, methods) in routes() {
        for name in ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "MADEUP"] {
            let method: Method = name.parse().unwrap();
            for request in kinds(|| caller.request(method.clone(), &path), tokens) {
                // Not the document's words, which pages have not: the headers alone.
                let answer = caller.http.execute(request.build().unwrap()).await.unwrap();
                let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
                let place = format!("{name} {path} {status}");
                promises::assert_kept(&place, |name| headers.get(name).and_then(|value| value.to_str().ok()));
                let hsts = headers.get("strict-transport-security").and_then(|value| value.to_str().ok());
                assert_eq!(hsts, https.then_some("max-age=63072000"), "{place}");
                let body: Value = serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap_or_default();
                let code = body["code"].as_str().unwrap_or_default();
                assert!(status < 400 || name == "HEAD" || !code.is_empty(), "{place} is no problem document");
                assert!(status != 405 || !methods.contains(name), "{place}");
                seen.insert((status, code.to_owned()));
            }
        }
    }
    seen
}

#[tokio::test]
async fn every_route_and_every_kind_of_error_keeps_the_promised_headers() {
    let settings = [
        ("CLAVIGER__CORS__ALLOWED_ORIGINS", PAGE),
        ("CLAVIGER__SERVER__PUBLIC_URL", "HTTPS://auth.example.com/"),
        ("CLAVIGER__SERVER__CONSOLE", "true"),
    ];
    let app = TestApp::start_with(&settings).await;
    let admin = app.administrator("root@example.com").await;
    let ada = app.register("ada@example.com").await;
    let program = app.program("api", "users:read").await.token().await;
    let tokens = [admin.access_token, ada.access_token.clone(), program];
    let mut seen = ask_everything(&app, &tokens, true).await;
    app.database.execute("drop table sessions, verifications, users, clients").await;
    seen.extend(ask_everything(&app, &tokens[1..2], true).await);

    let expected = [
        (200, ""),
        (204, ""),
        (304, ""),
        (400, "malformed_request"),
        (400, "invalid_request"),
        (401, "access_token_missing"),
        (401, "access_token_invalid"),
        (401, "invalid_client"),
        (401, "invalid_credentials"),
        (401, "refresh_token_invalid"),
        (401, "refresh_token_missing"),
        (403, "forbidden"),
        (403, "insufficient_scope"),
        (403, "origin_not_allowed"),
        (404, "not_found"),
        (405, "method_not_allowed"),
        (413, "body_too_large"),
        (415, "unsupported_media_type"),
        (422, "validation_failed"),
        (503, "database_unavailable"),
    ];
    for (status, code) in expected {
        assert!(seen.contains(&(status, code.to_owned())), "{status} {code} is not in {seen:?}");
    }
    assert!(!seen.iter().any(|(status, _)| *status == 500), "{seen:?}");
}

#[tokio::test]
async fn browsers_are_told_to_come_back_by_https_only_if_callers_come_by_https() {
    for (url, hsts) in [("https://auth.example.com", "max-age=63072000"), ("http://auth.example.com", ""), ("", "")] {
        let app = TestApp::start_with(&[("CLAVIGER__SERVER__PUBLIC_URL", url)]).await;
        for path in ["/health", "/nowhere", "/api/auth/me"] {
            assert_eq!(app.anonymous().get(path).await.header("strict-transport-security"), hsts);
        }
    }
}

/// The answers on one connection, as the server wrote them.
async fn raw(app: &TestApp, request: &str) -> String {
    let mut stream = TcpStream::connect(app.address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn answer_before_the_body_has_come_keeps_the_promised_headers() {
    let app = TestApp::start().await;
    let head = |length: &str| {
        format!(
            "POST /api/auth/login HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\n{length}\r\n\r\n"
        )
    };
    for (request, status) in [(head("Content-Length: 100000"), 413), (format!("{}{{", head("Content-Length: 9")), 408)]
    {
        let answer = raw(&app, &request).await;
        let (head, _) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{head}");
        let headers: Vec<(&str, &str)> = head.lines().filter_map(|line| line.split_once(": ")).collect();
        let header = |name: &str| headers.iter().find(|(found, _)| *found == name).map(|(_, value)| *value);
        promises::assert_kept(&format!("{status}"), header);
    }
}

/// Every row of every table, but whose turn it is for work in the background.
async fn rows(app: &TestApp) -> String {
    let tables = "select string_agg(format('select %L || t::text as line from %I t', tablename || ' ', tablename), ' union all ')
                  from pg_tables where schemaname = 'public' and tablename not in ('turns', 'refinery_schema_history')";
    let tables: String = app.database.rows(tables).await[0].get(0);
    let rows =
        app.database.rows(&format!("select string_agg(line, E'\\n' order by line) from ({tables}) all_rows")).await;
    rows[0].get(0)
}

#[tokio::test]
async fn get_changes_no_row() {
    let app =
        TestApp::start_with(&[("CLAVIGER__CORS__ALLOWED_ORIGINS", PAGE), ("CLAVIGER__SERVER__CONSOLE", "true")]).await;
    let admin = app.administrator("root@example.com").await;
    let ada = app.register("ada@example.com").await;
    let program = app.program("api", "users:read revocations:read").await.token().await;
    let before = rows(&app).await;
    assert!(before.contains("ada@example.com") && before.lines().count() > 5, "{before}");
    let mut good = 0;
    for (path, _) in routes() {
        let path = path.replace(&uuid::Uuid::nil().to_string(), &ada.user_id().to_string());
        for method in [Method::GET, Method::HEAD] {
            for token in [&ada.access_token, &admin.access_token, &program, "x.y.z"] {
                let request = app.anonymous().request(method.clone(), &path).bearer_auth(token).header("origin", PAGE);
                let request = request.header("cookie", format!("__Host-refresh_token={}", ada.refresh_token));
                let request = request.query(&[("email", "ada@example.com")]);
                good +=
                    usize::from(app.anonymous().http.execute(request.build().unwrap()).await.unwrap().status() == 200);
            }
        }
    }
    assert!(good > 30, "only {good} were answered");
    assert_eq!(rows(&app).await, before);
}

#[tokio::test]
async fn call_that_changes_something_is_no_get() {
    let app = TestApp::start().await;
    for path in ["refresh", "logout", "logout-all", "login", "register", "password", "me/export", "token"] {
        let answer: Answer = app.anonymous().get(&format!("/api/auth/{path}")).await;
        answer.assert_problem(405, "method_not_allowed");
    }
}
