//! What each call asks of the database. One statement more is one more way there and back, for everybody and each time: whoever
//! adds one finds its number here, and raises it with a reason or not at all.

use reqwest::Method;
use serde_json::Value;

use crate::support::{Account, PASSWORD, TestApp, TestDatabase, wait_until};

/// What each call takes, with what begins and ends a transaction. The other ends of a refresh are with the promises about
/// rotation, and how often checks ask for the list of revocations with those about gateways.
const STATEMENTS: [(&str, i64); 7] = [
    // All of it, also what is to be remembered of a token that came twice.
    ("refresh", 1),
    ("me", 1),
    ("check", 0),
    // Whose the address is, the account, the tries; and in a transaction the session, sessions above the cap, the tries again.
    ("login", 8),
    // The first three of those, and the event.
    ("login with a wrong password", 4),
    // The tries; and in a transaction the account with its session, the address.
    ("register", 5),
    ("logout", 1),
];

#[tokio::test]
async fn every_call_takes_the_statements_that_it_needs_and_no_more() {
    // What a server does by itself after half a minute would be counted too.
    let settings = [("CLAVIGER__SESSIONS__SWEEP_EVERY", "0s")];
    let app = TestApp::on(TestDatabase::counting().await, &settings).await;
    let mut account = app.register("ada@example.com").await;
    let caller = app.anonymous();
    let login = async |password| caller.login("ada@example.com", password).await.status;

    let found = [
        ("refresh", of(&app, account.refresh()).await),
        ("me", of(&app, async { assert_eq!(account.me().await.status, 200) }).await),
        ("check", of_a_warm_check(&app, &account).await),
        ("login", of(&app, async { assert_eq!(login(PASSWORD).await, 200) }).await),
        ("login with a wrong password", of(&app, async { assert_eq!(login("wrong").await, 401) }).await),
        ("register", of(&app, async { drop(caller.register("grace@example.com").await) }).await),
        ("logout", of(&app, account.logout()).await),
    ];

    assert_eq!(found, STATEMENTS);
}

async fn of(app: &TestApp, call: impl Future<Output = ()>) -> i64 {
    app.database.statements().await;
    call.await;
    app.database.statements().await
}

/// Of one that comes within a second after another, which fetched the list of revocations.
async fn of_a_warm_check(app: &TestApp, account: &Account) -> i64 {
    let check = async || {
        let answer = account.call(Method::GET, "/api/auth/check", Value::Null).await;
        assert_eq!(answer.status, 204, "{answer:?}");
    };
    let mut asked = Vec::new();
    // On a busy machine a second may be over.
    while asked.len() < 10 && !asked.contains(&0) {
        check().await;
        asked.push(of(app, check()).await);
    }
    asked.into_iter().min().unwrap()
}

#[tokio::test]
async fn the_list_of_revocations_is_read_from_indexes() {
    let database = TestDatabase::private().await;
    // Enough to be worth an index.
    database
        .execute(
            "insert into users (id, email, password_hash)
             select md5('' || n)::uuid, n || '@example.com', 'x' from generate_series(1, 3000) n;
             insert into sessions (user_id, id, secret_hash, rotated_at, created_at, expires_at)
             select id, id, sha256('x'), now(), now(), now() + interval '1 day' from users;
             analyze users, sessions",
        )
        .await;
    let app = TestApp::on(database, &[("CLAVIGER__SESSIONS__SWEEP_EVERY", "0s")]).await;
    let account = app.register("ada@example.com").await;
    assert_eq!(account.call(Method::GET, "/api/auth/check", Value::Null).await.status, 204);
    let used = "select count(*) from pg_stat_user_indexes
                where indexrelname in ('sessions_ended_at_idx', 'users_disabled_at_idx') and idx_scan > 0";
    wait_until("both indexes were asked", async || app.database.number(used).await == 2).await;
}
