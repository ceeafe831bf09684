use reqwest::Method;
use serde_json::json;

use crate::support::TestApp;

#[tokio::test]
async fn a_logout_ends_its_session_and_no_other() {
    let app = TestApp::start().await;
    let phone = app.register("ada@example.com").await;
    let mut laptop = app.login("ada@example.com").await;

    phone.logout().await;

    let refused = phone.caller.refresh(&phone.refresh_token).await;
    refused.assert_problem(401, "session_ended");
    assert_eq!(refused.body["ended_by"], "logout");
    assert!(refused.text("ended_at").ends_with('Z'));
    laptop.refresh().await;
}

#[tokio::test]
async fn a_bearer_alone_ends_its_own_session() {
    let app = TestApp::start().await;
    let phone = app.register("ada@example.com").await;
    let mut laptop = app.login("ada@example.com").await;
    let logout = || phone.caller.request(Method::POST, "/api/auth/logout").bearer_auth(&phone.access_token);
    assert_eq!(phone.caller.send(logout()).await.status, 204);
    phone.caller.refresh(&phone.refresh_token).await.assert_problem(401, "session_ended");
    laptop.refresh().await;

    for no_token in [json!(""), json!(null), json!(false)] {
        let tablet = app.login("ada@example.com").await;
        let request = tablet.caller.request(Method::POST, "/api/auth/logout").bearer_auth(&tablet.access_token);
        assert_eq!(tablet.caller.send(request.json(&json!({"refresh_token": no_token}))).await.status, 204);
        tablet.caller.refresh(&tablet.refresh_token).await.assert_problem(401, "session_ended");
    }
}

#[tokio::test]
async fn an_authorization_beside_the_refresh_token_is_ignored() {
    let app = TestApp::start().await;
    let phone = app.register("ada@example.com").await;
    let mut laptop = app.login("ada@example.com").await;
    let request = phone.caller.request(Method::POST, "/api/auth/logout").bearer_auth(&laptop.access_token);
    let answer = phone.caller.send(request.json(&json!({"refresh_token": phone.refresh_token}))).await;
    assert_eq!(answer.status, 204);
    phone.caller.refresh(&phone.refresh_token).await.assert_problem(401, "session_ended");
    laptop.refresh().await;
}

#[tokio::test]
async fn a_logout_is_always_204_and_a_second_changes_nothing() {
    let app = TestApp::start().await;
    let mut bystander = app.register("bob@example.com").await;
    let account = app.register("ada@example.com").await;
    account.logout().await;
    let first = app.database.rows("select ended_at from sessions where ended_at is not null").await;
    account.logout().await;
    let second = app.database.rows("select ended_at from sessions where ended_at is not null").await;
    let times = [first, second].map(|rows| rows.iter().map(|row| row.get(0)).collect::<Vec<time::OffsetDateTime>>());
    assert_eq!((times[0].len(), &times[0]), (1, &times[1]));
    for body in [json!({}), json!({"refresh_token": null}), json!({"refresh_token": "x"}), json!({"refresh_token": 5})]
    {
        assert_eq!(app.anonymous().post("/api/auth/logout", body).await.status, 204);
    }
    let request = app.anonymous().request(Method::POST, "/api/auth/logout").bearer_auth("x.y.z");
    assert_eq!(app.anonymous().send(request).await.status, 204);
    bystander.refresh().await;
}

#[tokio::test]
async fn a_client_that_lost_the_last_answer_can_sign_out_with_the_token_before() {
    let app = TestApp::start().await;
    let account = app.register("ada@example.com").await;
    let successor = account.caller.refresh(&account.refresh_token).await;
    account.logout().await;
    let refused = account.caller.refresh(successor.text("refresh_token")).await;
    refused.assert_problem(401, "session_ended");
    assert_eq!(refused.body["ended_by"], "logout");
}

#[tokio::test]
async fn logout_all_ends_every_session_or_every_other() {
    let app = TestApp::start().await;
    let mut bystander = app.register("bob@example.com").await;
    let phone = app.register("ada@example.com").await;
    let mut laptop = app.login("ada@example.com").await;
    app.login("ada@example.com").await.logout().await;

    assert_eq!(laptop.logout_all(json!({"keep_current": true})).await.body, json!({"ended": 1}));
    let refused = phone.caller.refresh(&phone.refresh_token).await;
    refused.assert_problem(401, "session_ended");
    assert_eq!(refused.body["ended_by"], "logout_all");
    laptop.refresh().await;

    assert_eq!(laptop.logout_all(json!({})).await.body, json!({"ended": 1}));
    laptop.caller.refresh(&laptop.refresh_token).await.assert_problem(401, "session_ended");
    bystander.refresh().await;
    app.anonymous().post("/api/auth/logout-all", json!({})).await.assert_problem(401, "access_token_missing");
}
