//! Bodies that cannot be read are accidents on the way: they sign nobody out. Bodies that can be read decide.

use std::time::Duration;

use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::cookies::{PAGE, cookie, from_page, refresh, sign_in, start};
use crate::support::{Account, Answer, PASSWORD, TestApp};

const BOM: &[u8] = b"\xef\xbb\xbf";
const PATHS: [&str; 2] = ["/api/auth/refresh", "/api/auth/logout"];

/// What stands behind a request beside its body.
#[derive(Debug, Clone, Copy)]
enum Beside {
    Nothing,
    Bearer,
    Cookie,
}

/// Headers and body of a request, and status and code of its answer.
type Case<'a> = (Vec<(&'a str, &'a str)>, &'a [u8], u16, &'a str);

fn with(request: RequestBuilder, beside: Beside, account: &Account, value: &str) -> RequestBuilder {
    match beside {
        Beside::Nothing => request,
        Beside::Bearer => request.bearer_auth(&account.access_token),
        Beside::Cookie => request.header("origin", PAGE).header("cookie", format!("__Host-refresh_token={value}")),
    }
}

async fn raw(app: &TestApp, request: &[u8]) -> String {
    let mut stream = TcpStream::connect(app.address).await.unwrap();
    stream.write_all(request).await.unwrap();
    stream.shutdown().await.unwrap();
    let mut answer = Vec::new();
    tokio::time::timeout(Duration::from_mins(1), stream.read_to_end(&mut answer)).await.unwrap().unwrap();
    String::from_utf8(answer).unwrap()
}

/// Fails unless the first answer has that status and code, and no cookie.
#[track_caller]
fn assert_raw(answer: &str, status: u16, code: &str) {
    assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")) && answer.contains(&format!("\"{code}\"")), "{answer}");
    assert!(!answer.contains("set-cookie"), "{answer}");
}

#[tokio::test]
async fn unreadable_body_ends_nothing_and_removes_no_cookie() {
    let app = start().await;
    let account = app.register("bob@example.com").await;
    let value = cookie(&sign_in(&app).await);
    let good = json!({ "refresh_token": account.refresh_token }).to_string();
    let truncated = &good.as_bytes()[..good.len() - 5];
    let utf16: Vec<u8> = [0xfe, 0xff].into_iter().chain(good.encode_utf16().flat_map(u16::to_be_bytes)).collect();
    let invalid = [br#"{"refresh_token":""#, account.refresh_token.as_bytes(), b"\xff\"}"].concat();
    let ignored = [b"{\"x\":\"\xff\",\"refresh_token\":\"", account.refresh_token.as_bytes(), b"\"}"].concat();
    let twice = format!("{{\"refresh_token\":\"{0}\",\"refresh_token\":\"{0}\"}}", account.refresh_token);
    let too_large = format!("{}{good}", " ".repeat(16 * 1024));
    let two_marks = [BOM, BOM, good.as_bytes()].concat();
    let mut cases: Vec<Case<'_>> = Vec::new();
    let json_type = ("content-type", "application/json");
    for body in [
        &b"{"[..],
        b"}",
        b"[]",
        b"[{}]",
        b"5",
        b"null",
        b"true",
        b"\"x\"",
        b"{} {}",
        b"{\"refresh_token\": nope}",
        b"{'refresh_token': null}",
        b"{\"refresh_token\": \"\\ud800\"}",
        b"\x1f\x8b\x08\x00\x00\x00\x00\x00",
        b"refresh_token=x",
        truncated,
        &utf16,
        &invalid,
        &ignored,
        twice.as_bytes(),
        &two_marks,
    ] {
        cases.push((vec![json_type], body, 400, "malformed_request"));
    }
    cases.push((vec![json_type], too_large.as_bytes(), 413, "body_too_large"));
    for codings in [
        &["gzip"][..],
        &["GZIP"],
        &["x-gzip"],
        &["br"],
        &["deflate"],
        &["zstd"],
        &["made-up"],
        &["gzip, identity"],
        &["identity,gzip"],
        &["identity", "gzip"],
        &["gzip", "identity"],
        &["identity;q=0"],
    ] {
        let headers = codings.iter().map(|coding| ("content-encoding", *coding)).chain([json_type]).collect();
        cases.push((headers, good.as_bytes(), 415, "unsupported_media_type"));
    }
    for (headers, body, status, code) in &cases {
        for path in PATHS {
            for beside in [Beside::Nothing, Beside::Bearer, Beside::Cookie] {
                let mut request = app.anonymous().request(Method::POST, path);
                for (name, value) in headers {
                    request = request.header(*name, *value);
                }
                let request = with(request, beside, &account, &value).body(body.to_vec());
                let answer = app.anonymous().send(request).await;
                let place = format!("{path} {headers:?} {beside:?} {:?}", String::from_utf8_lossy(body));
                assert_eq!((answer.status.as_u16(), answer.body["code"].as_str()), (*status, Some(*code)), "{place}");
                assert_eq!(answer.header("set-cookie"), "", "{place}");
                assert!(!answer.text("detail").contains("rt1_"), "{place}");
            }
        }
    }
    for media_type in ["text/plain", "application/x-www-form-urlencoded", "application/json5", ""] {
        for path in PATHS {
            let request = app.anonymous().request(Method::POST, path).header("content-type", media_type);
            let answer = app.anonymous().send(request.body(good.clone())).await;
            answer.assert_problem(415, "unsupported_media_type");
        }
    }
    let none = app.anonymous().request(Method::POST, "/api/auth/refresh").body(good.clone());
    app.anonymous().send(none).await.assert_problem(415, "unsupported_media_type");
    let two_types =
        app.anonymous().request(Method::POST, "/api/auth/refresh").header("content-type", "application/json");
    let two_types = app.anonymous().send(two_types.header("content-type", "text/plain").body(good)).await;
    two_types.assert_problem(415, "unsupported_media_type");

    assert_eq!(
        app.database.number("select count(*) from sessions where ended_at is not null or generation > 0").await,
        0
    );
    assert_eq!(account.caller.refresh(&account.refresh_token).await.status, 200);
    assert_eq!(refresh(&app, &value).await.status, 200);
}

#[tokio::test]
async fn body_that_is_cut_off_or_too_large_on_the_wire_signs_nobody_out() {
    let app = TestApp::start().await;
    let account = app.register("ada@example.com").await;
    let token = &account.refresh_token;
    for path in PATHS {
        let head = format!("POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n");
        let cut =
            raw(&app, format!("{head}Content-Length: 200\r\n\r\n{{\"refresh_token\":\"{token}\"}}").as_bytes()).await;
        assert_raw(&cut, 400, "malformed_request");
        let chunked = format!("{head}Transfer-Encoding: chunked\r\n\r\n");
        let cut_chunk = raw(&app, format!("{chunked}ff\r\n{{\"refresh_token\":\"{token}\"}}").as_bytes()).await;
        assert_raw(&cut_chunk, 400, "malformed_request");
        let no_chunk = raw(&app, format!("{chunked}nonsense\r\n{{\"refresh_token\":\"{token}\"}}").as_bytes()).await;
        assert_eq!(no_chunk, "", "the server below ends the connection");
        let chunk = format!("1000\r\n{}\r\n", " ".repeat(0x1000)).repeat(5);
        let large = raw(&app, format!("{chunked}{chunk}2\r\n{{}}\r\n0\r\n\r\n").as_bytes()).await;
        assert_raw(&large, 413, "body_too_large");
    }
    assert_eq!(account.caller.refresh(token).await.status, 200);
}

#[tokio::test]
async fn body_that_stalls_signs_nobody_out() {
    let app = TestApp::start().await;
    let account = app.register("ada@example.com").await;
    let stall = async |path: &str| {
        let mut stream = TcpStream::connect(app.address).await.unwrap();
        let head =
            format!("POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 200\r\n\r\n");
        let request = format!("{head}{{\"refresh_token\":\"{}\"}}", account.refresh_token);
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        tokio::time::timeout(Duration::from_mins(1), stream.read_to_string(&mut answer)).await.unwrap().unwrap();
        answer
    };
    let answers: [String; 2] = tokio::join!(stall(PATHS[0]), stall(PATHS[1])).into();
    for answer in answers {
        assert_raw(&answer, 408, "request_timeout");
    }
    assert_eq!(account.caller.refresh(&account.refresh_token).await.status, 200);
}

#[tokio::test]
async fn readable_body_without_a_good_token_is_401_and_a_logout_204() {
    let app = TestApp::start().await;
    let deep = format!("{}1{}", "[".repeat(3000), "]".repeat(3000));
    for (field, code) in [
        ("", "refresh_token_missing"),
        ("\"other\": 1", "refresh_token_missing"),
        ("\"refresh_token\": null", "refresh_token_missing"),
        ("\"refresh_token\": \"\"", "refresh_token_missing"),
        ("\"refresh_token\": 5", "refresh_token_invalid"),
        ("\"refresh_token\": -5", "refresh_token_invalid"),
        ("\"refresh_token\": 5.5e300", "refresh_token_invalid"),
        ("\"refresh_token\": false", "refresh_token_invalid"),
        ("\"refresh_token\": {}", "refresh_token_invalid"),
        ("\"refresh_token\": {\"a\": {\"b\": [1]}}", "refresh_token_invalid"),
        ("\"refresh_token\": [\"x\", 1]", "refresh_token_invalid"),
        (&format!("\"refresh_token\": {deep}"), "refresh_token_invalid"),
        ("\"refresh_token\": \"x\"", "refresh_token_invalid"),
        ("\"refresh_token\": \" \"", "refresh_token_invalid"),
        ("\"refresh_token\": \"\\u0000\\ud83d\\ude00\"", "refresh_token_invalid"),
        ("\"other\": 1, \"other\": 2, \"refresh_token\": \"rt1_x\"", "refresh_token_invalid"),
    ] {
        for media_type in ["application/json", "Application/JSON; charset=utf-8"] {
            let send = async |path: &str| {
                let request = app.anonymous().request(Method::POST, path).header("content-type", media_type);
                app.anonymous().send(request.body(format!("{{{field}}}"))).await
            };
            send("/api/auth/refresh").await.assert_problem(401, code);
            assert_eq!(send("/api/auth/logout").await.status, 204, "{field}");
        }
    }
    for path in PATHS {
        for encoded in [None, Some("gzip")] {
            let request = app.anonymous().request(Method::POST, path);
            let request =
                encoded.into_iter().fold(request, |request, coding| request.header("content-encoding", coding));
            let empty = app.anonymous().send(request).await;
            assert_eq!(empty.status.as_u16(), if path.ends_with("logout") { 204 } else { 401 });
        }
    }
}

#[tokio::test]
async fn byte_order_mark_is_ignored_wherever_a_body_is_read() {
    let app = TestApp::start().await;
    let account = app.register("ada@example.com").await;
    let program = app.program("api", "users:read").await;
    let marked = |body: &str| [BOM, body.as_bytes()].concat();
    let send = async |method: Method, path: &str, bearer: Option<&str>, media_type: &str, body: Vec<u8>| -> Answer {
        let request = app.anonymous().request(method, path).header("content-type", media_type).body(body);
        let request = bearer.into_iter().fold(request, RequestBuilder::bearer_auth);
        app.anonymous().send(request).await
    };
    let json_type = "application/json";
    let of = |body: Value| marked(&body.to_string());
    let bearer = Some(&*account.access_token);
    let login = of(json!({"email": "ada@example.com", "password": PASSWORD}));
    assert_eq!(send(Method::POST, "/api/auth/login", None, json_type, login).await.status, 200);
    let name = of(json!({"full_name": "Ada"}));
    assert_eq!(send(Method::PATCH, "/api/auth/me", bearer, json_type, name).await.text("full_name"), "Ada");
    let form = format!("grant_type=client_credentials&client_id={}&client_secret={}", program.id, program.secret);
    let form_type = "application/x-www-form-urlencoded";
    let token = send(Method::POST, "/api/auth/token", None, form_type, marked(&form)).await;
    assert_eq!(token.status, 200, "{token:?}");
    let body = json!({"grant_type": "client_credentials", "client_id": program.id, "client_secret": program.secret});
    assert_eq!(send(Method::POST, "/api/auth/token", None, json_type, of(body)).await.status, 200);
    let refreshed = of(json!({"refresh_token": account.refresh_token}));
    let refreshed = send(Method::POST, "/api/auth/refresh", None, json_type, refreshed).await;
    assert_eq!(refreshed.text("session_id"), account.session_id);
    let logout = of(json!({"refresh_token": refreshed.text("refresh_token")}));
    assert_eq!(send(Method::POST, "/api/auth/logout", None, json_type, logout).await.status, 204);
    account.caller.refresh(refreshed.text("refresh_token")).await.assert_problem(401, "session_ended");
    let mark_alone = send(Method::POST, "/api/auth/refresh", None, json_type, BOM.to_vec()).await;
    mark_alone.assert_problem(401, "refresh_token_missing");
}

#[tokio::test]
async fn compressed_body_is_415_wherever_a_body_is_read_and_identity_is_none() {
    let app = TestApp::start().await;
    let mut account = app.register("ada@example.com").await;
    let encoded = async |method: Method, path: &str, coding: &str, body: Value| {
        let request = app.anonymous().request(method, path).bearer_auth(&account.access_token);
        app.anonymous().send(request.header("content-encoding", coding).json(&body)).await
    };
    for (method, path) in [
        (Method::POST, "/api/auth/register"),
        (Method::POST, "/api/auth/login"),
        (Method::PATCH, "/api/auth/me"),
        (Method::DELETE, "/api/auth/me"),
        (Method::POST, "/api/auth/password"),
        (Method::POST, "/api/auth/logout-all"),
        (Method::POST, "/api/auth/token"),
    ] {
        let answer = encoded(method, path, "gzip", json!({"password": PASSWORD})).await;
        answer.assert_problem(415, "unsupported_media_type");
        assert!(answer.text("detail").contains("compressed"), "{answer:?}");
    }
    for coding in ["identity", "Identity", "identity, identity", "", " , "] {
        let body = json!({"refresh_token": account.refresh_token});
        let answer = encoded(Method::POST, "/api/auth/refresh", coding, body).await;
        assert_eq!(answer.status, 200, "{coding:?}: {answer:?}");
        answer.text("refresh_token").clone_into(&mut account.refresh_token);
    }
}

#[tokio::test]
async fn cookie_does_not_stand_in_for_a_body_that_cannot_be_read() {
    let app = start().await;
    let value = cookie(&sign_in(&app).await);
    for path in PATHS {
        let broken = from_page(&app, path, &value).header("content-type", "application/json").body("{");
        app.anonymous().send(broken).await.assert_problem(400, "malformed_request");
        // A page that may not use the cookie hears nothing of the body.
        let request = app.anonymous().request(Method::POST, path).header("origin", "https://evil.example.com");
        let request = request.header("cookie", format!("__Host-refresh_token={value}"));
        let broken = request.header("content-type", "application/json").body("{");
        app.anonymous().send(broken).await.assert_problem(403, "origin_not_allowed");
    }
    assert_eq!(refresh(&app, &value).await.status, 200);
}
