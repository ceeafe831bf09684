//! An event and the change that it tells of are committed together, or neither is.

use reqwest::Method;
use serde_json::{Value, json};

use crate::mail::{ask_for_reset, reset};
use crate::support::{Account, Answer, MailServer, PASSWORD, TestApp, TestDatabase, Tls, wait_until};

const NEW: &str = "a quite different password";

/// All that a call may leave in the database, but tries.
async fn state(app: &TestApp) -> Vec<String> {
    let mut state = Vec::new();
    for table in ["users", "sessions", "events", "addresses", "verifications", "deleted_users", "mails"] {
        let rows = format!("select coalesce(jsonb_agg(t order by t::text), '[]')::text from {table} t");
        state.push(format!("{table} {}", app.database.rows(&rows).await[0].get::<_, String>(0)));
    }
    state
}

/// Makes commits fail that changed a table, as on a full disk: after all statements of the transaction have succeeded.
async fn fail_commits(app: &TestApp, table: &str) {
    app.database
        .execute(&format!(
            "create or replace function fail() returns trigger language plpgsql as $$
             begin raise exception 'no space left on device' using errcode = '53100'; end $$;
             create constraint trigger fails after insert or update or delete on {table}
             deferrable initially deferred for each row execute function fail()"
        ))
        .await;
}

/// Has a call fail once at the commit of its event, and once at the commit of what it changes in `table`; then it succeeds.
async fn assert_atomic(app: &TestApp, name: &str, table: &str, expected: u16, call: impl AsyncFn() -> Answer) {
    wait_until("no mail is on its way", async || app.database.number("select count(*) from mails").await == 0).await;
    for failing in ["events", table] {
        let before = state(app).await;
        fail_commits(app, failing).await;
        let answer = call().await;
        app.database.execute(&format!("drop trigger fails on {failing}")).await;
        answer.assert_problem(503, "database_unavailable");
        assert_eq!(state(app).await, before, "{name}: a failed commit of {failing} left something");
    }
    let events = app.database.number("select count(*) from events").await;
    let answer = call().await;
    assert_eq!(answer.status.as_u16(), expected, "{name}: {answer:?}");
    assert!(app.database.number("select count(*) from events").await > events, "{name} is an event");
}

#[tokio::test]
async fn an_event_and_its_change_are_committed_together_or_not_at_all() {
    let mails = MailServer::start(Tls::None).await;
    let app = crate::mail::start_on(TestDatabase::private().await, &mails).await;
    let caller = app.anonymous();
    let account = app.register("ada@example.com").await;
    let admin = app.administrator("root@example.com").await;
    let call = async |account: &Account, method, path: &str, body: Value| account.call(method, path, body).await;
    let post = async |path: &str, body: Value| caller.post(path, body).await;

    let body = json!({"email": "bob@example.com", "password": PASSWORD});
    assert_atomic(&app, "register", "users", 201, async || post("/api/auth/register", body.clone()).await).await;
    let login = async || caller.login("ada@example.com", PASSWORD).await;
    assert_atomic(&app, "login", "sessions", 200, login).await;
    let other = app.login("ada@example.com").await;
    let path = format!("/api/auth/sessions/{}", other.session_id);
    let end = async || call(&account, Method::DELETE, &path, Value::Null).await;
    assert_atomic(&app, "end a session", "sessions", 204, end).await;
    let other = app.login("ada@example.com").await;
    let body = json!({ "refresh_token": other.refresh_token });
    assert_atomic(&app, "logout", "sessions", 204, async || post("/api/auth/logout", body.clone()).await).await;
    let mut stolen = app.login("ada@example.com").await;
    let old = stolen.refresh_token.clone();
    stolen.refresh().await;
    app.database.execute("update sessions set rotated_at = rotated_at - interval '1 hour', rotation_key = null").await;
    assert_atomic(&app, "replay", "sessions", 401, async || caller.refresh(&old).await).await;
    app.login("ada@example.com").await;
    let body = json!({"current_password": PASSWORD, "new_password": NEW});
    let change = async || call(&account, Method::POST, "/api/auth/password", body.clone()).await;
    assert_atomic(&app, "password change", "users", 200, change).await;
    let body = json!({"password": NEW, "new_email": "lovelace@example.com"});
    let change = async || call(&account, Method::POST, "/api/auth/email", body.clone()).await;
    assert_atomic(&app, "request of an e-mail change", "mails", 202, change).await;
    let token = mails.mail_about("lovelace@example.com", "Please confirm your new e-mail address").await.token();
    let confirm = async || post("/api/auth/email-verification/confirm", json!({ "token": token })).await;
    assert_atomic(&app, "e-mail change", "users", 204, confirm).await;
    ask_for_reset(&caller, "lovelace@example.com").await;
    let token = mails.mail_about("lovelace@example.com", "Set a new password").await.token();
    assert_atomic(&app, "password reset", "users", 204, async || reset(&caller, &token, PASSWORD).await).await;

    let ada =
        Account::of(app.anonymous(), "lovelace@example.com", &caller.login("lovelace@example.com", PASSWORD).await);
    app.login("lovelace@example.com").await;
    let out = async || call(&ada, Method::POST, "/api/auth/logout-all", json!({})).await;
    assert_atomic(&app, "logout everywhere", "sessions", 200, out).await;
    let path = format!("/api/admin/users/{}", ada.user_id());
    for (name, change) in [("role", json!({"role": "admin"})), ("disabling", json!({"is_active": false}))] {
        let change = async || call(&admin, Method::PATCH, &path, change.clone()).await;
        assert_atomic(&app, name, "users", 200, change).await;
    }
    let bob = app.login("bob@example.com").await;
    let delete = async || call(&bob, Method::DELETE, "/api/auth/me", json!({ "password": PASSWORD })).await;
    assert_atomic(&app, "deletion", "users", 204, delete).await;
}
