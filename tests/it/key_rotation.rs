//! Secrets change under a running server.

use std::fs;
use std::path::Path;
use std::process::Command;

use reqwest::Method;
use rustix::process::Signal;
use serde_json::Value;

use crate::support::{
    Anonymous, Fleet, HaProxy, JWT_SECRET, Load, REFRESH_SECRET, ServerProcess, TestDatabase, behind_haproxy, skipped,
    wait_until,
};

const NEW_JWT: &str = "p9Xb2VnQ7LrT4yKmZc8HsD1gJ6aWeU3oFi5BvN0RtEq";
const NEW_REFRESH: &str = "uK3mPz9RtYx5VbN1cLqHsD7gJ2aFeW8oXi4TvB6nEyZ";

async fn start(database: &TestDatabase, folder: &Path) -> ServerProcess {
    write(folder, JWT_SECRET, REFRESH_SECRET);
    let files = ["jwt", "refresh"].map(|name| folder.join(name).to_str().unwrap().to_owned());
    let settings = [
        ("JWT_SECRET", ""),
        ("REFRESH_SECRET", ""),
        ("JWT_SECRET_FILE", &files[0]),
        ("REFRESH_SECRET_FILE", &files[1]),
    ];
    ServerProcess::ready(&database.url, &settings).await
}

fn write(folder: &Path, jwt: &str, refresh: &str) {
    fs::write(folder.join("jwt"), format!("{jwt}\n")).unwrap();
    fs::write(folder.join("refresh"), format!("{refresh}\n")).unwrap();
}

/// Sends SIGHUP and waits until the log says what came of it.
async fn hang_up(server: &ServerProcess, outcome: &str) {
    let before = server.log().matches(outcome).count();
    server.signal(Signal::HUP);
    wait_until(outcome, async || server.log().matches(outcome).count() > before).await;
}

const CHANGED: &str = "secrets were read again";

/// Verifies as an API does that holds one secret.
fn verifies(token: &str, secret: &str) -> bool {
    let mut validation = jsonwebtoken::Validation::new(jsonwebtoken::Algorithm::HS256);
    validation.set_audience(&["claviger"]);
    jsonwebtoken::decode::<Value>(token, &jsonwebtoken::DecodingKey::from_secret(secret.as_bytes()), &validation)
        .is_ok()
}

#[tokio::test]
async fn secrets_rotate_without_a_restart_and_nobody_is_signed_out() {
    let (database, folder) = (TestDatabase::migrated().await, tempfile::tempdir().unwrap());
    let server = start(&database, folder.path()).await;
    let mut phone = server.anonymous().register("ada@example.com").await;
    let old_access_token = phone.access_token.clone();
    // One connection that stays open all the time.
    let connection = phone.caller.clone();
    assert_eq!(connection.me(&old_access_token).await.status, 200);

    write(
        folder.path(),
        &format!("new:{NEW_JWT},old:{JWT_SECRET}"),
        &format!("new:{NEW_REFRESH},old:{REFRESH_SECRET}"),
    );
    hang_up(&server, CHANGED).await;

    assert_eq!(connection.me(&old_access_token).await.status, 200, "what was issued before is still good");
    phone.refresh().await;
    assert!(verifies(&phone.access_token, NEW_JWT) && !verifies(&phone.access_token, JWT_SECRET));
    assert_eq!(phone.me().await.status, 200);

    write(folder.path(), NEW_JWT, NEW_REFRESH);
    hang_up(&server, CHANGED).await;

    connection.me(&old_access_token).await.assert_problem(401, "access_token_invalid");
    phone.refresh().await;
    assert_eq!(phone.me().await.status, 200);
}

#[tokio::test]
async fn a_request_in_flight_survives_the_change() {
    let (database, folder) = (TestDatabase::migrated().await, tempfile::tempdir().unwrap());
    let server = start(&database, folder.path()).await;
    let phone = server.anonymous().register("ada@example.com").await;
    let mut other = database.client().await;
    let holder = other.transaction().await.unwrap();
    holder.execute("select from sessions where user_id = $1 for update", &[&phone.user_id()]).await.unwrap();
    let (caller, token): (Anonymous, String) = (phone.caller.clone(), phone.refresh_token.clone());
    let waiting = tokio::spawn(async move { caller.refresh(&token).await });
    wait_until("the refresh waits", async || database.waiting_for_locks().await == 1).await;

    write(
        folder.path(),
        &format!("new:{NEW_JWT},old:{JWT_SECRET}"),
        &format!("new:{NEW_REFRESH},old:{REFRESH_SECRET}"),
    );
    hang_up(&server, CHANGED).await;
    holder.commit().await.unwrap();

    let answer = waiting.await.unwrap();
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(phone.caller.refresh(answer.text("refresh_token")).await.status, 200);
}

#[tokio::test]
async fn bad_secrets_change_nothing_and_are_told() {
    let (database, folder) = (TestDatabase::migrated().await, tempfile::tempdir().unwrap());
    let server = start(&database, folder.path()).await;
    let mut phone = server.anonymous().register("ada@example.com").await;
    for bad in ["", "short", "changeme-changeme-changeme-changeme", &format!("new:{NEW_JWT},{JWT_SECRET}")] {
        write(folder.path(), bad, REFRESH_SECRET);
        hang_up(&server, "secrets were not changed").await;
        assert!(!server.log().contains(NEW_JWT));
        phone.refresh().await;
        assert!(verifies(&phone.access_token, JWT_SECRET));
    }
    fs::remove_file(folder.path().join("jwt")).unwrap();
    hang_up(&server, "secrets were not changed").await;
    assert_eq!(phone.call(Method::GET, "/api/auth/me", Value::Null).await.status, 200);
}

/// One step of a rotation, as docs/operations.md has it: the command, then SIGHUP to one process after the other.
async fn step(fleet: &Fleet, arguments: &[&str]) {
    let keys = Command::new(env!("CARGO_BIN_EXE_claviger")).arg("keys").args(arguments).env_clear().output().unwrap();
    assert!(keys.status.success(), "{arguments:?}: {keys:?}");
    for server in fleet.servers() {
        hang_up(server, CHANGED).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_rotate_on_three_processes_under_load_and_nobody_notices() {
    if HaProxy::program().is_none() {
        return skipped("HAPROXY", "apt-get install haproxy");
    }
    let (database, folder) = (TestDatabase::migrated().await, tempfile::tempdir().unwrap());
    write(folder.path(), JWT_SECRET, REFRESH_SECRET);
    let files = ["jwt", "refresh"].map(|name| folder.path().join(name).to_str().unwrap().to_owned());
    let settings = [
        ("JWT_SECRET", ""),
        ("REFRESH_SECRET", ""),
        ("JWT_SECRET_FILE", files[0].as_str()),
        ("REFRESH_SECRET_FILE", files[1].as_str()),
    ];
    let fleet = Fleet::start(Path::new(env!("CARGO_BIN_EXE_claviger")), 3, &database.url, &settings).await;
    let (_haproxy, address) = behind_haproxy(&fleet).await;
    let load = Load::start(address).await;

    for file in &files {
        step(&fleet, &["add", file]).await;
        load.goes_on().await;
        let list = fs::read_to_string(file).unwrap();
        let added = list.trim().rsplit(',').next().unwrap().split(':').next().unwrap();
        step(&fleet, &["promote", file, added]).await;
        // The next refresh of every user rotates to a token under the new key.
        database.close_grace_windows().await;
        load.goes_on().await;
        step(&fleet, &["drop", file, "first"]).await;
        load.goes_on().await;
    }

    let [jwt, refresh] = files.map(|file| fs::read_to_string(file).unwrap());
    assert!(!jwt.contains(JWT_SECRET) && !refresh.contains(REFRESH_SECRET));
    load.end().await.assert_nobody_noticed("keys rotated on three processes");
}
