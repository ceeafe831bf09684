//! Accounts that go, and what still knows of them.

use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::Value;
use uuid::Uuid;

use crate::support::{PASSWORD, TestApp, delete, wait_until};

#[tokio::test]
async fn a_deleted_account_leaves_its_trail_and_what_is_to_be_told_of_it() {
    let app = TestApp::start().await;
    let ada = app.register("ada@example.com").await;
    app.login("ada@example.com").await;
    let bob = app.register("bob@example.com").await;
    app.database
        .execute(
            "insert into verifications (user_id, secret_hash, purpose, email, expires_at)
             select id, sha256('x'), 'verify_email', email, now() + interval '1 day' from users;
             insert into mails (id, kind, recipient, user_id)
             select gen_random_uuid(), kind, email, id
             from users, (values ('password_changed'), ('account_deleted')) k(kind);
             insert into mails (id, kind, recipient) select gen_random_uuid(), 'reset_password', email from users",
        )
        .await;

    assert!(delete(&app.store, ada.user_id()).await);

    let count = async |sql: &str| app.database.number(&format!("select count(*) from {sql}")).await;
    for table in ["users", "verifications"] {
        assert_eq!(count(table).await, 1, "{table}");
    }
    assert_eq!(count("sessions where ended_at is null").await, 1);
    assert_eq!(count("mails where recipient = 'ada@example.com' and kind = 'reset_password'").await, 0);
    assert_eq!(count("mails where recipient = 'ada@example.com'").await, 2, "what is still to be told");
    assert_eq!(count("mails").await, 5);
    let trail = app.database.rows("select kind, user_id from events order by occurred_at").await;
    let trail: Vec<(String, Uuid)> = trail.iter().map(|row| (row.get(0), row.get(1))).collect();
    assert_eq!(trail.last(), Some(&("account_deleted".to_owned(), ada.user_id())));
    assert_eq!(trail.len(), 4, "{trail:?}");
    assert_eq!(bob.me().await.status, 200);
    assert!(!delete(&app.store, ada.user_id()).await, "there is nothing left to delete");
    assert_eq!(count("events").await, 4);
}

#[tokio::test]
async fn a_deleted_account_opens_nothing_and_its_address_is_free() {
    let app = TestApp::start().await;
    let ada = app.register("ada@example.com").await;
    assert!(delete(&app.store, ada.user_id()).await);

    ada.caller.refresh(&ada.refresh_token).await.assert_problem(401, "refresh_token_invalid");
    ada.me().await.assert_problem(401, "access_token_invalid");
    ada.call(Method::PATCH, "/api/auth/me", serde_json::json!({"full_name": "Ada"}))
        .await
        .assert_problem(401, "access_token_invalid");
    app.anonymous().login("ada@example.com", PASSWORD).await.assert_problem(401, "invalid_credentials");
    let again = app.register("ada@example.com").await;
    assert_ne!(again.user_id(), ada.user_id());
    assert_eq!(again.event_kinds().await, ["registered"], "the trail of another is not theirs");
}

#[tokio::test]
async fn tokens_of_a_deleted_account_are_refused_within_seconds_and_told_to_programs() {
    let app = TestApp::start().await;
    let ada = app.register("ada@example.com").await;
    let bob = app.register("bob@example.com").await;
    app.database.execute("update users set role = 'admin' where email = 'bob@example.com'").await;
    let bob = app.login(&bob.email).await;
    let check = async |account: &crate::support::Account| {
        account.call(Method::GET, "/api/auth/check", Value::Null).await.status.as_u16()
    };
    assert_eq!(check(&ada).await, 204);
    assert!(delete(&app.store, ada.user_id()).await);

    let started = Instant::now();
    wait_until("the check has heard", async || check(&ada).await == 401).await;
    assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
    assert_eq!(check(&bob).await, 204);
    let told = bob.call(Method::GET, "/api/auth/revocations", Value::Null).await;
    assert_eq!(told.body["users"][0]["id"], ada.user_id().to_string());
    // After a restart, too: the first check of another process.
    let other = TestApp::on_url(crate::support::TestDatabase::empty().await, &app.database.url, &[]).await;
    let request = other.anonymous().request(Method::GET, "/api/auth/check").bearer_auth(&ada.access_token);
    other.anonymous().send(request).await.assert_problem(401, "access_token_invalid");
}

#[tokio::test]
async fn an_id_that_came_back_can_go_again() {
    let app = TestApp::start().await;
    let ada = app.register("ada@example.com").await;
    assert!(delete(&app.store, ada.user_id()).await);
    app.database.execute("update deleted_users set deleted_at = now() - interval '1 day'").await;
    let insert =
        format!("insert into users (id, email, password_hash) values ('{}', 'ada@example.com', '')", ada.user_id());
    app.database.execute(&insert).await;
    assert!(delete(&app.store, ada.user_id()).await);
    assert_eq!(
        app.database.number("select count(*) from deleted_users where deleted_at > now() - interval '1 hour'").await,
        1
    );
}
