//! What administrators can do, and that nobody else can.

use std::sync::Arc;

use reqwest::Method;
use serde_json::{Value, json};
use tokio::sync::Barrier;

use crate::support::{Account, Answer, PASSWORD, TestApp, disable};

fn path(user: &Account) -> String {
    format!("/api/admin/users/{}", user.user_id())
}

async fn look(admin: &Account, user: &Account) -> Answer {
    admin.call(Method::GET, &path(user), Value::Null).await
}

async fn change(admin: &Account, user: &Account, body: Value) -> Answer {
    admin.call(Method::PATCH, &path(user), body).await
}

async fn logout_all(admin: &Account, user: &Account) -> Answer {
    admin.call(Method::POST, &format!("{}/logout-all", path(user)), json!({})).await
}

/// Every call of the administration, on `user`.
async fn every_call(caller: &Account, user: &Account) -> Vec<Answer> {
    vec![
        caller.call(Method::GET, "/api/admin/stats", Value::Null).await,
        caller.call(Method::GET, "/api/admin/users", Value::Null).await,
        look(caller, user).await,
        change(caller, user, json!({"role": "admin"})).await,
        change(caller, user, json!({"is_active": false})).await,
        logout_all(caller, user).await,
        caller.call(Method::POST, "/api/admin/cleanup", json!({})).await,
    ]
}

#[tokio::test]
async fn administration_is_closed_to_users_and_strangers() {
    let app = TestApp::start().await;
    let mallory = app.register("mallory@example.com").await;
    let ada = app.register("ada@example.com").await;
    for answer in every_call(&mallory, &ada).await {
        answer.assert_problem(403, "forbidden");
    }
    for answer in every_call(&mallory, &mallory).await {
        answer.assert_problem(403, "forbidden");
    }
    app.anonymous().get("/api/admin/users").await.assert_problem(401, "access_token_missing");
    assert_eq!(app.database.number("select count(*) from users where role = 'user' and disabled_at is null").await, 2);
    assert_eq!(app.database.number("select count(*) from sessions where ended_at is null").await, 2);
}

#[tokio::test]
async fn an_administrator_who_was_demoted_disabled_or_signed_out_is_out_at_once() {
    let app = TestApp::start().await;
    let ada = app.register("ada@example.com").await;
    let demoted = app.administrator("demoted@example.com").await;
    let disabled = app.administrator("disabled@example.com").await;
    let signed_out = app.administrator("out@example.com").await;
    app.database.execute("update users set role = 'user' where email = 'demoted@example.com'").await;
    disable(&app.store, "disabled@example.com").await;
    signed_out.logout().await;

    for answer in every_call(&demoted, &ada).await {
        answer.assert_problem(403, "forbidden");
    }
    for caller in [&disabled, &signed_out] {
        for answer in every_call(caller, &ada).await {
            answer.assert_problem(401, "access_token_invalid");
        }
    }
    assert_eq!(ada.me().await.body["role"], "user");
    let promoted = app.register("promoted@example.com").await;
    app.database.execute("update users set role = 'admin' where email = 'promoted@example.com'").await;
    look(&promoted, &ada).await.assert_problem(403, "forbidden");
}

#[tokio::test]
async fn an_administrator_sees_all_about_an_account_but_no_secret() {
    let app = TestApp::start().await;
    let admin = app.administrator("root@example.com").await;
    let ada = app.register("ada@example.com").await;
    app.login("ada@example.com").await.logout().await;

    let answer = look(&admin, &ada).await;

    assert_eq!(answer.status, 200, "{answer:?}");
    let me = ada.me().await.body;
    for (field, value) in me.as_object().unwrap() {
        assert_eq!(&answer.body[field], value, "{field}");
    }
    assert_eq!((&answer.body["live_sessions"], &answer.body["disabled_at"]), (&json!(1), &Value::Null));
    assert_eq!(answer.body["sessions"].as_array().unwrap().len(), 2);
    assert_eq!(answer.body["sessions"][1]["id"], ada.session_id);
    let kinds: Vec<&str> =
        answer.body["events"].as_array().unwrap().iter().map(|event| event["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["session_ended", "logged_in", "registered"]);
    assert!(!answer.body.to_string().contains("$2b$") && !answer.body.to_string().contains("hash"), "{answer:?}");
    for nobody in ["00000000-0000-0000-0000-000000000000", "0197a000-0000-7000-8000-000000000000", "ada@example.com"] {
        for (method, rest) in [(Method::GET, ""), (Method::PATCH, ""), (Method::POST, "/logout-all")] {
            let answer = admin.call(method, &format!("/api/admin/users/{nobody}{rest}"), json!({})).await;
            answer.assert_problem(404, "not_found");
        }
    }
}

#[tokio::test]
async fn a_disabled_account_is_signed_out_everywhere_and_can_be_opened_again() {
    let app = TestApp::start().await;
    let admin = app.administrator("root@example.com").await;
    let ada = app.register("ada@example.com").await;
    let phone = app.login("ada@example.com").await;

    let closed = change(&admin, &ada, json!({"is_active": false})).await;

    assert_eq!((closed.status.as_u16(), &closed.body["is_active"]), (200, &json!(false)), "{closed:?}");
    for account in [&ada, &phone] {
        let refused = account.caller.refresh(&account.refresh_token).await;
        refused.assert_problem(401, "session_ended");
        assert_eq!(refused.body["ended_by"], "disabled");
        account.me().await.assert_problem(401, "access_token_invalid");
    }
    app.anonymous().login("ada@example.com", PASSWORD).await.assert_problem(403, "account_disabled");
    assert!(look(&admin, &ada).await.body["disabled_at"].is_string());
    let opened = change(&admin, &ada, json!({"is_active": true})).await;
    assert_eq!(opened.body["is_active"], true);
    ada.caller.refresh(&ada.refresh_token).await.assert_problem(401, "session_ended");
    assert_eq!(app.login("ada@example.com").await.me().await.status, 200);
}

#[tokio::test]
async fn a_role_is_in_the_next_access_token() {
    let app = TestApp::start().await;
    let admin = app.administrator("root@example.com").await;
    let mut ada = app.register("ada@example.com").await;

    assert_eq!(change(&admin, &ada, json!({"role": "admin"})).await.body["role"], "admin");

    look(&ada, &ada).await.assert_problem(403, "forbidden");
    ada.refresh().await;
    assert_eq!(look(&ada, &ada).await.status, 200);
    assert_eq!(change(&ada, &admin, json!({"role": "user"})).await.body["role"], "user");
    look(&admin, &ada).await.assert_problem(403, "forbidden");
}

#[tokio::test]
async fn signing_somebody_out_ends_all_their_sessions_and_no_others() {
    let app = TestApp::start().await;
    let admin = app.administrator("root@example.com").await;
    let ada = app.register("ada@example.com").await;
    app.login("ada@example.com").await;

    let answer = logout_all(&admin, &ada).await;

    assert_eq!((answer.status.as_u16(), &answer.body), (200, &json!({"ended": 2})), "{answer:?}");
    let refused = ada.caller.refresh(&ada.refresh_token).await;
    refused.assert_problem(401, "session_ended");
    assert_eq!(refused.body["ended_by"], "revoked");
    assert_eq!(logout_all(&admin, &ada).await.body["ended"], 0);
    assert_eq!(admin.me().await.status, 200);
    assert_eq!(logout_all(&admin, &admin).await.body["ended"], 2, "oneself, too");
}

#[tokio::test]
async fn what_an_administrator_does_is_recorded_with_who_did_it() {
    let app = TestApp::start().await;
    let admin = app.administrator("root@example.com").await;
    let ada = app.register("ada@example.com").await;
    change(&admin, &ada, json!({"is_active": false})).await;
    change(&admin, &ada, json!({"is_active": true, "role": "admin"})).await;
    let ada = app.login("ada@example.com").await;
    logout_all(&admin, &ada).await;
    let ada = app.login("ada@example.com").await;

    let seen = look(&admin, &ada).await;
    let events = seen.body["events"].as_array().unwrap();
    let told: Vec<_> = events.iter().map(|e| (e["kind"].as_str().unwrap(), !e["actor_id"].is_null())).collect();
    let expected = [
        ("logged_in", false),
        ("session_ended", true),
        ("logged_in", false),
        ("role_changed", true),
        ("account_enabled", true),
        ("session_ended", true),
        ("account_disabled", true),
        ("registered", false),
    ];
    assert_eq!(told, expected);
    let id = admin.user_id().to_string();
    for event in events.iter().filter(|event| !event["actor_id"].is_null()) {
        assert_eq!((&event["actor_id"], &event["ip_address"]), (&json!(id), &json!("127.0.0.1")));
    }
    assert_eq!(seen.body["sessions"][1]["ended_ip_address"], Value::Null);

    let own = ada.call(Method::GET, "/api/auth/events", Value::Null).await;
    let own = own.body["events"].as_array().unwrap();
    assert_eq!((&own[1]["actor_id"], &own[1]["ip_address"]), (&json!(id), &Value::Null), "not where the other sat");
    assert!(!own[1]["request_id"].is_null());
}

#[tokio::test]
async fn what_is_so_already_is_no_change_and_bad_fields_are_told() {
    let app = TestApp::start().await;
    let admin = app.administrator("root@example.com").await;
    let ada = app.register("ada@example.com").await;
    let before = ada.me().await.body;

    for nothing in
        [json!({}), json!({"is_active": true}), json!({"role": "user", "is_active": null}), json!({"else": 1})]
    {
        let answer = change(&admin, &ada, nothing).await;
        assert_eq!((answer.status.as_u16(), &answer.body), (200, &before), "{answer:?}");
    }
    assert_eq!(ada.event_kinds().await, ["registered"]);
    change(&admin, &ada, json!({"role": "king"})).await.assert_invalid(&[("role", "unknown_value")]);
    change(&admin, &ada, json!({"role": 7})).await.assert_invalid(&[("role", "invalid_type")]);
    change(&admin, &ada, json!({"is_active": "no"})).await.assert_invalid(&[("is_active", "invalid_type")]);
    assert_eq!(ada.me().await.body, before);
}

#[tokio::test]
async fn administrators_cannot_close_or_demote_themselves() {
    let app = TestApp::start().await;
    let admin = app.administrator("root@example.com").await;
    for body in [json!({"is_active": false}), json!({"role": "user"}), json!({"is_active": true, "role": "user"})] {
        let answer = change(&admin, &admin, body).await;
        answer.assert_problem(403, "forbidden");
        assert!(answer.text("detail").contains("themselves"), "{answer:?}");
    }
    assert_eq!(change(&admin, &admin, json!({"is_active": true, "role": "admin"})).await.status, 200);
    assert_eq!(look(&admin, &admin).await.body["role"], "admin");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_administrators_who_demote_each_other_at_once_one_is_left() {
    let app = TestApp::start().await;
    let (root, boss) = (app.administrator("root@example.com").await, app.administrator("boss@example.com").await);
    let (root, boss) = (Arc::new(root), Arc::new(boss));
    for round in 0..20 {
        let barrier = Arc::new(Barrier::new(2));
        let contest = |mine: &Arc<Account>, other: &Arc<Account>| {
            let (mine, other, barrier) = (Arc::clone(mine), Arc::clone(other), Arc::clone(&barrier));
            tokio::spawn(async move {
                barrier.wait().await;
                change(&mine, &other, json!({"role": "user"})).await.status.as_u16()
            })
        };
        let (one, other) = (contest(&root, &boss), contest(&boss, &root));
        let mut outcomes = [one.await.unwrap(), other.await.unwrap()];
        outcomes.sort_unstable();
        assert_eq!(outcomes, [200, 403], "round {round}");
        assert_eq!(app.database.number("select count(*) from users where role = 'admin'").await, 1, "round {round}");
        app.database.execute("update users set role = 'admin'").await;
    }
}

#[tokio::test]
async fn a_clean_up_removes_what_is_old_and_says_how_much() {
    let app = TestApp::start().await;
    let admin = app.administrator("root@example.com").await;
    app.register("ada@example.com").await.logout().await;
    app.database
        .execute(
            "update sessions set ended_at = now() - interval '8 days' where ended_at is not null;
             insert into events (user_id, occurred_at, kind, outcome)
             select id, now() - interval '91 days', 'logged_in', 'success' from users",
        )
        .await;

    let answer = admin.call(Method::POST, "/api/admin/cleanup", json!({})).await;

    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.body, json!({"sessions": 1, "events": 2, "complete": true}));
    assert_eq!(app.database.number("select count(*) from sessions").await, 2);
}

#[tokio::test]
async fn statistics_count_users_sessions_and_what_happened_on_each_day() {
    let app = TestApp::start().await;
    let admin = app.administrator("root@example.com").await;
    app.register("ada@example.com").await;
    app.register("eve@example.com").await;
    disable(&app.store, "eve@example.com").await;
    app.anonymous().login("ada@example.com", "wrong password").await;
    app.database
        .execute(
            "update users set email_verified_at = now() where email = 'ada@example.com';
             insert into users (id, email, password_hash, created_at)
             select gen_random_uuid(), n || '@old.example', '', now() - interval '40 days' from generate_series(1, 500) n;
             insert into events (user_id, occurred_at, kind, outcome)
             select gen_random_uuid(), now() - n * interval '1 day', 'logged_in', 'success' from generate_series(1, 60) n;
             update users set created_at = now() - interval '3 days' where email = '1@old.example';
             update sessions set expires_at = now() where user_id = (select id from users where email = 'ada@example.com')",
        )
        .await;

    let answer = admin.call(Method::GET, "/api/admin/stats", Value::Null).await;

    assert_eq!(answer.status, 200, "{answer:?}");
    let body = &answer.body;
    assert_eq!(body["users"], json!({"total": 503, "active": 502, "disabled": 1, "verified": 1, "admins": 1}));
    assert_eq!(body["live_sessions"], 2, "the administrator's registration and login");
    let counts = |name: &str| -> Vec<i64> {
        body[name].as_array().unwrap().iter().map(|day| day["count"].as_i64().unwrap()).collect()
    };
    let (new, logins, failures) = (counts("new_users"), counts("logins"), counts("login_failures"));
    assert_eq!((new.len(), logins.len(), failures.len()), (30, 30, 30));
    assert_eq!((new[0], new[3], new.iter().sum::<i64>()), (3, 1, 4));
    assert_eq!((logins[0], logins[1], failures[0], failures.iter().sum::<i64>()), (1, 1, 1, 1));
    assert_eq!(logins.iter().sum::<i64>(), 30, "days without any are there, older ones are not");
    let today = time::OffsetDateTime::now_utc().date();
    assert_eq!(body["logins"][29]["date"], (today - time::Duration::days(29)).to_string());
    assert!(body["generated_at"].as_str().unwrap().starts_with(&today.to_string()));
}

#[tokio::test]
async fn days_whose_events_are_gone_are_not_counted_as_days_without_any() {
    let app = TestApp::start_with(&[("CLAVIGER__EVENTS__KEPT", "7d")]).await;
    let admin = app.administrator("root@example.com").await;
    let body = admin.call(Method::GET, "/api/admin/stats", Value::Null).await.body;
    let days = ["logins", "login_failures", "new_users"].map(|name| body[name].as_array().unwrap().len());
    assert_eq!(days, [7, 7, 30]);
}
