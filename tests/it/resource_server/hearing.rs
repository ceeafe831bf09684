//! How the API hears that sessions ended, and what it does when it cannot.

use reqwest::Method;
use serde_json::json;

use super::{assert_refused, call, get, start, status, submit};
use crate::support::{
    JWT_SECRET, PASSWORD, ServerProcess, TestApp, TestDatabase, disable, free_port, resource_server, wait_until,
};

const NEW_SECRET: &str = "p9Xb2VnQ7LrT4yKmZc8HsD1gJ6aWeU3oFi5BvN0RtEq";

#[tokio::test]
async fn an_api_that_verifies_offline_refuses_ended_sessions_within_seconds() {
    let app = TestApp::start().await;
    let api = start(&app).await;
    let (phone, laptop) = (app.register("ada@example.com").await, app.login("ada@example.com").await);
    assert_eq!((status(&api, &phone).await, status(&api, &laptop).await), (200, 200));

    phone.logout().await;

    wait_until("the API has heard", async || status(&api, &phone).await == 401).await;
    assert_refused(&get(&api, "/documents", &phone).await, 401, "access_token_invalid");
    assert_refused(&submit(&api, &phone, "A").await, 401, "access_token_invalid");
    assert_eq!(status(&api, &laptop).await, 200);
}

#[tokio::test]
async fn who_signs_out_everywhere_or_is_disabled_is_refused_within_seconds_and_others_are_not() {
    let app = TestApp::start().await;
    let api = start(&app).await;
    let (ada, bob, eve) = (
        app.register("ada@example.com").await,
        app.register("bob@example.com").await,
        app.register("eve@example.com").await,
    );

    assert_eq!(ada.logout_all(json!({})).await.status, 200);
    disable(&app.store, "eve@example.com").await.unwrap();

    wait_until("the API has heard of one", async || status(&api, &ada).await == 401).await;
    wait_until("the API has heard of the other", async || status(&api, &eve).await == 401).await;
    assert_eq!(status(&api, &bob).await, 200);
    assert_eq!(status(&api, &app.login("ada@example.com").await).await, 200, "a new session is a new session");
}

#[tokio::test]
async fn before_the_first_list_good_tokens_wait_and_all_else_is_answered() {
    let app = TestApp::start().await;
    let ada = app.register("ada@example.com").await;
    let nowhere = format!("http://127.0.0.1:{}", free_port());
    let api = resource_server(&nowhere, &app.database, &[]).await;

    assert_refused(&get(&api, "/documents", &ada).await, 503, "revocations_unknown");
    assert_refused(&submit(&api, &ada, "A").await, 503, "revocations_unknown");
    assert_refused(&call(&api, Method::GET, "/documents", "x", None).await, 401, "access_token_invalid");
    assert_eq!(api.post("/documents", json!({"title": "A", "text": "text"})).await.status, 200);
    assert_eq!(api.get("/health").await.body, json!({"status": "ok", "revocations_age": null}));
}

#[tokio::test]
async fn while_the_service_is_away_the_api_goes_by_what_it_knows_and_hears_again_afterwards() {
    let (database, port) = (TestDatabase::migrated().await, free_port().to_string());
    let service = ServerProcess::ready(&database.url, &[("PORT", &port)]).await;
    let base = service.anonymous().base;
    let phone = service.anonymous().register("ada@example.com").await;
    let laptop = service.anonymous().register("bob@example.com").await;
    let api = resource_server(&base, &database, &[]).await;
    wait_until("the API has heard", async || status(&api, &laptop).await == 200).await;
    phone.logout().await;
    wait_until("the API has heard of the phone", async || status(&api, &phone).await == 401).await;

    drop(service);
    wait_until("the API has not heard for a while", async || {
        api.get("/health").await.body["revocations_age"].as_u64().unwrap() >= 3
    })
    .await;
    assert_eq!((status(&api, &phone).await, status(&api, &laptop).await), (401, 200));

    let service = ServerProcess::ready(&database.url, &[("PORT", &port)]).await;
    laptop.logout().await;
    wait_until("the API has heard of the laptop", async || status(&api, &laptop).await == 401).await;
    let again = service.anonymous().login("bob@example.com", PASSWORD).await;
    let token = again.text("access_token");
    assert_eq!(call(&api, Method::GET, "/documents", token, None).await.status, 200);
}

#[tokio::test]
async fn tokens_of_both_secrets_are_good_while_they_are_rotated() {
    let database = TestDatabase::migrated().await;
    let both = format!("new:{NEW_SECRET},old:{JWT_SECRET}");
    let before = ServerProcess::ready(&database.url, &[]).await;
    let after = ServerProcess::ready(&database.url, &[("JWT_SECRET", &both)]).await;
    let old = before.anonymous().register("ada@example.com").await;
    let new = after.anonymous().register("bob@example.com").await;
    let base = after.anonymous().base;

    for (secrets, statuses) in [(&*both, (200, 200)), (NEW_SECRET, (401, 200)), (JWT_SECRET, (200, 401))] {
        let api = resource_server(&base, &database, &[("JWT_SECRET", secrets)]).await;
        wait_until("the API has heard", async || api.get("/health").await.body["revocations_age"].is_u64()).await;
        assert_eq!((status(&api, &old).await, status(&api, &new).await), statuses);
    }
}
