use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use claviger::auth::operate::AccountChange;
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{Account, Answer, PASSWORD, ServerProcess, TestApp, TestDatabase, disable, operate, wait_until};

#[tokio::test]
async fn a_login_starts_a_session_of_its_own() {
    let app = TestApp::start().await;
    let first = app.register("ada@example.com").await;

    let request = app.anonymous().request(Method::POST, "/api/auth/login").header("user-agent", "Phone/1.0");
    let body = json!({"email": "ADA@example.com", "password": PASSWORD, "label": "Ada's phone"});
    let answer = app.anonymous().send(request.json(&body)).await;

    assert_eq!(answer.status, 200, "{answer:?}");
    assert_ne!(answer.text("session_id"), first.session_id);
    assert_ne!(answer.body["user"]["last_login_at"], answer.body["user"]["created_at"]);
    let sql = "select user_agent, host(ip_address), label from sessions order by created_at desc limit 1";
    let row = &app.database.rows(sql).await[0];
    let stored: (&str, &str, &str) = (row.get(0), row.get(1), row.get(2));
    assert_eq!(stored, ("Phone/1.0", "127.0.0.1", "Ada's phone"));
}

#[tokio::test]
async fn unknown_wrong_and_impossible_get_the_same_answer() {
    let app = TestApp::start().await;
    app.register("ada@example.com").await;
    let mut bodies = Vec::new();
    for (email, password) in [
        ("ada@example.com", "wrong password"),
        ("nobody@example.com", PASSWORD),
        ("not an address", PASSWORD),
        ("ada@example.com\0", PASSWORD),
        ("' or 1=1 --", PASSWORD),
    ] {
        let mut answer = app.anonymous().login(email, password).await;
        answer.assert_problem(401, "invalid_credentials");
        answer.body["request_id"].take();
        bodies.push(answer.body);
    }
    assert!(bodies.windows(2).all(|pair| pair[0] == pair[1]), "{bodies:?}");
}

#[tokio::test]
async fn a_login_needs_both_fields() {
    let app = TestApp::start().await;
    let login = async |body| app.anonymous().post("/api/auth/login", body).await;
    login(json!({})).await.assert_invalid(&[("email", "required"), ("password", "required")]);
    login(json!({"email": "", "password": null}))
        .await
        .assert_invalid(&[("email", "required"), ("password", "required")]);
    login(json!({"email": "a@b.example", "password": ["x"]})).await.assert_invalid(&[("password", "invalid_type")]);
    login(json!({"email": "a@b.example", "password": "x", "label": "x".repeat(201)}))
        .await
        .assert_invalid(&[("label", "too_long")]);
}

#[tokio::test]
async fn a_disabled_account_is_told_only_to_who_knows_its_password() {
    let app = TestApp::start().await;
    let mut account = app.register("ada@example.com").await;
    assert_eq!(disable(&app.store, "ada@example.com").await, Some(1));

    app.anonymous().login("ada@example.com", "wrong password").await.assert_problem(401, "invalid_credentials");
    app.anonymous().login("ada@example.com", PASSWORD).await.assert_problem(403, "account_disabled");
    account.me().await.assert_problem(401, "access_token_invalid");
    let refused = account.caller.refresh(&account.refresh_token).await;
    refused.assert_problem(401, "session_ended");
    assert_eq!(refused.body["ended_by"], "disabled");

    let enabled = AccountChange { is_active: Some(true), role: None };
    assert_eq!(operate(&app.store, "ada@example.com", enabled).await, Some(0));
    account = app.login("ada@example.com").await;
    assert_eq!(account.me().await.status, 200);
}

#[tokio::test]
async fn a_login_rehashes_when_the_cost_rose() {
    let cheap = TestApp::start().await;
    cheap.register("ada@example.com").await;
    let cost = |hash: &str| hash.split('$').nth(2).unwrap().to_owned();
    let stored = "select password_hash from users";
    let before: String = cheap.database.rows(stored).await[0].get(0);
    assert_eq!(cost(&before), "04");

    let dearer = ServerProcess::ready(&cheap.database.url, &[("CLAVIGER__PASSWORD__BCRYPT_COST", "5")]).await;
    dearer.anonymous().login("ada@example.com", "wrong password").await.assert_problem(401, "invalid_credentials");
    let unchanged: String = cheap.database.rows(stored).await[0].get(0);
    assert_eq!(unchanged, before, "a wrong password changes nothing");
    assert_eq!(dearer.anonymous().login("ada@example.com", PASSWORD).await.status, 200);

    let after: String = cheap.database.rows(stored).await[0].get(0);
    assert_eq!(cost(&after), "05");
    assert_eq!(cheap.anonymous().login("ada@example.com", PASSWORD).await.status, 200);
}

#[tokio::test]
async fn a_flood_of_logins_is_turned_away_and_leaves_refresh_and_me_alone() {
    let settings = [
        ("CLAVIGER__PASSWORD__BCRYPT_COST", "13"),
        ("CLAVIGER__PASSWORD__MAX_WAIT", "1s"),
        ("CLAVIGER__THROTTLE__ENABLED", "false"),
    ];
    let app = TestApp::start_with(&settings).await;
    let mut account = app.register("ada@example.com").await;

    // Half of it for an address that nobody has, which takes a slot of the queue like any other.
    let many = 60 + 24 * std::thread::available_parallelism().unwrap().get();
    let flood: Vec<_> = (0..many)
        .map(|index| {
            let caller = app.anonymous();
            let email = ["ada@example.com", "nobody@example.com"][index % 2];
            tokio::spawn(async move { (index % 2, caller.login(email, "wrong password").await) })
        })
        .collect();
    for _ in 0..20 {
        account.refresh().await;
        assert_eq!(account.me().await.status, 200);
    }

    let mut turned_away = [0, 0];
    for one in flood {
        let (kind, answer) = one.await.unwrap();
        if answer.status == 503 {
            answer.assert_problem(503, "overloaded");
            turned_away[kind] += 1;
        } else {
            answer.assert_problem(401, "invalid_credentials");
        }
    }
    assert!(turned_away.iter().all(|count| *count > 0), "a queue of a second cannot hold them: {turned_away:?}");
}

#[tokio::test]
async fn strangers_who_fill_the_queue_leave_room_for_those_who_are_signed_in() {
    let settings = [
        ("CLAVIGER__PASSWORD__BCRYPT_COST", "11"),
        ("CLAVIGER__PASSWORD__MAX_WAIT", "1s"),
        ("CLAVIGER__THROTTLE__ENABLED", "false"),
        ("CLAVIGER__SERVER__TRUSTED_PROXIES", "127.0.0.1"),
    ];
    let app = TestApp::start_with(&settings).await;
    let from = async |address: &str, login: Value| {
        let request = app.anonymous().request(Method::POST, "/api/auth/login").json(&login);
        app.anonymous().send(request.header("x-forwarded-for", address)).await
    };
    app.register("ada@example.com").await;
    let login = json!({"email": "ada@example.com", "password": PASSWORD});
    let at_home = from("192.0.2.1", login.clone()).await;
    let (turned_away, stop) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
    let many = 10 + 20 * std::thread::available_parallelism().unwrap().get();
    let strangers: Vec<_> = (0..many)
        .map(|index| {
            let (caller, turned_away, stop) = (app.anonymous(), Arc::clone(&turned_away), Arc::clone(&stop));
            tokio::spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    let guess = json!({"email": format!("nobody{index}@example.com"), "password": "wrong password"});
                    let request = caller.request(Method::POST, "/api/auth/login").json(&guess);
                    let answer = caller.send(request.header("x-forwarded-for", "198.51.100.9")).await;
                    turned_away.fetch_add(usize::from(answer.status == 503), Ordering::Relaxed);
                }
            })
        })
        .collect();

    for _ in 0..3 {
        let so_far = turned_away.load(Ordering::Relaxed);
        wait_until("the queue is full", async || turned_away.load(Ordering::Relaxed) > so_far + many).await;
        let at_home_again = from("192.0.2.1", login.clone()).await;
        assert_eq!(at_home_again.status, 200, "from home: {at_home_again:?}");
        let mut on_the_move = login.clone();
        on_the_move["refresh_token"] = json!(at_home.text("refresh_token"));
        assert_eq!(from("203.0.113.7", on_the_move).await.status, 200, "with a token");
    }

    stop.store(true, Ordering::Relaxed);
    for stranger in strangers {
        stranger.await.unwrap();
    }
}

#[tokio::test]
async fn p10_a_password_changed_while_it_was_being_checked_opens_nothing() {
    let app = TestApp::start().await;
    app.register("ada@example.com").await;
    app.database.execute("delete from sessions").await;
    // Holds the user's row: the login verifies the old hash, and then waits here before it may insert.
    let mut other = app.database.client().await;
    let change = other.transaction().await.unwrap();
    change.batch_execute("update users set password_hash = '{hmac-sha256}$2b$04$new'").await.unwrap();

    let caller = app.anonymous();
    let login = tokio::spawn(async move { caller.login("ada@example.com", PASSWORD).await });
    wait_until("the login waits for the row", async || app.database.waiting_for_locks().await == 1).await;
    change.commit().await.unwrap();

    login.await.unwrap().assert_problem(401, "invalid_credentials");
    assert_eq!(app.database.number("select count(*) from sessions").await, 0);
}

#[tokio::test]
async fn logins_that_make_the_same_hash_dearer_at_once_all_open() {
    let cheap = TestApp::start().await;
    let ada = cheap.register("ada@example.com").await.user_id();
    let url = cheap.database.url.clone();
    let dearer = TestApp::on_url(TestDatabase::empty().await, &url, &[("CLAVIGER__PASSWORD__BCRYPT_COST", "6")]).await;
    let weak: String = cheap.database.rows("select password_hash from users").await[0].get(0);
    for _ in 0..5 {
        cheap.database.execute(&format!("update users set password_hash = '{weak}'")).await;
        let mut other = cheap.database.client().await;
        let holder = other.transaction().await.unwrap();
        holder.execute("select from users where id = $1 for update", &[&ada]).await.unwrap();
        let logins: Vec<_> = (0..3)
            .map(|_| {
                let caller = dearer.anonymous();
                tokio::spawn(async move { caller.login("ada@example.com", PASSWORD).await.status.as_u16() })
            })
            .collect();
        wait_until("all have verified the same hash", async || cheap.database.waiting_for_locks().await == 3).await;
        holder.commit().await.unwrap();
        for login in logins {
            assert_eq!(login.await.unwrap(), 200);
        }
    }
    assert_eq!(cheap.database.number("select count(*) from events where kind = 'login_failed'").await, 0);
}

/// How each session of the account ended, in the order of the logins.
async fn endings(app: &TestApp) -> Vec<String> {
    let rows = app.database.rows("select coalesce(ended_by, '-') from sessions order by created_at, id").await;
    rows.iter().map(|row| row.get(0)).collect()
}

async fn login_with(app: &TestApp, refresh_token: &str) -> Answer {
    let body = json!({"email": "ada@example.com", "password": PASSWORD, "refresh_token": refresh_token});
    let answer = app.anonymous().post("/api/auth/login", body).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer
}

#[tokio::test]
async fn login_with_a_token_of_the_device_replaces_its_session() {
    let app = TestApp::start().await;
    let device = app.register("ada@example.com").await;
    let other = app.login("ada@example.com").await;

    let answer = login_with(&app, &device.refresh_token).await;

    assert_eq!(endings(&app).await, ["replaced", "-", "-"]);
    let refused = app.anonymous().refresh(&device.refresh_token).await;
    refused.assert_problem(401, "session_ended");
    assert_eq!(refused.body["ended_by"], "replaced");
    let account = Account::of(app.anonymous(), "ada@example.com", &answer);
    assert_eq!(account.event_kinds().await, ["session_ended", "logged_in", "logged_in", "registered"]);
    let event = &account.call(Method::GET, "/api/auth/events", Value::Null).await.body["events"][0];
    assert_eq!((&event["reason"], &event["session_id"]), (&json!("replaced"), &json!(device.session_id)));
    assert_eq!(other.me().await.status, 200);
    assert_eq!(account.me().await.status, 200);
}

#[tokio::test]
async fn login_with_an_older_token_of_the_device_replaces_its_session_too() {
    let app = TestApp::start_with(&[("CLAVIGER__REFRESH_TOKEN__GRACE", "0s")]).await;
    let mut device = app.register("ada@example.com").await;
    let first = device.refresh_token.clone();
    device.refresh().await;
    device.refresh().await;
    login_with(&app, &first).await;
    assert_eq!(endings(&app).await, ["replaced", "-"]);
}

#[tokio::test]
async fn login_changes_nothing_by_a_token_of_another_user_a_dead_or_a_forged_one() {
    let app = TestApp::start().await;
    let ada = app.register("ada@example.com").await;
    app.register("bob@example.com").await;
    let bob = app.login("bob@example.com").await;
    let forged = format!("{}A", ada.refresh_token.strip_suffix(|_: char| true).unwrap());
    let forged = if forged == ada.refresh_token { format!("{}Q", &forged[..forged.len() - 1]) } else { forged };
    for token in [&*bob.refresh_token, &forged, "rt1_x", "", "\0"] {
        login_with(&app, token).await;
    }
    ada.logout().await;
    login_with(&app, &ada.refresh_token).await;
    let ended = "select count(*) from sessions where ended_at is not null";
    assert_eq!(app.database.number(&format!("{ended} and ended_by <> 'logout'")).await, 0);
    assert_eq!(app.database.number(ended).await, 1);
    assert_eq!(app.database.number("select count(*) from events where kind = 'session_ended'").await, 1);
    assert_eq!(bob.me().await.status, 200);
}

#[tokio::test]
async fn login_that_fails_replaces_nothing() {
    let app = TestApp::start().await;
    let device = app.register("ada@example.com").await;
    let body = json!({"email": "ada@example.com", "password": "wrong", "refresh_token": device.refresh_token});
    app.anonymous().post("/api/auth/login", body).await.assert_problem(401, "invalid_credentials");
    assert_eq!(device.me().await.status, 200);
}

#[tokio::test]
async fn replaced_session_makes_room_for_the_new_one() {
    let app = TestApp::start_with(&[("CLAVIGER__SESSIONS__MAX_PER_USER", "2")]).await;
    let device = app.register("ada@example.com").await;
    let other = app.login("ada@example.com").await;
    login_with(&app, &device.refresh_token).await;
    assert_eq!(endings(&app).await, ["replaced", "-", "-"]);
    // Without a token the one that was idle longest goes, and a token of that one has it replaced, not evicted.
    login_with(&app, &other.refresh_token).await;
    app.login("ada@example.com").await;
    assert_eq!(endings(&app).await, ["replaced", "replaced", "evicted", "-", "-"]);
}

#[tokio::test]
async fn login_that_replaces_a_session_takes_no_more_statements() {
    let app = TestApp::on(TestDatabase::counting().await, &[("CLAVIGER__SESSIONS__SWEEP_EVERY", "0s")]).await;
    let device = app.register("ada@example.com").await;
    app.database.statements().await;
    login_with(&app, &device.refresh_token).await;
    assert_eq!(app.database.statements().await, 8);
}

#[tokio::test]
async fn session_that_a_login_replaces_cannot_be_refreshed_by_a_racing_request() {
    let app = TestApp::start().await;
    let mut token = app.register("ada@example.com").await.refresh_token;
    for _ in 0..20 {
        let (caller, old) = (app.anonymous(), token.clone());
        let refreshing = tokio::spawn(async move { caller.refresh(&old).await });
        let answer = login_with(&app, &token).await;
        let refreshed = refreshing.await.unwrap();
        assert!(matches!(refreshed.status.as_u16(), 200 | 401), "{refreshed:?}");
        token = answer.text("refresh_token").to_owned();
    }
    assert_eq!(app.database.number("select count(*) from sessions where ended_at is null").await, 1);
    assert_eq!(app.database.number("select count(*) from sessions where ended_by = 'replaced'").await, 20);
    assert_eq!(app.anonymous().refresh(&token).await.status, 200);
}
