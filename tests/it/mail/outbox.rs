//! The queue: nothing is lost and nothing sent twice, whatever mail servers, processes and databases do.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::json;

use super::{ask_for_reset, settings, start};
use crate::support::{Anonymous, MailServer, Mood, ServerProcess, TestDatabase, Tls, wait_until};

async fn process(database: &TestDatabase, server: &MailServer) -> ServerProcess {
    let settings = settings(server);
    let mut settings: Vec<(&str, &str)> = settings.iter().map(|(name, value)| (*name, value.as_str())).collect();
    settings.push(("CLAVIGER__THROTTLE__ENABLED", "false"));
    ServerProcess::ready(&database.url, &settings).await
}

async fn waiting(database: &TestDatabase) -> i64 {
    database.number("select count(*) from mails").await
}

/// Accounts that no mail waits for.
async fn add_accounts(database: &TestDatabase, number: usize) {
    let sql = format!(
        "with made as (
           insert into users (id, email, password_hash, email_verified_at)
           select gen_random_uuid(), 'user' || n || '@example.com', 'x', now() from generate_series(1, {number}) n
           returning email, id
         )
         insert into addresses (email, user_id) select email, id from made"
    );
    database.execute(&sql).await;
}

/// How many mails came to each address.
fn counted(server: &MailServer) -> BTreeMap<String, usize> {
    let mut counted = BTreeMap::new();
    for mail in server.received() {
        *counted.entry(mail.to).or_default() += 1;
    }
    counted
}

/// As if the pauses before that attempt were over. Claims, which are longer, stay.
async fn pass_the_time(database: &TestDatabase, attempt: i64) {
    let sql = "update mails set due_at = now() where due_at between now() and now() + interval '100 seconds'";
    database.execute(&format!("{sql} and attempts < {attempt}")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_resets_while_the_server_is_away_are_a_hundred_mails() {
    /// What a minute brings, as pauses double from a second on.
    const ATTEMPTS: i64 = 6;
    let (database, server) = (TestDatabase::migrated().await, MailServer::start(Tls::None).await);
    add_accounts(&database, 100).await;
    let processes = [process(&database, &server).await, process(&database, &server).await];
    server.be(Mood::Away);

    let mut slowest = Duration::ZERO;
    for number in 1..=100 {
        let started = Instant::now();
        ask_for_reset(&processes[number % 2].anonymous(), &format!("user{number}@example.com")).await;
        slowest = slowest.max(started.elapsed());
    }
    assert!(slowest < Duration::from_secs(2), "requests do not wait for mail: {slowest:?}");
    wait_until("all were tried as often as in a minute", async || {
        pass_the_time(&database, ATTEMPTS).await;
        database.number(&format!("select count(*) from mails where attempts < {ATTEMPTS}")).await == 0
    })
    .await;
    assert_eq!((waiting(&database).await, server.received().len()), (100, 0));
    server.be(Mood::Willing);
    wait_until("all were sent", async || {
        pass_the_time(&database, ATTEMPTS + 1).await;
        waiting(&database).await == 0
    })
    .await;

    let counted = counted(&server);
    assert_eq!(counted.len(), 100);
    assert!(counted.values().all(|times| *times == 1), "{counted:?}");
    assert_eq!(database.number("select count(*) from verifications").await, 100, "no token was made in vain");
    assert_eq!(database.number("select count(*) from events where kind = 'password_reset_requested'").await, 100);
}

#[tokio::test]
async fn what_a_killed_process_had_claimed_others_send() {
    let (database, server) = (TestDatabase::migrated().await, MailServer::start(Tls::None).await);
    add_accounts(&database, 3).await;
    let killed = process(&database, &server).await;
    server.be(Mood::Silent);
    for number in 1..=3 {
        ask_for_reset(&killed.anonymous(), &format!("user{number}@example.com")).await;
    }
    wait_until("they are claimed", async || {
        database.number("select count(*) from mails where attempts = 1 and due_at > now() + interval '1 minute'").await
            == 3
    })
    .await;
    killed.signal(Signal::KILL);
    drop(killed);
    server.be(Mood::Willing);
    let _other = process(&database, &server).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(server.received().len(), 0, "a claim holds");

    database.execute("update mails set due_at = now()").await;
    database
        .execute("insert into mails (id, kind, recipient) values (gen_random_uuid(), 'reset_password', 'x@y.example')")
        .await;
    wait_until("they were sent", async || waiting(&database).await == 0).await;
    assert_eq!(counted(&server).values().copied().collect::<Vec<_>>(), [1, 1, 1]);
}

#[tokio::test]
async fn a_mail_whose_answer_was_lost_comes_again_with_the_same_id() {
    let (app, server) = start().await;
    server.be(Mood::Forgetful);
    app.register("ada@example.com").await;
    wait_until("it came", async || !server.received().is_empty()).await;
    server.be(Mood::Willing);
    wait_until("it was sent", async || waiting(&app.database).await == 0).await;
    let mails = server.received();
    assert!(mails.len() >= 2);
    assert!(mails.iter().all(|mail| mail.header("Message-ID") == mails[0].header("Message-ID")), "{mails:?}");
    for mail in mails.iter().rev().take(1).chain(&mails) {
        // Whichever of them a mail program keeps is good, until one was used.
        let status = super::confirm(&app.anonymous(), &mail.token()).await.status;
        assert!([204, 422].contains(&status.as_u16()));
    }
}

#[tokio::test]
async fn what_is_refused_for_now_is_tried_again_ever_later_and_given_up_after_a_day() {
    let (app, server) = start().await;
    app.register("later@example.com").await;
    let attempts = async || app.database.number("select coalesce(max(attempts), 0) from mails").await;
    wait_until("it was tried", async || attempts().await >= 1).await;
    wait_until("it was tried again", async || attempts().await >= 2).await;
    let pause = "select 1000 * extract(epoch from due_at - now()) from mails where attempts = 10 and due_at < now() + interval '10 minutes'";
    wait_until("it is put off for long", async || {
        // More than once: an attempt that is under way puts it off by what it had counted.
        app.database.execute("update mails set attempts = 9, due_at = now() where attempts < 10").await;
        app.database.number(&format!("select coalesce(({pause}), 0)")).await > 200_000
    })
    .await;
    let pause = app.database.number(pause).await;
    assert!(pause < 380_000, "at most five minutes and a quarter: {pause}");

    app.database.execute("update mails set created_at = now() - interval '25 hours', due_at = now()").await;
    app.register("bob@example.com").await;
    wait_until("it is given up", async || waiting(&app.database).await == 0).await;
    assert_eq!(server.mails_to("later@example.com", 0).await.len(), 0);
    server.mails_to("bob@example.com", 1).await;
}

#[tokio::test]
async fn what_is_refused_for_good_is_given_up_at_once_and_keeps_nobody_waiting() {
    let (app, server) = start().await;
    app.register("never@example.com").await;
    app.register("ada@example.com").await;
    server.mails_to("ada@example.com", 1).await;
    wait_until("it is given up", async || waiting(&app.database).await == 0).await;
    assert_eq!(server.mails_to("never@example.com", 0).await.len(), 0);
}

#[tokio::test]
async fn connections_are_used_again() {
    let (app, server) = start().await;
    for number in 0..10 {
        let email = format!("user{number}@example.com");
        app.register(&email).await;
        server.mails_to(&email, 1).await;
    }
    assert!(server.connections() <= 4, "{} connections for ten mails", server.connections());
}

#[tokio::test]
async fn a_connection_that_was_cut_meanwhile_costs_no_mail() {
    let (app, server) = start().await;
    app.register("ada@example.com").await;
    server.mails_to("ada@example.com", 1).await;
    server.be(Mood::Away);
    server.be(Mood::Willing);
    app.register("bob@example.com").await;
    server.mails_to("bob@example.com", 1).await;
}

#[tokio::test]
async fn a_process_that_stops_lets_mails_in_flight_finish() {
    let (database, server) = (TestDatabase::migrated().await, MailServer::start(Tls::None).await);
    let mut ending = process(&database, &server).await;
    let caller: Anonymous = ending.anonymous();
    for number in 0..20 {
        let account = json!({"email": format!("user{number}@example.com"), "password": crate::support::PASSWORD});
        assert_eq!(caller.post("/api/auth/register", account).await.status, 201);
    }
    ending.signal(Signal::TERM);
    assert_eq!(ending.exit_code().await, Some(0));
    let sent = i64::try_from(server.received().len()).unwrap();
    assert_eq!(sent + waiting(&database).await, 20, "each is sent or waits, and none is both");
    assert_eq!(database.number("select count(*) from mails where attempts > 0").await, 0, "none was left half-way");
}

#[tokio::test]
async fn the_queue_holds_no_secret() {
    let (app, server) = start().await;
    server.be(Mood::Away);
    app.register("ada@example.com").await;
    ask_for_reset(&app.anonymous(), "ada@example.com").await;
    wait_until("they were tried", async || {
        app.database.number("select count(*) from mails where attempts > 0").await == 2
    })
    .await;
    assert_eq!(app.database.number("select count(*) from verifications").await, 0, "no token before its mail leaves");
    server.be(Mood::Willing);
    let token = server.mail_about("ada@example.com", "Set a new password").await.token();
    let rows = app.database.rows("select row_to_json(v)::text from verifications v").await;
    assert!(rows.iter().all(|row| !row.get::<_, String>(0).contains(&token[21..])));
}
