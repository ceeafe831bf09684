use reqwest::Method;
use serde_json::{Value, json};

use crate::support::TestApp;

#[tokio::test]
async fn a_refresh_gives_new_tokens_of_the_same_session() {
    let app = TestApp::start().await;
    let account = app.register("ada@example.com").await;

    let answer = account.caller.refresh(&account.refresh_token).await;

    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.header("cache-control"), "no-store");
    assert_eq!(answer.text("session_id"), account.session_id);
    assert_ne!(answer.text("refresh_token"), account.refresh_token);
    assert_ne!(answer.text("access_token"), account.access_token);
    assert!(answer.body.get("user").is_none());
    assert_eq!(account.caller.me(answer.text("access_token")).await.status, 200);
}

#[tokio::test]
async fn an_authorization_header_beside_the_refresh_token_is_ignored() {
    let app = TestApp::start().await;
    let mut account = app.register("ada@example.com").await;
    for authorization in ["Bearer null", "Bearer expired.expired.expired", "Basic Zm9vOmJhcg==", "", "Bearer"] {
        let request = account.caller.request(Method::POST, "/api/auth/refresh").header("authorization", authorization);
        let answer = account.caller.send(request.json(&json!({"refresh_token": account.refresh_token}))).await;
        assert_eq!(answer.status, 200, "{authorization}: {answer:?}");
        answer.text("refresh_token").clone_into(&mut account.refresh_token);
    }
}

#[tokio::test]
async fn whatever_is_no_refresh_token_is_401() {
    let app = TestApp::start().await;
    let refresh = async |body: Value| app.anonymous().post("/api/auth/refresh", body).await;
    for body in [json!({}), json!({"refresh_token": null}), json!({"refresh_token": ""}), json!({"token": "x"})] {
        refresh(body).await.assert_problem(401, "refresh_token_missing");
    }
    let empty = app.anonymous().send(app.anonymous().request(Method::POST, "/api/auth/refresh")).await;
    empty.assert_problem(401, "refresh_token_missing");
    for token in
        [json!(5), json!(true), json!({}), json!(["x"]), json!("x"), json!("null"), json!("rt1_"), json!("é\u{0}")]
    {
        refresh(json!({"refresh_token": token})).await.assert_problem(401, "refresh_token_invalid");
    }
}

#[tokio::test]
async fn an_idempotency_key_that_is_none_is_refused_and_costs_nothing() {
    let app = TestApp::start().await;
    let mut account = app.register("ada@example.com").await;
    let long = "k".repeat(256);
    for keys in [vec![long.as_str()], vec!["one", "two"]] {
        let mut request = account.caller.request(Method::POST, "/api/auth/refresh");
        for key in keys {
            request = request.header("idempotency-key", key);
        }
        let answer = account.caller.send(request.json(&json!({"refresh_token": account.refresh_token}))).await;
        answer.assert_problem(400, "malformed_request");
    }
    account.refresh().await;
}

#[tokio::test]
async fn a_deleted_user_has_no_sessions() {
    let app = TestApp::start().await;
    let account = app.register("ada@example.com").await;
    app.database.execute("delete from users").await;
    account.caller.refresh(&account.refresh_token).await.assert_problem(401, "refresh_token_invalid");
    account.me().await.assert_problem(401, "access_token_invalid");
}

#[tokio::test]
async fn a_role_changed_meanwhile_is_in_the_next_access_token() {
    let app = TestApp::start().await;
    let mut account = app.register("ada@example.com").await;
    app.database.execute("update users set role = 'admin'").await;
    account.refresh().await;
    let payload = account.access_token.split('.').nth(1).unwrap();
    let payload = base64::Engine::decode(&base64::prelude::BASE64_URL_SAFE_NO_PAD, payload).unwrap();
    let claims: Value = serde_json::from_slice(&payload).unwrap();
    assert_eq!(claims["role"], "admin");
    assert_eq!(account.me().await.body["role"], "admin");
}
