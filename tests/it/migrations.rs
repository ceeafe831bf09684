//! The schema: made by one of many starters, on populated tables, with named constraints.

use claviger::store::migrations::{migrate, newest_version};

use crate::support::{ServerProcess, TestDatabase, wait_until};

/// Rows that existed before the next migration came, one file for each version.
fn rows_as_of(version: i32) -> String {
    let file = format!("{}/tests/it/populated/V{version:04}.sql", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{file}: {error}; say which rows {version} has"))
}

#[tokio::test]
async fn a_new_database_has_no_accounts() {
    let database = TestDatabase::migrated().await;
    assert_eq!(database.number("select count(*) from users").await, 0);
}

#[tokio::test]
async fn every_migration_runs_on_tables_that_have_rows() {
    let database = TestDatabase::empty().await;
    for version in 1..=newest_version() {
        assert_eq!(database.migrate_to(Some(version)).await, 1, "version {version}");
        database.execute(&rows_as_of(version)).await;
    }
    assert!(database.number("select count(*) from users").await > 0);
    assert!(database.number("select count(*) from sessions").await > 0);
    assert_eq!(database.migrate_to(None).await, 0, "a second run has nothing to do");
}

#[tokio::test(flavor = "multi_thread")]
async fn many_starters_at_once_migrate_once() {
    for _ in 0..5 {
        let database = TestDatabase::empty().await;
        let starters: Vec<_> = (0..8)
            .map(|_| {
                let settings = database.settings();
                tokio::spawn(async move { migrate(&settings, None).await.unwrap() })
            })
            .collect();
        let mut applied = Vec::new();
        for starter in starters {
            applied.push(starter.await.unwrap());
        }
        applied.sort_unstable();
        assert_eq!(applied.iter().sum::<usize>(), newest_version() as usize, "{applied:?}");
        assert_eq!(applied[..7], [0; 7]);
    }
}

#[tokio::test]
async fn two_servers_that_start_at_once_on_an_empty_database_both_get_ready() {
    let database = TestDatabase::empty().await;
    let (one, other) = tokio::join!(ServerProcess::ready(&database.url, &[]), ServerProcess::ready(&database.url, &[]));
    for server in [one, other] {
        assert!(!server.log().contains("\"level\":\"ERROR\""), "{}", server.log());
    }
}

#[tokio::test]
async fn an_older_program_starts_on_a_newer_schema() {
    let database = TestDatabase::migrated().await;
    let newer = "insert into refinery_schema_history values (9999, 'newer', '2100-01-01T00:00:00Z', '1')";
    database.execute(newer).await;
    let server = ServerProcess::ready(&database.url, &[]).await;
    wait_until("it has looked at the schema", async || server.log().contains("the schema is up to date")).await;
}

#[tokio::test]
async fn a_schema_that_was_changed_behind_our_back_stops_the_start() {
    let database = TestDatabase::migrated().await;
    database.execute("update refinery_schema_history set checksum = '1' where version = 1").await;
    let mut server = ServerProcess::listening(&database.url, &[]).await;
    assert_eq!(server.exit_code().await, Some(1));
    wait_until("it says why", async || server.log().contains("the schema cannot be migrated")).await;
}

#[tokio::test]
async fn a_database_that_cannot_be_written_now_is_waited_for() {
    let database = TestDatabase::empty().await;
    let read_only = |on: bool| format!("alter database {} set default_transaction_read_only = {on}", database.name);
    database.execute(&read_only(true)).await;
    let server = ServerProcess::listening(&database.url, &[]).await;
    wait_until("it says why", async || server.log().contains("read-only transaction")).await;
    let client = database.client().await;
    client.batch_execute(&format!("set transaction_read_only = off; {}", read_only(false))).await.unwrap();
    wait_until("it is ready", async || server.anonymous().get("/health/ready").await.status == 200).await;
}

/// A lock that is waited for is ahead of every later one: whoever waits long for a busy table closes it to all.
#[tokio::test]
async fn a_migration_does_not_make_requests_wait_behind_it() {
    let database = TestDatabase::empty().await;
    database.migrate_to(Some(3)).await;
    let mut other = database.client().await;
    let in_the_way = other.transaction().await.unwrap();
    in_the_way.batch_execute("lock table sessions in row exclusive mode").await.unwrap();
    let settings = database.settings();
    let migrating = tokio::spawn(async move { migrate(&settings, None).await.unwrap() });
    wait_until("it waits for the table", async || database.waiting_for_locks().await == 1).await;

    let client = database.client().await;
    for _ in 0..5 {
        let request = client.batch_execute("set lock_timeout = '5s'; lock table sessions in row exclusive mode");
        request.await.unwrap();
    }
    assert!(!migrating.is_finished());
    in_the_way.commit().await.unwrap();
    assert_eq!(migrating.await.unwrap(), newest_version() as usize - 3);
}

#[tokio::test]
async fn a_limit_on_the_requests_of_a_role_is_none_on_its_migrations() {
    let database = TestDatabase::empty().await;
    database.migrate_to(Some(7)).await;
    let people = "insert into users (id, email, password_hash) select gen_random_uuid(), n || '@example.com', '{none}'
                  from generate_series(1, 100000) n";
    database
        .execute(&format!("alter table users disable trigger user; {people}; alter table users enable trigger user"))
        .await;
    database.execute(&format!("alter database {} set statement_timeout = '100ms'", database.name)).await;

    migrate(&database.settings(), None).await.unwrap();

    assert_eq!(database.number("select count(*) from addresses").await, 100_000);
}

#[tokio::test]
async fn every_constraint_has_a_name_that_code_can_rely_on() {
    let database = TestDatabase::migrated().await;
    let sql = "select conname::text from pg_constraint where conrelid in (select oid from pg_class where relnamespace = 'public'::regnamespace and relname not like 'refinery%') \
               and contype <> 'n' order by 1";
    let names: Vec<String> = database.rows(sql).await.iter().map(|row| row.get(0)).collect();
    assert_eq!(
        names,
        [
            "addresses_pkey",
            "clients_name_key",
            "clients_pkey",
            "clients_secret_hash_check",
            "deleted_users_pkey",
            "events_kind_check",
            "events_outcome_check",
            "events_pkey",
            "mails_kind_check",
            "mails_pkey",
            "sessions_ended_by_check",
            "sessions_ended_check",
            "sessions_generation_check",
            "sessions_pkey",
            "sessions_rotation_key_check",
            "sessions_secret_hash_check",
            "sessions_user_id_fkey",
            "throttles_pkey",
            "turns_pkey",
            "users_email_key",
            "users_pkey",
            "users_profile_check",
            "users_role_check",
            "verifications_pkey",
            "verifications_purpose_check",
            "verifications_secret_hash_check",
            "verifications_user_id_fkey",
        ]
    );
}
