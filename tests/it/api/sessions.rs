use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{Account, Answer, PASSWORD, TestApp, TestDatabase};

async fn end(account: &Account, session_id: &str) -> Answer {
    account.call(Method::DELETE, &format!("/api/auth/sessions/{session_id}"), Value::Null).await
}

fn ids(sessions: &[Value]) -> Vec<&str> {
    sessions.iter().map(|session| session["id"].as_str().unwrap()).collect()
}

/// The entry of one session in the list of another.
async fn entry(seen_by: &Account, session_id: &str) -> Value {
    let sessions = seen_by.sessions().await;
    sessions.into_iter().find(|session| session["id"] == session_id).expect("the session is listed")
}

#[tokio::test]
async fn a_user_sees_the_own_sessions_newest_first_and_which_is_the_current_one() {
    let app = TestApp::start().await;
    app.register("bob@example.com").await;
    let first = app.register("ada@example.com").await;
    let login = app.anonymous().request(Method::POST, "/api/auth/login").header("user-agent", "Phone/1.0");
    let body = json!({"email": "ada@example.com", "password": PASSWORD, "label": "Ada's phone"});
    let phone = Account::of(app.anonymous(), "ada@example.com", &app.anonymous().send(login.json(&body)).await);

    let sessions = first.sessions().await;

    assert_eq!(ids(&sessions), [&phone.session_id, &first.session_id]);
    let [phone, own] = sessions.as_slice() else { panic!("{sessions:?}") };
    assert_eq!((&phone["current"], &own["current"]), (&json!(false), &json!(true)));
    assert_eq!((&phone["label"], &phone["user_agent"]), (&json!("Ada's phone"), &json!("Phone/1.0")));
    assert_eq!(phone["ip_address"], "127.0.0.1");
    assert_eq!(phone["created_at"], phone["last_used_at"]);
    assert_eq!((&own["label"], &own["ended_at"], &own["ended_by"]), (&Value::Null, &Value::Null, &Value::Null));
    app.anonymous().get("/api/auth/sessions").await.assert_problem(401, "access_token_missing");
}

#[tokio::test]
async fn a_refresh_is_the_last_use_of_a_session_and_moves_its_end() {
    let app = TestApp::start().await;
    let mut account = app.register("ada@example.com").await;
    app.database.execute("update sessions set rotated_at = rotated_at - interval '1 day'").await;
    let before = entry(&account, &account.session_id).await;
    account.refresh().await;
    let after = entry(&account, &account.session_id).await;
    assert!(before["last_used_at"].as_str() < after["last_used_at"].as_str());
    assert!(before["expires_at"].as_str() < after["expires_at"].as_str());
    assert_eq!(before["created_at"], after["created_at"]);
}

#[tokio::test]
async fn ending_one_session_leaves_the_others() {
    let app = TestApp::start().await;
    let mut laptop = app.register("ada@example.com").await;
    let phone = app.login("ada@example.com").await;

    assert_eq!(end(&laptop, &phone.session_id).await.status, 204);

    let refused = phone.caller.refresh(&phone.refresh_token).await;
    refused.assert_problem(401, "session_ended");
    assert_eq!(refused.body["ended_by"], "revoked");
    laptop.refresh().await;
    let ended = entry(&laptop, &phone.session_id).await;
    assert_eq!((&ended["ended_by"], &ended["ended_ip_address"]), (&json!("revoked"), &json!("127.0.0.1")));
    assert_eq!(ended["ended_at"], refused.body["ended_at"]);

    assert_eq!(end(&laptop, &phone.session_id).await.status, 204, "a second time changes nothing");
    assert_eq!(entry(&laptop, &phone.session_id).await["ended_at"], ended["ended_at"]);
}

#[tokio::test]
async fn ending_the_current_session_is_a_logout() {
    let app = TestApp::start().await;
    let account = app.register("ada@example.com").await;
    assert_eq!(end(&account, &account.session_id).await.status, 204);
    let refused = account.caller.refresh(&account.refresh_token).await;
    refused.assert_problem(401, "session_ended");
    assert_eq!(refused.body["ended_by"], "logout");
}

#[tokio::test]
async fn a_session_of_somebody_else_is_not_there() {
    let app = TestApp::start().await;
    let ada = app.register("ada@example.com").await;
    let mut bob = app.register("bob@example.com").await;
    for id in [bob.session_id.as_str(), &Uuid::nil().to_string(), "x", "%00", "1' or '1'='1"] {
        end(&ada, id).await.assert_problem(404, "not_found");
    }
    bob.refresh().await;
    assert_eq!(ids(&bob.sessions().await), [&bob.session_id]);
}

#[tokio::test]
async fn p12_a_replay_is_in_the_list_with_its_time_and_place() {
    let app = TestApp::start_with(&[
        ("CLAVIGER__REFRESH_TOKEN__GRACE", "0s"),
        ("CLAVIGER__SERVER__TRUSTED_PROXIES", "127.0.0.1"),
    ])
    .await;
    let laptop = app.register("ada@example.com").await;
    let mut phone = app.login("ada@example.com").await;
    let stolen = phone.refresh_token.clone();
    phone.refresh().await;

    let thief = app.anonymous().request(Method::POST, "/api/auth/refresh").header("x-forwarded-for", "203.0.113.9");
    let refused = app.anonymous().send(thief.json(&json!({ "refresh_token": stolen }))).await;

    refused.assert_problem(401, "refresh_token_replayed");
    let ended = entry(&laptop, &phone.session_id).await;
    assert_eq!((&ended["ended_by"], &ended["ended_ip_address"]), (&json!("replayed"), &json!("203.0.113.9")));
    assert_eq!((&ended["ended_at"], &ended["ip_address"]), (&refused.body["ended_at"], &json!("127.0.0.1")));
    assert_eq!(entry(&laptop, &laptop.session_id).await["ended_at"], Value::Null);
}

#[tokio::test]
async fn a_session_that_expired_is_listed_as_that_for_a_while() {
    let app = TestApp::start().await;
    let account = app.register("ada@example.com").await;
    let idle = app.login("ada@example.com").await;
    let (id, age) = (&idle.session_id, async |days: i32| {
        let sql = "update sessions set rotated_at = now() - interval '1 day' * ";
        app.database.execute(&format!("{sql} {days} where id = '{}'", idle.session_id)).await;
    });
    age(8).await;
    let listed = entry(&account, id).await;
    assert_eq!((&listed["ended_by"], &listed["ended_at"]), (&json!("expired"), &listed["expires_at"]));
    age(15).await;
    assert_eq!(ids(&account.sessions().await), [&account.session_id]);
}

#[tokio::test]
async fn the_list_has_every_live_session_and_the_hundred_that_ended_last() {
    let app = TestApp::start().await;
    let account = app.register("ada@example.com").await;
    app.database
        .execute(
            "insert into sessions (user_id, id, secret_hash, rotated_at, created_at, expires_at, ended_at, ended_by)
             select user_id, gen_random_uuid(), secret_hash, now(), now() - interval '1 hour', now() + interval '1 day',
                    now() - interval '1 second' * n, 'logout'
             from sessions, generate_series(1, 150) n",
        )
        .await;
    let sessions = account.sessions().await;
    assert_eq!((sessions.len(), &sessions[0]["id"]), (101, &json!(account.session_id)));
}

#[tokio::test]
async fn one_login_too_many_evicts_the_session_that_was_idle_longest() {
    let app = TestApp::start_with(&[("CLAVIGER__SESSIONS__MAX_PER_USER", "3")]).await;
    let mut bystander = app.register("bob@example.com").await;
    let mut first = app.register("ada@example.com").await;
    let idle = app.login("ada@example.com").await;
    let mut third = app.login("ada@example.com").await;
    first.refresh().await;

    let mut fourth = app.login("ada@example.com").await;

    let refused = idle.caller.refresh(&idle.refresh_token).await;
    refused.assert_problem(401, "session_ended");
    assert_eq!(refused.body["ended_by"], "evicted");
    for account in [&mut first, &mut third, &mut fourth, &mut bystander] {
        account.refresh().await;
    }
    assert_eq!(fourth.event_kinds().await[..2], ["session_ended", "logged_in"].map(str::to_owned));
}

#[tokio::test]
async fn logins_at_the_same_moment_do_not_exceed_the_cap() {
    let app = TestApp::start_with(&[("CLAVIGER__SESSIONS__MAX_PER_USER", "5")]).await;
    app.register("ada@example.com").await;
    let logins: Vec<_> = (0..16)
        .map(|_| {
            let caller = app.anonymous();
            tokio::spawn(async move { caller.login("ada@example.com", PASSWORD).await.status.as_u16() })
        })
        .collect();
    for login in logins {
        assert_eq!(login.await.unwrap(), 200);
    }
    assert_eq!(app.database.number("select count(*) from sessions where ended_at is null").await, 5);
    assert_eq!(app.database.number("select count(*) from sessions where ended_by = 'evicted'").await, 12);
}

#[tokio::test]
async fn a_session_that_has_ended_manages_nothing() {
    let app = TestApp::start().await;
    let mut laptop = app.register("ada@example.com").await;
    let phone = app.login("ada@example.com").await;
    phone.logout().await;

    end(&phone, &laptop.session_id).await.assert_problem(401, "access_token_invalid");
    phone.logout_all(json!({})).await.assert_problem(401, "access_token_invalid");
    let change = json!({"current_password": PASSWORD, "new_password": "another good password"});
    let answer = phone.call(Method::POST, "/api/auth/password", change).await;
    answer.assert_problem(401, "access_token_invalid");
    laptop.refresh().await;
}

#[tokio::test]
async fn a_session_that_had_expired_stays_that_whatever_ends_the_others() {
    let app = TestApp::start().await;
    let mut account = app.register("ada@example.com").await;
    let idle = app.login("ada@example.com").await;
    let age = "update sessions set rotated_at = now() - interval '8 days' where id = ";
    app.database.execute(&format!("{age} '{}'", idle.session_id)).await;
    let before = entry(&account, &idle.session_id).await;

    assert_eq!(end(&account, &idle.session_id).await.status, 204);
    assert_eq!(account.logout_all(json!({"keep_current": true})).await.body, json!({"ended": 0}));
    idle.logout().await;

    assert_eq!(entry(&account, &idle.session_id).await, before);
    assert_eq!(before["ended_by"], "expired");
    idle.caller.refresh(&idle.refresh_token).await.assert_problem(401, "session_expired");
    assert_eq!(account.event_kinds().await, ["logged_in", "registered"]);
    // Not even a longer time to live brings it back.
    let longer = TestApp::on_url(
        TestDatabase::empty().await,
        &app.database.url,
        &[("CLAVIGER__REFRESH_TOKEN__IDLE_TTL", "90d")],
    );
    longer.await.anonymous().refresh(&idle.refresh_token).await.assert_problem(401, "session_expired");
    account.refresh().await;
}

#[tokio::test]
async fn with_room_for_one_a_login_never_evicts_itself() {
    let app = TestApp::start_with(&[("CLAVIGER__SESSIONS__MAX_PER_USER", "1")]).await;
    let old = app.register("ada@example.com").await;
    app.database.execute("update sessions set rotated_at = now() + interval '1 minute'").await;
    let mut new = app.login("ada@example.com").await;
    old.caller.refresh(&old.refresh_token).await.assert_problem(401, "session_ended");
    new.refresh().await;
}
