//! Programs get tokens for their credentials, as RFC 6749 has it.

use claviger::auth::clients;
use claviger::domain::user::Line;
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{Answer, Program, TestApp, claims};

const GRANT: (&str, &str) = ("grant_type", "client_credentials");

async fn ask_with(app: &TestApp, authorization: Option<&str>, parameters: &[(&str, &str)]) -> Answer {
    let request = app.anonymous().request(Method::POST, "/api/auth/token").form(parameters);
    let request = match authorization {
        Some(value) => request.header("authorization", value),
        None => request,
    };
    app.anonymous().send(request).await
}

fn basic(id: &str, secret: &str) -> String {
    use base64::prelude::{BASE64_STANDARD, Engine as _};
    format!("Basic {}", BASE64_STANDARD.encode(format!("{id}:{secret}")))
}

/// Fails unless this is that error, as a problem of ours and in the words of RFC 6749 section 5.2.
#[track_caller]
fn assert_refused(answer: &Answer, status: u16, code: &str) {
    answer.assert_problem(status, code);
    assert_eq!((answer.text("error"), answer.text("error_description")), (code, answer.text("detail")));
    let printable = |b: u8| (b' '..=b'~').contains(&b) && b != b'"' && b != b'\\';
    assert!(answer.text("error_description").bytes().all(printable), "{answer:?}");
    let challenge = answer.header("www-authenticate");
    assert_eq!(status == 401, challenge == "Basic realm=\"claviger\", charset=\"UTF-8\"", "{answer:?}");
}

#[tokio::test]
async fn a_program_gets_a_short_token_for_its_credentials() {
    let app = TestApp::start().await;
    let program = app.program("reports", "users:read revocations:read").await;

    let answer = program.ask(&[GRANT]).await;

    assert_eq!(answer.status, 200, "{answer:?}");
    let names: Vec<&String> = answer.body.as_object().unwrap().keys().collect();
    assert_eq!(names, ["access_token", "expires_in", "scope", "token_type"]);
    assert_eq!((answer.text("token_type"), answer.text("scope")), ("Bearer", "users:read revocations:read"));
    assert_eq!(answer.body["expires_in"], 300);
    assert_eq!((answer.header("cache-control"), answer.header("pragma")), ("no-store", "no-cache"));
    let claims = claims(answer.text("access_token"));
    let names: Vec<&String> = claims.as_object().unwrap().keys().collect();
    assert_eq!(names, ["aud", "client_id", "exp", "iat", "iss", "jti", "scope", "sub", "type"]);
    assert_eq!((&claims["sub"], &claims["client_id"]), (&json!(program.id), &json!(program.id)));
    assert_eq!((&claims["type"], &claims["scope"]), (&json!("client"), &json!("users:read revocations:read")));
    assert_eq!(claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap(), 300);
    let events = app.database.rows("select kind, user_id::text from events").await;
    let events: Vec<(String, String)> = events.iter().map(|row| (row.get(0), row.get(1))).collect();
    assert_eq!(events, [("client_added".to_owned(), program.id.clone())]);
}

#[tokio::test]
async fn a_token_lives_no_longer_than_those_of_people_may() {
    let app = TestApp::start_with(&[("CLAVIGER__ACCESS_TOKEN__TTL", "2m")]).await;
    let answer = app.program("reports", "users:read").await.ask(&[GRANT]).await;
    assert_eq!(answer.body["expires_in"], 120);
}

#[tokio::test]
async fn credentials_come_in_a_header_a_form_or_json() {
    let app = TestApp::start().await;
    let Program { id, secret, .. } = app.program("reports", "users:read").await;
    let in_body = [GRANT, ("client_id", &*id), ("client_secret", &*secret)];
    assert_eq!(ask_with(&app, None, &in_body).await.status, 200);
    let as_json = json!({"grant_type": "client_credentials", "client_id": id, "client_secret": secret, "more": [1]});
    assert_eq!(app.anonymous().post("/api/auth/token", as_json).await.status, 200);
    // Some libraries name the client in the form besides, and say `basic` in their own way.
    let header = basic(&id, &secret);
    assert_eq!(ask_with(&app, Some(&header), &[GRANT, ("client_id", &id)]).await.status, 200);
    assert_eq!(ask_with(&app, Some(&header.replace("Basic", "bAsIc")), &[GRANT]).await.status, 200);
}

#[tokio::test]
async fn id_and_secret_in_the_header_are_decoded_as_in_a_form() {
    let app = TestApp::start().await;
    let Program { id, secret, .. } = app.program("reports", "users:read").await;
    let encoded = |text: &str| text.bytes().map(|b| format!("%{b:02X}")).collect::<String>();
    let answer = ask_with(&app, Some(&basic(&encoded(&id), &encoded(&secret))), &[GRANT]).await;
    assert_eq!(answer.status, 200, "{answer:?}");

    let with = |odd: &str| basic(&id, &format!("{odd}{}", &secret[1..]));
    for header in [
        with("+"),
        with("%2B"),
        with("%00"),
        with("%FF"),
        with("%"),
        with("%zz"),
        with("&"),
        with(":"),
        with("é"),
        basic("", ""),
        basic("a%3Ab", &secret),
        basic("*", &secret),
        "Basic".to_owned(),
        "Basic ".to_owned(),
        "Basic %%%".to_owned(),
        "Basic gICA".to_owned(),
        "Basic bm9jb2xvbg==".to_owned(),
        "Bearer x".to_owned(),
        "Bearer".to_owned(),
    ] {
        assert_refused(&ask_with(&app, Some(&header), &[GRANT]).await, 401, "invalid_client");
    }
}

#[tokio::test]
async fn wrong_and_unknown_credentials_get_the_same_answer() {
    let app = TestApp::start().await;
    let Program { id, secret, .. } = app.program("reports", "users:read").await;
    let other = app.program("other", "users:read").await;
    let last = if secret.ends_with('A') { "B" } else { "A" };
    let wrong_by_one = format!("{}{last}", &secret[..secret.len() - 1]);
    let mut answers = Vec::new();
    for (id, secret) in [
        (&*id, &*wrong_by_one),
        (&id, &other.secret),
        (&id, ""),
        (&id, "short"),
        ("00000000-0000-0000-0000-000000000000", &secret),
        ("019a0000-0000-7000-8000-000000000000", &secret),
        ("reports", &secret),
    ] {
        let answer = ask_with(&app, Some(&basic(id, secret)), &[GRANT]).await;
        assert_refused(&answer, 401, "invalid_client");
        let mut body = answer.body;
        body["request_id"] = Value::Null;
        answers.push(body);
    }
    assert!(answers.iter().all(|body| *body == answers[0]), "{answers:?}");
    assert_refused(&ask_with(&app, None, &[GRANT]).await, 401, "invalid_client");
    assert_refused(&ask_with(&app, None, &[GRANT, ("client_id", &id)]).await, 401, "invalid_client");
}

#[tokio::test]
async fn a_token_may_be_narrowed_and_not_widened() {
    let app = TestApp::start().await;
    let program = app.program("reports", "users:read revocations:read").await;
    let answer = program.ask(&[GRANT, ("scope", "revocations:read")]).await;
    assert_eq!(answer.text("scope"), "revocations:read");
    let narrow = answer.text("access_token").to_owned();
    assert_eq!(program.get("/api/auth/revocations", &narrow).await.status, 200);
    program.get("/api/users?email=ada@example.com", &narrow).await.assert_problem(403, "insufficient_scope");
    assert_eq!(program.ask(&[GRANT, ("scope", "")]).await.text("scope"), "users:read revocations:read");

    let modest = app.program("modest", "users:read").await;
    for scope in ["revocations:read", "users:read revocations:read", "users:write", " ", "*"] {
        assert_refused(&modest.ask(&[GRANT, ("scope", scope)]).await, 400, "invalid_scope");
    }
}

#[tokio::test]
async fn a_request_that_says_two_things_or_nothing_is_refused() {
    let app = TestApp::start().await;
    let program = app.program("reports", "users:read").await;
    let Program { id, secret, .. } = &program;
    for parameters in [
        vec![GRANT, ("client_id", id), ("client_secret", secret)],
        vec![GRANT, ("client_secret", secret)],
        vec![GRANT, ("client_id", "019a0000-0000-7000-8000-000000000000")],
        vec![GRANT, GRANT],
        vec![GRANT, ("scope", "users:read"), ("scope", "users:read")],
        vec![],
        vec![("grant_type", "")],
    ] {
        assert_refused(&program.ask(&parameters).await, 400, "invalid_request");
    }
    for grant in ["password", "authorization_code", "refresh_token", "CLIENT_CREDENTIALS"] {
        assert_refused(&program.ask(&[("grant_type", grant)]).await, 400, "unsupported_grant_type");
    }
    let raw = async |media_type: &str, body: &'static [u8]| {
        let request = app.anonymous().request(Method::POST, "/api/auth/token").basic_auth(id, Some(secret));
        app.anonymous().send(request.header("content-type", media_type).body(body)).await
    };
    let form = "application/x-www-form-urlencoded";
    assert_eq!(
        raw("application/x-www-form-urlencoded;charset=utf-8", b"grant_type=client_credentials").await.status,
        200
    );
    for (media_type, body) in [
        ("text/plain", &b"grant_type=client_credentials"[..]),
        ("application/json", b"grant_type=client_credentials"),
        ("application/json", b"{\"grant_type\": 7}"),
        ("application/json", b"[\"client_credentials\", null, null, null]"),
        ("application/json", b"{\"grant_type\": \"client_credentials\"} {}"),
        (form, b"\xff\xfe=1"),
        (form, b"{\"grant_type\": \"client_credentials\"}"),
        (form, b""),
    ] {
        assert_refused(&raw(media_type, body).await, 400, "invalid_request");
    }
    app.anonymous().get("/api/auth/token").await.assert_problem(405, "method_not_allowed");
    let twice = app.anonymous().request(Method::POST, "/api/auth/token").basic_auth(id, Some(secret));
    let twice = twice.header("authorization", basic(id, "another")).form(&[GRANT]);
    assert_refused(&app.anonymous().send(twice).await, 400, "invalid_request");
}

#[tokio::test]
async fn a_program_that_was_removed_is_refused_at_once() {
    let app = TestApp::start().await;
    let program = app.program("reports", "users:read revocations:read").await;
    let ada = app.register("ada@example.com").await.me().await.text("id").to_owned();
    let token = program.token().await;
    let user = format!("/api/users/{ada}");
    assert_eq!(program.get(&user, &token).await.status, 200);

    let name = Line::parse("reports", "name").unwrap().unwrap();
    assert!(clients::remove(&app.database.owner(), &name).await.unwrap().is_some());

    for path in [&*user, "/api/users?email=ada@example.com", "/api/auth/revocations"] {
        program.get(path, &token).await.assert_problem(401, "access_token_invalid");
    }
    assert_refused(&program.ask(&[GRANT]).await, 401, "invalid_client");
    assert!(clients::remove(&app.database.owner(), &name).await.unwrap().is_none());
    assert_eq!(app.database.number("select count(*) from events where kind = 'client_removed'").await, 1);
    assert!(app.program("reports", "users:read").await.id != program.id, "the name is free again");
}

#[tokio::test]
async fn a_program_is_never_taken_for_a_person() {
    let app = TestApp::start().await;
    let program = app.program("reports", "users:read revocations:read").await;
    let token = program.token().await;
    for (method, path) in [
        (Method::GET, "/api/auth/me"),
        (Method::PATCH, "/api/auth/me"),
        (Method::GET, "/api/auth/sessions"),
        (Method::GET, "/api/auth/events"),
        (Method::GET, "/api/auth/check"),
        (Method::POST, "/api/auth/logout-all"),
        (Method::POST, "/api/auth/password"),
    ] {
        let request = app.anonymous().request(method, path).bearer_auth(&token).json(&json!({}));
        app.anonymous().send(request).await.assert_problem(401, "access_token_invalid");
    }
}

#[tokio::test]
async fn the_last_use_is_noted_and_not_each() {
    let app = TestApp::start().await;
    let program = app.program("reports", "users:read").await;
    assert_eq!(app.database.number("select count(last_used_at) from clients").await, 0);
    let wrong = basic(&program.id, &"A".repeat(43));
    assert_eq!(ask_with(&app, Some(&wrong), &[GRANT]).await.status, 401);
    assert_eq!(app.database.number("select count(last_used_at) from clients").await, 0);
    program.token().await;
    let first = app.database.number("select xmin::text from clients where last_used_at is not null").await;
    program.token().await;
    assert_eq!(app.database.number("select xmin::text from clients").await, first, "nothing was written");
    app.database.execute("update clients set last_used_at = last_used_at - interval '61 seconds'").await;
    program.token().await;
    assert_eq!(
        app.database.number("select count(*) from clients where last_used_at > now() - interval '30 seconds'").await,
        1
    );
}

#[tokio::test]
async fn what_never_was_a_secret_is_not_asked_about_and_a_token_costs_one_statement() {
    let app = TestApp::on(crate::support::TestDatabase::counting().await, &[]).await;
    let program = app.program("reports", "users:read").await;
    app.database.statements().await;
    for (id, secret) in [("reports", &*program.secret), (&program.id, "guess"), (&program.id, &"é".repeat(43))] {
        assert_eq!(ask_with(&app, Some(&basic(id, secret)), &[GRANT]).await.status, 401);
    }
    assert_eq!(app.database.statements().await, 0);
    program.token().await;
    assert_eq!(app.database.statements().await, 1);
}
