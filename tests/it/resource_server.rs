//! The example of an API that verifies by itself, over the real service.

mod hearing;
mod readme;

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use jsonwebtoken::{EncodingKey, Header};
use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{Account, Anonymous, Answer, JWT_SECRET, TestApp, claims, resource_server, wait_until};

/// The API over a test's service, after it has heard which sessions ended.
async fn start(app: &TestApp) -> Anonymous {
    start_with(app, &[]).await
}

async fn start_with(app: &TestApp, variables: &[(&str, &str)]) -> Anonymous {
    let api = resource_server(&app.anonymous().base, &app.database, variables).await;
    wait_until("the API has heard", async || api.get("/health").await.body["revocations_age"].is_u64()).await;
    api
}

async fn call(api: &Anonymous, method: Method, path: &str, token: &str, body: Option<Value>) -> Answer {
    let request = api.request(method, path).bearer_auth(token);
    api.send(if let Some(body) = body { request.json(&body) } else { request }).await
}

async fn get(api: &Anonymous, path: &str, account: &Account) -> Answer {
    call(api, Method::GET, path, &account.access_token, None).await
}

async fn submit(api: &Anonymous, account: &Account, title: &str) -> Answer {
    let body = json!({"title": title, "text": "three small words"});
    call(api, Method::POST, "/documents", &account.access_token, Some(body)).await
}

async fn status(api: &Anonymous, account: &Account) -> u16 {
    get(api, "/documents", account).await.status.as_u16()
}

#[track_caller]
fn assert_refused(answer: &Answer, status: u16, code: &str) {
    assert_eq!((answer.status.as_u16(), answer.text("code")), (status, code), "{answer:?}");
    assert_eq!(answer.header("content-type"), "application/problem+json");
    assert_eq!((answer.body["status"].as_u64(), answer.header("cache-control")), (Some(status.into()), "no-store"));
    assert!(!answer.text("title").is_empty() && !answer.text("detail").is_empty());
    assert_eq!(answer.header("www-authenticate").starts_with("Bearer "), status == 401, "{answer:?}");
    assert_eq!(!answer.header("retry-after").is_empty(), status == 503, "{answer:?}");
}

#[tokio::test]
async fn anybody_gets_a_result_and_who_is_signed_in_has_a_history() {
    let app = TestApp::start().await;
    let (api, ada, bob) =
        (start(&app).await, app.register("ada@example.com").await, app.register("bob@example.com").await);

    let nobodys = api.post("/documents", json!({"title": " A ", "text": "three small words"})).await;
    let mut expected = json!({
        "id": null, "title": "A", "words": 3, "characters": 17, "reading_seconds": 1, "kept": false,
        "created_at": nobodys.body["created_at"],
    });
    assert_eq!((nobodys.status.as_u16(), &nobodys.body), (200, &expected));
    assert!(nobodys.text("created_at").ends_with('Z'));

    let (first, second) = (submit(&api, &ada, "A").await, submit(&api, &ada, "B").await);
    assert_eq!((first.status.as_u16(), second.status.as_u16()), (201, 201));
    expected["kept"] = true.into();
    expected["id"] = first.body["id"].clone();
    expected["created_at"] = first.body["created_at"].clone();
    assert_eq!(first.body, expected);
    assert_eq!(get(&api, "/documents", &ada).await.body, json!({"documents": [second.body, first.body]}));
    assert_eq!(get(&api, "/documents", &bob).await.body, json!({"documents": []}));
    assert_refused(&api.get("/documents").await, 401, "access_token_missing");
}

#[tokio::test]
async fn a_document_is_its_owners_and_administrators_may_look() {
    let app = TestApp::start().await;
    let (api, ada, bob) =
        (start(&app).await, app.register("ada@example.com").await, app.register("bob@example.com").await);
    let admin = app.administrator("admin@example.com").await;
    let made = submit(&api, &ada, "A").await;
    let path = format!("/documents/{}", made.text("id"));
    let delete = async |account: &Account| call(&api, Method::DELETE, &path, &account.access_token, None).await;

    assert_eq!(get(&api, &path, &ada).await.body, made.body);
    assert_eq!(get(&api, &path, &admin).await.body, made.body);
    assert_refused(&get(&api, &path, &bob).await, 403, "forbidden");
    assert_refused(&delete(&bob).await, 403, "forbidden");
    assert_refused(&delete(&admin).await, 403, "forbidden");
    assert_refused(&api.get(&path).await, 401, "access_token_missing");
    for unknown in [&format!("/documents/{}", Uuid::new_v4()), "/documents/1", "/documents/%00"] {
        assert_refused(&get(&api, unknown, &ada).await, 404, "not_found");
    }

    assert_eq!(delete(&ada).await.status, 204);
    assert_refused(&get(&api, &path, &ada).await, 404, "not_found");
    assert_refused(&delete(&ada).await, 404, "not_found");
}

#[tokio::test]
async fn who_sends_a_bad_token_is_not_quietly_nobody() {
    let app = TestApp::start().await;
    let (api, ada) = (start(&app).await, app.register("ada@example.com").await);
    let program = app.program("another program", "revocations:read users:read").await.token().await;
    let mut over = claims(&ada.access_token);
    over["exp"] = json!(over["iat"].as_i64().unwrap() - 60);
    let over =
        jsonwebtoken::encode(&Header::default(), &over, &EncodingKey::from_secret(JWT_SECRET.as_bytes())).unwrap();
    for (token, code) in [
        (over.as_str(), "access_token_expired"),
        (program.as_str(), "access_token_invalid"),
        (&format!("{}x", ada.access_token), "access_token_invalid"),
        (ada.refresh_token.as_str(), "access_token_invalid"),
        ("null", "access_token_invalid"),
    ] {
        assert_refused(&call(&api, Method::GET, "/documents", token, None).await, 401, code);
        let text = json!({"title": "A", "text": "text"});
        assert_refused(&call(&api, Method::POST, "/documents", token, Some(text)).await, 401, code);
    }
}

#[tokio::test]
async fn a_body_that_does_not_come_is_not_waited_for_for_ever() {
    let app = TestApp::start().await;
    let api = start(&app).await;
    let host = api.base.strip_prefix("http://").unwrap().to_owned();
    let answer = tokio::task::spawn_blocking(move || {
        let mut stream = TcpStream::connect(host).unwrap();
        let head =
            "POST /documents HTTP/1.1\r\nhost: api\r\ncontent-type: application/json\r\ncontent-length: 9\r\n\r\n{";
        stream.write_all(head.as_bytes()).unwrap();
        let mut answer = [0; 512];
        let read = stream.read(&mut answer).unwrap();
        String::from_utf8_lossy(&answer[..read]).into_owned()
    });
    let answer = answer.await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 408 ") && answer.contains("request_timeout"), "{answer}");
}

#[tokio::test]
async fn whatever_a_body_is_the_answer_is_a_problem_that_says_what() {
    let app = TestApp::start().await;
    let api = start(&app).await;
    let post = |kind: &'static str, body: String| {
        api.request(Method::POST, "/documents").header("content-type", kind).body(body)
    };
    let json = "application/json";
    let of_size = |bytes: usize| json!({"title": "A", "text": "x".repeat(bytes)}).to_string();
    for (kind, body, status, code) in [
        (json, String::new(), 400, "malformed_request"),
        (json, "{".to_owned(), 400, "malformed_request"),
        (json, "[]".to_owned(), 400, "malformed_request"),
        (json, json!(["A", "text"]).to_string(), 400, "malformed_request"),
        (json, json!({"title": 1, "text": ["x"]}).to_string(), 422, "validation_failed"),
        (json, "\u{0}".repeat(100), 400, "malformed_request"),
        ("text/plain", of_size(1), 415, "unsupported_media_type"),
        (json, of_size(500 * 1024), 413, "body_too_large"),
        (json, of_size(64 * 1024 + 1), 422, "validation_failed"),
        (json, "{}".to_owned(), 422, "validation_failed"),
        (json, json!({"title": "x".repeat(201), "text": " \n"}).to_string(), 422, "validation_failed"),
        (json, json!({"title": "a\nb", "text": "x"}).to_string(), 422, "validation_failed"),
    ] {
        assert_refused(&api.send(post(kind, body)).await, status, code);
    }
    let errors =
        api.send(post(json, json!({"title": "x".repeat(201), "text": 1}).to_string())).await.body["errors"].clone();
    let expected = [("text", "invalid_type"), ("title", "too_long")];
    let found = errors.as_array().unwrap().iter().map(|error| (error["field"].as_str(), error["code"].as_str()));
    assert!(found.eq(expected.map(|(field, code)| (Some(field), Some(code)))), "{errors}");
    // The longest text, each of its bytes written with six.
    let escaped = format!("{{\"title\": \"A\", \"text\": \"{}\"}}", "\\u0041".repeat(64 * 1024));
    let longest = api.send(post(json, escaped)).await;
    assert_eq!((longest.status.as_u16(), &longest.body["characters"]), (200, &json!(64 * 1024)));

    let put = api.send(api.request(Method::PUT, "/documents")).await;
    assert_refused(&put, 405, "method_not_allowed");
    assert_eq!(put.header("allow"), "GET, POST");
    assert_refused(&api.get("/nothing").await, 404, "not_found");
    assert_refused(&api.get("/documents/").await, 404, "not_found");
}

#[tokio::test]
async fn pages_of_allowed_origins_read_answers_and_those_of_others_do_not() {
    const OURS: &str = "https://app.example.com";
    let app = TestApp::start().await;
    let api = start_with(&app, &[("ALLOWED_ORIGINS", "https://app.example.com,http://localhost:5173")]).await;
    let preflight = async |origin: &str, method: &str| {
        let request = api.request(Method::OPTIONS, "/documents").header("origin", origin);
        let request = request.header("access-control-request-method", method);
        api.send(request.header("access-control-request-headers", "authorization,content-type")).await
    };
    let allowed = preflight(OURS, "DELETE").await;
    assert_eq!((allowed.status.as_u16(), allowed.header("access-control-allow-origin")), (200, OURS));
    assert!(allowed.header("access-control-allow-headers").contains("authorization"));
    assert!(allowed.header("vary").to_lowercase().contains("origin"));
    for (origin, method) in [("https://evil.example.com", "GET"), ("null", "GET"), (OURS, "PUT")] {
        let refused = preflight(origin, method).await;
        assert_refused(&refused, 403, "origin_not_allowed");
        assert_eq!(refused.header("access-control-allow-origin"), "");
    }

    for (origin, shown) in [(OURS, OURS), ("https://evil.example.com", "")] {
        for path in ["/documents", "/nothing"] {
            let refused = api.send(api.request(Method::GET, path).header("origin", origin).bearer_auth("x")).await;
            assert!([401, 404].contains(&refused.status.as_u16()), "{refused:?}");
            assert_eq!(refused.header("access-control-allow-origin"), shown, "{refused:?}");
            let exposed = refused.header("access-control-expose-headers").to_lowercase();
            assert!(exposed.contains("www-authenticate") && exposed.contains("retry-after"), "{refused:?}");
        }
    }
}
