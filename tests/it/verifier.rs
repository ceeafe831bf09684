//! clients/rust, the verifier that other APIs use, is equal to what the service does itself. Tokens of any bytes are held in
//! `hostile/access_tokens.rs`.

use std::time::{Duration, Instant};

use claviger::domain::access_token::{AccessTokenPolicy, AccessTokens};
use claviger::domain::client::Scopes;
use claviger::domain::profile_claims::ProfileClaims;
use claviger::domain::revocation::{self, Revocation, Subject};
use claviger::domain::secret::Secret;
use claviger::domain::session::LiveSession;
use claviger::domain::user::Role;
use claviger_verifier::{Policy, RevocationList, Revocations, Secrets, Verifier};
use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use uuid::Uuid;

use crate::support::{TestApp, claims};

/// What weak and good secrets and lists of them are made of.
fn piece() -> impl Strategy<Value = String> {
    let words = [
        "change", "secret", "claviger", "ultra", "abcdefgh", "87654321", ",", ", ", ":", "new:", "old:", " ", "\n", "ä",
    ];
    prop_oneof![
        2 => proptest::sample::select(words.map(str::to_owned).to_vec()),
        3 => "[A-Za-z0-9_-]{16,43}",
        1 => "[a-c]{4,12}",
        1 => "[ -~]{1,8}",
    ]
}

fn tokens(secrets: &[Secret]) -> AccessTokens {
    let policy = AccessTokenPolicy {
        issuer: "claviger".into(),
        audience: "claviger".into(),
        typ: "JWT".into(),
        ttl: Duration::from_mins(10),
        profile_claims: ProfileClaims::default(),
    };
    AccessTokens::new(policy, secrets).unwrap()
}

fn session() -> LiveSession {
    let now = OffsetDateTime::now_utc();
    LiveSession {
        id: Uuid::from_u128(8),
        user_id: Uuid::from_u128(7),
        email: "ada@example.com".into(),
        role: Role::User,
        created_at: now,
        ends_at: now + Duration::from_hours(1),
        now,
        profile: None,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_secret_is_good_for_the_verifier_if_it_is_for_the_service_and_verifies_what_it_signs(pieces in vec(piece(), 1..5)) {
        let text = pieces.concat();
        let (ours, theirs) = (Secret::parse_list(&text), Secrets::parse(&text));
        prop_assert_eq!(ours.is_ok(), theirs.is_ok(), "{:?}", text);
        if let (Ok(ours), Ok(theirs)) = (ours, theirs) {
            let verifier = Verifier::new(&Policy::new(theirs)).unwrap();
            for secret in ours {
                let signed = tokens(&[secret]).issue(&session()).unwrap().text;
                prop_assert!(verifier.verify(&signed).is_ok(), "{:?}", text);
            }
        }
    }

    #[test]
    fn the_verifier_refuses_what_the_gate_refuses(
        revoked in vec((any::<bool>(), 7..9_u128, 0..1_200_000_i64), 0..5), now in 0..1_200_i64, age in 0..620_i64,
    ) {
        let at = |milliseconds: i64| OffsetDateTime::UNIX_EPOCH + time::Duration::milliseconds(milliseconds);
        // Oldest first, as the service tells them.
        let mut told: Vec<Revocation> = revoked.into_iter().map(|(is_session, id, milliseconds)| {
            let id = Uuid::from_u128(id);
            let subject = if is_session { Subject::Session(id) } else { Subject::User(id) };
            Revocation { subject, revoked_at: at(milliseconds.min(now * 1000)) }
        }).collect();
        told.sort_by_key(|revocation| revocation.revoked_at);
        let retention = Duration::from_secs(610);
        let mut ours = revocation::Revocations::default();
        ours.update(told.clone(), at(now * 1000), retention);
        let theirs = Revocations::new();
        theirs.learn(&list(&told, at(now * 1000), retention), Instant::now());

        let mut said = claims(&tokens(&Secret::parse_list(SECRET).unwrap()).issue(&session()).unwrap().text);
        (said["iat"], said["exp"]) = (json!(now - age), json!(now - age + 600));
        let refused = ours.refuse(&serde_json::from_value(said.clone()).unwrap());
        let theirs = theirs.refuse(&serde_json::from_value(said).unwrap());
        // It remembers for a minute longer, as it may have been told to allow so much difference between clocks.
        let remembers = told.iter().any(|revocation| at(now * 1000) - revocation.revoked_at > retention);
        prop_assert!(theirs == refused || (theirs && remembers), "{told:?} {refused} {theirs}");
    }
}

const SECRET: &str = "q7Zr0J4m8VtX2cLwN9sKfB5yHdP1gUeA6TiRoWk3";

/// The service's answer, in its words.
fn list(told: &[Revocation], now: OffsetDateTime, retention: Duration) -> RevocationList {
    let entries = |of_sessions: bool| -> Vec<Value> {
        let kind = told.iter().filter(|revocation| matches!(revocation.subject, Subject::Session(_)) == of_sessions);
        kind.map(|Revocation { subject: Subject::Session(id) | Subject::User(id), revoked_at }| {
            json!({"id": id, "revoked_at": revoked_at.format(&Rfc3339).unwrap()})
        })
        .collect()
    };
    let list = json!({
        "sessions": entries(true), "users": entries(false), "next": "x", "more": false, "retention": retention.as_secs(),
        "server_time": now.format(&Rfc3339).unwrap(),
    });
    serde_json::from_value(list).unwrap()
}

#[tokio::test]
async fn what_a_profile_adds_to_tokens_is_beside_the_other_claims() {
    let app = TestApp::start_with(&[("CLAVIGER__ACCESS_TOKEN__PROFILE_CLAIMS", "plan")]).await;
    let account =
        json!({"email": "ada@example.com", "password": "correct horse battery", "profile": {"plan": ["gold"]}});
    let answer = app.anonymous().post("/api/auth/register", account).await;
    let verifier = Verifier::new(&Policy::new(Secrets::parse(crate::support::JWT_SECRET).unwrap())).unwrap();
    let claims = verifier.verify(answer.text("access_token")).unwrap();
    assert_eq!(claims.sid.to_string(), answer.text("session_id"));
    assert_eq!(json!(claims.extra), json!({"plan": ["gold"]}));
}

#[test]
fn a_program_may_what_its_token_says() {
    let tokens = tokens(&Secret::parse_list(SECRET).unwrap());
    let token =
        tokens.issue_to_client(Uuid::from_u128(1), Scopes::known(["users:read"]), OffsetDateTime::now_utc()).unwrap();
    let verifier = Verifier::new(&Policy::new(Secrets::parse(SECRET).unwrap())).unwrap();
    let claims = verifier.verify_client(&token.text).unwrap();
    assert!(
        claims.client_id == Uuid::from_u128(1) && claims.allows("users:read") && !claims.allows("revocations:read")
    );
}
