//! Connections to the database: how many there are, how old they get, and how long a request waits for one.

use std::collections::BTreeSet;
use std::time::Instant;

use tokio_postgres::NoTls;

use crate::support::{ServerProcess, TestApp, own_cluster, wait_until};

/// Which server processes hold the connections of the service.
async fn connections(app: &TestApp) -> BTreeSet<i32> {
    let others = "select pid from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()";
    app.database.rows(others).await.iter().map(|row| row.get(0)).collect()
}

#[tokio::test]
async fn a_process_opens_no_more_connections_than_its_pool_has() {
    let app = TestApp::start_with(&[("CLAVIGER__DATABASE__POOL_SIZE", "3")]).await;
    let account = app.register("ada@example.com").await;
    let mut other = app.database.client().await;
    let holder = other.transaction().await.unwrap();
    holder.batch_execute("lock table users").await.unwrap();
    let calls: Vec<_> = (0..60)
        .map(|_| {
            let (caller, token) = (account.caller.clone(), account.access_token.clone());
            tokio::spawn(async move { caller.me(&token).await.status })
        })
        .collect();
    wait_until("all connections are busy", async || app.database.waiting_for_locks().await == 3).await;
    holder.rollback().await.unwrap();
    for call in calls {
        assert_eq!(call.await.unwrap(), 200);
    }
    drop(other);
    wait_until("there are three", async || connections(&app).await.len() == 3).await;
}

#[tokio::test]
async fn each_thread_has_a_part_of_the_pool_and_together_they_open_no_more_than_it_has() {
    let settings = [("CLAVIGER__DATABASE__POOL_SIZE", "10"), ("CLAVIGER__SERVER__WORKERS", "2")];
    let app = TestApp::start_with(&settings).await;
    let account = app.register("ada@example.com").await;
    let mut other = app.database.client().await;
    let holder = other.transaction().await.unwrap();
    holder.batch_execute("lock table users").await.unwrap();
    let calls: Vec<_> = (0..120)
        .map(|_| {
            let (caller, token) = (account.caller.clone(), account.access_token.clone());
            tokio::spawn(async move { caller.me(&token).await.status })
        })
        .collect();
    wait_until("both threads' connections are busy", async || app.database.waiting_for_locks().await == 8).await;
    assert_eq!(app.store.connections().0, connections(&app).await.len() - 1, "the holder's is another's");
    assert!(app.store.connections().0 <= 10);
    holder.rollback().await.unwrap();
    for call in calls {
        assert_eq!(call.await.unwrap(), 200);
    }
}

#[tokio::test]
async fn threads_that_share_all_connections_have_one_line_of_those_who_sign_in() {
    let settings = [("CLAVIGER__DATABASE__POOL_SIZE", "10"), ("CLAVIGER__SERVER__WORKERS", "8")];
    let app = TestApp::start_with(&settings).await;
    let account = app.register("ada@example.com").await;
    let mut other = app.database.client().await;
    let holder = other.transaction().await.unwrap();
    holder.batch_execute("lock table addresses").await.unwrap();
    let logins: Vec<_> = (0..40)
        .map(|_| {
            // Connections of its own, which spread over the threads.
            let caller = app.anonymous();
            tokio::spawn(async move { caller.login("ada@example.com", "wrong").await.status })
        })
        .collect();
    wait_until("half of the connections are theirs", async || app.database.waiting_for_locks().await >= 5).await;
    for _ in 0..20 {
        assert_eq!(account.me().await.status, 200);
    }
    assert_eq!(app.database.waiting_for_locks().await, 5);
    holder.rollback().await.unwrap();
    for login in logins {
        assert!([401, 429, 503].contains(&login.await.unwrap().as_u16()));
    }
}

#[tokio::test]
async fn a_connection_is_replaced_when_it_is_old() {
    let settings = [("CLAVIGER__DATABASE__POOL_SIZE", "1"), ("CLAVIGER__DATABASE__MAX_CONNECTION_AGE", "1s")];
    let app = TestApp::start_with(&settings).await;
    let account = app.register("ada@example.com").await;
    let first = connections(&app).await;
    wait_until("there is another connection", async || {
        assert_eq!(account.me().await.status, 200);
        connections(&app).await.is_disjoint(&first)
    })
    .await;
}

#[tokio::test]
async fn a_request_that_gets_no_connection_in_time_is_an_outage() {
    let settings = [("CLAVIGER__DATABASE__POOL_SIZE", "1"), ("CLAVIGER__DATABASE__WAIT_TIMEOUT", "1s")];
    let app = TestApp::start_with(&settings).await;
    let mut account = app.register("ada@example.com").await;
    let mut other = app.database.client().await;
    let holder = other.transaction().await.unwrap();
    holder.batch_execute("lock table users").await.unwrap();

    let first = async { account.me().await };
    let second = async {
        wait_until("the connection is taken", async || app.database.waiting_for_locks().await == 1).await;
        let started = Instant::now();
        app.anonymous().me(&account.access_token).await.assert_problem(503, "database_unavailable");
        let waited = started.elapsed();
        assert!((1..3).contains(&waited.as_secs()), "{waited:?}");
        holder.rollback().await.unwrap();
    };
    let (first, ()) = tokio::join!(first, second);

    assert_eq!(first.status, 200, "it had the connection and waited for the lock alone");
    account.refresh().await;
}

#[tokio::test]
async fn connections_to_a_primary_that_takes_no_writes_any_more_are_thrown_away() {
    let cluster = own_cluster(&[]).await;
    let server = ServerProcess::ready(&cluster.default_url(), &[]).await;
    let mut account = server.anonymous().register("ada@example.com").await;
    let (keeper, connection) = tokio_postgres::connect(&cluster.default_url(), NoTls).await.unwrap();
    tokio::spawn(connection);
    let set = async |sql: &str| {
        keeper.batch_execute(sql).await.unwrap();
        keeper.batch_execute("select pg_reload_conf()").await.unwrap();
    };
    let open =
        "select count(*) from pg_stat_activity where backend_type = 'client backend' and pid <> pg_backend_pid()";

    set("alter system set default_transaction_read_only = on").await;

    wait_until("no connection is left", async || {
        let answer = account.caller.refresh(&account.refresh_token).await;
        if answer.status == 200 {
            answer.text("refresh_token").clone_into(&mut account.refresh_token);
        } else {
            answer.assert_problem(503, "database_unavailable");
        }
        keeper.query_one(open, &[]).await.unwrap().get::<_, i64>(0) == 0
    })
    .await;
    keeper.batch_execute("set default_transaction_read_only = off").await.unwrap();
    set("alter system reset default_transaction_read_only").await;
    wait_until("it takes writes", async || account.caller.get("/health/ready").await.status == 200).await;
    account.refresh().await;
}
