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

/// Makes commits fail that did this, as on a full disk: after all statements of the transaction have succeeded.
async fn fail_commits(app: &TestApp, what: &str) {
    app.database
        .execute(&format!(
            "create or replace function fail() returns trigger language plpgsql as $$
             begin raise exception 'no space left on device' using errcode = '53100'; end $$;
             create constraint trigger fails after {what} execute function fail()"
        ))
        .await;
}

/// Has a call fail once at the commit of its event, and once at the commit of what it changes in `table`; then it succeeds.
async fn assert_atomic(app: &TestApp, kind: &str, table: &str, expected: u16, call: impl AsyncFn() -> Answer) {
    let row = "deferrable initially deferred for each row";
    let event = format!("insert on events {row} when (new.kind = '{kind}')");
    let change = format!("insert or update or delete on {table} {row}");
    wait_until("no mail is on its way", async || app.database.number("select count(*) from mails").await == 0).await;
    for (failing, on) in [(event, "events"), (change, table)] {
        let before = state(app).await;
        fail_commits(app, &failing).await;
        let answer = call().await;
        app.database.execute(&format!("drop trigger fails on {on}")).await;
        answer.assert_problem(503, "database_unavailable");
        assert_eq!(state(app).await, before, "{kind}: a failed {failing} left something");
    }
    let recorded = format!("select count(*) from events where kind = '{kind}'");
    let before = app.database.number(&recorded).await;
    let answer = call().await;
    assert_eq!(answer.status.as_u16(), expected, "{kind}: {answer:?}");
    assert!(app.database.number(&recorded).await > before, "{kind} was recorded");
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
    assert_atomic(&app, "registered", "users", 201, async || post("/api/auth/register", body.clone()).await).await;
    let login = async || caller.login("ada@example.com", PASSWORD).await;
    assert_atomic(&app, "logged_in", "sessions", 200, login).await;
    let other = app.login("ada@example.com").await;
    let path = format!("/api/auth/sessions/{}", other.session_id);
    let end = async || call(&account, Method::DELETE, &path, Value::Null).await;
    assert_atomic(&app, "session_ended", "sessions", 204, end).await;
    let other = app.login("ada@example.com").await;
    let body = json!({ "refresh_token": other.refresh_token });
    assert_atomic(&app, "session_ended", "sessions", 204, async || post("/api/auth/logout", body.clone()).await).await;
    let mut stolen = app.login("ada@example.com").await;
    let old = stolen.refresh_token.clone();
    stolen.refresh().await;
    app.database.execute("update sessions set rotated_at = rotated_at - interval '1 hour', rotation_key = null").await;
    assert_atomic(&app, "refresh_token_replayed", "sessions", 401, async || caller.refresh(&old).await).await;
    app.login("ada@example.com").await;
    let body = json!({"current_password": PASSWORD, "new_password": NEW});
    let change = async || call(&account, Method::POST, "/api/auth/password", body.clone()).await;
    assert_atomic(&app, "password_changed", "users", 200, change).await;
    let body = json!({"password": NEW, "new_email": "lovelace@example.com"});
    let change = async || call(&account, Method::POST, "/api/auth/email", body.clone()).await;
    assert_atomic(&app, "email_change_requested", "mails", 202, change).await;
    let token = mails.mail_about("lovelace@example.com", "Please confirm your new e-mail address").await.token();
    let confirm = async || post("/api/auth/email-verification/confirm", json!({ "token": token })).await;
    assert_atomic(&app, "email_changed", "users", 204, confirm).await;
    ask_for_reset(&caller, "lovelace@example.com").await;
    let token = mails.mail_about("lovelace@example.com", "Set a new password").await.token();
    assert_atomic(&app, "password_reset", "users", 204, async || reset(&caller, &token, PASSWORD).await).await;

    let ada =
        Account::of(app.anonymous(), "lovelace@example.com", &caller.login("lovelace@example.com", PASSWORD).await);
    app.login("lovelace@example.com").await;
    let out = async || call(&ada, Method::POST, "/api/auth/logout-all", json!({})).await;
    assert_atomic(&app, "session_ended", "sessions", 200, out).await;
    let path = format!("/api/admin/users/{}", ada.user_id());
    for (kind, change) in
        [("role_changed", json!({"role": "admin"})), ("account_disabled", json!({"is_active": false}))]
    {
        let change = async || call(&admin, Method::PATCH, &path, change.clone()).await;
        assert_atomic(&app, kind, "users", 200, change).await;
    }
    let bob = app.login("bob@example.com").await;
    let delete = async || call(&bob, Method::DELETE, "/api/auth/me", json!({ "password": PASSWORD })).await;
    assert_atomic(&app, "account_deleted", "users", 204, delete).await;
}
