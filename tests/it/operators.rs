//! The operator's commands on users, as real processes.

use std::io::Write as _;
use std::process::{Child, Command, Output, Stdio};

use serde_json::{Value, json};

use crate::support::{PASSWORD, TestApp, TestDatabase, environment, wait_until};

/// Runs a command on the app's database, with some standard input.
fn run_with(app: &TestApp, arguments: &[&str], input: &str) -> Output {
    let mut child = begin(app, arguments);
    drop(child.stdin.take().unwrap().write_all(input.as_bytes()));
    child.wait_with_output().unwrap()
}

/// Begins a command on the app's database; without the secrets of tokens, which it does not need.
fn begin(app: &TestApp, arguments: &[&str]) -> Child {
    let mut variables = environment(&app.database.url);
    variables.retain(|name, _| !name.ends_with("_SECRET"));
    Command::new(env!("CARGO_BIN_EXE_claviger"))
        .args(arguments)
        .env_clear()
        .envs(variables)
        .env("RUST_LOG", "warn")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Runs a command that must succeed, and gives what it printed.
fn run(app: &TestApp, arguments: &[&str]) -> String {
    let output = run_with(app, arguments, "");
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{arguments:?}: {said}{}", String::from_utf8_lossy(&output.stderr));
    said
}

/// As [`run`], with `--json`.
fn read(app: &TestApp, arguments: &[&str]) -> Value {
    serde_json::from_str(&run(app, &[arguments, &["--json"]].concat())).unwrap()
}

/// Runs a command that must fail with exit code 1, and gives its complaint.
fn refused(app: &TestApp, arguments: &[&str], input: &str) -> String {
    let output = run_with(app, arguments, input);
    assert_eq!((output.status.code(), &*output.stdout), (Some(1), &b""[..]), "{arguments:?}");
    String::from_utf8(output.stderr).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_is_added_with_a_password_that_is_made_and_shown_once() {
    let app = TestApp::start().await;

    let said = run(&app, &["user", "add", "Root@Example.com", "--role", "admin", "--full-name", "The Root"]);

    let password = said.lines().last().unwrap().rsplit(' ').next().unwrap();
    let login = app.anonymous().login("root@example.com", password).await;
    assert_eq!(login.status, 200, "{login:?}");
    assert_eq!((&login.body["user"]["role"], &login.body["user"]["full_name"]), (&json!("admin"), &json!("The Root")));
    assert_eq!(login.body["user"]["email_verified"], false);
    let added = read(&app, &["user", "add", "ada@example.com", "--verified"]);
    assert_eq!(
        (&added["email"], &added["role"], &added["email_verified"]),
        (&json!("ada@example.com"), &json!("user"), &json!(true))
    );
    assert_eq!(app.anonymous().login("ada@example.com", added["password"].as_str().unwrap()).await.status, 200);
    assert_eq!(app.database.number("select count(*) from events where kind = 'account_added'").await, 2);
    let stored = app.database.rows("select u::text from users u").await;
    assert!(stored.iter().all(|row| !row.get::<_, String>(0).contains(password)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_given_password_comes_from_standard_input_and_keeps_the_rules() {
    let app = TestApp::start().await;
    let add = ["user", "add", "ada@example.com", "--password-stdin", "--json"];
    for (password, why) in [
        ("", "at least 8"),
        ("short\n", "at least 8"),
        ("password123\n", "many people"),
        ("ada@example.com", "address"),
    ] {
        let complaint = refused(&app, &add, password);
        assert!(complaint.contains(why) && (password.len() < 8 || !complaint.contains(password.trim())), "{complaint}");
    }
    for (index, input) in [PASSWORD.to_owned(), format!("{PASSWORD}\n"), format!("{PASSWORD}\r\n")].iter().enumerate() {
        let email = format!("ada{index}@example.com");
        let output = run_with(&app, &["user", "add", &email, "--password-stdin", "--json"], input);
        let said: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(said["password"], Value::Null, "who gives a password knows it");
        assert_eq!(app.anonymous().login(&email, PASSWORD).await.status, 200);
    }
    assert!(refused(&app, &["user", "add", "ada0@example.com"], "").contains("taken"));
    assert!(refused(&app, &["user", "add", "nonsense"], "").contains("email must be"));
    assert!(refused(&app, &["user", "add", "b@example.com", "--role", "king"], "").contains("role must be"));
    assert_eq!(app.database.number("select count(*) from users").await, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_command_takes_an_address_or_an_id_and_answers_in_the_names_of_the_api() {
    let app = TestApp::start().await;
    let ada = app.register("ada@example.com").await;
    app.register("bob@example.com").await;
    let id = ada.user_id().to_string();
    let me = ada.me().await.body;

    let shown = read(&app, &["user", "show", &id]);
    for (field, value) in me.as_object().unwrap() {
        assert_eq!(&shown[field], value, "{field}");
    }
    assert_eq!((&shown["live_sessions"], &shown["events"][0]["kind"]), (&json!(1), &json!("registered")));
    let sessions = read(&app, &["user", "sessions", "ADA@example.com"]);
    assert_eq!(sessions["sessions"][0]["id"], ada.session_id);
    let listed = read(&app, &["user", "list", "--search", "ADA", "--role", "user", "--status", "active"]);
    assert_eq!(listed, json!({"users": [me], "next": null}));
    let first = read(&app, &["user", "list", "--limit", "1"]);
    assert_eq!(first["users"][0]["email"], "bob@example.com");
    let rest = read(&app, &["user", "list", "--before", first["next"].as_str().unwrap()]);
    assert_eq!((rest["users"][0]["id"].as_str(), rest["users"].as_array().unwrap().len()), (Some(&*id), 1));

    let disabled = read(&app, &["user", "disable", &id]);
    assert_eq!((&disabled["is_active"], &disabled["ended"]), (&json!(false), &json!(1)));
    assert_eq!(read(&app, &["user", "enable", "ada@example.com"])["is_active"], true);
    assert_eq!(read(&app, &["user", "set-role", &id, "admin"])["role"], "admin");
    let ada = app.login("ada@example.com").await;
    assert_eq!(read(&app, &["user", "logout", &id])["ended"], 1);
    ada.caller.refresh(&ada.refresh_token).await.assert_problem(401, "session_ended");
    let stats = read(&app, &["stats"]);
    assert_eq!(
        (&stats["users"]["total"], &stats["live_sessions"], &stats["logins"][0]["count"]),
        (&json!(2), &json!(1), &json!(1))
    );
    let deleted = read(&app, &["user", "delete", &id, "--yes"]);
    assert_eq!((deleted["id"].as_str(), &deleted["deleted"]), (Some(&*id), &json!(true)));
    let kinds = app
        .database
        .rows(
            "select kind from events where user_id::text = $1 order by occurred_at"
                .replace("$1", &format!("'{id}'"))
                .as_str(),
        )
        .await;
    let kinds: Vec<String> = kinds.iter().map(|row| row.get(0)).collect();
    let expected = [
        "registered",
        "account_disabled",
        "session_ended",
        "account_enabled",
        "role_changed",
        "logged_in",
        "session_ended",
        "account_deleted",
    ];
    assert_eq!(kinds, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_password_ends_all_sessions() {
    let app = TestApp::start().await;
    let ada = app.register("ada@example.com").await;
    app.database
        .execute(
            "insert into verifications (user_id, secret_hash, purpose, email, expires_at)
             select id, sha256('x'), 'reset_password', email, now() + interval '1 day' from users",
        )
        .await;

    let made = read(&app, &["user", "set-password", "ada@example.com"]);

    assert_eq!(made["ended"], 1);
    let refused_refresh = ada.caller.refresh(&ada.refresh_token).await;
    refused_refresh.assert_problem(401, "session_ended");
    assert_eq!(refused_refresh.body["ended_by"], "password_changed");
    app.anonymous().login("ada@example.com", PASSWORD).await.assert_problem(401, "invalid_credentials");
    assert_eq!(app.anonymous().login("ada@example.com", made["password"].as_str().unwrap()).await.status, 200);
    assert_eq!(app.database.number("select count(*) from verifications").await, 0);
    let given = run_with(&app, &["user", "set-password", "ada@example.com", "--password-stdin"], "a better password\n");
    assert!(given.status.success() && !String::from_utf8_lossy(&given.stdout).contains("better"));
    assert_eq!(app.anonymous().login("ada@example.com", "a better password").await.status, 200);
    assert_eq!(app.database.number("select count(*) from events where kind = 'password_set'").await, 2);
    refused(&app, &["user", "set-password", "ada@example.com", "--password-stdin"], "short");
}

#[tokio::test(flavor = "multi_thread")]
async fn people_read_tables() {
    let app = TestApp::start().await;
    let request =
        app.anonymous().request(reqwest::Method::POST, "/api/auth/register").header("user-agent", "evil\u{9b}2J");
    let body = json!({"email": "ada@example.com", "password": PASSWORD, "full_name": "Ada Lovelace"});
    assert_eq!(app.anonymous().send(request.json(&body)).await.status, 201);
    app.register("b@example.com").await;

    let list = run(&app, &["user", "list"]);
    let lines: Vec<&str> = list.lines().collect();
    assert_eq!(lines.len(), 3, "{list}");
    let column = lines[0].find("NAME").unwrap();
    assert!(lines[2].starts_with("ada@example.com") && lines[2][column..].starts_with("Ada Lovelace"), "{list}");
    assert!(lines[1][column..].starts_with("-  "), "{list}");
    let limited = run(&app, &["user", "list", "--limit", "1"]);
    assert!(limited.contains("--before "), "{limited}");
    let shown = run(&app, &["user", "show", "ada@example.com"]);
    assert!(
        shown.contains("Ada Lovelace") && shown.contains("registered") && shown.contains("live sessions"),
        "{shown}"
    );
    let sessions = run(&app, &["user", "sessions", "ada@example.com"]);
    assert!(sessions.contains("127.0.0.1") && sessions.contains("alive"), "{sessions}");
    assert!(!sessions.contains('\u{9b}'), "a terminal must not obey what a stranger calls a browser");
    let stats = run(&app, &["stats"]);
    assert!(stats.contains("live sessions  2") && stats.lines().count() >= 37, "{stats}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_that_is_not_there_is_told_and_nothing_is_deleted_without_a_yes() {
    let app = TestApp::start().await;
    app.register("ada@example.com").await;
    for nobody in ["nobody@example.com", "0197a000-0000-7000-8000-000000000000"] {
        for command in ["show", "disable", "enable", "set-password", "sessions", "logout"] {
            let complaint = refused(&app, &["user", command, nobody], "");
            assert!(complaint.contains("there is no account") && complaint.contains(nobody), "{command}: {complaint}");
        }
        refused(&app, &["user", "set-role", nobody, "admin"], "");
        refused(&app, &["user", "delete", nobody, "--yes"], "");
    }
    assert!(refused(&app, &["user", "show", "nonsense"], "").contains("email must be"));
    assert!(refused(&app, &["user", "delete", "ada@example.com"], "").contains("--yes"));
    assert!(refused(&app, &["user", "list", "--status", "asleep", "--role", "king"], "").contains("role must be"));
    assert_eq!(app.database.number("select count(*) from users where disabled_at is null").await, 1);
    assert_eq!(app.database.number("select count(*) from events").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn all_sessions_of_all_accounts_end_at_once_with_an_event_each() {
    let app = TestApp::start().await;
    let mut accounts = Vec::new();
    for number in 0..9 {
        accounts.push(app.register(&format!("user{number}@example.com")).await);
    }
    accounts.push(app.login("user0@example.com").await);
    accounts.pop().unwrap().logout().await;
    accounts.push(app.login("user1@example.com").await);
    assert!(refused(&app, &["sessions", "end-all"], "").contains("--yes"));

    let said = run(&app, &["sessions", "end-all", "--yes"]);

    assert_eq!(said.lines().last(), Some("ended 10 sessions of 9 accounts"));
    for account in &accounts {
        let answer = account.caller.refresh(&account.refresh_token).await;
        answer.assert_problem(401, "session_ended");
        assert_eq!(answer.body["ended_by"], "revoked");
    }
    let events = "select count(*) from events where kind = 'session_ended' and reason = 'revoked' and actor_id is null";
    assert_eq!(app.database.number(events).await, 10);
    app.login("user0@example.com").await.refresh().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_ends_all_sessions_does_not_mind_a_database_that_is_away_for_a_moment() {
    let app = TestApp::on(TestDatabase::private().await, &[]).await;
    let accounts = [app.register("ada@example.com").await, app.register("grace@example.com").await];
    let holder = app.database.client().await;
    holder.batch_execute("begin; select 1 from users where email = 'ada@example.com' for update").await.unwrap();

    let command = begin(&app, &["sessions", "end-all", "--yes"]);
    wait_until("it waits for one account", async || app.database.waiting_for_locks().await == 1).await;
    let cut_off = "select pg_terminate_backend(pid) from pg_stat_activity
                   where datname = current_database() and wait_event_type = 'Lock'";
    app.database.rows(cut_off).await;
    holder.batch_execute("commit").await.unwrap();
    let output = command.wait_with_output().unwrap();

    let (said, log) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert!(output.status.success() && log.contains("trying again"), "{said}{log}");
    assert_eq!(said.lines().last(), Some("ended 2 sessions of 2 accounts"));
    for account in &accounts {
        account.caller.refresh(&account.refresh_token).await.assert_problem(401, "session_ended");
    }
}
