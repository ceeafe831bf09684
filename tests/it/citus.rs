//! The service on Citus: what `deploy/citus/distribute.sql` makes of a database, and which way statements go then. Where Citus is
//! installed `make ways` also runs the tests of the API on it.

use std::collections::BTreeSet;

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{Account, Citus, PASSWORD, TestApp, TestDatabase, delete, distribute, serving_role, wait_until};

fn distribution() -> String {
    std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/citus/distribute.sql")).unwrap()
}

#[tokio::test]
async fn every_table_of_the_schema_has_its_place_on_citus() {
    let database = TestDatabase::private().await;
    let text = distribution();
    let distributed = text.split("create_distributed_table('").skip(1).map(|rest| rest.split('\'').next().unwrap());
    let stay = text.split("-- On the coordinator stay: ").nth(1).unwrap().split(".\n").next().unwrap();
    let named: Vec<String> = distributed.chain(stay.split(", ")).map(str::to_owned).collect();
    let sql = "select relname::text from pg_class where relkind = 'r' and relnamespace = 'public'::regnamespace";
    let tables: BTreeSet<String> = database.rows(sql).await.iter().map(|row| row.get(0)).collect();
    assert_eq!(named.iter().cloned().collect::<BTreeSet<_>>(), tables);
    assert_eq!(named.len(), tables.len(), "each once");
}

#[tokio::test]
async fn an_existing_database_is_distributed_once_and_everybody_stays_signed_in() {
    let Some(citus) = Citus::start_empty().await else { return };
    let database = TestDatabase::on_citus(&citus).await;
    let early = distribute(&database.url);
    assert!(String::from_utf8_lossy(&early.stderr).contains("the schema is not up to date"), "{early:?}");
    database.migrate_to(None).await;
    let app = TestApp::on(database, &[]).await;
    let mut accounts = Vec::new();
    for n in 0..20 {
        accounts.push(app.register(&format!("user{n}@example.com")).await);
    }
    // They go together, which they do no more when tables are distributed.
    let accounts = all_at_once(accounts).await;

    let output = distribute(&app.database.url);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));

    let mut accounts = all_at_once(accounts).await;
    for (n, account) in accounts.iter_mut().enumerate() {
        account.refresh().await;
        assert_eq!(account.me().await.status, 200);
        app.login(&format!("user{n}@example.com")).await;
        assert_eq!(account.sessions().await.len(), 2);
        let again = json!({"email": account.email, "password": PASSWORD});
        app.anonymous().post("/api/auth/register", again).await.assert_problem(409, "email_taken");
    }
    let policy = app.database.rows("show citus.task_assignment_policy").await[0].get::<_, String>(0);
    assert_eq!(policy, "greedy", "what reads no table runs on the coordinator");
    let spread = "select count(distinct get_shard_id_for_distribution_column('users', id)) from users";
    assert!(app.database.number(spread).await > 1);
    for table in ["users", "sessions", "events", "addresses"] {
        let left = app.database.number(&format!("select pg_relation_size('{table}')")).await;
        assert_eq!(left, 0, "copies of {table} are left on the coordinator");
    }
    let again = distribute(&app.database.url);
    assert!(!again.status.success());
    assert!(String::from_utf8_lossy(&again.stderr).contains("distributed already"), "{again:?}");
}

/// Everybody refreshes and asks who he is, and again.
async fn all_at_once(accounts: Vec<Account>) -> Vec<Account> {
    let all = accounts.into_iter().map(|mut account| {
        tokio::spawn(async move {
            for _ in 0..2 {
                account.refresh().await;
                assert_eq!(account.me().await.text("email"), account.email);
            }
            account
        })
    });
    let mut accounts = Vec::new();
    for account in all.collect::<Vec<_>>() {
        accounts.push(account.await.unwrap());
    }
    accounts
}

#[tokio::test]
async fn a_role_that_only_serves_can_do_so_on_citus_too() {
    let Some(citus) = Citus::start().await else { return };
    let database = TestDatabase::distributed(&citus).await;
    let (_role, url) = serving_role(&database).await;
    let app = TestApp::on_url(database, &url, &[]).await;
    let mut account = app.register("ada@example.com").await;
    let first = account.refresh_token.clone();
    account.refresh().await;
    account.refresh().await;
    app.anonymous().refresh(&first).await.assert_problem(401, "refresh_token_replayed");
    let phone = app.login("ada@example.com").await;
    assert_eq!(phone.logout_all(json!({"keep_current": true})).await.status, 200);
    phone.logout().await;
    assert_eq!(app.login("ada@example.com").await.event_kinds().await.len(), 5);
    assert!(delete(&app.store, account.user_id()).await);
    app.register("ada@example.com").await;
}

/// The plans of the statements that the server ran, as `auto_explain` wrote them.
struct Plans {
    log: std::path::PathBuf,
    read: usize,
}

impl Plans {
    /// Those since the last call.
    fn new_ones(&mut self) -> String {
        let log = std::fs::read_to_string(&self.log).unwrap();
        let new = log[self.read..].to_owned();
        self.read = log.len();
        new
    }

    /// Asserts that something read or wrote these tables, and each statement, with each of its steps, in one place.
    fn assert_one_place(&mut self, what: &str, tables: &[&str]) {
        let plans = self.new_ones();
        for table in tables {
            // A part of a table has its number. What a function does is seen there alone.
            let named = format!(" on {table}_1");
            let parts = plans.split(&named).skip(1).filter_map(|rest| rest.split(|c: char| !c.is_ascii_digit()).next());
            let parts: BTreeSet<_> = parts.collect();
            assert_eq!(parts.len(), 1, "{what} uses {table} in the places {parts:?}: {plans}");
        }
        // What is put together on the coordinator first is sent to every place there is.
        assert!(!plans.contains("pull to coordinator"), "{what} is sent everywhere: {plans}");
        for tasks in plans.split("Task Count: ").skip(1) {
            assert_eq!(tasks.lines().next(), Some("1"), "{what} asks in several places: {plans}");
        }
    }
}

#[tokio::test]
async fn each_statement_of_refresh_me_and_check_goes_to_one_place() {
    let Some(citus) = Citus::start().await else { return };
    let database = TestDatabase::distributed(&citus).await;
    let name = &database.name;
    let explain = format!(
        "alter database {name} set session_preload_libraries = 'auto_explain';
         alter database {name} set auto_explain.log_min_duration = 0"
    );
    database.execute(&explain).await;
    let app = TestApp::on(database, &[]).await;
    let mut plans = Plans { log: citus.cluster.folder().join("log"), read: 0 };
    let mut account = app.register("ada@example.com").await;
    wait_until("plans are written", async || !plans.new_ones().is_empty()).await;

    let first = account.refresh_token.clone();
    account.refresh().await;
    plans.assert_one_place("a refresh", &["sessions", "users"]);
    assert_eq!(app.anonymous().refresh(&first).await.status, 200);
    plans.assert_one_place("a repeated refresh", &["sessions", "users"]);
    assert_eq!(account.me().await.status, 200);
    plans.assert_one_place("me", &["users", "sessions"]);
    let phone = app.login("ada@example.com").await;
    plans.assert_one_place("a login", &["addresses", "users", "sessions"]);
    phone.logout().await;
    plans.assert_one_place("a logout", &["sessions"]);

    let check = async || account.call(Method::GET, "/api/auth/check", Value::Null).await.status;
    assert_eq!(check().await, 204);
    plans.new_ones();
    assert_eq!(check().await, 204);
    assert_eq!(plans.new_ones(), "", "a check is answered from memory");

    account.refresh().await;
    plans.new_ones();
    app.anonymous().refresh(&first).await.assert_problem(401, "refresh_token_replayed");
    plans.assert_one_place("a replay", &["sessions", "users", "events"]);
}
