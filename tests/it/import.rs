//! `claviger import users`, as an operator runs it.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::support::{TestApp, TestDatabase, environment, wait_until};

const UUID: &str = "6f1c2a0e-7f0b-4b3e-9a55-0d6c1f2b3a4d";

/// A file of that name, which goes away with the test.
fn file(name: &str, content: impl AsRef<[u8]>) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    std::fs::write(&path, content).unwrap();
    (folder, path)
}

fn command(database: &TestDatabase, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_claviger"));
    command.args(["import", "users"]).args(arguments).env_clear().envs(environment(&database.url));
    command
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// Imports what a file of that name would hold, and gives what was said and whether all went well.
fn import(database: &TestDatabase, name: &str, content: impl AsRef<[u8]>, arguments: &[&str]) -> (String, bool) {
    let (_folder, path) = file(name, content);
    let output = command(database, &[&[path.to_str().unwrap()], arguments].concat()).output().unwrap();
    (text(&output), output.status.success())
}

/// As [`import`], with `--json`.
fn report(database: &TestDatabase, name: &str, content: impl AsRef<[u8]>, arguments: &[&str]) -> Value {
    let (said, _) = import(database, name, content, &[arguments, &["--json"]].concat());
    serde_json::from_str(said.lines().next().unwrap()).expect(&said)
}

/// The broken rules of a report: line, column, and the beginning of the rule.
fn problems(report: &Value) -> Vec<(i64, &str, &str)> {
    report["problems"]
        .as_array()
        .unwrap()
        .iter()
        .map(|p| (p["line"].as_i64().unwrap(), p["column"].as_str().unwrap(), p["rule"].as_str().unwrap()))
        .collect()
}

async fn users(database: &TestDatabase) -> i64 {
    database.number("select count(*) from users").await
}

#[tokio::test]
async fn everything_that_a_file_tells_of_a_user_comes_along() {
    let database = TestDatabase::migrated().await;
    let csv = format!(
        "\u{feff}last_login_at,email,id,password_hash,full_name,role,email_verified,is_active,created_at,profile\r\n\
         2026-01-02 03:04:05.678+00,Ada@Example.com,{UUID},,\"Ada \"\"Countess\"\" Lovelace\",admin,t,f,1700000000,\"{{\"\"goal\"\":\n\"\"a\"\"}}\"\r\n\
         ,bob@example.com,,,,,2026-01-02T03:04:05+02:00,,2026-01-02 03:04:05,\r\n"
    );
    let told = report(&database, "users.CSV", csv, &[]);
    assert_eq!((&told["imported"], &told["lines"], &told["problems"]), (&json!(2), &json!(2), &json!([])), "{told}");

    let columns = "select id::text, email, password_hash, full_name, role, profile, email_verified_at is not null,
                   coalesce(email_verified_at = '2026-01-02 01:04:05+00', false), disabled_at is not null, created_at::text,
                   last_login_at::text from users order by email";
    let rows = database.client().await;
    rows.batch_execute("set time zone 'UTC'").await.unwrap();
    let rows = rows.query(columns, &[]).await.unwrap();
    let (ada, bob) = (&rows[0], &rows[1]);
    assert_eq!(ada.get::<_, &str>(0), UUID);
    assert_eq!((ada.get(1), ada.get(2), ada.get(4)), ("ada@example.com", "{none}", "admin"));
    assert_eq!(ada.get::<_, Option<&str>>(3), Some("Ada \"Countess\" Lovelace"));
    assert_eq!(ada.get::<_, Value>(5), json!({"goal": "a"}));
    assert_eq!((ada.get(6), ada.get(7), ada.get(8)), (true, false, true));
    assert_eq!((ada.get(9), ada.get(10)), ("2023-11-14 22:13:20+00", Some("2026-01-02 03:04:05.678+00")));
    assert_eq!((bob.get(1), bob.get::<_, Option<&str>>(3), bob.get(4)), ("bob@example.com", None, "user"));
    assert_eq!((bob.get(6), bob.get(7), bob.get(8)), (true, true, false));
    assert_eq!((bob.get(9), bob.get::<_, Option<&str>>(10)), ("2026-01-02 03:04:05+00", None));
    let events = "select count(*) from events e join users u on u.id = e.user_id where e.kind = 'account_imported'";
    assert_eq!(database.number(events).await, 2);
}

#[tokio::test]
async fn json_lines_say_the_same_with_values_of_their_own() {
    let database = TestDatabase::migrated().await;
    let lines = [
        json!({"email": "a@example.com", "email_verified": true, "is_active": 1, "created_at": 1_700_000_000_123_i64}),
        json!({"email": "b@example.com", "email_verified": 0, "is_active": false, "profile": {"goal": "rust"}, "id": UUID}),
        json!({"email": "c@example.com", "email_verified": null, "password_hash": "!unusable", "other": [1]}),
    ];
    let content = format!("\u{feff}{}\n\n{}\r\n{}", lines[0], lines[1], lines[2]);
    let told = report(&database, "users.ndjson", content, &["--ignore", "other"]);
    assert_eq!(told["imported"], 3, "{told}");
    let is_so = "select count(*) from users where
        (email = 'a@example.com' and email_verified_at is not null and disabled_at is null and created_at = '2023-11-14 22:13:20.123+00')
        or (email = 'b@example.com' and email_verified_at is null and disabled_at is not null and profile = '{\"goal\": \"rust\"}')
        or (email = 'c@example.com' and email_verified_at is null and password_hash = '{none}')";
    assert_eq!(database.number(is_so).await, 3);
}

#[tokio::test]
async fn every_bad_line_is_told_with_its_rule_and_nobody_is_imported() {
    let database = TestDatabase::migrated().await;
    let csv = "email,password_hash,id,role,is_active,created_at,profile\n\
               ada@example.com,,,,,,\n\
               nobody,hunter2,x,boss,maybe,yesterday,[]\n\
               ADA@example.com,,,,,,\n\
               \"bob\n@example.com\",,,,,,\n\
               bob@example.com,\n\
               eve@example.com,5f4dcc3b5aa765d61d8327deb882cf99,00000000-0000-0000-0000-000000000000,,,9999999999999999,\n";
    let (said, went_well) = import(&database, "users.csv", csv, &[]);
    assert!(!went_well && said.contains("nobody was imported"), "{said}");
    assert!(!said.contains("hunter2") && !said.contains("5f4dcc3b"), "{said}");
    assert_eq!(users(&database).await, 0);

    let told = report(&database, "users.csv", csv, &["--dry-run"]);
    let places: Vec<(i64, &str)> = problems(&told).into_iter().map(|(line, column, _)| (line, column)).collect();
    let expected = [
        (3, "email"),
        (3, "password_hash"),
        (3, "id"),
        (3, "role"),
        (3, "is_active"),
        (3, "created_at"),
        (3, "profile"),
        (4, "email"),
        (5, "email"),
        (7, ""),
        (8, "password_hash"),
        (8, "id"),
        (8, "created_at"),
    ];
    assert_eq!(places, expected);
    assert_eq!((&told["lines"], &told["bad"], &told["dry_run"]), (&json!(6), &json!(5), &json!(true)));
    assert_eq!(users(&database).await, 0);
}

#[tokio::test]
async fn lines_are_counted_as_an_editor_counts_them() {
    let database = TestDatabase::migrated().await;
    for end in ["\n", "\r\n"] {
        let lines = ["email,profile", "", "a", "b,\"{", "}\"", "", "", "c,", "d"];
        for last in ["", end] {
            let told = report(&database, "users.csv", lines.join(end) + last, &["--dry-run"]);
            let places: Vec<i64> = problems(&told).into_iter().map(|(line, ..)| line).collect();
            assert_eq!((places, &told["lines"]), (vec![3, 4, 8, 9], &json!(4)), "{told}");
        }
    }
}

#[tokio::test]
async fn bad_lines_can_be_left_out_and_a_dry_run_imports_nobody() {
    let database = TestDatabase::migrated().await;
    let csv = "email\na@example.com\nnobody\nb@example.com\na@example.com\n";
    assert!(!import(&database, "users.csv", csv, &["--dry-run"]).1);
    assert!(import(&database, "users.csv", csv, &["--dry-run", "--skip-bad"]).1);
    assert_eq!(users(&database).await, 0);
    let told = report(&database, "users.csv", csv, &["--skip-bad"]);
    assert_eq!((&told["imported"], &told["bad"]), (&json!(2), &json!(2)));
    assert_eq!(users(&database).await, 2);
}

#[tokio::test]
async fn no_more_than_a_hundred_bad_lines_are_told_and_the_rest_is_counted() {
    let database = TestDatabase::migrated().await;
    let csv = format!("email\n{}", "nobody\n".repeat(250));
    let (said, _) = import(&database, "users.csv", csv, &[]);
    assert_eq!(said.lines().filter(|line| line.starts_with("line ")).count(), 100, "{said}");
    assert!(said.contains("and 150 more") && said.contains("250 users read, 250 of them bad"), "{said}");
}

#[tokio::test]
async fn unknown_columns_are_refused_by_name_unless_they_are_to_be_left_out() {
    let database = TestDatabase::migrated().await;
    let csv = "email,shoe_size,sign\na@example.com,44,leo\n";
    let (said, went_well) = import(&database, "users.csv", csv, &["--ignore", "sign"]);
    assert!(!went_well && said.contains("unknown columns: shoe_size."), "{said}");
    assert!(import(&database, "users.csv", csv, &["--ignore", "sign", "--ignore", "shoe_size"]).1);
    let told = report(&database, "users.jsonl", r#"{"email": "b@example.com", "shoe_size": 44}"#, &[]);
    assert!(matches!(problems(&told)[..], [(1, "shoe_size", _)]), "{told}");
    for (csv, why) in
        [("name\nada\n", "email among them"), ("", "email among them"), ("email,role,role\n", "role is there twice")]
    {
        let (said, went_well) = import(&database, "users.csv", csv, &[]);
        assert!(!went_well && said.contains(why), "{said}");
    }
    assert_eq!(users(&database).await, 1);
}

#[tokio::test]
async fn a_line_without_end_is_refused_in_little_memory() {
    let database = TestDatabase::migrated().await;
    let long = "x".repeat(10 * 1024 * 1024);
    let csv = format!("email,full_name\na@example.com,A\nb@example.com,\"{long}\n");
    for (name, content) in [("users.csv", csv), ("users.jsonl", format!("{{\"email\": \"{long}\"}}\n"))] {
        let (said, went_well) = import(&database, name, content, &["--skip-bad"]);
        assert!(!went_well && said.contains("does not end within 1 MiB"), "{said}");
    }
    assert_eq!(users(&database).await, 0);
}

#[tokio::test]
async fn who_is_there_stays_as_they_are_and_a_taken_address_is_told() {
    let app = TestApp::start().await;
    let ada = app.register("ada@example.com").await;
    let told = report(&app.database, "users.csv", format!("email,id,role\nADA@example.com,{UUID},admin\n"), &[]);
    assert_eq!((&told["imported"], &told["address_taken"]), (&json!(0), &json!(1)));
    assert!(matches!(problems(&told)[..], [(2, "email", _)]), "{told}");
    let told = report(&app.database, "users.csv", "email,role\nada@example.com,admin\nbob@example.com,user\n", &[]);
    assert_eq!((&told["imported"], &told["already_there"]), (&json!(1), &json!(1)));

    assert_eq!(ada.me().await.body["role"], "user");
    // Somebody who has moved to another address since is not made a second time.
    let once = format!("email,id\neve@example.com,{UUID}\n");
    assert_eq!(report(&app.database, "users.csv", &once, &[])["imported"], 1);
    app.database.execute("update users set email = 'new@example.com' where email = 'eve@example.com'").await;
    assert_eq!(report(&app.database, "users.csv", &once, &[])["already_there"], 1);
    assert_eq!(users(&app.database).await, 3);
}

#[tokio::test]
async fn an_import_that_was_killed_goes_on_and_makes_each_account_once() {
    const USERS: usize = 4_000;
    let database = TestDatabase::migrated().await;
    let csv: String = (0..USERS).map(|n| format!("user{n}@example.com,User {n}\n")).collect();
    let (_folder, path) = file("users.csv", format!("email,full_name\n{csv}"));
    let path = path.to_str().unwrap();
    for signal in [Signal::KILL, Signal::INT] {
        database.execute("truncate users, addresses, events cascade").await;
        // Held up in its second batch.
        let mut other = database.client().await;
        let holder = other.transaction().await.unwrap();
        let insert = "with made as (
             insert into users (id, email, password_hash) values (gen_random_uuid(), 'user1500@example.com', '{none}')
             returning email, id
           )
           insert into addresses (email, user_id) select email, id from made";
        holder.batch_execute(insert).await.unwrap();
        let mut process = command(&database, &[path]).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        wait_until("it waits", async || database.waiting_for_locks().await == 1).await;
        kill_process(Pid::from_child(&process), signal).unwrap();
        if signal == Signal::KILL {
            process.wait().unwrap();
        }
        holder.rollback().await.unwrap();
        let output = process.wait_with_output().unwrap();
        assert!(!output.status.success());
        if signal == Signal::INT {
            assert!(text(&output).contains("stopped; what was imported stays"), "{}", text(&output));
        }
        wait_until("its connection ends", async || {
            let other = "select count(*) from pg_stat_activity where datname = current_database() and state = 'active'";
            database.number(other).await == 1
        })
        .await;
        let so_far = users(&database).await;
        assert!([1_000, 2_000].contains(&so_far), "{so_far}");

        assert!(command(&database, &[path]).output().unwrap().status.success());
        let distinct = "select count(distinct user_id) from events where kind = 'account_imported'";
        assert_eq!(users(&database).await, 4_000);
        assert_eq!(database.number(distinct).await, 4_000);
        assert_eq!(database.number("select count(*) from events").await, 4_000);
    }
}

#[tokio::test]
async fn what_can_be_read_only_once_is_not_imported_before_it_is_checked_unless_that_is_said() {
    let database = TestDatabase::migrated().await;
    let piped = |arguments: &[&str]| {
        let arguments = [&["-", "--format", "csv"], arguments].concat();
        let mut process = command(&database, &arguments);
        let process = process.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut process = process.spawn().unwrap();
        // It may have refused already.
        drop(process.stdin.take().unwrap().write_all(b"email\na@example.com\nnobody\n"));
        let output = process.wait_with_output().unwrap();
        (text(&output), output.status.success())
    };
    let (said, went_well) = piped(&[]);
    assert!(!went_well && said.contains("only once"), "{said}");
    assert!(!piped(&["--dry-run"]).1);
    assert_eq!(users(&database).await, 0);
    let (said, went_well) = piped(&["--skip-bad"]);
    assert!(went_well && said.contains("line 3: email") && said.contains("1 imported"), "{said}");
    assert!(text(&command(&database, &["-"]).output().unwrap()).contains("--format"));
}

#[tokio::test]
async fn imported_profiles_match_the_schema() {
    let database = TestDatabase::migrated().await;
    let (_folder, schema) = file("schema.json", r#"{"required": ["goal"]}"#);
    let (_other, path) = file("users.csv", "email,profile\na@example.com,\"{\"\"goal\"\": 1}\"\nb@example.com,\n");
    let mut command = command(&database, &[path.to_str().unwrap(), "--json", "--dry-run"]);
    let output = command.env("CLAVIGER__PROFILE__SCHEMA", schema).output().unwrap();
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(matches!(problems(&told)[..], [(3, "profile", _)]), "{told}");
}

/// What other systems made of one password, and the name of the scheme.
fn vectors() -> Vec<(&'static str, &'static str)> {
    let (_origin, lines) = include_str!("../../src/domain/password/vectors.txt").split_once("---\n").unwrap();
    lines.lines().map(|line| line.split_once(' ').unwrap()).collect()
}

#[tokio::test]
async fn people_sign_in_with_their_old_password_and_its_hash_is_ours_from_then_on() {
    const OLD: &str = "correct horse Z\u{fc}rich";
    let app = TestApp::start_with(&[("CLAVIGER__THROTTLE__ENABLED", "false")]).await;
    let lines = vectors().into_iter().enumerate();
    let csv: String = lines.map(|(n, (_, hash))| format!("user{n}@example.com,\"{hash}\"\n")).collect();
    let told = report(&app.database, "users.csv", format!("email,password_hash\n{csv}"), &[]);
    assert_eq!(told["imported"], vectors().len(), "{told}");

    let caller = app.anonymous();
    for (n, (scheme, _)) in vectors().into_iter().enumerate() {
        let email = format!("user{n}@example.com");
        let stored = format!("select position('{{{scheme}}}' in password_hash) from users where email = '{email}'");
        assert_eq!(app.database.number(&stored).await, 1, "{email}");
        caller.login(&email, "correct horse Zurich").await.assert_problem(401, "invalid_credentials");
        assert_eq!(app.database.number(&stored).await, 1, "{email}");
        let answer = caller.login(&email, OLD).await;
        assert_eq!(answer.status, 200, "{scheme} {answer:?}");
        assert_eq!(caller.login(&email, OLD).await.status, 200, "{scheme}");
    }
    let ours = "select count(*) from users where password_hash like '{hmac-sha256}$2b$04$%'";
    assert_eq!(app.database.number(ours).await, i64::try_from(vectors().len()).unwrap());
}

#[tokio::test]
async fn an_account_without_a_password_opens_to_nobody_and_a_closed_one_says_so_to_its_owner() {
    let app = TestApp::start().await;
    let (_, hash) = vectors()[0];
    let csv = format!("email,password_hash,is_active\na@example.com,,true\nb@example.com,{hash},false\n");
    assert_eq!(report(&app.database, "users.csv", csv, &[])["imported"], 2);
    let caller = app.anonymous();
    for password in ["{none}", "none", " "] {
        caller.login("a@example.com", password).await.assert_problem(401, "invalid_credentials");
    }
    caller.login("b@example.com", "wrong").await.assert_problem(401, "invalid_credentials");
    caller.login("b@example.com", "correct horse Z\u{fc}rich").await.assert_problem(403, "account_disabled");
}
