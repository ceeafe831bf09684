//! The properties of refresh-token rotation, one after the other (docs/token-lifecycle.md lists them).

use aws_lc_rs::{hkdf, hmac};
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD, Engine as _};
use serde_json::json;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use crate::support::{Account, REFRESH_SECRET, ServerProcess, TestApp, TestDatabase, disable, wait_until};

const OTHER_KEY: &str = "3kXv9QpLr2TzWn6YcBm1Ds8FhJ4gKa7UeRoIy5NxZtE";

fn decode(token: &str) -> Vec<u8> {
    BASE64_URL_SAFE_NO_PAD.decode(token.strip_prefix("rt1_").unwrap()).unwrap()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Signs the first 69 bytes of a token as the service does, from the documentation and not from its code.
fn sign(signed: &[u8]) -> String {
    let salt = hkdf::Salt::new(hkdf::HKDF_SHA256, b"claviger refresh token v1");
    let root = salt.extract(REFRESH_SECRET.as_bytes());
    let key: hmac::Key = root.expand(&[b"tag"], hmac::HMAC_SHA256).unwrap().into();
    let tag = hmac::sign(&key, signed);
    format!("rt1_{}", BASE64_URL_SAFE_NO_PAD.encode([signed, &tag.as_ref()[..16]].concat()))
}

async fn live_sessions(database: &TestDatabase) -> i64 {
    database.number("select count(*) from sessions where ended_at is null").await
}

#[tokio::test]
async fn p1_nothing_in_the_database_can_be_presented_as_a_token() {
    let app = TestApp::start().await;
    let account = app.register("ada@example.com").await;
    let keyed = account.caller.refresh_keyed(&account.refresh_token, "a key of the client").await;
    let current = keyed.text("refresh_token").to_owned();

    let dump: Vec<String> =
        app.database.rows("select s::text from sessions s").await.iter().map(|row| row.get(0)).collect();
    let dump = dump.concat();
    for token in [&account.refresh_token, &current] {
        let secret = &decode(token)[37..69];
        for form in [token.clone(), hex(secret), BASE64_STANDARD.encode(secret), BASE64_URL_SAFE_NO_PAD.encode(secret)]
        {
            assert!(!dump.contains(&form));
        }
    }
    assert!(!dump.contains(&hex(b"a key of the client")) && !dump.contains("a key of the client"));

    let row = &app.database.rows("select secret_hash, rotation_key from sessions").await[0];
    assert_eq!(sign(&decode(&current)[..69]), current, "the test signs as the service does");
    for stolen in [row.get::<_, Vec<u8>>(0), row.get::<_, Vec<u8>>(1)] {
        let rebuilt = sign(&[&decode(&current)[..37], &stolen].concat());
        account.caller.refresh(&rebuilt).await.assert_problem(401, "refresh_token_invalid");
    }
    assert_eq!(live_sessions(&app.database).await, 1);
}

#[tokio::test]
async fn p2_a_token_with_any_bit_flipped_is_refused_without_a_query() {
    let database = TestDatabase::counting().await;
    let app = TestApp::on(database, &[]).await;
    let mut account = app.register("ada@example.com").await;
    let token = decode(&account.refresh_token);
    app.database.statements().await;

    for bit in 0..token.len() * 8 {
        let mut forged = token.clone();
        forged[bit / 8] ^= 1 << (bit % 8);
        let forged = format!("rt1_{}", BASE64_URL_SAFE_NO_PAD.encode(forged));
        account.caller.refresh(&forged).await.assert_problem(401, "refresh_token_invalid");
    }

    assert_eq!(app.database.statements().await, 0);
    account.refresh().await;
    assert_eq!(app.database.statements().await, 1, "the counter counts");
}

#[tokio::test]
async fn p3_any_token_older_than_the_parent_ends_its_session_and_only_that() {
    let app = TestApp::start().await;
    let mut bystander = app.register("ada@example.com").await;
    for generation in 0..5 {
        let mut thief = app.login("ada@example.com").await;
        let mut tokens = vec![thief.refresh_token.clone()];
        for _ in 0..6 {
            thief.refresh().await;
            tokens.push(thief.refresh_token.clone());
            app.database.close_grace_windows().await;
        }

        let replay = thief.caller.refresh(&tokens[generation]).await;

        replay.assert_problem(401, "refresh_token_replayed");
        assert_eq!(replay.body["ended_by"], "replayed");
        let current = thief.caller.refresh(&thief.refresh_token).await;
        current.assert_problem(401, "session_ended");
        assert_eq!(current.body["ended_by"], "replayed");
        assert_eq!(current.body["ended_at"], replay.body["ended_at"]);
        bystander.refresh().await;
    }
}

#[tokio::test]
async fn p3_the_parent_after_the_grace_window_ends_its_session() {
    let app = TestApp::start().await;
    let account = app.register("ada@example.com").await;
    let successor = account.caller.refresh(&account.refresh_token).await;
    app.database.execute("update sessions set rotated_at = rotated_at - interval '31 seconds'").await;
    account.caller.refresh(&account.refresh_token).await.assert_problem(401, "refresh_token_replayed");
    account.caller.refresh(successor.text("refresh_token")).await.assert_problem(401, "session_ended");
}

#[tokio::test]
async fn p4_a_client_that_lost_the_answer_retries_and_gets_the_same_successor() {
    let app = TestApp::start().await;
    let mut account = app.register("ada@example.com").await;
    let body = json!({"refresh_token": account.refresh_token}).to_string();
    let mut stream = TcpStream::connect(app.address).await.unwrap();
    let head = "POST /api/auth/refresh HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length:";
    stream.write_all(format!("{head} {}\r\n\r\n{body}", body.len()).as_bytes()).await.unwrap();
    wait_until("the rotation is committed", async || app.database.number("select generation from sessions").await == 1)
        .await;
    drop(stream);

    let retry = account.caller.refresh(&account.refresh_token).await;
    let again = account.caller.refresh(&account.refresh_token).await;

    assert_eq!((retry.status.as_u16(), again.status.as_u16()), (200, 200), "{retry:?}");
    assert_eq!(retry.text("refresh_token"), again.text("refresh_token"));
    assert_eq!(app.database.number("select generation from sessions").await, 1);
    assert_eq!(account.caller.me(again.text("access_token")).await.status, 200);
    retry.text("refresh_token").clone_into(&mut account.refresh_token);
    account.refresh().await;
}

#[tokio::test]
async fn p4_grace_window_does_not_slide() {
    let app = TestApp::start().await;
    let mut account = app.register("ada@example.com").await;
    let parent = account.refresh_token.clone();
    account.refresh().await;
    app.database.execute("update sessions set rotated_at = rotated_at - interval '20 seconds'").await;
    assert_eq!(account.caller.refresh(&parent).await.status, 200);
    account.refresh().await;
    app.database.execute("update sessions set rotated_at = rotated_at - interval '11 seconds'").await;
    account.caller.refresh(&parent).await.assert_problem(401, "refresh_token_replayed");
}

#[tokio::test]
async fn p0_session_rotates_at_most_once_per_grace_window() {
    let app = TestApp::start().await;
    let account = app.register("ada@example.com").await;
    let first = account.caller.refresh(&account.refresh_token).await.text("refresh_token").to_owned();
    assert_ne!(first, account.refresh_token, "the token of a login rotates at its first use");
    let written = "select xmin::text::bigint from sessions";
    let row_version = app.database.number(written).await;

    for age in [0, 15, 14] {
        app.database.execute(&format!("update sessions set rotated_at = rotated_at - interval '{age} seconds'")).await;
        let row_version = app.database.number(written).await;
        let unchanged = account.caller.refresh_keyed(&first, "some key").await;
        assert_eq!((unchanged.status.as_u16(), unchanged.text("refresh_token")), (200, &*first));
        assert_eq!(account.caller.me(unchanged.text("access_token")).await.status, 200);
        let parent = account.caller.refresh(&account.refresh_token).await;
        assert_eq!((parent.status.as_u16(), parent.text("refresh_token")), (200, &*first));
        assert_eq!(app.database.number(written).await, row_version, "nothing is written");
    }
    assert_ne!(app.database.number(written).await, row_version, "the counter counts");

    app.database.execute("update sessions set rotated_at = rotated_at - interval '2 seconds'").await;
    let second = account.caller.refresh(&first).await;
    assert_ne!(second.text("refresh_token"), first, "the window has closed");
    assert_eq!(app.database.number("select generation from sessions").await, 2);
}

#[tokio::test]
async fn p0_stolen_current_token_is_noticed_after_the_window() {
    let app = TestApp::start().await;
    let account = app.register("ada@example.com").await;
    let stolen = account.caller.refresh(&account.refresh_token).await.text("refresh_token").to_owned();
    // Inside the window owner and thief share the session, as they do with the parent.
    assert_eq!(account.caller.refresh(&stolen).await.text("refresh_token"), stolen);

    app.database.close_grace_windows().await;
    let first_user = account.caller.refresh(&stolen).await;
    app.database.close_grace_windows().await;
    let second_user = account.caller.refresh(&stolen).await;

    second_user.assert_problem(401, "refresh_token_replayed");
    account.caller.refresh(first_user.text("refresh_token")).await.assert_problem(401, "session_ended");
}

#[tokio::test]
async fn p0_unchanged_refresh_takes_no_lock_and_no_transaction_id() {
    let app = TestApp::start().await;
    let mut account = app.register("ada@example.com").await;
    account.refresh().await;
    let mut other = app.database.client().await;
    let holder = other.transaction().await.unwrap();
    holder.execute("select from sessions for update", &[]).await.unwrap();

    let token = account.refresh_token.clone();
    account.refresh().await;

    assert_eq!(account.refresh_token, token);
    drop(holder);
}

#[tokio::test]
async fn p4_without_grace_every_second_use_is_a_replay() {
    let app = TestApp::start_with(&[("CLAVIGER__REFRESH_TOKEN__GRACE", "0s")]).await;
    let mut account = app.register("ada@example.com").await;
    let parent = account.refresh_token.clone();
    account.refresh().await;
    assert_ne!(account.refresh_token, parent);
    let second = account.refresh_token.clone();
    account.refresh().await;
    assert_ne!(account.refresh_token, second, "every refresh rotates");
    account.caller.refresh(&second).await.assert_problem(401, "refresh_token_replayed");
}

#[tokio::test]
async fn p4b_whoever_knows_the_key_may_repeat_until_the_successor_is_used() {
    let app = TestApp::start().await;
    let mut account = app.register("ada@example.com").await;
    let parent = account.refresh_token.clone();
    let first = account.caller.refresh_keyed(&parent, "kept by the phone").await;
    app.database.execute("update sessions set rotated_at = rotated_at - interval '1 day'").await;

    let day_later = account.caller.refresh_keyed(&parent, "kept by the phone").await;

    assert_eq!(day_later.status, 200, "{day_later:?}");
    assert_eq!(day_later.text("refresh_token"), first.text("refresh_token"));
    day_later.text("refresh_token").clone_into(&mut account.refresh_token);
    account.refresh().await;
    let late = account.caller.refresh_keyed(&parent, "kept by the phone").await;
    late.assert_problem(401, "refresh_token_replayed");
}

#[tokio::test]
async fn p4b_another_key_or_none_is_a_replay_after_the_window() {
    let app = TestApp::start().await;
    app.register("ada@example.com").await;
    for thief_key in [Some("guessed"), None] {
        let account = app.login("ada@example.com").await;
        let first = account.caller.refresh_keyed(&account.refresh_token, "kept by the phone").await;
        app.database.execute("update sessions set rotated_at = rotated_at - interval '1 hour'").await;
        let replay = match thief_key {
            Some(key) => account.caller.refresh_keyed(&account.refresh_token, key).await,
            None => account.caller.refresh(&account.refresh_token).await,
        };
        replay.assert_problem(401, "refresh_token_replayed");
        account.caller.refresh(first.text("refresh_token")).await.assert_problem(401, "session_ended");
    }
}

#[tokio::test]
async fn p4b_a_rotation_without_a_key_is_not_repeated_with_one() {
    let app = TestApp::start().await;
    let account = app.register("ada@example.com").await;
    account.caller.refresh(&account.refresh_token).await;
    app.database.execute("update sessions set rotated_at = rotated_at - interval '1 hour'").await;
    let replay = account.caller.refresh_keyed(&account.refresh_token, "invented later").await;
    replay.assert_problem(401, "refresh_token_replayed");
}

#[tokio::test]
async fn p6_every_refresh_is_one_statement_whatever_the_outcome() {
    let app = TestApp::on(TestDatabase::counting().await, &[]).await;
    let mut account = app.register("ada@example.com").await;
    let oldest = account.refresh_token.clone();
    account.refresh().await;
    let parent = account.refresh_token.clone();
    app.database.close_grace_windows().await;
    app.database.statements().await;
    let calls = async |token: &str, status: u16| {
        assert_eq!(account.caller.refresh(token).await.status, status);
        app.database.statements().await
    };

    let current = parent.clone();
    let successor = account.caller.refresh(&current).await.text("refresh_token").to_owned();
    assert_eq!(app.database.statements().await, 1, "rotate");
    assert_eq!(calls(&successor, 200).await, 1, "unchanged");
    assert_eq!(calls(&parent, 200).await, 1, "repeat");
    assert_eq!(calls(&oldest, 401).await, 1, "replay");
    assert_eq!(calls(&parent, 401).await, 1, "ended");
    for (verdict, sql) in [
        ("disabled", "update users set disabled_at = now(); update sessions set ended_at = null, ended_by = null"),
        ("expired", "update users set disabled_at = null; update sessions set expires_at = now()"),
        (
            "unknown",
            "update sessions set expires_at = now() + interval '1 day', generation = 1, secret_hash = sha256('x')",
        ),
        ("ahead", "update sessions set generation = 0"),
    ] {
        app.database.execute(sql).await;
        app.database.statements().await;
        assert_eq!(calls(&parent, 401).await, 1, "{verdict}");
    }
    app.database.execute("delete from sessions").await;
    app.database.statements().await;
    assert_eq!(calls(&parent, 401).await, 1, "no session");
}

#[tokio::test]
async fn p7_rotations_update_their_rows_in_place_and_no_index() {
    let database = TestDatabase::private().await;
    let settings = [("CLAVIGER__SESSIONS__MAX_PER_USER", "100"), ("CLAVIGER__REFRESH_TOKEN__GRACE", "0s")];
    let app = TestApp::on(database, &settings).await;
    let mut accounts = vec![app.register("ada@example.com").await];
    for _ in 1..100 {
        accounts.push(app.login("ada@example.com").await);
    }
    for account in &mut accounts {
        for _ in 0..10 {
            account.refresh().await;
        }
    }

    let updates = "select n_tup_upd from pg_stat_user_tables where relname = 'sessions'";
    wait_until("the counters are flushed", async || app.database.number(updates).await >= 1000).await;
    let hot = app.database.number("select n_tup_hot_upd from pg_stat_user_tables where relname = 'sessions'").await;
    // Not all: now and then a page is full of versions that Postgres does not yet know to be dead.
    assert!(hot >= 900, "{hot} of 1000 were heap-only");
    assert_eq!(app.database.number("select count(*) from sessions").await, 100);
}

#[tokio::test]
async fn p8_a_session_has_an_absolute_end_that_refreshes_do_not_move() {
    let app = TestApp::start().await;
    let mut account = app.register("ada@example.com").await;
    let ends = "select extract(epoch from expires_at) * 1000000 from sessions";
    let before = app.database.number(ends).await;
    account.refresh().await;
    assert_eq!(app.database.number(ends).await, before);

    app.database.execute("update sessions set expires_at = clock_timestamp() + interval '90 seconds'").await;
    let answer = account.caller.refresh(&account.refresh_token).await;
    assert!(
        answer.body["expires_in"].as_i64().unwrap() <= 90,
        "an access token never outlives its session: {answer:?}"
    );
    assert!(answer.body["refresh_expires_in"].as_i64().unwrap() <= 90);

    app.database.execute("update sessions set expires_at = clock_timestamp()").await;
    account.caller.refresh(answer.text("refresh_token")).await.assert_problem(401, "session_expired");
}

#[tokio::test]
async fn p8_a_session_that_is_not_refreshed_ends() {
    let app = TestApp::start().await;
    let mut account = app.register("ada@example.com").await;
    app.database.execute("update sessions set rotated_at = rotated_at - interval '6 days 23 hours'").await;
    account.refresh().await;
    app.database.execute("update sessions set rotated_at = rotated_at - interval '7 days'").await;
    account.caller.refresh(&account.refresh_token).await.assert_problem(401, "session_expired");
    assert_eq!(live_sessions(&app.database).await, 1, "it expired, nobody ended it");
}

#[tokio::test]
async fn p9_keys_rotate_without_signing_anybody_out() {
    let app = TestApp::start().await;
    let account = app.register("ada@example.com").await;
    let both = format!("new:{OTHER_KEY},old:{REFRESH_SECRET}");
    let rotated = ServerProcess::ready(&app.database.url, &[("REFRESH_SECRET", &both)]).await;

    let before = account.caller.refresh(&account.refresh_token).await;
    let repeated = rotated.anonymous().refresh(&account.refresh_token).await;
    assert_eq!(repeated.text("refresh_token"), before.text("refresh_token"), "a retry across the change");
    app.database.close_grace_windows().await;
    let under_new = rotated.anonymous().refresh(before.text("refresh_token")).await;
    assert_eq!(under_new.status, 200, "{under_new:?}");

    app.database.close_grace_windows().await;
    let dropped = ServerProcess::ready(&app.database.url, &[("REFRESH_SECRET", OTHER_KEY)]).await;
    assert_eq!(dropped.anonymous().refresh(under_new.text("refresh_token")).await.status, 200);
    let stale = dropped.anonymous().refresh(&account.refresh_token).await;
    stale.assert_problem(401, "refresh_token_invalid");
    assert_eq!(live_sessions(&app.database).await, 1);
}

#[tokio::test]
async fn p9_a_leaked_key_gives_no_session_away() {
    let app = TestApp::start().await;
    let account = app.register("ada@example.com").await;
    let genuine = decode(&account.refresh_token);
    let forged = sign(&[&genuine[..37], &[7; 32][..]].concat());
    account.caller.refresh(&forged).await.assert_problem(401, "refresh_token_invalid");
    assert_eq!(live_sessions(&app.database).await, 1);
}

#[tokio::test]
async fn p10_a_refresh_that_waited_while_the_account_was_disabled_brings_nothing_back() {
    let app = TestApp::start().await;
    let account = app.register("ada@example.com").await;
    let mut other = app.database.client().await;
    let holder = other.transaction().await.unwrap();
    holder.execute("select from sessions where user_id = $1 for update", &[&account.user_id()]).await.unwrap();

    let (caller, token) = (account.caller.clone(), account.refresh_token.clone());
    let refresh = tokio::spawn(async move { caller.refresh(&token).await });
    wait_until("the refresh waits", async || app.database.waiting_for_locks().await == 1).await;
    let store = app.store.clone();
    let disabling = tokio::spawn(async move { disable(&store, "ada@example.com").await });
    wait_until("the disabling waits too", async || app.database.waiting_for_locks().await == 2).await;
    holder.commit().await.unwrap();

    assert_eq!(disabling.await.unwrap(), Some(1));
    let answer = refresh.await.unwrap();
    assert_eq!(live_sessions(&app.database).await, 0);
    if answer.status == 200 {
        account.caller.refresh(answer.text("refresh_token")).await.assert_problem(401, "session_ended");
    }
}

#[tokio::test]
async fn p12_a_session_says_why_when_and_from_where_it_ended() {
    let app = TestApp::start().await;
    let mut replayed = app.register("ada@example.com").await;
    let oldest = replayed.refresh_token.clone();
    replayed.refresh().await;
    app.database.close_grace_windows().await;
    replayed.refresh().await;
    replayed.caller.refresh(&oldest).await;
    app.login("ada@example.com").await.logout().await;
    let all: Account = app.login("ada@example.com").await;
    all.logout_all(json!({})).await;

    let sql = "select ended_by, host(ended_ip_address), ended_at > created_at from sessions order by created_at";
    let rows = app.database.rows(sql).await;
    let endings: Vec<(&str, Option<&str>, bool)> =
        rows.iter().map(|row| (row.get(0), row.get(1), row.get(2))).collect();
    let here = Some("127.0.0.1");
    assert_eq!(endings, [("replayed", here, true), ("logout", here, true), ("logout_all", here, true)]);
}
