//! Users are looked up by programs with the scope, and by administrators.

use reqwest::Method;
use serde_json::Value;

use crate::support::{Account, Answer, TestApp, disable};

async fn get(account: &Account, path: &str) -> Answer {
    account.call(Method::GET, path, Value::Null).await
}

async fn administrator(app: &TestApp) -> Account {
    app.register("root@example.com").await;
    app.database.execute("update users set role = 'admin' where email = 'root@example.com'").await;
    app.login("root@example.com").await
}

#[tokio::test]
async fn a_program_finds_a_user_by_id_and_by_address() {
    let app = TestApp::start().await;
    let program = app.program("reports", "users:read").await;
    let token = program.token().await;
    let ada = app.register("ada+1@bücher.example").await;
    let me = ada.me().await.body;

    let by_id = program.get(&format!("/api/users/{}", me["id"].as_str().unwrap()), &token).await;

    assert_eq!((by_id.status.as_u16(), &by_id.body), (200, &me));
    for address in ["ada%2B1@b%C3%BCcher.example", "ADA%2B1@B%C3%9CCHER.example", "%20ada%2b1%40xn--bcher-kva.example"]
    {
        let by_address = program.get(&format!("/api/users?email={address}"), &token).await;
        assert_eq!((by_address.status.as_u16(), &by_address.body), (200, &me), "{address}");
    }
    disable(&app.store, "ada+1@bücher.example").await;
    let disabled = program.get(&format!("/api/users/{}", me["id"].as_str().unwrap()), &token).await;
    assert_eq!(disabled.body["is_active"], false);
}

#[tokio::test]
async fn who_is_not_there_is_404_and_what_is_no_address_is_told() {
    let app = TestApp::start().await;
    let program = app.program("reports", "users:read").await;
    let token = program.token().await;
    for path in [
        "/api/users?email=nobody@example.com",
        "/api/users/019a0000-0000-7000-8000-000000000000",
        "/api/users/nobody",
        "/api/users/%00",
        &format!("/api/users/{}", program.id),
    ] {
        program.get(path, &token).await.assert_problem(404, "not_found");
    }
    for (query, code) in [
        ("", "required"),
        ("?email=", "required"),
        ("?email=ada+1@example.com", "invalid_email"),
        ("?email=%00", "invalid_email"),
    ] {
        program.get(&format!("/api/users{query}"), &token).await.assert_invalid(&[("email", code)]);
    }
}

#[tokio::test]
async fn people_need_to_be_administrators_and_programs_the_scope() {
    let app = TestApp::start().await;
    let ada = app.register("ada@example.com").await;
    let id = ada.me().await.text("id").to_owned();
    let other = app.program("other", "revocations:read").await;
    let token = other.token().await;
    for path in [format!("/api/users/{id}"), "/api/users?email=ada@example.com".to_owned()] {
        for answer in [get(&ada, &path).await, other.get(&path, &token).await] {
            answer.assert_problem(403, "insufficient_scope");
            let challenge = "Bearer realm=\"claviger\", error=\"insufficient_scope\", scope=\"users:read\"";
            assert_eq!(answer.header("www-authenticate"), challenge);
        }
        app.anonymous().get(&path).await.assert_problem(401, "access_token_missing");
    }
    let root = administrator(&app).await;
    assert_eq!(get(&root, &format!("/api/users/{id}")).await.text("email"), "ada@example.com");
}

#[tokio::test]
async fn an_administrator_who_is_one_no_longer_finds_nobody() {
    let app = TestApp::start().await;
    let demoted = administrator(&app).await;
    let path = "/api/users?email=root@example.com";
    assert_eq!(get(&demoted, path).await.status, 200);
    app.database.execute("update users set role = 'user'").await;
    get(&demoted, path).await.assert_problem(403, "insufficient_scope");
    app.database.execute("update users set role = 'admin'").await;
    demoted.logout().await;
    get(&demoted, path).await.assert_problem(401, "access_token_invalid");
    let disabled = app.login("root@example.com").await;
    disable(&app.store, "root@example.com").await;
    get(&disabled, path).await.assert_problem(401, "access_token_invalid");
}

#[tokio::test]
async fn a_scope_that_was_taken_away_is_gone_at_once() {
    let app = TestApp::start().await;
    let program = app.program("reports", "users:read").await;
    let token = program.token().await;
    app.database.execute("update clients set scopes = '{mars:read}'").await;
    program.get("/api/users?email=a@b.example", &token).await.assert_problem(403, "insufficient_scope");
}

#[tokio::test]
async fn an_account_of_the_former_role_service_is_a_user() {
    let app = TestApp::start().await;
    app.register("api@example.com").await;
    app.database.execute("update users set role = 'service'").await;
    let api = app.login("api@example.com").await;
    assert_eq!(api.me().await.text("role"), "user");
    for path in ["/api/auth/revocations", "/api/users?email=api@example.com"] {
        get(&api, path).await.assert_problem(403, "insufficient_scope");
    }
}
