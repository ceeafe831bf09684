use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{Account, Answer, PASSWORD, TestApp, TestDatabase, disable, wait_until};

async fn export(account: &Account) -> Answer {
    account.call(Method::POST, "/api/auth/me/export", Value::Null).await
}

async fn delete(account: &Account, password: &str) -> Answer {
    account.call(Method::DELETE, "/api/auth/me", json!({ "password": password })).await
}

/// What a user's rows are counted in.
async fn rows_of(database: &TestDatabase, user_id: &str) -> [i64; 3] {
    let mut counts = [0; 3];
    for (count, (table, column)) in
        counts.iter_mut().zip([("users", "id"), ("sessions", "user_id"), ("events", "user_id")])
    {
        *count = database.number(&format!("select count(*) from {table} where {column} = '{user_id}'")).await;
    }
    counts
}

#[tokio::test]
async fn a_copy_holds_all_that_is_kept_about_its_owner_and_nothing_of_others() {
    let app = TestApp::start().await;
    let ada = app.register("ada@example.com").await;
    let phone = app.login("ada@example.com").await;
    phone.logout().await;
    let bob = app.register("bob@example.com").await;

    let answer = export(&ada).await;

    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.header("content-disposition"), "attachment; filename=\"account.json\"");
    assert_eq!(answer.body["user"], ada.me().await.body);
    let ids = |list: &Value, name: &str| -> Vec<String> {
        list.as_array().unwrap().iter().map(|item| item[name].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(ids(&answer.body["sessions"], "id"), [&*phone.session_id, &*ada.session_id]);
    assert_eq!(answer.body["sessions"][0]["ended_by"], "logout");
    assert_eq!(ids(&answer.body["events"], "kind"), ["session_ended", "logged_in", "registered"]);
    assert_eq!(answer.body["events_next"], Value::Null);
    let text = answer.body.to_string();
    assert!(!text.contains("bob") && !text.contains(&bob.session_id), "{text}");
    for secret in ["password", "secret", "hash", "$2"] {
        assert!(!text.contains(secret), "{secret} in {text}");
    }
    assert_eq!(ada.event_kinds().await[0], "data_exported");
}

#[tokio::test]
async fn a_copy_is_for_a_live_session_and_not_for_the_asking_without_end() {
    let app = TestApp::start().await;
    let ada = app.register("ada@example.com").await;
    for _ in 0..10 {
        assert_eq!(export(&ada).await.status, 200);
    }
    let refused = export(&ada).await;
    refused.assert_problem(429, "rate_limited");
    assert!(!refused.header("retry-after").is_empty());

    let bob = app.register("bob@example.com").await;
    bob.logout().await;
    export(&bob).await.assert_problem(401, "access_token_invalid");
    app.anonymous().post("/api/auth/me/export", json!({})).await.assert_problem(401, "access_token_missing");
}

#[tokio::test]
async fn a_deleted_account_is_gone_with_its_sessions_and_its_address_is_free() {
    let app = TestApp::start().await;
    let ada = app.register("ada@example.com").await;
    let phone = app.login("ada@example.com").await;
    let mut bob = app.register("bob@example.com").await;
    let id = ada.me().await.body["id"].as_str().unwrap().to_owned();
    let check = async || phone.call(Method::GET, "/api/auth/check", Value::Null).await.status;
    assert_eq!(check().await, 204);

    assert_eq!(delete(&ada, PASSWORD).await.status, 204);

    assert_eq!(rows_of(&app.database, &id).await, [0, 0, 3], "the trail outlives the account");
    phone.caller.refresh(&phone.refresh_token).await.assert_problem(401, "refresh_token_invalid");
    ada.me().await.assert_problem(401, "access_token_invalid");
    delete(&ada, PASSWORD).await.assert_problem(401, "access_token_invalid");
    app.anonymous().login("ada@example.com", PASSWORD).await.assert_problem(401, "invalid_credentials");
    wait_until("gateways hear of it", async || check().await == 401).await;
    let again = app.register("ada@example.com").await;
    assert_ne!(again.me().await.body["id"], id.as_str());
    assert_eq!(again.event_kinds().await, ["registered"], "a new account has no past");
    bob.refresh().await;
}

#[tokio::test]
async fn nobody_deletes_an_account_without_its_password() {
    let app = TestApp::start().await;
    let mut ada = app.register("ada@example.com").await;
    delete(&ada, "not the password").await.assert_problem(401, "invalid_credentials");
    for body in [json!({}), json!({"password": null}), json!({"password": ""})] {
        let answer = ada.call(Method::DELETE, "/api/auth/me", body).await;
        answer.assert_problem(422, "validation_failed");
        assert_eq!(answer.body["errors"][0]["field"], "password");
    }
    assert_eq!(ada.event_kinds().await[0], "account_deletion_failed");
    ada.refresh().await;

    let ended = app.login("ada@example.com").await;
    ended.logout().await;
    delete(&ended, PASSWORD).await.assert_problem(401, "access_token_invalid");
    disable(&app.store, "ada@example.com").await;
    delete(&ada, PASSWORD).await.assert_problem(401, "access_token_invalid");
    assert_eq!(app.database.number("select count(*) from users").await, 1);
}

#[tokio::test]
async fn a_stolen_access_token_cannot_guess_the_password_by_deleting() {
    let app = TestApp::start().await;
    let ada = app.register("ada@example.com").await;
    for number in 0..50 {
        let path = if number % 2 == 0 { Method::DELETE } else { Method::POST };
        let answer = if path == Method::DELETE {
            delete(&ada, "a guess").await
        } else {
            let change = json!({"current_password": "a guess", "new_password": "a quite different password"});
            ada.call(path, "/api/auth/password", change).await
        };
        answer.assert_problem(401, "invalid_credentials");
    }
    delete(&ada, PASSWORD).await.assert_problem(429, "rate_limited");
}
