//! A forgotten password.

use serde_json::json;

use super::{ask_for_reset, reset, start, start_on};
use crate::support::{MailServer, PASSWORD, TestDatabase, Tls, disable, wait_until};

const NEW: &str = "a password that is new";

#[tokio::test]
async fn a_mailed_token_sets_a_new_password_and_ends_all_sessions() {
    let (app, server) = start().await;
    let mut laptop = app.register("ada@example.com").await;
    let mut other = app.register("bob@example.com").await;
    let caller = app.anonymous();
    ask_for_reset(&caller, "Ada@Example.com").await;
    let token = server.mail_about("ada@example.com", "Set a new password").await.token();

    assert_eq!(reset(&caller, &token, NEW).await.status, 204);

    caller.refresh(&laptop.refresh_token).await.assert_problem(401, "session_ended");
    caller.login("ada@example.com", PASSWORD).await.assert_problem(401, "invalid_credentials");
    assert_eq!(caller.login("ada@example.com", NEW).await.status, 200);
    other.refresh().await;
    let answer = caller.login("ada@example.com", NEW).await;
    answer.text("access_token").clone_into(&mut laptop.access_token);
    assert_eq!(laptop.me().await.body["email_verified"], true, "who reads its mail has shown to");
    let kinds = laptop.event_kinds().await;
    assert_eq!(kinds.iter().filter(|kind| *kind == "password_reset_requested").count(), 1, "{kinds:?}");
    assert!(kinds.contains(&"password_reset".to_owned()), "{kinds:?}");
    server.mail_about("ada@example.com", "Your password was changed").await;
}

#[tokio::test]
async fn a_token_that_is_not_good_is_refused_the_same_way_whatever_the_reason() {
    let (app, server) = start().await;
    let caller = app.anonymous();
    for email in ["ada@example.com", "bob@example.com", "eve@example.com", "old@example.com", "moved@example.com"] {
        app.register(email).await;
        ask_for_reset(&caller, email).await;
    }
    let token = async |email: &str| server.mail_about(email, "Set a new password").await.token();
    let used = token("ada@example.com").await;
    assert_eq!(reset(&caller, &used, NEW).await.status, 204);
    let bob = token("bob@example.com").await;
    let of_closed = token("eve@example.com").await;
    disable(&app.store, "eve@example.com").await;
    let expired = token("old@example.com").await;
    let sql = "update verifications set expires_at = now() where email = 'old@example.com'";
    app.database.execute(sql).await;
    let of_old_address = token("moved@example.com").await;
    app.database.execute("update users set email = 'new@example.com' where email = 'moved@example.com'").await;
    let of_another_purpose = server.mail_about("bob@example.com", "Please confirm your e-mail address").await.token();
    // Bob's secret with Ada's name on it: the first 16 bytes are 64 bits of each of the first 21 characters.
    let elses = format!("{}{}", &used[..21], &bob[21..]);

    let mut answers = Vec::new();
    for token in [&used, &of_closed, &expired, &of_old_address, &of_another_purpose, &elses, "garbage", &"A".repeat(64)]
    {
        let answer = reset(&caller, token, NEW).await;
        answer.assert_invalid(&[("token", "invalid_token")]);
        let mut body = answer.body.clone();
        body["request_id"] = json!(null);
        answers.push(body);
    }
    assert!(answers.windows(2).all(|pair| pair[0] == pair[1]), "{answers:?}");
    assert_eq!(reset(&caller, &bob, NEW).await.status, 204, "Bob's is still good");
}

#[tokio::test]
async fn a_weak_password_does_not_use_the_token_up() {
    let (app, server) = start().await;
    app.register("adalovelace@example.com").await;
    let caller = app.anonymous();
    ask_for_reset(&caller, "adalovelace@example.com").await;
    let token = server.mail_about("adalovelace@example.com", "Set a new password").await.token();
    reset(&caller, &token, "short").await.assert_invalid(&[("new_password", "too_short")]);
    reset(&caller, &token, "password1").await.assert_invalid(&[("new_password", "too_common")]);
    reset(&caller, &token, "adalovelace@example.com").await.assert_invalid(&[("new_password", "too_common")]);
    let nothing = caller.post("/api/auth/password-reset/confirm", json!({})).await;
    nothing.assert_invalid(&[("token", "required"), ("new_password", "required")]);
    assert_eq!(reset(&caller, &token, NEW).await.status, 204);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_who_use_a_token_at_once_one_wins() {
    let (app, server) = start().await;
    app.register("ada@example.com").await;
    let caller = app.anonymous();
    for round in 0..5 {
        ask_for_reset(&caller, "ada@example.com").await;
        let subject = |mail: &crate::support::Received| mail.header("Subject") == "Set a new password";
        let resets = || server.received().into_iter().filter(subject).collect::<Vec<_>>();
        crate::support::wait_until("the mail came", async || resets().len() > round).await;
        let token = resets()[round].token();
        let callers: Vec<_> = (0..8)
            .map(|n| {
                let (caller, token) = (caller.clone(), token.clone());
                tokio::spawn(
                    async move { reset(&caller, &token, &format!("password number {round} {n}")).await.status },
                )
            })
            .collect();
        let mut won = 0;
        for caller in callers {
            let status = caller.await.unwrap();
            assert!([204, 422].contains(&status.as_u16()), "{status}");
            won += usize::from(status == 204);
        }
        assert_eq!(won, 1);
    }
}

#[tokio::test]
async fn an_address_without_an_account_gets_the_same_answer_and_no_mail() {
    let (app, server) = start().await;
    app.register("ada@example.com").await;
    app.register("closed@example.com").await;
    disable(&app.store, "closed@example.com").await;
    let caller = app.anonymous();
    let mut answers = Vec::new();
    for email in ["nobody@example.com", "closed@example.com", "ada@example.com"] {
        let answer = caller.post("/api/auth/password-reset", json!({ "email": email })).await;
        let names: Vec<String> = answer.headers.keys().map(ToString::to_string).collect();
        answers.push((answer.status, answer.body, names));
    }
    assert_eq!(answers[0], answers[1]);
    assert_eq!(answers[0], answers[2]);
    server.mail_about("ada@example.com", "Set a new password").await;
    let done = async || app.database.number("select count(*) from mails").await == 0;
    crate::support::wait_until("the queue is empty", done).await;
    assert!(server.received().iter().all(|mail| mail.to != "nobody@example.com"), "{:?}", server.received());
    let to_closed = server.received().into_iter().filter(|mail| mail.to == "closed@example.com").count();
    assert!(to_closed <= 1, "none but the one at its registration");
    caller.post("/api/auth/password-reset", json!({})).await.assert_invalid(&[("email", "required")]);
    caller.post("/api/auth/password-reset", json!({"email": "x"})).await.assert_invalid(&[("email", "invalid_email")]);
}

#[tokio::test]
async fn a_request_for_a_mail_does_the_same_work_for_every_address() {
    let server = MailServer::start(Tls::None).await;
    let app = start_on(TestDatabase::counting().await, &server).await;
    app.register("ada@example.com").await;
    app.register("closed@example.com").await;
    disable(&app.store, "closed@example.com").await;
    wait_until("no mail is on its way", async || app.database.number("select count(*) from mails").await == 0).await;
    // Mails wait, so that nothing is counted of their sending: the account is looked up there.
    app.database
        .execute(
            "create function postpone() returns trigger language plpgsql as $$
             begin new.due_at = clock_timestamp() + interval '1 hour'; return new; end $$;
             create trigger postponed before insert on mails for each row execute function postpone()",
        )
        .await;
    // Without the statements by which the sender looks for mails.
    let work = "select queryid, calls, rows, query ilike 'insert into mails%' from pg_stat_statements
                where dbid = (select oid from pg_database where datname = current_database())
                  and query not ilike '%pg_stat_statements%' and query not ilike '%from mails%' order by queryid";
    let caller = app.anonymous();
    for path in ["/api/auth/password-reset", "/api/auth/email-verification"] {
        let mut found = Vec::new();
        for email in ["nobody@example.com", "ada@example.com", "closed@example.com", "nobody@example.com"] {
            app.database.statements().await;
            let answer = caller.post(path, json!({ "email": email })).await;
            assert_eq!(answer.status, 202, "{answer:?}");
            let rows = app.database.rows(work).await;
            let row = |row: &tokio_postgres::Row| -> (i64, i64, i64, bool) {
                (row.get(0), row.get(1), row.get(2), row.get(3))
            };
            found.push(rows.iter().map(row).collect::<Vec<_>>());
        }
        assert!(found[0].iter().any(|(.., is_mail)| *is_mail), "{found:?}");
        assert!(found.iter().all(|statements| *statements == found[0]), "{path}: {found:#?}");
    }
}

#[tokio::test]
async fn nobodys_mailbox_is_filled() {
    let (app, server) = start().await;
    app.register("ada@example.com").await;
    let caller = app.anonymous();
    for email in ["ada@example.com", "nobody@example.com"] {
        for _ in 0..5 {
            ask_for_reset(&caller, email).await;
        }
        let answer = caller.post("/api/auth/password-reset", json!({ "email": email })).await;
        answer.assert_problem(429, "rate_limited");
    }
    server.mails_to("ada@example.com", 6).await;
}

#[tokio::test]
async fn a_password_change_closes_the_way_by_mail() {
    let (app, server) = start().await;
    let account = app.register("ada@example.com").await;
    app.database.execute("update users set email_verified_at = now()").await;
    ask_for_reset(&app.anonymous(), "ada@example.com").await;
    let token = server.mail_about("ada@example.com", "Set a new password").await.token();
    let change = json!({"current_password": PASSWORD, "new_password": NEW});
    assert_eq!(account.call(reqwest::Method::POST, "/api/auth/password", change).await.status, 200);
    reset(&app.anonymous(), &token, "yet another password").await.assert_invalid(&[("token", "invalid_token")]);
    server.mail_about("ada@example.com", "Your password was changed").await;
}

#[tokio::test]
async fn what_has_expired_is_swept() {
    let (app, server) = start().await;
    app.register("ada@example.com").await;
    app.register("bob@example.com").await;
    server.mails_to("ada@example.com", 1).await;
    server.mails_to("bob@example.com", 1).await;
    let age = "update verifications set expires_at = now() - interval '1 second' where email = 'ada@example.com'";
    app.database.execute(age).await;
    crate::sweep::sweep_command(&app.database);
    assert_eq!(app.database.number("select count(*) from verifications").await, 1);
}
