//! Servers whose clocks are wrong, by libfaketime. The database's is right.

use std::path::PathBuf;

use time::format_description::well_known::Rfc2822;
use time::{Duration, OffsetDateTime};

use crate::support::{ServerProcess, TestDatabase, claims, skipped, wait_until};

const WRONG_BY: [i64; 3] = [0, 300, -300];

/// Servers whose clocks are ahead by so many seconds; none where the library is not installed.
async fn servers(database: &TestDatabase, settings: &[(&str, &str)]) -> Option<[ServerProcess; 3]> {
    let folders = std::fs::read_dir("/usr/lib").unwrap().map(|folder| folder.unwrap().path());
    let library = folders.map(|folder| folder.join("faketime/libfaketime.so.1")).find(|library| library.is_file());
    let Some(library): Option<PathBuf> = library else {
        skipped("libfaketime", "apt-get install libfaketime");
        return None;
    };
    let start = async |seconds: i64| {
        let ahead = format!("{seconds:+}s");
        let fake =
            [("LD_PRELOAD", library.to_str().unwrap()), ("FAKETIME", &ahead), ("FAKETIME_DONT_FAKE_MONOTONIC", "1")];
        let server = ServerProcess::ready(&database.url, &[&fake, settings].concat()).await;
        let answer = server.anonymous().get("/health").await;
        let date = OffsetDateTime::parse(&answer.header("date").replace("GMT", "+0000"), &Rfc2822).unwrap();
        let off = date - OffsetDateTime::now_utc() - Duration::seconds(seconds);
        assert!(off.abs() < Duration::seconds(5), "the clock of {ahead} is off by {off}");
        let warned = || server.log().contains("clock and the database's differ");
        wait_until("it has compared the clocks", async || server.log().contains("\"ready\"")).await;
        wait_until("it has warned if need be", async || warned() == (seconds != 0)).await;
        server
    };
    Some([start(WRONG_BY[0]).await, start(WRONG_BY[1]).await, start(WRONG_BY[2]).await])
}

#[tokio::test]
async fn p11_processes_with_wrong_clocks_decide_alike() {
    let database = TestDatabase::migrated().await;
    let Some(servers) = servers(&database, &[]).await else { return };
    let callers = servers.each_ref().map(ServerProcess::anonymous);
    for (index, one) in callers.iter().enumerate() {
        let email = format!("ada{index}@example.com");
        let account = one.register(&email).await;
        let refreshed = one.refresh(&account.refresh_token).await;

        let issued = claims(refreshed.text("access_token"))["iat"].as_i64().unwrap();
        assert!(
            (issued - OffsetDateTime::now_utc().unix_timestamp()).abs() < 5,
            "it is issued by the database's clock"
        );
        for other in &callers {
            let repeated = other.refresh(&account.refresh_token).await;
            assert_eq!(repeated.text("refresh_token"), refreshed.text("refresh_token"), "within the window");
            assert_eq!(other.me(refreshed.text("access_token")).await.status, 200);
        }

        // 31 seconds later, which is past the window, and for one clock long before it began.
        database.execute("update sessions set rotated_at = rotated_at - interval '31 seconds'").await;
        callers[2].refresh(&account.refresh_token).await.assert_problem(401, "refresh_token_replayed");
        for other in &callers {
            other.refresh(refreshed.text("refresh_token")).await.assert_problem(401, "session_ended");
        }
    }
}

#[tokio::test]
async fn p8_a_session_ends_by_the_clock_of_the_database() {
    let database = TestDatabase::migrated().await;
    let Some(servers) = servers(&database, &[]).await else { return };
    for (index, server) in servers.iter().enumerate() {
        for (minute_before, a_moment_after) in [
            ("rotated_at = now() - interval '6 days 23:59'", "rotated_at = now() - interval '7 days'"),
            ("expires_at = now() + interval '1 minute'", "expires_at = now()"),
        ] {
            let caller = server.anonymous();
            let account = caller.register(&format!("{}@example.com", uuid::Uuid::new_v4())).await;
            let move_clock = async |set: &str| {
                database.execute(&format!("update sessions set {set} where id = '{}'", account.session_id)).await;
            };
            move_clock(minute_before).await;
            let refreshed = caller.refresh(&account.refresh_token).await;
            assert_eq!(refreshed.status, 200, "server {index}, {minute_before}");
            move_clock(a_moment_after).await;
            caller.refresh(refreshed.text("refresh_token")).await.assert_problem(401, "session_expired");
        }
    }
}

#[tokio::test]
async fn an_access_token_is_over_by_the_clock_of_whoever_verifies_it() {
    let database = TestDatabase::migrated().await;
    let ttl = ("CLAVIGER__ACCESS_TOKEN__TTL", "4m");
    let Some([right, ahead, behind]) = servers(&database, &[ttl]).await else { return };
    let account = right.anonymous().register("ada@example.com").await;
    for server in [&right, &behind] {
        assert_eq!(server.anonymous().me(&account.access_token).await.status, 200);
    }
    ahead.anonymous().me(&account.access_token).await.assert_problem(401, "access_token_expired");
    assert_eq!(ahead.anonymous().refresh(&account.refresh_token).await.status, 200, "nobody is signed out by it");
}
