//! What callers are told.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use actix_web::test::{TestRequest, call_service, init_service, read_body_json};
use actix_web::{App, Error};
use jsonwebtoken::{EncodingKey, Header};
use serde_json::Value;
use uuid::Uuid;

use super::*;
use crate::{Policy, Revocations, Secrets, Verifier};

const SECRET: &str = "q7Zr0J4m8VtX2cLwN9sKfB5yHdP1gUeA6TiRoWk3";
const ENDED: Uuid = Uuid::from_u128(9);

/// A token of a session, with a role, that ends in so many seconds.
fn token(session: Uuid, role: &str, ends_in: i64) -> String {
    let now = i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()).unwrap();
    let claims = json!({
        "iss": "claviger", "aud": "claviger", "sub": Uuid::from_u128(1), "sid": session, "jti": session, "iat": now,
        "exp": now + ends_in, "auth_time": now, "email": "ada@example.com", "role": role, "type": "access",
    });
    jsonwebtoken::encode(&Header::default(), &claims, &EncodingKey::from_secret(SECRET.as_bytes())).unwrap()
}

fn good() -> String {
    token(Uuid::from_u128(2), "user", 600)
}

fn verifier() -> Verifier {
    Verifier::new(&Policy::new(Secrets::parse(SECRET).unwrap())).unwrap()
}

/// One that knows of an ended session.
fn gate() -> Gate {
    let revocations = Revocations::new();
    let list = json!({
        "sessions": [{"id": ENDED, "revoked_at": "2026-01-31T12:00:00Z"}], "users": [], "next": "", "more": false,
        "retention": 610, "server_time": "2026-01-31T12:00:00Z",
    });
    revocations.learn(&serde_json::from_value(list).unwrap(), Instant::now());
    Gate::new(verifier(), revocations)
}

async fn required(user: User) -> String {
    user.email.clone()
}

async fn optional(user: MaybeUser) -> String {
    user.0.map_or_else(|| "nobody".to_owned(), |claims| claims.email)
}

async fn administrators(user: User) -> Result<String, Error> {
    user.require(Role::Admin)?;
    Ok("welcome".to_owned())
}

/// Status, `WWW-Authenticate` and the body's `code` of an answer; for a good one its text in place of the code.
async fn ask(gate: Option<Gate>, path: &str, headers: &[&str]) -> (u16, String, String) {
    let app = App::new().route("/required", web::get().to(required)).route("/optional", web::get().to(optional));
    let app = app.route("/administrators", web::get().to(administrators));
    let app = if let Some(gate) = gate { app.app_data(web::Data::new(gate)) } else { app };
    let service = init_service(app).await;
    let request = TestRequest::get().uri(path);
    let request = headers.iter().fold(request, |request, value| request.append_header((AUTHORIZATION, *value)));
    let answer = call_service(&service, request.to_request()).await;
    let status = answer.status().as_u16();
    let header = |name: &str| answer.headers().get(name).map_or("", |value| value.to_str().unwrap()).to_owned();
    let challenge = header("www-authenticate");
    if status == 200 {
        let text = actix_web::test::read_body(answer).await;
        return (status, challenge, String::from_utf8(text.to_vec()).unwrap());
    }
    assert_eq!(
        (header("content-type"), header("cache-control")),
        ("application/problem+json".into(), "no-store".into())
    );
    assert_eq!(header("retry-after"), if status == 503 { "1" } else { "" });
    let body: Value = read_body_json(answer).await;
    assert_eq!(body["status"], status);
    (status, challenge, body["code"].as_str().unwrap().to_owned())
}

#[actix_web::test]
async fn every_refusal_has_its_status_its_code_and_its_challenge() {
    let good = good();
    for (headers, status, code, challenge) in [
        (vec![format!("Bearer {good}")], 200, "ada@example.com", ""),
        (vec![format!("bearer   {good} ")], 200, "ada@example.com", ""),
        (vec![format!("Bearer {good}x")], 401, "access_token_invalid", "invalid_token"),
        (vec!["Bearer null".to_owned()], 401, "access_token_invalid", "invalid_token"),
        (vec![format!("Bearer {}", token(ENDED, "user", 600))], 401, "access_token_invalid", "invalid_token"),
        (vec![format!("Bearer {}", token(ENDED, "user", -60))], 401, "access_token_expired", "expired"),
        (vec!["Bearer ".to_owned()], 401, "access_token_missing", "Bearer realm=\"claviger\""),
        (vec!["Basic YTpi".to_owned()], 401, "access_token_missing", "Bearer realm=\"claviger\""),
        (vec![good.clone()], 401, "access_token_missing", "Bearer realm=\"claviger\""),
        (vec![format!("Bearer {good}"); 2], 401, "access_token_invalid", "invalid_token"),
    ] {
        let headers: Vec<&str> = headers.iter().map(String::as_str).collect();
        for path in ["/required", "/optional"] {
            let said = ask(Some(gate()), path, &headers).await;
            assert_eq!((said.0, said.2.as_str()), (status, code), "{path} {headers:?}");
            assert!(said.1.contains(challenge) && said.1.is_empty() == (status == 200), "{said:?}");
        }
    }
    assert_eq!(ask(Some(gate()), "/required", &[]).await.2, "access_token_missing");
    assert_eq!(ask(Some(gate()), "/optional", &[]).await, (200, String::new(), "nobody".to_owned()));
}

#[actix_web::test]
async fn before_the_first_list_only_good_tokens_have_to_wait() {
    let unsure = || Some(Gate::new(verifier(), Revocations::new()));
    for path in ["/required", "/optional"] {
        assert_eq!(ask(unsure(), path, &[&format!("Bearer {}", good())]).await.2, "revocations_unknown");
        assert_eq!(ask(unsure(), path, &["Bearer x"]).await.2, "access_token_invalid");
    }
    assert_eq!(ask(unsure(), "/optional", &[]).await.0, 200);
    let careless = Gate::without_revocations(verifier());
    assert_eq!(ask(Some(careless), "/required", &[&format!("Bearer {}", good())]).await.0, 200);
}

#[actix_web::test]
async fn a_list_that_is_too_old_closes_the_gate_and_refuses_what_it_knows() {
    let old = || Some(gate().max_age(std::time::Duration::ZERO));
    assert_eq!(ask(old(), "/required", &[&format!("Bearer {}", good())]).await.0, 503);
    let ended = format!("Bearer {}", token(ENDED, "user", 600));
    assert_eq!(ask(old(), "/required", &[&ended]).await.2, "access_token_invalid");
}

#[actix_web::test]
async fn a_role_opens_what_it_is_for() {
    let bearer = |role: &str| format!("Bearer {}", token(Uuid::from_u128(2), role, 600));
    assert_eq!(ask(Some(gate()), "/administrators", &[&bearer("user")]).await.2, "forbidden");
    assert_eq!(ask(Some(gate()), "/administrators", &[&bearer("admin")]).await.2, "welcome");
}

#[actix_web::test]
async fn a_forgotten_gate_lets_nobody_in() {
    for path in ["/required", "/optional"] {
        assert_eq!(ask(None, path, &[]).await.2, "internal");
    }
}
