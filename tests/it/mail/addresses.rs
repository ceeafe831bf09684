//! Addresses: verified, required, changed; and notices of what was done to an account.

use reqwest::Method;
use serde_json::json;

use super::{confirm, start, start_with};
use crate::support::{Account, MailServer, PASSWORD, TestApp, Tls, disable, wait_until};

#[tokio::test]
async fn registration_mails_a_token_that_verifies_the_address_once() {
    let (app, server) = start().await;
    let account = app.register("ada@example.com").await;
    assert_eq!(account.me().await.body["email_verified"], false);
    let token = server.mails_to("ada@example.com", 1).await[0].token();
    assert_eq!(confirm(&app.anonymous(), &token).await.status, 204);
    assert_eq!(account.me().await.body["email_verified"], true);
    assert_eq!(account.event_kinds().await[0], "email_verified");
    confirm(&app.anonymous(), &token).await.assert_invalid(&[("token", "invalid_token")]);
}

#[tokio::test]
async fn another_mail_can_be_asked_for_with_and_without_an_access_token() {
    let (app, server) = start().await;
    let account = app.register("ada@example.com").await;
    let own = account.call(Method::POST, "/api/auth/email-verification", json!(null)).await;
    assert_eq!(own.status, 202, "{own:?}");
    server.mails_to("ada@example.com", 2).await;
    for email in ["ada@example.com", "nobody@example.com"] {
        let answer = app.anonymous().post("/api/auth/email-verification", json!({ "email": email })).await;
        assert_eq!(answer.status, 202, "{answer:?}");
    }
    let token = server.mails_to("ada@example.com", 3).await[2].token();
    assert_eq!(confirm(&app.anonymous(), &token).await.status, 204);
    let again = account.call(Method::POST, "/api/auth/email-verification", json!(null)).await;
    assert_eq!(again.status, 202, "the same answer for an address that is verified");
    wait_until("it was thrown away", async || app.database.number("select count(*) from mails").await == 0).await;
    server.mails_to("ada@example.com", 3).await;
    let broken = app.anonymous().request(Method::POST, "/api/auth/email-verification").bearer_auth("x");
    app.anonymous().send(broken).await.assert_problem(401, "access_token_invalid");
    account.logout().await;
    let ended = account.call(Method::POST, "/api/auth/email-verification", json!(null)).await;
    ended.assert_problem(401, "access_token_invalid");
}

#[tokio::test]
async fn where_it_is_required_an_account_opens_once_its_address_is_verified() {
    let server = MailServer::start(Tls::None).await;
    let app = start_with(&server, &[("CLAVIGER__MAIL__REQUIRE_VERIFIED_EMAIL", "true")]).await;
    let caller = app.anonymous();
    let registered = caller.post("/api/auth/register", json!({"email": "ada@example.com", "password": PASSWORD})).await;
    assert_eq!(registered.status, 201);
    assert_eq!(registered.body["user"]["email"], "ada@example.com");
    assert_eq!(registered.body.as_object().unwrap().len(), 1, "no tokens: {registered:?}");
    let again = caller.post("/api/auth/register", json!({"email": "ada@example.com", "password": PASSWORD})).await;
    again.assert_problem(409, "email_taken");

    caller.login("ada@example.com", PASSWORD).await.assert_problem(403, "email_not_verified");
    caller.login("ada@example.com", "a wrong password").await.assert_problem(401, "invalid_credentials");
    let token = server.mails_to("ada@example.com", 1).await[0].token();
    assert_eq!(confirm(&caller, &token).await.status, 204);
    let mut account = app.login("ada@example.com").await;
    let kinds = account.event_kinds().await;
    assert_eq!(kinds, ["logged_in", "email_verified", "login_failed", "login_failed", "registered"]);

    app.database.execute("update users set email_verified_at = null").await;
    account.refresh().await;
}

async fn ask_for_change(account: &Account, password: &str, new_email: &str) -> crate::support::Answer {
    account.call(Method::POST, "/api/auth/email", json!({"password": password, "new_email": new_email})).await
}

#[tokio::test]
async fn an_address_changes_when_the_new_one_answers_and_the_old_one_is_told() {
    let (app, server) = start().await;
    let mut account = app.register("ada@example.com").await;
    app.database.execute("update users set email_verified_at = now()").await;
    super::ask_for_reset(&app.anonymous(), "ada@example.com").await;
    let reset = server.mail_about("ada@example.com", "Set a new password").await.token();
    assert_eq!(ask_for_change(&account, PASSWORD, "Lovelace@example.org").await.status, 202);
    let mail = server.mail_about("lovelace@example.org", "Please confirm your new e-mail address").await;
    assert_eq!(account.me().await.body["email"], "ada@example.com", "not before it is confirmed");

    assert_eq!(confirm(&app.anonymous(), &mail.token()).await.status, 204);

    let me = account.me().await.body;
    assert_eq!((me["email"].as_str(), me["email_verified"].as_bool()), (Some("lovelace@example.org"), Some(true)));
    account.refresh().await;
    let notice = server.mail_about("ada@example.com", "Your e-mail address was changed").await;
    assert!(notice.text.contains("lovelace@example.org"), "{}", notice.text);
    assert_eq!(account.event_kinds().await[..2], ["email_changed", "email_change_requested"].map(str::to_owned));
    confirm(&app.anonymous(), &mail.token()).await.assert_invalid(&[("token", "invalid_token")]);
    let by_old = super::reset(&app.anonymous(), &reset, "another good password").await;
    by_old.assert_invalid(&[("token", "invalid_token")]);
    app.login("lovelace@example.org").await;
}

#[tokio::test]
async fn a_change_of_address_takes_the_password_and_says_nothing_of_others() {
    let (app, server) = start().await;
    let account = app.register("ada@example.com").await;
    app.register("bob@example.com").await;
    ask_for_change(&account, "a wrong password", "new@example.com").await.assert_problem(401, "invalid_credentials");
    assert_eq!(account.event_kinds().await[0], "email_change_failed");
    let bad = ask_for_change(&account, PASSWORD, "x").await;
    bad.assert_invalid(&[("new_email", "invalid_email")]);

    assert_eq!(ask_for_change(&account, PASSWORD, "bob@example.com").await.status, 202, "as for a free one");
    let mail = server.mail_about("bob@example.com", "Please confirm your new e-mail address").await;
    confirm(&app.anonymous(), &mail.token()).await.assert_problem(409, "email_taken");
    assert_eq!(account.me().await.body["email"], "ada@example.com");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_who_confirm_one_address_at_once_one_gets_it() {
    let (app, server) = start().await;
    let mut tokens = Vec::new();
    for (number, email) in ["ada@example.com", "bob@example.com"].into_iter().enumerate() {
        let account = app.register(email).await;
        assert_eq!(ask_for_change(&account, PASSWORD, "new@example.com").await.status, 202);
        tokens.push(server.mails_to("new@example.com", number + 1).await[number].token());
    }
    let (one, other) = (app.anonymous(), app.anonymous());
    let (one, other) = tokio::join!(confirm(&one, &tokens[0]), confirm(&other, &tokens[1]));
    let mut statuses = [one.status.as_u16(), other.status.as_u16()];
    statuses.sort_unstable();
    assert_eq!(statuses, [204, 409]);
}

async fn replay(app: &TestApp, account: &Account) {
    assert_eq!(account.caller.refresh(&account.refresh_token).await.status, 200);
    app.database.execute("update sessions set rotated_at = rotated_at - interval '31 seconds'").await;
    let replayed = account.caller.refresh(&account.refresh_token).await;
    replayed.assert_problem(401, "refresh_token_replayed");
}

#[tokio::test]
async fn a_replay_is_told_to_the_owner() {
    let (app, server) = start().await;
    app.register("ada@example.com").await;
    app.database.execute("update users set email_verified_at = now()").await;
    let login = json!({"email": "ada@example.com", "password": PASSWORD, "label": "Ada's phone"});
    let answer = app.anonymous().post("/api/auth/login", login).await;
    replay(&app, &Account::of(app.anonymous(), "ada@example.com", &answer)).await;
    let mail = server.mail_about("ada@example.com", "A device was signed out").await;
    assert!(mail.text.contains("Ada's phone") && mail.text.contains("127.0.0.1"), "{}", mail.text);
}

#[tokio::test]
async fn a_change_of_address_that_somebody_asked_for_ends_with_the_password_they_knew() {
    const NEW: &str = "a password that is new";
    let (app, server) = start().await;
    for (way, email) in
        ["reset", "change", "closed"].into_iter().zip(["ada@example.com", "bob@example.com", "eve@example.com"])
    {
        let owner = app.register(email).await;
        let intruder = app.login(email).await;
        let theirs = format!("{way}@example.org");
        assert_eq!(ask_for_change(&intruder, PASSWORD, &theirs).await.status, 202);
        let token = server.mail_about(&theirs, "Please confirm your new e-mail address").await.token();
        // And one that waits for its mail.
        let waits = "insert into mails (id, kind, recipient, user_id, due_at)
                     select gen_random_uuid(), 'change_email', 'later@example.org', id, now() + interval '1 day' from users where email = ";
        app.database.execute(&format!("{waits} '{email}'")).await;

        match way {
            "reset" => {
                super::ask_for_reset(&app.anonymous(), email).await;
                let reset = server.mail_about(email, "Set a new password").await.token();
                assert_eq!(super::reset(&app.anonymous(), &reset, NEW).await.status, 204);
            }
            "change" => {
                let change = json!({"current_password": PASSWORD, "new_password": NEW});
                assert_eq!(owner.call(Method::POST, "/api/auth/password", change).await.status, 200);
            }
            _ => {
                disable(&app.store, email).await;
                app.database.execute("update users set disabled_at = null").await;
            }
        }

        confirm(&app.anonymous(), &token).await.assert_invalid(&[("token", "invalid_token")]);
        let waiting = app.database.number("select count(*) from mails where kind = 'change_email'").await;
        assert_eq!(waiting, 0, "{way}");
    }
}

#[tokio::test]
async fn the_owner_of_a_deleted_account_is_told() {
    let (app, server) = start().await;
    let account = app.register("ada@example.com").await;
    app.database.execute("update users set email_verified_at = now()").await;
    let deleted = account.call(Method::DELETE, "/api/auth/me", json!({ "password": PASSWORD })).await;
    assert_eq!(deleted.status, 204, "{deleted:?}");
    server.mail_about("ada@example.com", "Your account was deleted").await;
}

#[tokio::test]
async fn an_address_that_is_not_known_to_be_its_owners_is_told_nothing_and_nobody_too_much() {
    let (app, server) = start().await;
    let stranger = app.register("victim@example.com").await;
    let owner = app.register("ada@example.com").await;
    let verified = "update users set email_verified_at = now() where email = 'ada@example.com'";
    let events = "insert into events (user_id, kind, outcome)
                  select id, 'password_changed', 'success' from users, generate_series(1, 21) where email = 'ada@example.com'";
    app.database.execute(&format!("{verified}; {events}")).await;
    for account in [&stranger, &owner] {
        let change = json!({"current_password": PASSWORD, "new_password": "a password that is new"});
        assert_eq!(account.call(Method::POST, "/api/auth/password", change).await.status, 200);
        replay(&app, account).await;
    }
    let again = json!({"email": "victim@example.com", "password": "a password that is new"});
    let answer = app.anonymous().post("/api/auth/login", again).await;
    let stranger = Account::of(app.anonymous(), "victim@example.com", &answer);
    let body = json!({"password": "a password that is new"});
    assert_eq!(stranger.call(Method::DELETE, "/api/auth/me", body).await.status, 204);

    wait_until("all is sent", async || app.database.number("select count(*) from mails").await == 0).await;
    let subjects: Vec<String> = server.received().iter().map(|mail| mail.header("Subject").to_owned()).collect();
    assert!(subjects.iter().all(|subject| subject == "Please confirm your e-mail address"), "{subjects:?}");
}
