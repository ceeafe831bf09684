//! The service's own table, `every_check_is_on`, and what is particular here.

use serde_json::Value;

use super::*;

const SECRET: &str = "q7Zr0J4m8VtX2cLwN9sKfB5yHdP1gUeA6TiRoWk3";
const OTHER: &str = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";

fn policy(secrets: &str) -> Policy {
    Policy::new(Secrets::parse(secrets).unwrap()).audience("api")
}

fn verifier(secrets: &str) -> Verifier {
    Verifier::new(&policy(secrets)).unwrap()
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

fn header() -> Value {
    json!({"alg": "HS256", "typ": "JWT"})
}

fn claims() -> Value {
    let id = Uuid::from_u128(7);
    json!({
        "iss": "claviger", "aud": "api", "sub": id, "sid": id, "jti": id, "iat": now(), "exp": now() + 600,
        "auth_time": now(), "email": "ada@example.com", "role": "user", "type": "access",
    })
}

fn client_claims() -> Value {
    let id = Uuid::from_u128(7);
    json!({
        "iss": "claviger", "aud": "api", "sub": id, "client_id": id, "jti": id, "iat": now(), "exp": now() + 300,
        "scope": "users:read mars:read", "type": "client",
    })
}

fn with(base: &Value, name: &str, value: Value) -> Value {
    let mut changed = base.clone();
    changed[name] = value;
    changed
}

/// A token with a good signature under `secret`, whatever its parts say.
fn signed(header: &Value, claims: &Value, secret: &str) -> String {
    use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine as _};
    let encode = |value: &Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
    let message = format!("{}.{}", encode(header), encode(claims));
    let key = EncodingKey::from_secret(secret.as_bytes());
    let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &key, Algorithm::HS256).unwrap();
    format!("{message}.{signature}")
}

#[test]
fn a_good_token_says_who_it_is_and_what_the_profile_adds() {
    let token = signed(&header(), &with(&claims(), "plan", json!("gold")), SECRET);
    let claims = verifier(SECRET).verify(&token).unwrap();
    assert_eq!(
        (claims.sub, claims.role, claims.email.as_str()),
        (Uuid::from_u128(7), crate::Role::User, "ada@example.com")
    );
    assert_eq!(claims.extra.into_iter().collect::<Vec<_>>(), [("plan".to_owned(), json!("gold"))]);
}

#[test]
fn every_check_is_on() {
    let verifier = verifier(SECRET);
    let refused = |header: &Value, claims: &Value| verifier.verify(&signed(header, claims, SECRET)).unwrap_err();
    assert!(verifier.verify(&signed(&header(), &claims(), SECRET)).is_ok());
    for (name, value) in [
        ("alg", json!("none")),
        ("alg", json!("HS384")),
        ("alg", json!("RS256")),
        ("alg", json!("hs256")),
        ("typ", json!("at+jwt")),
        ("typ", json!("")),
        ("typ", json!(null)),
        ("crit", json!(["exp"])),
        ("crit", json!([])),
        ("crit", json!("b64")),
    ] {
        assert_eq!(refused(&with(&header(), name, value.clone()), &claims()), BadToken::Invalid, "{name}: {value}");
    }
    for (name, value) in [
        ("iss", json!("other")),
        ("iss", json!(["claviger"])),
        ("aud", json!("other")),
        ("aud", json!(["api"])),
        ("type", json!("refresh")),
        ("type", json!("client")),
        ("sub", json!("ada")),
        ("sub", json!(null)),
        ("role", json!("root")),
        ("exp", json!("soon")),
        ("exp", json!(-1)),
        ("exp", json!(1e40)),
        ("nbf", json!(now() + 60)),
    ] {
        assert_eq!(refused(&header(), &with(&claims(), name, value.clone())), BadToken::Invalid, "{name}: {value}");
    }
    for name in ["iss", "aud", "sub", "sid", "jti", "iat", "exp", "auth_time", "email", "role", "type"] {
        let mut claims = claims();
        claims.as_object_mut().unwrap().remove(name);
        assert_eq!(refused(&header(), &claims), BadToken::Invalid, "without {name}");
    }
    let late = |seconds: u64| signed(&header(), &with(&claims(), "exp", json!(now() - seconds)), SECRET);
    assert!(verifier.verify(&late(3)).is_ok(), "clocks differ a little");
    assert_eq!(verifier.verify(&late(7)).unwrap_err(), BadToken::Expired);
    assert_eq!(verifier.verify(&signed(&header(), &claims(), OTHER)).unwrap_err(), BadToken::Invalid);
}

#[test]
fn a_key_that_a_token_brings_along_is_ignored() {
    let header = json!({"alg": "HS256", "typ": "JWT", "kid": "../../dev/null", "jku": "http://localhost/"});
    assert_eq!(verifier(SECRET).verify(&signed(&header, &claims(), OTHER)).unwrap_err(), BadToken::Invalid);
    assert!(verifier(SECRET).verify(&signed(&header, &claims(), SECRET)).is_ok());
}

#[test]
fn tokens_under_every_secret_of_a_rotation_are_good() {
    let both = verifier(&format!("new:{SECRET},old:{OTHER}"));
    for secret in [SECRET, OTHER] {
        assert!(both.verify(&signed(&header(), &claims(), secret)).is_ok());
    }
    let over = with(&claims(), "exp", json!(now() - 60));
    assert_eq!(both.verify(&signed(&header(), &over, OTHER)).unwrap_err(), BadToken::Expired);
}

#[test]
fn neither_kind_is_read_as_the_other() {
    let verifier = verifier(SECRET);
    let (person, program) = (signed(&header(), &claims(), SECRET), signed(&header(), &client_claims(), SECRET));
    assert_eq!(verifier.verify(&program).unwrap_err(), BadToken::Invalid);
    assert_eq!(verifier.verify_client(&person).unwrap_err(), BadToken::Invalid);
    let claims = verifier.verify_client(&program).unwrap();
    assert!(claims.allows("users:read") && claims.allows("mars:read") && !claims.allows("users"));
}

#[test]
fn a_policy_may_say_otherwise() {
    let policy = policy(SECRET).issuer("shop").typ("at+jwt").leeway(Duration::from_mins(1));
    let verifier = Verifier::new(&policy).unwrap();
    let header = json!({"alg": "HS256", "typ": "AT+JWT"});
    let claims = with(&with(&claims(), "iss", json!("shop")), "exp", json!(now() - 50));
    assert!(verifier.verify(&signed(&header, &claims, SECRET)).is_ok());
    assert_eq!(Verifier::new(&policy.leeway(Duration::from_secs(61))).unwrap_err(), Unusable::Leeway);
}

#[test]
fn debug_shows_no_secret() {
    let shown = format!("{:?} {:?}", policy(SECRET), verifier(SECRET));
    assert!(!shown.contains(SECRET), "{shown}");
}
