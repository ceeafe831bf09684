//! A session that has ended, or an account that is closed or gone, reads nothing with the access tokens that are left of it.

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{Account, PASSWORD, TestApp, TestDatabase, delete, disable, wait_until};

/// Every call that only reads, for users and for administrators.
const READING: [&str; 11] = [
    "/api/auth/me",
    "/api/auth/sessions",
    "/api/auth/events",
    "/api/auth/events?limit=1&before=1.00000000000000000000000000000000",
    "/api/auth/me/export",
    "/api/auth/revocations",
    "/api/admin/stats",
    "/api/admin/users",
    "/api/admin/users/00000000-0000-7000-8000-000000000001",
    "/api/users?email=ada@example.com",
    "/api/users/00000000-0000-7000-8000-000000000001",
];

async fn read(account: &Account, path: &str) -> crate::support::Answer {
    // An export is recorded, so it is a POST.
    let method = if path.ends_with("/export") { Method::POST } else { Method::GET };
    account.call(method, path, Value::Null).await
}

/// No reading call does anything for it but refuse.
async fn reads_nothing(account: &Account, what: &str) {
    for path in READING {
        let answer = read(account, path).await;
        assert_eq!(
            (answer.status.as_u16(), &answer.body["code"]),
            (401, &json!("access_token_invalid")),
            "{what} {path}"
        );
        answer.assert_problem(401, "access_token_invalid");
    }
}

/// Every reading call is open to it.
async fn reads_all(account: &Account) {
    for path in READING {
        let status = read(account, path).await.status.as_u16();
        assert!(matches!(status, 200 | 404), "{path}: {status}");
    }
}

#[tokio::test]
async fn access_token_of_a_session_that_somebody_ended_reads_nothing() {
    let app =
        TestApp::start_with(&[("CLAVIGER__SESSIONS__MAX_PER_USER", "3"), ("CLAVIGER__REFRESH_TOKEN__GRACE", "0s")])
            .await;
    let other = app.administrator("ada@example.com").await;
    let login = async || app.login("ada@example.com").await;
    reads_all(&other).await;

    let signed_out = login().await;
    signed_out.logout().await;
    reads_nothing(&signed_out, "logout").await;

    let revoked = login().await;
    let path = format!("/api/auth/sessions/{}", revoked.session_id);
    assert_eq!(other.call(Method::DELETE, &path, Value::Null).await.status, 204);
    reads_nothing(&revoked, "revoked").await;

    let copied = login().await;
    assert_eq!(copied.caller.refresh(&copied.refresh_token).await.status, 200);
    copied.caller.refresh(&copied.refresh_token).await.assert_problem(401, "refresh_token_replayed");
    reads_nothing(&copied, "replayed").await;

    let held = login().await;
    let body = json!({"email": "ada@example.com", "password": PASSWORD, "refresh_token": held.refresh_token});
    assert_eq!(app.anonymous().post("/api/auth/login", body).await.status, 200);
    reads_nothing(&held, "replaced").await;

    let idle = login().await;
    app.database
        .execute(&format!(
            "update sessions set rotated_at = rotated_at - interval '1 hour' where id = '{}'",
            idle.session_id
        ))
        .await;
    let evicting = login().await;
    reads_nothing(&idle, "evicted").await;

    assert_eq!(evicting.logout_all(json!({"keep_current": true})).await.status, 200);
    reads_nothing(&other, "logout-all").await;
    let changing = login().await;
    let body = json!({"current_password": PASSWORD, "new_password": "a better horse with a longer staple"});
    assert_eq!(changing.call(Method::POST, "/api/auth/password", body).await.status, 200);
    reads_nothing(&evicting, "password changed").await;
    reads_all(&changing).await;

    disable(&app.store, "ada@example.com").await;
    reads_nothing(&changing, "disabled").await;
}

#[tokio::test]
async fn access_token_of_a_session_that_expired_reads_nothing() {
    let app = TestApp::start().await;
    let other = app.administrator("ada@example.com").await;
    for aged in [
        "rotated_at = rotated_at - interval '7 days', created_at = created_at - interval '7 days'",
        "expires_at = expires_at - interval '30 days', created_at = created_at - interval '30 days'",
    ] {
        let account = app.login("ada@example.com").await;
        reads_all(&account).await;
        app.database.execute(&format!("update sessions set {aged} where id = '{}'", account.session_id)).await;
        reads_nothing(&account, aged).await;
    }
    reads_all(&other).await;
}

#[tokio::test]
async fn access_token_of_an_account_that_is_closed_or_gone_reads_nothing() {
    let app = TestApp::start().await;
    let account = app.administrator("ada@example.com").await;
    let user = account.user_id();
    // As somebody does it by hand, without an end for the sessions.
    app.database.execute(&format!("update users set disabled_at = now() where id = '{user}'")).await;
    reads_nothing(&account, "closed").await;
    app.database.execute(&format!("update users set disabled_at = null where id = '{user}'")).await;
    reads_all(&account).await;
    assert!(delete(&app.store, user).await);
    reads_nothing(&account, "deleted").await;
}

#[tokio::test]
async fn session_without_events_lists_none() {
    let app = TestApp::start().await;
    let account = app.register("ada@example.com").await;
    app.database.execute("delete from events").await;
    let answer = read(&account, "/api/auth/events").await;
    assert_eq!((answer.status.as_u16(), &answer.body), (200, &json!({"events": [], "next": null})));
}

#[tokio::test]
async fn reading_takes_one_statement() {
    let app = TestApp::on(TestDatabase::counting().await, &[("CLAVIGER__SESSIONS__SWEEP_EVERY", "0s")]).await;
    let account = app.register("ada@example.com").await;
    let ended = app.login("ada@example.com").await;
    ended.logout().await;
    for path in ["/api/auth/me", "/api/auth/sessions", "/api/auth/events"] {
        app.database.statements().await;
        assert_eq!(read(&account, path).await.status, 200);
        assert_eq!(app.database.statements().await, 1, "{path}");
        read(&ended, path).await.assert_problem(401, "access_token_invalid");
        assert_eq!(app.database.statements().await, 1, "{path}");
    }
}

#[tokio::test]
async fn batch_of_me_tells_live_sessions_from_ended_ones() {
    // One thread, so that all meet in one batch.
    let settings = [("CLAVIGER__SERVER__WORKERS", "1"), ("CLAVIGER__SESSIONS__SWEEP_EVERY", "0s")];
    let app = TestApp::on(TestDatabase::counting().await, &settings).await;
    let ada = app.register("ada@example.com").await;
    let mut accounts = vec![(app.login("ada@example.com").await, 200), (app.register("bob@example.com").await, 200)];
    for change in
        ["rotated_at = now() - interval '8 days'", "expires_at = now()", "ended_at = now(), ended_by = 'logout'"]
    {
        let account = app.login("ada@example.com").await;
        app.database.execute(&format!("update sessions set {change} where id = '{}'", account.session_id)).await;
        accounts.push((account, 401));
    }
    let closed = app.register("carol@example.com").await;
    app.database.execute("update users set disabled_at = now() where email = 'carol@example.com'").await;
    accounts.push((closed, 401));

    let mut other = app.database.client().await;
    let mut is_batched = false;
    // On a busy machine the first may be answered before the others have come.
    for _ in 0..20 {
        let holder = other.transaction().await.unwrap();
        holder.batch_execute("lock table users").await.unwrap();
        app.database.statements().await;
        let first = {
            let (caller, token) = (ada.caller.clone(), ada.access_token.clone());
            tokio::spawn(async move { caller.me(&token).await })
        };
        wait_until("the first one waits", async || app.database.waiting_for_locks().await == 1).await;
        let asked: Vec<_> = accounts
            .iter()
            .cycle()
            .take(4 * accounts.len())
            .map(|(account, status)| {
                let (caller, token, user) = (account.caller.clone(), account.access_token.clone(), account.user_id());
                (user, *status, tokio::spawn(async move { caller.me(&token).await }))
            })
            .collect();
        tokio::task::yield_now().await;
        holder.commit().await.unwrap();
        assert_eq!(first.await.unwrap().status, 200);
        let requests = asked.len() as i64 + 1;
        for (user, status, answer) in asked {
            let answer = answer.await.unwrap();
            assert_eq!(answer.status.as_u16(), status, "{answer:?}");
            if status == 200 {
                assert_eq!(answer.text("id"), user.to_string());
            }
        }
        is_batched |= app.database.statements().await < requests;
        if is_batched {
            break;
        }
    }
    assert!(is_batched, "no batch was seen");
}
