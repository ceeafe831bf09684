//! Several `Authorization` headers: a proxy in front may have read another one than this service.

use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use crate::support::contract::document;
use crate::support::{Account, Answer, TestApp};

fn with_all<'a>(request: RequestBuilder, values: impl IntoIterator<Item = &'a str>) -> RequestBuilder {
    values.into_iter().fold(request, |request, value| request.header("authorization", value))
}

async fn call(app: &TestApp, method: &str, path: &str, values: &[&str]) -> Answer {
    let method: Method = method.to_uppercase().parse().unwrap();
    let is_head = method == Method::HEAD;
    let request = with_all(app.anonymous().request(method, path), values.iter().copied());
    let answer = app.anonymous().send(request).await;
    assert!(!is_head || answer.body.is_null());
    answer
}

/// Every call of the document that reads a bearer token.
fn calls_with_bearer() -> Vec<(&'static str, String)> {
    let paths = document()["paths"].as_object().unwrap().iter();
    let calls = paths.flat_map(|(path, calls)| calls.as_object().unwrap().iter().map(move |call| (path, call)));
    let reads = |call: &Value| {
        call["security"].as_array().unwrap().iter().any(|one| one.get("user").is_some() || one.get("client").is_some())
    };
    let id = uuid::Uuid::nil().to_string();
    calls
        .filter(|(_, (_, call))| reads(call))
        .map(|(path, (method, _))| (&**method, path.replace("{id}", &id)))
        .collect()
}

#[tokio::test]
async fn two_authorization_headers_that_differ_are_refused_wherever_one_is_read() {
    let app = TestApp::start().await;
    let admin = app.administrator("ada@example.com").await;
    let good = format!("Bearer {}", admin.access_token);
    let other = format!("Bearer {}", app.register("bob@example.com").await.access_token);
    let calls = calls_with_bearer();
    assert!(calls.len() > 20, "{calls:?}");
    for (method, path) in &calls {
        let is_check = path == "/api/auth/check";
        for values in
            [[&*good, "Bearer x"], ["Bearer x", &*good], [&*good, &*other], [&*good, "Basic eDp5"], ["", &*good]]
        {
            let answer = call(&app, method, path, &values).await;
            assert_eq!(answer.status.as_u16(), if is_check { 401 } else { 400 }, "{method} {path} {values:?}");
            if *method != "head" {
                let expected = if is_check { "access_token_invalid" } else { "malformed_request" };
                assert_eq!(answer.text("code"), expected, "{method} {path}");
                assert!(answer.text("detail").contains("Authorization"), "{answer:?}");
            }
            assert_eq!(answer.header("x-auth-user-id"), "");
        }
        let joined = call(&app, method, path, &[&format!("{good}, {good}")]).await;
        let is_logout = path.ends_with("/logout");
        assert_eq!(
            joined.status.as_u16(),
            if is_logout { 204 } else { 401 },
            "{method} {path}: a joined value is no token"
        );
    }
    assert_eq!(app.database.number("select count(*) from sessions where ended_at is not null").await, 0);
    assert_eq!(app.database.number("select count(*) from users").await, 2);
    let equal = call(&app, "get", "/api/auth/check", &[&good, &good, &format!("{good} ")]).await;
    assert_eq!((equal.status.as_u16(), equal.header("x-auth-user-id")), (204, &*admin.user_id().to_string()));
    assert_eq!(call(&app, "get", "/api/auth/me", &[&good, &good]).await.status, 200);
}

#[tokio::test]
async fn beside_a_refresh_token_they_are_ignored_as_one_is() {
    let app = TestApp::start().await;
    let account = app.register("ada@example.com").await;
    let good = format!("Bearer {}", account.access_token);
    let send = async |path: &str, body: Value| {
        let request = with_all(app.anonymous().request(Method::POST, path), [&*good, "Bearer null"]);
        app.anonymous().send(request.json(&body)).await
    };
    let refreshed = send("/api/auth/refresh", json!({"refresh_token": account.refresh_token})).await;
    assert_eq!(refreshed.status, 200, "{refreshed:?}");
    send("/api/auth/logout", json!({})).await.assert_problem(400, "malformed_request");
    assert_eq!(account.me().await.status, 200);
    let token = refreshed.text("refresh_token");
    assert_eq!(send("/api/auth/logout", json!({ "refresh_token": token })).await.status, 204);
    account.caller.refresh(token).await.assert_problem(401, "session_ended");
}

#[tokio::test]
async fn bearer_of_two_that_differ_ends_no_session() {
    let app = TestApp::start().await;
    let (phone, laptop) = (app.register("ada@example.com").await, app.login("ada@example.com").await);
    let bearer = |account: &Account| format!("Bearer {}", account.access_token);
    let values = [bearer(&phone), bearer(&laptop)];
    let answer = call(&app, "post", "/api/auth/logout", &[&values[0], &values[1]]).await;
    answer.assert_problem(400, "malformed_request");
    assert_eq!(app.database.number("select count(*) from sessions where ended_at is not null").await, 0);
    assert_eq!(call(&app, "post", "/api/auth/logout", &[&values[0], &values[0]]).await.status, 204);
    phone.caller.refresh(&phone.refresh_token).await.assert_problem(401, "session_ended");
}

#[tokio::test]
async fn token_endpoint_refuses_two_that_differ_in_the_words_of_oauth() {
    let app = TestApp::start().await;
    let program = app.program("api", "users:read").await;
    let other = app.program("other", "users:read").await;
    let basic = |id: &str, secret: &str| {
        use base64::prelude::{BASE64_STANDARD, Engine as _};
        format!("Basic {}", BASE64_STANDARD.encode(format!("{id}:{secret}")))
    };
    let values = [basic(&program.id, &program.secret), basic(&other.id, &other.secret)];
    let ask = async |values: [&str; 2]| {
        let request = with_all(app.anonymous().request(Method::POST, "/api/auth/token"), values);
        app.anonymous().send(request.form(&[("grant_type", "client_credentials")])).await
    };
    let refused = ask([&values[0], &values[1]]).await;
    refused.assert_problem(400, "invalid_request");
    assert_eq!(refused.body["error"], "invalid_request");
    ask([&values[0], "Bearer x"]).await.assert_problem(400, "invalid_request");
    assert_eq!(ask([&values[0], &values[0]]).await.status, 200);
}
