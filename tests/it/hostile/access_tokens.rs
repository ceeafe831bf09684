//! What is accepted as an access token was signed with a key of ours, and says what it must. The verifier that others use,
//! clients/rust, takes and refuses the same.

use std::sync::LazyLock;
use std::time::Duration;

use aws_lc_rs::hmac;
use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine as _};
use claviger::domain::access_token::{AccessTokenPolicy, AccessTokens, Claims, Refused};
use claviger::domain::client_token::Bearer;
use claviger::domain::profile_claims::ProfileClaims;
use claviger::domain::secret::Secret;
use claviger::domain::session::LiveSession;
use claviger::domain::user::Role;
use claviger_verifier::{BadToken, Policy, Secrets, Verifier};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use time::OffsetDateTime;
use uuid::Uuid;

use super::edits::edited;

const NEW: &str = "fWq3kPz7RtYx1VbN5mLc9HsD2gJ8aKeU4oXi6TvB0nE";
const OLD: &str = "q7Zr0J4m8VtX2cLwN9sKfB5yHdP1gUeA6TiRoWk3";
const STRANGE: &str = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";

static TOKENS: LazyLock<AccessTokens> = LazyLock::new(|| {
    let policy = AccessTokenPolicy {
        issuer: "claviger".into(),
        audience: "claviger".into(),
        typ: "JWT".into(),
        ttl: Duration::from_hours(24),
        profile_claims: ProfileClaims::default(),
    };
    AccessTokens::new(policy, &Secret::parse_list(&format!("new:{NEW},old:{OLD}")).unwrap()).unwrap()
});

static VERIFIER: LazyLock<Verifier> =
    LazyLock::new(|| Verifier::new(&Policy::new(Secrets::parse(&format!("new:{NEW},old:{OLD}")).unwrap())).unwrap());

static GOOD: LazyLock<String> = LazyLock::new(|| {
    let now = OffsetDateTime::now_utc();
    let session = LiveSession {
        id: Uuid::from_u128(8),
        user_id: Uuid::from_u128(7),
        email: "ada@example.com".into(),
        role: Role::User,
        created_at: now,
        ends_at: now + Duration::from_hours(48),
        now,
        profile: None,
    };
    TOKENS.issue(&session).unwrap().text
});

fn mac(message: &str, secret: &str) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes()), message.as_bytes()).as_ref().to_vec()
}

/// A token of whatever the first line (header) and the rest (claims) are, with a right signature under `secret`.
fn signed(parts: &[u8], secret: &str) -> Vec<u8> {
    let mut parts = parts.splitn(2, |byte| *byte == b'\n').map(|part| BASE64_URL_SAFE_NO_PAD.encode(part));
    let message = format!("{}.{}", parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    format!("{message}.{}", BASE64_URL_SAFE_NO_PAD.encode(mac(&message, secret))).into_bytes()
}

/// `e`: changes to a good token, `n` and `o`: anything signed with the newer or the older key, `s`: with a strange one; else
/// the text itself.
pub(crate) fn check(data: &[u8]) {
    let Some((way, rest)) = data.split_first() else { return };
    let text = match way {
        b'e' => edited(GOOD.as_bytes(), rest),
        b'n' => signed(rest, NEW),
        b'o' => signed(rest, OLD),
        b's' => signed(rest, STRANGE),
        _ => rest.to_vec(),
    };
    let text = String::from_utf8_lossy(&text);
    assert_verifier_agrees(&text);
    match TOKENS.verify(&text) {
        Ok(claims) => assert_says_what_it_must(&text, &claims),
        Err(Refused::Expired) => assert!(signed_by_us(&text), "only who has a key may learn that it is over: {text}"),
        Err(Refused::Invalid) => assert_ne!(text, *GOOD, "a good token is good"),
    }
}

fn assert_verifier_agrees(text: &str) {
    let refused = |bad: BadToken| match bad {
        BadToken::Expired => Refused::Expired,
        BadToken::Invalid => Refused::Invalid,
    };
    let ours = TOKENS.verify(text).map(|claims| (claims.sub, claims.sid, claims.iat, claims.exp, claims.email));
    let theirs = VERIFIER.verify(text).map(|claims| (claims.sub, claims.sid, claims.iat, claims.exp, claims.email));
    assert_eq!(ours, theirs.map_err(refused), "a person's: {text}");
    let ours = match TOKENS.verify_any(text) {
        Ok(Bearer::Program(claims)) => Ok((claims.client_id, claims.exp)),
        Ok(Bearer::Person(_)) => Err(Refused::Invalid),
        Err(refused) => Err(refused),
    };
    let theirs = VERIFIER.verify_client(text).map(|claims| (claims.client_id, claims.exp)).map_err(refused);
    // Of a person's token that is over the one says that it is over, the other that it is no program's.
    if ours.is_ok() || theirs.is_ok() {
        assert_eq!(ours, theirs, "a program's: {text}");
    }
}

fn signed_by_us(text: &str) -> bool {
    let Some((message, signature)) = text.rsplit_once('.') else { return false };
    let Ok(signature) = BASE64_URL_SAFE_NO_PAD.decode(signature) else { return false };
    [NEW, OLD].iter().any(|secret| mac(message, secret) == signature)
}

/// What must be right, and nothing else: what is in a part that nobody reads may be anything.
#[derive(Debug, Deserialize)]
struct Header {
    alg: Value,
    typ: Value,
    crit: Option<Value>,
}

#[derive(Debug, Deserialize)]
struct Said {
    iss: Value,
    aud: Value,
    #[serde(rename = "type")]
    kind: Value,
    sub: Value,
    sid: Value,
    role: Value,
    nbf: Option<Value>,
}

fn part<T: DeserializeOwned>(text: &str, index: usize) -> T {
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(text.split('.').nth(index).unwrap()).unwrap();
    serde_json::from_slice(&bytes).unwrap()
}

fn assert_says_what_it_must(text: &str, claims: &Claims) {
    assert!(signed_by_us(text), "accepted, and not of ours: {text}");
    assert_eq!(text.split('.').count(), 3);
    let (header, said): (Header, Said) = (part(text, 0), part(text, 1));
    let now = OffsetDateTime::now_utc().unix_timestamp();
    assert_eq!(header.alg, "HS256");
    assert!(header.typ.as_str().is_some_and(|typ| typ.eq_ignore_ascii_case("jwt")), "{header:?}");
    assert!(header.crit.is_none(), "{header:?}");
    assert_eq!((&said.iss, &said.aud, &said.kind), (&"claviger".into(), &"claviger".into(), &"access".into()));
    assert!(claims.exp >= now - 6, "{claims:?}");
    assert!(said.nbf.as_ref().is_none_or(|nbf| nbf.as_i64().is_some_and(|nbf| nbf <= now + 6)), "{said:?}");
    assert_eq!(said.sub.as_str().map(Uuid::try_parse), Some(Ok(claims.sub)), "{said:?}");
    assert_eq!(said.sid.as_str().map(Uuid::try_parse), Some(Ok(claims.sid)), "{said:?}");
    assert_eq!(said.role, claims.role.as_str(), "{said:?}");
}
