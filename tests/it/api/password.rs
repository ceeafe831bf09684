use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{Account, Answer, PASSWORD, TestApp, wait_until};

const NEW: &str = "a quite different password";
/// So that several wait for a lock at the same moment, also on a busy machine.
const PATIENT: [(&str, &str); 1] = [("CLAVIGER__DATABASE__STATEMENT_TIMEOUT", "30s")];

async fn change(account: &Account, body: Value) -> Answer {
    account.call(Method::POST, "/api/auth/password", body).await
}

fn to_new() -> Value {
    json!({"current_password": PASSWORD, "new_password": NEW})
}

#[tokio::test]
async fn a_changed_password_opens_and_the_old_one_does_not() {
    let app = TestApp::start().await;
    let account = app.register("ada@example.com").await;
    assert_eq!(change(&account, to_new()).await.body, json!({"ended": 0}));
    app.anonymous().login("ada@example.com", PASSWORD).await.assert_problem(401, "invalid_credentials");
    assert_eq!(app.anonymous().login("ada@example.com", NEW).await.status, 200);
}

#[tokio::test]
async fn a_password_change_ends_the_other_sessions_and_keeps_its_own() {
    let app = TestApp::start().await;
    let mut bystander = app.register("bob@example.com").await;
    let phone = app.register("ada@example.com").await;
    let mut laptop = app.login("ada@example.com").await;

    let answer = change(&laptop, to_new()).await;

    assert_eq!((answer.status.as_u16(), &answer.body), (200, &json!({"ended": 1})));
    let refused = phone.caller.refresh(&phone.refresh_token).await;
    refused.assert_problem(401, "session_ended");
    assert_eq!(refused.body["ended_by"], "password_changed");
    laptop.refresh().await;
    bystander.refresh().await;
}

#[tokio::test]
async fn other_sessions_go_on_if_that_is_asked_for() {
    let app = TestApp::start().await;
    let mut phone = app.register("ada@example.com").await;
    let mut laptop = app.login("ada@example.com").await;
    let mut body = to_new();
    body["keep_other_sessions"] = json!(true);
    assert_eq!(change(&laptop, body).await.body, json!({"ended": 0}));
    phone.refresh().await;
    laptop.refresh().await;
}

#[tokio::test]
async fn without_the_current_password_nothing_changes() {
    let app = TestApp::start().await;
    let mut phone = app.register("ada@example.com").await;
    let laptop = app.login("ada@example.com").await;
    let wrong = json!({"current_password": "wrong password", "new_password": NEW});
    change(&laptop, wrong).await.assert_problem(401, "invalid_credentials");
    phone.refresh().await;
    assert_eq!(app.anonymous().login("ada@example.com", PASSWORD).await.status, 200);
    assert!(phone.event_kinds().await.contains(&"password_change_failed".to_owned()));
    app.anonymous().post("/api/auth/password", to_new()).await.assert_problem(401, "access_token_missing");
}

#[tokio::test]
async fn every_broken_rule_of_a_password_change_is_told_at_once() {
    let app = TestApp::start().await;
    let account = app.register("ada@example.com").await;
    change(&account, json!({})).await.assert_invalid(&[("current_password", "required"), ("new_password", "required")]);
    let short = json!({"current_password": PASSWORD, "new_password": "short"});
    change(&account, short).await.assert_invalid(&[("new_password", "too_short")]);
}

/// Changes the password to each of these at the same moment, all with the right current one; gives the answers.
async fn change_at_once<const N: usize>(
    app: &TestApp,
    account: &Account,
    new: [&'static str; N],
) -> Vec<(&'static str, Answer)> {
    let mut other = app.database.client().await;
    let holder = other.transaction().await.unwrap();
    holder.execute("select from users where id = $1 for update", &[&account.user_id()]).await.unwrap();
    let changes: Vec<_> = new
        .map(|new| {
            let (caller, token) = (account.caller.clone(), account.access_token.clone());
            tokio::spawn(async move {
                let request = caller.request(Method::POST, "/api/auth/password").bearer_auth(token);
                let body = json!({"current_password": PASSWORD, "new_password": new});
                (new, caller.send(request.json(&body)).await)
            })
        })
        .into_iter()
        .collect();
    wait_until("all have verified it", async || app.database.waiting_for_locks().await == N as i64).await;
    holder.commit().await.unwrap();
    let mut answers = Vec::new();
    for change in changes {
        answers.push(change.await.unwrap());
    }
    answers
}

#[tokio::test]
async fn of_several_changes_at_once_one_wins_and_none_has_given_a_wrong_password() {
    let app = TestApp::start_with(&PATIENT).await;
    let account = app.register("ada@example.com").await;
    let new = ["first new password", "second new password", "third new password", "fourth new password"];

    let answers = change_at_once(&app, &account, new).await;

    let mut won = 0;
    for (new, answer) in answers {
        let opens = app.anonymous().login("ada@example.com", new).await.status == 200;
        if answer.status == 200 {
            won += 1;
        } else {
            answer.assert_problem(409, "password_changed_meanwhile");
        }
        assert_eq!(opens, answer.status == 200, "{new}");
    }
    assert_eq!(won, 1);
    let kinds = account.event_kinds().await;
    assert!(!kinds.contains(&"password_change_failed".to_owned()), "{kinds:?}");
}

#[tokio::test]
async fn the_same_change_asked_for_several_times_at_once_is_done_once_and_succeeds_each_time() {
    let app = TestApp::start_with(&PATIENT).await;
    let account = app.register("ada@example.com").await;
    app.login("ada@example.com").await;

    let answers = change_at_once(&app, &account, [NEW; 4]).await;

    let mut ended = Vec::new();
    for (_, answer) in answers {
        assert_eq!(answer.status, 200, "{answer:?}");
        ended.push(answer.body["ended"].as_i64().unwrap());
    }
    assert_eq!(ended.iter().sum::<i64>(), 1, "{ended:?}");
    let changes = account.event_kinds().await.iter().filter(|kind| kind.starts_with("password_change")).count();
    assert_eq!(changes, 1);
    assert_eq!(app.anonymous().login("ada@example.com", NEW).await.status, 200);
}

#[tokio::test]
async fn a_session_that_ends_while_the_passwords_are_hashed_changes_nothing() {
    let app = TestApp::start().await;
    let thief = app.register("ada@example.com").await;
    let mut owner = app.login("ada@example.com").await;
    // Holds the user's row as a logout everywhere does.
    let mut other = app.database.client().await;
    let holder = other.transaction().await.unwrap();
    holder.execute("select from users where id = $1 for no key update", &[&owner.user_id()]).await.unwrap();
    let (caller, token) = (thief.caller.clone(), thief.access_token.clone());
    let changing = tokio::spawn(async move {
        caller.send(caller.request(Method::POST, "/api/auth/password").bearer_auth(token).json(&to_new())).await
    });
    wait_until("the change waits to write", async || app.database.waiting_for_locks().await == 1).await;
    let end = "update sessions set ended_at = now(), ended_by = 'logout_all' where id = $1::text::uuid";
    holder.execute(end, &[&thief.session_id]).await.unwrap();
    holder.commit().await.unwrap();

    changing.await.unwrap().assert_problem(401, "access_token_invalid");
    owner.refresh().await;
    assert_eq!(app.anonymous().login("ada@example.com", PASSWORD).await.status, 200);
}
