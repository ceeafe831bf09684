//! Through `PgBouncer` in transaction mode: every transaction may be on another connection.

use reqwest::Method;
use serde_json::Value;

use crate::support::{Account, PgBouncer, ServerProcess, TestApp, TestDatabase, skipped, wait_until};

fn no_pgbouncer() -> bool {
    let none = PgBouncer::program().is_none();
    if none {
        skipped("PGBOUNCER", "apt-get install pgbouncer");
    }
    none
}

const UNPREPARED: [(&str, &str); 2] =
    [("CLAVIGER__DATABASE__PREPARED_STATEMENTS", "false"), ("CLAVIGER__DATABASE__STATEMENT_TIMEOUT", "0s")];

#[tokio::test(flavor = "multi_thread")]
async fn many_clients_over_few_connections_get_what_is_theirs() {
    if no_pgbouncer() {
        return;
    }
    let database = TestDatabase::migrated().await;
    let pooler = PgBouncer::before(&database).await;
    let url = pooler.url.clone();
    let app = TestApp::on_url(database, &url, &UNPREPARED).await;
    let mut accounts = Vec::new();
    for index in 0..12 {
        accounts.push(app.register(&format!("user{index}@example.com")).await);
    }
    let clients: Vec<_> = accounts
        .into_iter()
        .map(|mut account| {
            tokio::spawn(async move {
                for _ in 0..25 {
                    account.refresh().await;
                    assert_eq!(account.me().await.text("email"), account.email);
                    let sessions = account.sessions().await;
                    assert_eq!((sessions.len(), &sessions[0]["id"]), (1, &Value::from(account.session_id.as_str())));
                }
                account
            })
        })
        .collect();
    for client in clients {
        let account: Account = client.await.unwrap();
        assert_eq!(account.logout_all(serde_json::json!({})).await.body["ended"], 1);
    }
}

#[tokio::test]
async fn the_wrong_settings_for_a_pooler_are_told_with_the_right_ones() {
    if no_pgbouncer() {
        return;
    }
    let database = TestDatabase::migrated().await;
    let pooler = PgBouncer::before(&database).await;
    let migrate = ("CLAVIGER__DATABASE__MIGRATE", "false");
    let server = ServerProcess::listening(&pooler.url, &[migrate]).await;
    wait_until("it says what to do", async || server.log().contains("Set database.statement_timeout = 0s")).await;

    if PgBouncer::knows_prepared_statements() {
        return;
    }
    let server = ServerProcess::listening(&pooler.url, &[migrate, UNPREPARED[1]]).await;
    let caller = server.anonymous();
    wait_until("it says what to do", async || {
        let calls = (0..20).map(|_| caller.request(Method::GET, "/health/ready").send());
        let calls: Vec<_> = calls.map(|call| tokio::spawn(call)).collect();
        for call in calls {
            drop(call.await);
        }
        server.log().contains("Set database.prepared_statements = false")
    })
    .await;
}
