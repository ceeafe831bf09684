//! The gateway's check and the list of revocations, as HTTP; tests/it/gateways.rs has a real gateway.

use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::support::{Account, Answer, PASSWORD, ServerProcess, TestApp, TestDatabase, disable, wait_until};

async fn check(app: &TestApp, access_token: &str) -> Answer {
    let request = app.anonymous().request(Method::GET, "/api/auth/check");
    app.anonymous().send(request.bearer_auth(access_token)).await
}

async fn revocations(app: &TestApp, token: &str, query: &str) -> Answer {
    let request = app.anonymous().request(Method::GET, &format!("/api/auth/revocations{query}"));
    app.anonymous().send(request.bearer_auth(token)).await
}

/// A token of a program that may read the list.
async fn reader(app: &TestApp) -> String {
    app.program("api", "revocations:read").await.token().await
}

#[tokio::test]
async fn a_good_token_is_waved_through_with_who_it_is() {
    let app = TestApp::start().await;
    let account = app.register("jürgen@bücher.example").await;
    let answer = check(&app, &account.access_token).await;
    assert_eq!(answer.status, 204, "{answer:?}");
    let me = account.me().await;
    assert_eq!(answer.header("x-auth-user-id"), me.text("id"));
    assert_eq!(answer.headers["x-auth-email"].as_bytes(), me.text("email").as_bytes());
    assert_eq!((answer.header("x-auth-role"), answer.header("x-auth-session-id")), ("user", &*account.session_id));
}

#[tokio::test]
async fn a_bad_token_is_stopped() {
    let app = TestApp::start().await;
    let account = app.register("ada@example.com").await;
    app.anonymous().get("/api/auth/check").await.assert_problem(401, "access_token_missing");
    check(&app, "x.y.z").await.assert_problem(401, "access_token_invalid");
    check(&app, &account.refresh_token).await.assert_problem(401, "access_token_invalid");
    let (front, signature) = account.access_token.rsplit_once('.').unwrap();
    let tampered = format!("{front}.{}", signature.chars().rev().collect::<String>());
    let answer = check(&app, &tampered).await;
    answer.assert_problem(401, "access_token_invalid");
    assert!(answer.header("x-auth-user-id").is_empty());
}

#[tokio::test]
async fn a_token_of_an_ended_session_is_stopped_within_seconds_and_others_are_not() {
    let app = TestApp::start().await;
    let phone = app.register("ada@example.com").await;
    let laptop = app.login("ada@example.com").await;
    assert_eq!(check(&app, &phone.access_token).await.status, 204);
    phone.logout().await;
    let started = Instant::now();
    wait_until("the check has heard", async || check(&app, &phone.access_token).await.status == 401).await;
    assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
    check(&app, &phone.access_token).await.assert_problem(401, "access_token_invalid");
    assert_eq!(check(&app, &laptop.access_token).await.status, 204);

    disable(&app.store, "ada@example.com").await;
    wait_until("the check has heard", async || check(&app, &laptop.access_token).await.status == 401).await;
}

#[tokio::test]
async fn the_first_check_knows_of_earlier_logouts() {
    let app = TestApp::start().await;
    let account = app.register("ada@example.com").await;
    account.logout().await;
    check(&app, &account.access_token).await.assert_problem(401, "access_token_invalid");
}

#[tokio::test]
async fn many_checks_ask_the_database_once_a_second_at_most() {
    let app = TestApp::on(TestDatabase::counting().await, &[]).await;
    let account = app.register("ada@example.com").await;
    app.database.statements().await;
    let started = Instant::now();
    for _ in 0..300 {
        assert_eq!(check(&app, &account.access_token).await.status, 204);
    }
    let most = 2 + started.elapsed().as_secs() as i64;
    let asked = app.database.statements().await;
    assert!((1..=most).contains(&asked), "{asked} statements");
}

#[tokio::test]
async fn checks_go_on_without_the_database() {
    let database = TestDatabase::migrated().await;
    let server = ServerProcess::ready(&database.url, &[]).await;
    let caller = server.anonymous();
    let account = caller.register("ada@example.com").await;
    let gone = Account::of(caller.clone(), "", &caller.login("ada@example.com", PASSWORD).await);
    gone.logout().await;
    let check =
        async |account: &Account| account.call(Method::GET, "/api/auth/check", Value::Null).await.status.as_u16();
    assert_eq!((check(&account).await, check(&gone).await), (204, 401));

    database.execute("alter table sessions rename to hidden").await;
    wait_until("it has asked in vain", async || {
        assert_eq!((check(&account).await, check(&gone).await), (204, 401));
        server.log().contains("revoked tokens were not heard of")
    })
    .await;
    assert_eq!((check(&account).await, check(&gone).await), (204, 401));
}

#[tokio::test]
async fn of_many_first_checks_at_once_none_goes_by_an_empty_list() {
    for _ in 0..5 {
        let app = TestApp::start().await;
        let account = app.register("ada@example.com").await;
        account.logout().await;
        let checks: Vec<_> = (0..20)
            .map(|_| {
                let request =
                    app.anonymous().request(Method::GET, "/api/auth/check").bearer_auth(&account.access_token);
                tokio::spawn(async move { request.send().await.unwrap().status().as_u16() })
            })
            .collect();
        for check in checks {
            assert_eq!(check.await.unwrap(), 401);
        }
    }
}

#[tokio::test]
async fn the_list_has_what_was_revoked_lately_and_only_for_programs_and_administrators() {
    let app = TestApp::start().await;
    let reader = reader(&app).await;
    let ada = app.register("ada@example.com").await;
    let bob = app.register("bob@example.com").await;
    ada.logout().await;
    disable(&app.store, "bob@example.com").await;
    let bob_id =
        app.database.rows("select id::text from users where email = 'bob@example.com'").await[0].get::<_, String>(0);

    let answer = revocations(&app, &reader, "").await;

    assert_eq!(answer.status, 200, "{answer:?}");
    let ids = |list: &str| -> Vec<String> {
        answer.body[list].as_array().unwrap().iter().map(|item| item["id"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(ids("sessions"), [ada.session_id.clone(), bob.session_id.clone()]);
    assert_eq!(ids("users"), [bob_id]);
    assert_eq!((&answer.body["more"], &answer.body["retention"]), (&json!(false), &json!(610)));

    app.register("root@example.com").await;
    app.database.execute("update users set role = 'admin' where email = 'root@example.com'").await;
    let root = app.login("root@example.com").await;
    assert_eq!(revocations(&app, &root.access_token, "").await.status, 200);
    let eve = app.register("eve@example.com").await;
    revocations(&app, &eve.access_token, "").await.assert_problem(403, "insufficient_scope");
    let other = app.program("other", "users:read").await.token().await;
    revocations(&app, &other, "").await.assert_problem(403, "insufficient_scope");
    app.anonymous().get("/api/auth/revocations").await.assert_problem(401, "access_token_missing");
}

#[tokio::test]
async fn whoever_goes_on_from_the_last_answer_misses_nothing() {
    let app = TestApp::start().await;
    let reader = reader(&app).await;
    let mut other = app.database.client().await;
    let slow = other.transaction().await.unwrap();
    let late = app.register("late@example.com").await;
    let early = app.register("early@example.com").await;
    slow.execute(
        "update sessions set ended_at = statement_timestamp(), ended_by = 'logout' where id = $1::text::uuid",
        &[&late.session_id],
    )
    .await
    .unwrap();
    early.logout().await;

    let first = revocations(&app, &reader, "").await;
    slow.commit().await.unwrap();
    let second = revocations(&app, &reader, &format!("?after={}", first.text("next"))).await;

    assert!(first.body["sessions"].to_string().contains(&early.session_id));
    assert!(!first.body["sessions"].to_string().contains(&late.session_id));
    assert!(second.body["sessions"].to_string().contains(&late.session_id), "{second:?}");
}

#[tokio::test]
async fn sessions_that_ended_at_the_same_moment_are_all_told() {
    let app = TestApp::start().await;
    app.register("ada@example.com").await;
    let reader = reader(&app).await;
    app.database
        .execute(
            "insert into sessions (user_id, id, secret_hash, rotated_at, created_at, expires_at, ended_at, ended_by)
             select id, gen_random_uuid(), sha256('x'), now(), now(), now() + interval '1 day', now(), 'revoked'
             from users, generate_series(1, 4500) n",
        )
        .await;
    let first = revocations(&app, &reader, "").await;
    let second = revocations(&app, &reader, &format!("?after={}", first.text("next"))).await;
    let third = revocations(&app, &reader, &format!("?after={}", second.text("next"))).await;
    let told = [&first, &second, &third].map(|part| part.body["sessions"].as_array().unwrap().len());
    assert_eq!((told, &third.body["more"]), ([2000, 2000, 500], &json!(false)));
}

#[tokio::test]
async fn a_long_list_comes_in_parts_and_has_nothing_that_is_over() {
    let app = TestApp::start().await;
    app.register("ada@example.com").await;
    let reader = reader(&app).await;
    app.database
        .execute(
            "insert into sessions (user_id, id, secret_hash, rotated_at, created_at, expires_at, ended_at, ended_by)
             select id, gen_random_uuid(), sha256('x'), now(), now(), now() + interval '1 day',
                    now() - interval '1 millisecond' * n * 100, 'logout'
             from users, generate_series(1, 7000) n",
        )
        .await;
    let (mut seen, mut query) = (std::collections::BTreeSet::new(), String::new());
    loop {
        let answer = revocations(&app, &reader, &query).await;
        let sessions = answer.body["sessions"].as_array().unwrap();
        assert!(sessions.len() <= 2000);
        seen.extend(sessions.iter().map(|session| session["id"].as_str().unwrap().to_owned()));
        if answer.body["more"] == false {
            break;
        }
        query = format!("?after={}", answer.text("next"));
    }
    // Those of the last 610 seconds, of 700.
    assert!((5900..=6100).contains(&seen.len()), "{}", seen.len());
    let a_minute_ago = time::OffsetDateTime::now_utc() - std::time::Duration::from_mins(1);
    let a_minute_ago = a_minute_ago.format(&time::format_description::well_known::Rfc3339).unwrap();
    let lately = revocations(&app, &reader, &format!("?after={a_minute_ago}")).await;
    let lately = lately.body["sessions"].as_array().unwrap().len();
    assert!((500..=620).contains(&lately), "{lately}");
    for after in ["yesterday", "9999-12-31T23:59:59-00:01", "1969-12-31T23:59:59Z", ""] {
        revocations(&app, &reader, &format!("?after={after}")).await.assert_invalid(&[("after", "invalid_place")]);
    }
}

/// Ends a session, or all of a user's, by a commit that comes a minute late.
async fn end_late(app: &TestApp, account: &Account, subject: &str) {
    let (session, user) = (&account.session_id, account.user_id());
    app.database
        .execute(&match subject {
            "session" => format!(
                "update sessions set ended_at = now() - interval '1 minute', ended_by = 'logout' where id = '{session}'"
            ),
            "disabled" => format!("update users set disabled_at = now() - interval '1 minute' where id = '{user}'"),
            _ => format!("insert into deleted_users values ('{user}', now() - interval '1 minute')"),
        })
        .await;
}

#[tokio::test]
async fn check_hears_of_revocations_whose_commits_come_late() {
    // Readers go on four seconds behind the clock then.
    let app = TestApp::start_with(&[("CLAVIGER__DATABASE__STATEMENT_TIMEOUT", "1s")]).await;
    let mut accounts = Vec::new();
    for email in ["session@example.com", "disabled@example.com", "deleted@example.com", "lives@example.com"] {
        accounts.push(app.register(email).await);
    }
    let status = async |account: &Account| check(&app, &account.access_token).await.status.as_u16();
    let statuses = async || [status(&accounts[0]).await, status(&accounts[1]).await, status(&accounts[2]).await];
    let mut other = app.database.client().await;
    let slow = other.transaction().await.unwrap();
    let [session, disabled, deleted] =
        [accounts[0].session_id.parse().unwrap(), accounts[1].user_id(), accounts[2].user_id()];
    for (sql, id) in [
        ("update sessions set ended_at = clock_timestamp(), ended_by = 'logout' where id = $1", session),
        ("update users set disabled_at = clock_timestamp() where id = $1", disabled),
        ("insert into deleted_users values ($1, clock_timestamp())", deleted),
    ] {
        slow.execute(sql, &[&id]).await.unwrap();
    }
    let ended = Instant::now();
    wait_until("readers are behind them", async || {
        assert_eq!(statuses().await, [204; 3]);
        ended.elapsed() > Duration::from_secs(7)
    })
    .await;
    slow.commit().await.unwrap();

    let visible = Instant::now();
    wait_until("the check has heard", async || statuses().await == [401; 3]).await;
    assert!(visible.elapsed() < Duration::from_secs(20), "{:?}", visible.elapsed());
    assert_eq!(status(&accounts[3]).await, 204);
}

#[tokio::test]
async fn reader_of_the_list_is_told_everything_again_every_half_minute() {
    let app = TestApp::start().await;
    let reader = reader(&app).await;
    let accounts =
        [app.register("a@example.com").await, app.register("b@example.com").await, app.register("c@example.com").await];
    let first = revocations(&app, &reader, "").await;
    assert_eq!(first.body["more"], false);
    for (account, subject) in accounts.iter().zip(["session", "disabled", "deleted"]) {
        end_late(&app, account, subject).await;
    }
    let told = |answer: &Answer| {
        let length = |list: &str| answer.body[list].as_array().unwrap().len();
        (length("sessions"), length("users"))
    };

    let next = first.text("next").to_owned();
    let (place, reread_at) = next.rsplit_once('.').unwrap();
    let reread_at: i64 = reread_at.parse().unwrap();
    let server_time = OffsetDateTime::parse(first.text("server_time"), &Rfc3339).unwrap();
    let ahead = reread_at - (server_time.unix_timestamp_nanos() / 1000) as i64;
    assert_eq!(ahead, 30_000_000, "half a minute");

    let early = revocations(&app, &reader, &format!("?after={next}")).await;
    assert_eq!(told(&early), (0, 0), "it goes on behind them");
    assert!(early.text("next").ends_with(&format!(".{reread_at}")), "it is not put off by asking: {early:?}");

    let due = reread_at - 30_000_000;
    let late = revocations(&app, &reader, &format!("?after={place}.{due}")).await;
    assert_eq!(told(&late), (1, 2));
    let (_, reread_again_at) = late.text("next").rsplit_once('.').unwrap();
    assert!(reread_again_at.parse::<i64>().unwrap() >= reread_at, "and not at once again");
    let then = revocations(&app, &reader, &format!("?after={}", late.text("next"))).await;
    assert_eq!(told(&then), (0, 0));

    // A clock that was wrong puts it off by no more than an hour.
    let far = reread_at + 2 * 3_600_000_000;
    assert_eq!(told(&revocations(&app, &reader, &format!("?after={place}.{far}")).await), (1, 2));
    // What an older server gave is understood.
    assert_eq!(told(&revocations(&app, &reader, &format!("?after={place}")).await), (0, 0));
    for odd in [".", ".x", ".-1", ".1.1", ".9223372036854775807"] {
        revocations(&app, &reader, &format!("?after={place}{odd}")).await.assert_invalid(&[("after", "invalid_place")]);
    }
}

#[tokio::test]
async fn long_list_that_is_told_again_comes_to_its_end() {
    let app = TestApp::start().await;
    app.register("ada@example.com").await;
    let reader = reader(&app).await;
    app.database
        .execute(
            "insert into sessions (user_id, id, secret_hash, rotated_at, created_at, expires_at, ended_at, ended_by)
             select id, gen_random_uuid(), sha256('x'), now(), now(), now() + interval '1 day',
                    now() - interval '1 minute' - interval '1 millisecond' * n, 'logout'
             from users, generate_series(1, 5000) n",
        )
        .await;
    let due = (OffsetDateTime::now_utc().unix_timestamp_nanos() / 1000) as i64 - 1_000_000;
    let mut after = format!("{due}.00000000000000000000000000000000.{due}");
    let mut told = Vec::new();
    for _ in 0..4 {
        let answer = revocations(&app, &reader, &format!("?after={after}")).await;
        told.push(answer.body["sessions"].as_array().unwrap().len());
        after = answer.text("next").to_owned();
    }
    assert_eq!(told, [2000, 2000, 1000, 0]);
    // The next time is half a minute after this one began, and later by a second for each part before the last.
    let (_, reread_at) = after.rsplit_once('.').unwrap();
    let ahead = reread_at.parse::<i64>().unwrap() - due;
    assert!((33_000_000..60_000_000).contains(&ahead), "{ahead}");
}
