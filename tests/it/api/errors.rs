use std::time::Duration;

use reqwest::Method;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::support::{Answer, PASSWORD, TestApp, promises};

#[tokio::test]
async fn errors_of_the_framework_are_problem_documents_too() {
    let app = TestApp::start().await;
    let caller = app.anonymous();
    for path in
        ["/", "/nowhere", "/api/auth", "/api/auth/login/", "/api/auth/%00", "/api/auth/%2e%2e/health", "//health"]
    {
        caller.get(path).await.assert_problem(404, "not_found");
    }
    for (method, path, allow) in [
        (Method::GET, "/api/auth/login", "POST"),
        (Method::DELETE, "/api/auth/register", "POST"),
        (Method::PUT, "/api/auth/refresh", "POST"),
        (Method::POST, "/api/auth/me", "GET, PATCH, DELETE"),
        (Method::POST, "/health", "GET, HEAD"),
    ] {
        let answer = caller.send(caller.request(method, path)).await;
        answer.assert_problem(405, "method_not_allowed");
        assert_eq!(answer.header("allow"), allow);
    }
}

async fn raw(app: &TestApp, path: &str, content_type: &str, body: Vec<u8>) -> Answer {
    let request = app.anonymous().request(Method::POST, path).header("content-type", content_type);
    app.anonymous().send(request.body(body)).await
}

#[tokio::test]
async fn bodies_that_are_no_json_object_are_refused_without_a_word_of_them() {
    let app = TestApp::start().await;
    for path in ["/api/auth/register", "/api/auth/login", "/api/auth/refresh", "/api/auth/logout"] {
        for body in [
            &b"{"[..],
            b"}",
            b"[]",
            b"[\"ada@example.com\", \"hunter2\"]",
            b"null",
            b"5",
            b"\"hunter2\"",
            b"{\"password\": hunter2}",
            b"{\"email\": \"a\"} {\"b\": 1}",
            b"{\"email\": \"\\ud800\", \"refresh_token\": \"\\ud800\"}",
            b"{\"email\": \"a\", \"email\": \"b\", \"refresh_token\": \"a\", \"refresh_token\": \"b\"}",
            b"\xef\xbb\xbf\xef\xbb\xbf{}",
            b"{\"email\": \"\xff\", \"refresh_token\": \"\xff\"}",
            b"{\"ignored\": \"\xff\"}",
        ] {
            let answer = raw(&app, path, "application/json", body.to_vec()).await;
            answer.assert_problem(400, "malformed_request");
            assert!(!answer.body.to_string().contains("hunter2"), "{answer:?}");
        }
    }
}

#[tokio::test]
async fn nesting_deeper_than_anybody_needs_is_refused_where_it_is_read() {
    let app = TestApp::start().await;
    let body = format!("{{\"profile\":{}1{}}}", "[".repeat(7000), "]".repeat(7000)).into_bytes();
    let answer = raw(&app, "/api/auth/register", "application/json", body.clone()).await;
    answer.assert_problem(400, "malformed_request");
    let ignored = raw(&app, "/api/auth/refresh", "application/json", body).await;
    ignored.assert_problem(401, "refresh_token_missing");
}

#[tokio::test]
async fn a_body_that_does_not_come_is_not_waited_for_for_ever() {
    let app = TestApp::start().await;
    let mut stream = TcpStream::connect(app.address).await.unwrap();
    let head =
        "POST /api/auth/login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{";
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = String::new();
    tokio::time::timeout(Duration::from_mins(1), stream.read_to_string(&mut answer)).await.unwrap().unwrap();
    assert!(answer.starts_with("HTTP/1.1 408") && answer.contains("request_timeout"), "{answer}");
}

#[tokio::test]
async fn only_json_is_read() {
    let app = TestApp::start().await;
    let body = json!({"email": "ada@example.com", "password": PASSWORD}).to_string();
    for media_type in ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "json", ""]
    {
        let answer = raw(&app, "/api/auth/register", media_type, body.clone().into()).await;
        answer.assert_problem(415, "unsupported_media_type");
    }
    for media_type in ["application/json; charset=utf-8", "Application/JSON;charset=UTF-8", "application/json"] {
        let answer = raw(&app, "/api/auth/login", media_type, body.clone().into()).await;
        answer.assert_problem(401, "invalid_credentials");
    }
}

#[tokio::test]
async fn a_body_above_16_kib_is_refused_and_one_of_16_kib_is_read() {
    let app = TestApp::start().await;
    let sized = |size: usize| format!("{{\"email\":\"{}\"}}", "a".repeat(size - 12)).into_bytes();
    let largest = raw(&app, "/api/auth/login", "application/json", sized(16 * 1024)).await;
    largest.assert_invalid(&[("password", "required")]);
    let larger = raw(&app, "/api/auth/login", "application/json", sized(16 * 1024 + 1)).await;
    larger.assert_problem(413, "body_too_large");
    let huge = raw(&app, "/api/auth/register", "application/json", vec![b' '; 1_000_000]).await;
    huge.assert_problem(413, "body_too_large");
    let huge_token = raw(&app, "/api/auth/refresh", "application/json", vec![b' '; 1_000_000]).await;
    huge_token.assert_problem(413, "body_too_large");
}

#[tokio::test]
async fn a_request_id_is_kept_if_it_is_one_and_made_if_not() {
    let app = TestApp::start().await;
    let caller = app.anonymous();
    let with = async |id: &str| caller.send(caller.request(Method::GET, "/health").header("x-request-id", id)).await;
    assert_eq!(with("abc-123_4.5").await.header("x-request-id"), "abc-123_4.5");
    for id in ["", "a b", "<script>", &"x".repeat(65)] {
        let made = with(id).await;
        assert_eq!(made.header("x-request-id").len(), 36, "{id}");
    }
}

#[tokio::test]
async fn health_is_live_without_the_database_and_ready_with_it() {
    let app = TestApp::start().await;
    for path in ["/health", "/health/live", "/health/ready"] {
        let answer = app.anonymous().get(path).await;
        assert_eq!((answer.status.as_u16(), answer.text("status")), (200, "ok"), "{path}");
        let head = app.anonymous().request(Method::HEAD, path).send().await.unwrap();
        assert_eq!(head.status(), 200);
    }
    app.database.execute("drop table refinery_schema_history").await;
    app.anonymous().get("/health/ready").await.assert_problem(503, "database_unavailable");
    assert_eq!(app.anonymous().get("/health/live").await.status, 200);
}

#[actix_web::test]
async fn a_panic_is_a_bug_that_only_its_request_suffers() {
    use actix_web::{App, HttpResponse, middleware::from_fn, test, web};
    use claviger::domain::cookie_name::CookieName;
    use claviger::http::browser::{Browsers, RefreshCookie};
    use claviger::http::{Measures, ShuttingDown, Surroundings, client_address::Proxies};
    async fn panics() -> HttpResponse {
        panic!("on purpose")
    }
    let surroundings = web::Data::new(Surroundings {
        proxies: Proxies::new(Vec::new(), "forwarded"),
        browsers: Browsers {
            allowed_origins: Vec::new(),
            own_origin: None,
            cookie: RefreshCookie::new(&CookieName::parse("refresh_token").unwrap(), true),
        },
        https: false,
        shutting_down: ShuttingDown::default(),
        measures: Measures::default(),
        tracer: None,
    });
    let app = App::new().wrap(from_fn(claviger::http::around)).app_data(surroundings.clone());
    let app = app.route("/", web::get().to(panics));
    let app = test::init_service(app).await;
    for _ in 0..2 {
        let error = test::try_call_service(&app, test::TestRequest::get().uri("/").to_request()).await.unwrap_err();
        let response = error.error_response();
        assert_eq!((response.status().as_u16(), response.headers().get("x-request-id").unwrap().len()), (500, 36));
        promises::assert_kept("a panic", |name| response.headers().get(name).and_then(|value| value.to_str().ok()));
        let body = actix_web::body::to_bytes(response.into_body()).await.unwrap_or_default();
        let problem: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!((problem["code"].as_str(), problem["status"].as_u64()), (Some("internal"), Some(500)));
    }
    let mut figures = claviger::figures::Figures::default();
    surroundings.measures.enter_figures(&mut figures);
    assert!(figures.text().unwrap().contains("claviger_internal_errors_total 2\n"));
}

#[tokio::test]
async fn a_schema_that_is_away_is_an_outage_and_not_a_bug() {
    let app = TestApp::start().await;
    let account = app.register("ada@example.com").await;
    app.database.execute("drop table sessions, verifications, users").await;
    account.caller.refresh(&account.refresh_token).await.assert_problem(503, "database_unavailable");
    account.me().await.assert_problem(503, "database_unavailable");
    app.anonymous().login("ada@example.com", PASSWORD).await.assert_problem(503, "database_unavailable");
}
