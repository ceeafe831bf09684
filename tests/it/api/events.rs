use claviger::auth::operate::AccountChange;
use claviger::domain::user::Role;
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{Account, PASSWORD, ServerProcess, TestApp, TestDatabase, disable, operate, wait_until};

async fn events(account: &Account, query: &str) -> Value {
    let answer = account.call(Method::GET, &format!("/api/auth/events{query}"), Value::Null).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.body
}

#[tokio::test]
async fn a_user_sees_what_happened_to_the_own_account_newest_first() {
    let app = TestApp::start_with(&[("CLAVIGER__REFRESH_TOKEN__GRACE", "0s")]).await;
    let mut account = app.register("ada@example.com").await;
    app.register("bob@example.com").await;
    app.anonymous().login("ada@example.com", "wrong password").await;
    let phone = app.login("ada@example.com").await;
    phone.logout().await;
    let tablet = app.login("ada@example.com").await;
    tablet.caller.refresh(&tablet.refresh_token).await;
    tablet.caller.refresh(&tablet.refresh_token).await.assert_problem(401, "refresh_token_replayed");
    account.refresh().await;

    let body = events(&account, "").await;

    let told: Vec<_> =
        body["events"].as_array().unwrap().iter().map(|e| (&e["kind"], &e["outcome"], &e["reason"])).collect();
    let expected = [
        ("refresh_token_replayed", "failure", json!("replayed")),
        ("logged_in", "success", Value::Null),
        ("session_ended", "success", json!("logout")),
        ("logged_in", "success", Value::Null),
        ("login_failed", "failure", json!("invalid_credentials")),
        ("registered", "success", Value::Null),
    ];
    let expected: Vec<_> =
        expected.iter().map(|(kind, outcome, reason)| (json!(kind), json!(outcome), reason)).collect();
    assert_eq!(told, expected.iter().map(|(kind, outcome, reason)| (kind, outcome, *reason)).collect::<Vec<_>>());
    assert_eq!(body["next"], Value::Null);
    assert_eq!(body["events"][0]["session_id"], tablet.session_id);
}

#[tokio::test]
async fn an_event_says_who_did_it_from_where_in_which_request() {
    let app = TestApp::start().await;
    let request = app.anonymous().request(Method::POST, "/api/auth/register").header("user-agent", "Phone/1.0");
    let request = request.header("x-request-id", "my-request-7");
    let answer = app.anonymous().send(request.json(&json!({"email": "ada@example.com", "password": PASSWORD}))).await;
    let account = Account::of(app.anonymous(), "ada@example.com", &answer);

    let event = &events(&account, "").await["events"][0];

    assert_eq!((&event["ip_address"], &event["user_agent"]), (&json!("127.0.0.1"), &json!("Phone/1.0")));
    assert_eq!((&event["request_id"], &event["session_id"]), (&json!("my-request-7"), &json!(account.session_id)));
    assert!(event["occurred_at"].as_str().unwrap().ends_with('Z'));
}

#[tokio::test]
async fn a_failed_login_is_recorded_whether_the_address_is_known_or_not() {
    let app = TestApp::start().await;
    app.register("ada@example.com").await;
    for email in ["ada@example.com", "nobody@example.com", "no address"] {
        app.anonymous().login(email, "wrong password").await.assert_problem(401, "invalid_credentials");
    }
    let failed = "select count(*) from events where kind = 'login_failed' and user_id ";
    let nobody = "00000000-0000-0000-0000-000000000000";
    assert_eq!(app.database.number(&format!("{failed} <> '{nobody}'")).await, 1);
    assert_eq!(app.database.number(&format!("{failed} = '{nobody}'")).await, 2);
    let dump = app.database.rows("select e::text from events e").await;
    let dump: String = dump.iter().map(|row| row.get::<_, String>(0)).collect();
    assert!(!dump.contains("nobody@") && !dump.contains("no address") && !dump.contains("wrong password"), "{dump}");
}

#[tokio::test]
async fn what_an_operator_does_is_recorded_too() {
    let app = TestApp::start().await;
    app.register("ada@example.com").await;
    disable(&app.store, "ada@example.com").await;
    let again = AccountChange { is_active: Some(true), role: Some(Role::Admin) };
    assert_eq!(operate(&app.store, "ada@example.com", again).await, Some(0));

    let account = app.login("ada@example.com").await;
    let kinds = account.event_kinds().await;

    assert_eq!(
        kinds,
        ["logged_in", "role_changed", "account_enabled", "session_ended", "account_disabled", "registered"]
    );
    let newest = &events(&account, "?limit=2").await["events"][1];
    assert_eq!((&newest["reason"], &newest["ip_address"]), (&json!("admin"), &Value::Null));
}

#[tokio::test]
async fn a_long_trail_comes_in_parts_without_gaps_or_repetitions() {
    let app = TestApp::start().await;
    let account = app.register("ada@example.com").await;
    // In threes of one moment each, so that a part ends between two of the same time.
    app.database
        .execute(
            "insert into events (user_id, occurred_at, kind, outcome, request_id)
             select user_id, occurred_at + interval '1 second' * (n / 3), 'logged_in', 'success', n::text
             from events, generate_series(1, 20) n",
        )
        .await;
    let (mut seen, mut query) = (Vec::new(), "?limit=4".to_owned());
    loop {
        let body = events(&account, &query).await;
        seen.extend(body["events"].as_array().unwrap().iter().map(|event| event["id"].as_str().unwrap().to_owned()));
        let Some(next) = body["next"].as_str() else { break };
        query = format!("?limit=4&before={next}");
    }
    let distinct: std::collections::BTreeSet<&String> = seen.iter().collect();
    assert_eq!((seen.len(), distinct.len()), (21, 21));
}

#[tokio::test]
async fn a_query_that_cannot_be_read_is_told_what_is_wrong() {
    let app = TestApp::start().await;
    let account = app.register("ada@example.com").await;
    for (query, expected) in [
        ("?limit=0", vec![("limit", "out_of_range")]),
        ("?limit=201", vec![("limit", "out_of_range")]),
        ("?limit=x&before=y", vec![("limit", "out_of_range"), ("before", "invalid_place")]),
        ("?before=", vec![("before", "invalid_place")]),
        ("?before=-210866803200000001.00000000000000000000000000000001", vec![("before", "invalid_place")]),
    ] {
        let answer = account.call(Method::GET, &format!("/api/auth/events{query}"), Value::Null).await;
        answer.assert_invalid(&expected);
    }
    let twice = account.call(Method::GET, "/api/auth/events?limit=1&limit=2", Value::Null).await;
    twice.assert_problem(400, "malformed_request");
    app.anonymous().get("/api/auth/events").await.assert_problem(401, "access_token_missing");
}

#[tokio::test]
async fn every_kind_of_event_can_be_stored() {
    let database = TestDatabase::migrated().await;
    let sql = "select pg_get_constraintdef(oid) from pg_constraint where conname = 'events_kind_check'";
    let allowed: String = database.rows(sql).await[0].get(0);
    let source = include_str!("../../../src/domain/event.rs");
    let names =
        source.split("fn as_str").nth(1).unwrap().split("\n    }\n").next().unwrap().split('"').skip(1).step_by(2);
    let names: Vec<&str> = names.collect();
    assert_eq!(names.len(), allowed.matches("'::text").count());
    assert!(names.iter().all(|name| allowed.contains(&format!("'{name}'"))), "{allowed} {names:?}");
}

#[tokio::test]
async fn the_log_has_the_same_events() {
    let database = TestDatabase::migrated().await;
    let server = ServerProcess::ready(&database.url, &[]).await;
    let account = server.anonymous().register("ada@example.com").await;
    server.anonymous().login("ada@example.com", "wrong password").await;
    account.logout().await;
    wait_until("all is told", async || server.log().contains("session_ended")).await;

    let log = server.log();
    let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let told: Vec<Value> = lines.filter(|line| line["message"] == "security event").collect();

    let kinds: Vec<&str> = told.iter().map(|line| line["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["registered", "login_failed", "session_ended"]);
    let last = told.last().unwrap();
    assert_eq!((&last["reason"], &last["outcome"]), (&json!("logout"), &json!("success")));
    assert_eq!((&last["session_id"], &last["ip_address"]), (&json!(account.session_id), &json!("127.0.0.1")));
    assert!(last["span"]["request_id"].is_string());
    assert!(!log.contains("ada@example.com"));
}
