//! A role that only serves: it can do its work and cannot rewrite what happened.

use std::process::Command;
use std::time::Duration;

use claviger::auth::sweep::{Removed, Sweep};
use claviger::config::{self, Maintenance};
use claviger::store::Store;
use serde_json::json;
use tokio_postgres::error::SqlState;

use crate::support::{PASSWORD, ServerProcess, TestApp, TestDatabase, delete, environment, serving_role};

/// An app whose role has the documented rights and no others; the database's name in its name keeps runs apart.
async fn start() -> (TestApp, String) {
    let database = TestDatabase::private().await;
    let (role, url) = serving_role(&database).await;
    (TestApp::on_url(database, &url, &[]).await, role)
}

/// As a server does when it finds the turn due.
async fn sweep(store: &Store) -> Option<Removed> {
    let Maintenance { sessions, events_kept, .. } =
        config::load_maintenance(None, &environment("postgres://x@h/d")).unwrap();
    Sweep { sessions, events_kept }.in_turn(store, Duration::from_hours(1)).await.unwrap()
}

async fn finish(app: TestApp, role: &str) {
    app.database.execute(&format!("drop owned by {role}; drop role {role}")).await;
}

#[tokio::test]
async fn the_granted_rights_are_enough() {
    let (app, role) = start().await;
    let mut account = app.register("ada@example.com").await;
    account.refresh().await;
    let phone = app.login("ada@example.com").await;
    assert_eq!(account.sessions().await.len(), 2);
    phone.logout().await;
    let change = json!({"current_password": PASSWORD, "new_password": "another good password"});
    assert_eq!(account.call(reqwest::Method::POST, "/api/auth/password", change).await.status, 200);
    assert_eq!(account.event_kinds().await.len(), 4);
    assert_eq!(account.logout_all(json!({})).await.status, 200);
    let replayer = app.register("bob@example.com").await;
    assert_eq!(replayer.caller.refresh(&replayer.refresh_token).await.status, 200);
    app.database.execute("update sessions set rotated_at = rotated_at - interval '31 seconds'").await;
    let replay = replayer.caller.refresh(&replayer.refresh_token).await;
    replay.assert_problem(401, "refresh_token_replayed");
    let program = app.program("api", "revocations:read").await;
    let revocations = program.get("/api/auth/revocations", &program.token().await).await;
    assert_eq!(revocations.status, 200, "{revocations:?}");
    app.database.execute("update turns set due_at = now()").await;
    app.database.execute("update sessions set ended_at = now() - interval '8 days' where ended_at is not null").await;
    let swept = sweep(&app.store).await.expect("it is time");
    assert!(swept.sessions >= 2, "{swept:?}");
    assert!(delete(&app.store, account.user_id()).await);
    assert!(!delete(&app.store, account.user_id()).await);
    assert_eq!(app.anonymous().get("/health/ready").await.status, 200);
    finish(app, &role).await;
}

#[tokio::test]
async fn the_trail_can_be_added_to_and_not_rewritten() {
    let (app, role) = start().await;
    app.register("ada@example.com").await;
    app.database
        .execute("insert into events (user_id, occurred_at, kind, outcome) select id, now() - interval '8 days', 'logged_in', 'success' from users")
        .await;
    let mut client = app.database.client().await;
    let serving = client.transaction().await.unwrap();
    serving.execute(&format!("set local role {role}"), &[]).await.unwrap();
    assert_eq!(serving.execute("delete from events", &[]).await.unwrap(), 1, "only what is older than a week");
    serving.commit().await.unwrap();
    assert_eq!(app.database.number("select count(*) from events where kind = 'registered'").await, 1);
    for sql in [
        "update events set kind = 'logged_in'",
        "truncate events",
        "select from events for update",
        "drop table events",
        "alter table events disable row level security",
        "create table mine ()",
        "delete from clients",
        "update clients set scopes = '{}'",
        "update refinery_schema_history set version = 0",
    ] {
        let attempt = client.transaction().await.unwrap();
        attempt.execute(&format!("set local role {role}"), &[]).await.unwrap();
        let error = attempt.execute(sql, &[]).await.expect_err(sql);
        assert_eq!(error.code(), Some(&SqlState::INSUFFICIENT_PRIVILEGE), "{sql}");
    }
    drop(client);
    finish(app, &role).await;
}

#[tokio::test]
async fn an_operator_migrates_and_gives_the_rights_by_one_command() {
    let database = TestDatabase::empty().await;
    let role = format!("{}_serving", database.name);
    let migrate = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_claviger"));
        command.args(["migrate", "--grant", &role]).env_clear().env("DATABASE_URL", &database.url).output().unwrap()
    };
    let refused = migrate();
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(!refused.status.success() && said.contains("the role cannot be given its rights"), "{refused:?}");
    assert!(said.contains("does not exist"), "{refused:?}");

    database.execute(&format!("create role {role} login password 'serving'")).await;
    for _ in 0..2 {
        let granted = migrate();
        assert!(granted.status.success(), "{granted:?}");
    }

    let url = database.url_as(&role, "serving");
    let server = ServerProcess::ready(&url, &[("CLAVIGER__DATABASE__MIGRATE", "false")]).await;
    server.anonymous().register("ada@example.com").await.refresh().await;
    drop(server);
    database.execute(&format!("drop owned by {role}; drop role {role}")).await;
}
