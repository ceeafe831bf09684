//! Access tokens: signed JWTs that any API verifies with the shared secret and without asking this service.

use std::fmt;
use std::hash::{BuildHasher as _, RandomState};
use std::time::Duration;

use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use time::OffsetDateTime;
use uuid::Uuid;

use super::own_form::OwnForm;
use super::profile_claims::ProfileClaims;
use super::secret::Secret;
use super::session::LiveSession;
use super::user::Role;

/// How far the clocks of this service's processes may be from the database's. Other verifiers choose their own.
pub const LEEWAY: Duration = Duration::from_secs(5);

/// What tokens say besides who they are for.
#[derive(Debug, Clone)]
pub struct AccessTokenPolicy {
    /// `iss`.
    pub issuer: String,
    /// `aud`.
    pub audience: String,
    /// The header's `typ`.
    pub typ: String,
    /// The longest lifetime; a token may get up to 5 % less, so that clients do not come back in waves.
    pub ttl: Duration,
    /// Fields of the profile that are claims besides.
    pub profile_claims: ProfileClaims,
}

/// Signs and verifies. HS256 always: a token's own header never chooses.
pub struct AccessTokens {
    policy: AccessTokenPolicy,
    header: Header,
    validation: Validation,
    signing: EncodingKey,
    verifying: Vec<DecodingKey>,
    own: Option<OwnForm>,
}

/// The claims of a token, in the names of RFC 7519, RFC 9068 and `OpenID` Connect.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Claims {
    /// Who issued it.
    pub iss: String,
    /// For which APIs.
    pub aud: String,
    /// The user's id.
    pub sub: Uuid,
    /// The session's id.
    pub sid: Uuid,
    /// This token's own id.
    pub jti: Uuid,
    /// When it was issued, in seconds since 1970.
    pub iat: i64,
    /// When it ends, in seconds since 1970.
    pub exp: i64,
    /// When the user gave the password, in seconds since 1970.
    pub auth_time: i64,
    /// The user's address.
    pub email: String,
    /// The user's role.
    pub role: Role,
    /// Always `access`, so that no other token signed with the same secret passes for one.
    #[serde(rename = "type")]
    pub token_type: TokenType,
}

/// What is signed: the claims that this service reads, and those that only others do.
#[derive(Serialize)]
struct Issued {
    #[serde(flatten)]
    claims: Claims,
    #[serde(flatten)]
    profile: Map<String, Value>,
}

/// The one kind of token that opens an API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TokenType {
    /// `access`.
    Access,
}

/// A signed token and how long it lives.
pub struct AccessToken {
    /// The JWT, for the client and nobody else.
    pub text: String,
    /// Whole seconds until it ends.
    pub expires_in: i64,
}

impl fmt::Debug for AccessToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AccessToken(expires in {} s)", self.expires_in)
    }
}

/// Why a token does not open the door.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// It was good and is over.
    Expired,
    /// It never was good.
    Invalid,
}

impl AccessTokens {
    /// Prepares signing under the first secret and verifying under all, and tries both once: with the wrong build of
    /// the JWT library the first use fails, which must not be somebody's login.
    ///
    /// # Errors
    /// When the self-test fails or there is no secret.
    pub fn new(policy: AccessTokenPolicy, secrets: &[Secret]) -> Result<Self, SelfTestFailed> {
        let first = secrets.first().ok_or(SelfTestFailed)?;
        let mut header = Header::new(Algorithm::HS256);
        header.typ = Some(policy.typ.clone());
        let mut validation = Validation::new(Algorithm::HS256);
        validation.leeway = LEEWAY.as_secs();
        validation.validate_nbf = true;
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        validation.set_issuer(&[&policy.issuer]);
        validation.set_audience(&[&policy.audience]);
        let mut tokens = Self {
            policy,
            header,
            validation,
            signing: EncodingKey::from_secret(first.bytes()),
            verifying: secrets.iter().map(|secret| DecodingKey::from_secret(secret.bytes())).collect(),
            own: None,
        };
        tokens.own = OwnForm::of(&tokens.self_test()?, secrets);
        Ok(tokens)
    }

    fn self_test(&self) -> Result<String, SelfTestFailed> {
        let now = OffsetDateTime::now_utc();
        let session = LiveSession {
            id: Uuid::nil(),
            user_id: Uuid::nil(),
            email: String::new(),
            role: Role::User,
            created_at: now,
            ends_at: now + Duration::from_hours(1),
            now,
            profile: None,
        };
        let token = self.issue(&session).map_err(|_unsigned| SelfTestFailed)?.text;
        if self.verify(&token).is_ok() { Ok(token) } else { Err(SelfTestFailed) }
    }

    /// A token for a live session, which it never outlives.
    ///
    /// # Errors
    /// Only when signing itself fails.
    pub fn issue(&self, session: &LiveSession) -> Result<AccessToken, jsonwebtoken::errors::Error> {
        let issued_at = session.now.unix_timestamp();
        let longest = i64::try_from(self.policy.ttl.as_secs()).unwrap_or(i64::MAX);
        let expires_in = (longest - jitter(longest / 20)).min(session.ends_at.unix_timestamp() - issued_at).max(0);
        let claims = Claims {
            iss: self.policy.issuer.clone(),
            aud: self.policy.audience.clone(),
            sub: session.user_id,
            sid: session.id,
            jti: Uuid::new_v4(),
            iat: issued_at,
            exp: issued_at + expires_in,
            auth_time: session.created_at.unix_timestamp(),
            email: session.email.clone(),
            role: session.role,
            token_type: TokenType::Access,
        };
        let profile =
            session.profile.as_ref().map(|profile| self.policy.profile_claims.of(profile)).unwrap_or_default();
        Ok(AccessToken { text: self.sign(&Issued { claims, profile })?, expires_in })
    }

    /// The claims of a good token of a person.
    ///
    /// # Errors
    /// [`Refused`], with no more detail than a stranger may know.
    pub fn verify(&self, text: &str) -> Result<Claims, Refused> {
        let own = self.own.as_ref().and_then(|form| form.read(text, &self.policy));
        own.map_or_else(|| self.read(text), Ok)
    }

    /// Whether tokens say something of the profile, which sessions must bring along then.
    #[must_use]
    pub fn need_profile(&self) -> bool {
        !self.policy.profile_claims.is_empty()
    }

    pub(super) fn policy(&self) -> &AccessTokenPolicy {
        &self.policy
    }

    pub(super) fn sign(&self, claims: &impl Serialize) -> Result<String, jsonwebtoken::errors::Error> {
        jsonwebtoken::encode(&self.header, claims, &self.signing)
    }

    /// Which claims there must be, the caller says; those that decide whether a token is good are checked for all.
    pub(super) fn read<C: DeserializeOwned>(&self, text: &str) -> Result<C, Refused> {
        let mut refused = Refused::Invalid;
        for key in &self.verifying {
            match jsonwebtoken::decode::<C>(text, key, &self.validation) {
                Ok(token) if self.understands(&token.header) => return Ok(token.claims),
                Err(error) if *error.kind() == ErrorKind::InvalidSignature => {}
                Err(error) if *error.kind() == ErrorKind::ExpiredSignature => refused = Refused::Expired,
                Ok(_) | Err(_) => return Err(Refused::Invalid),
            }
        }
        Err(refused)
    }

    /// Extensions that a token calls critical must be understood (RFC 7515 section 4.1.11), and none are. Keys inside
    /// or linked from a header are ignored: the secrets are configured.
    fn understands(&self, header: &Header) -> bool {
        let typ = header.typ.as_deref().unwrap_or_default();
        header.crit.is_none() && typ.eq_ignore_ascii_case(&self.policy.typ)
    }
}

impl fmt::Debug for AccessTokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AccessTokens({:?}, {} secrets)", self.policy, self.verifying.len())
    }
}

/// The JWT library could not verify what it had just signed.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("the self-test of access tokens failed: a token signed now does not verify")]
pub struct SelfTestFailed;

/// A random number of seconds from 0 to `most`. Nothing depends on it, so it comes from the source that spreads hash tables.
fn jitter(most: i64) -> i64 {
    let random = RandomState::new().hash_one(most);
    i64::try_from(random % (most.unsigned_abs() + 1)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine as _};
    use serde_json::json;

    use super::*;

    const SECRET: &str = "q7Zr0J4m8VtX2cLwN9sKfB5yHdP1gUeA6TiRoWk3";
    const OTHER: &str = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";

    fn tokens(secrets: &str) -> AccessTokens {
        let policy = AccessTokenPolicy {
            issuer: "claviger".into(),
            audience: "api".into(),
            typ: "JWT".into(),
            ttl: Duration::from_mins(10),
            profile_claims: ProfileClaims::default(),
        };
        AccessTokens::new(policy, &Secret::parse_list(secrets).unwrap()).unwrap()
    }

    fn session(ends_in: i64) -> LiveSession {
        let now = OffsetDateTime::now_utc();
        LiveSession {
            id: Uuid::new_v4(),
            user_id: Uuid::new_v4(),
            email: "ada@example.com".into(),
            role: Role::User,
            created_at: now - Duration::from_mins(1),
            ends_at: now + time::Duration::seconds(ends_in),
            now,
            profile: None,
        }
    }

    fn part(token: &str, index: usize) -> Value {
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(token.split('.').nth(index).unwrap()).unwrap();
        serde_json::from_slice(&bytes).unwrap()
    }

    /// A token with a good signature under `secret`, whatever its parts say.
    fn signed(header: &Value, claims: &Value, secret: &str) -> String {
        let encode = |value: &Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
        let message = format!("{}.{}", encode(header), encode(claims));
        let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, secret.as_bytes());
        let signature = BASE64_URL_SAFE_NO_PAD.encode(aws_lc_rs::hmac::sign(&key, message.as_bytes()));
        format!("{message}.{signature}")
    }

    #[test]
    fn a_token_has_exactly_the_promised_header_and_claims() {
        let session = session(86_400);
        let token = tokens(SECRET).issue(&session).unwrap();
        assert_eq!(part(&token.text, 0), json!({"alg": "HS256", "typ": "JWT"}));
        let claims = part(&token.text, 1);
        let names: Vec<&String> = claims.as_object().unwrap().keys().collect();
        assert_eq!(names, ["aud", "auth_time", "email", "exp", "iat", "iss", "jti", "role", "sid", "sub", "type"]);
        assert_eq!(claims["sub"], session.user_id.to_string());
        assert_eq!(claims["sid"], session.id.to_string());
        assert_eq!(
            (&claims["type"], &claims["role"], &claims["aud"]),
            (&json!("access"), &json!("user"), &json!("api"))
        );
    }

    #[test]
    fn a_lifetime_is_at_most_5_percent_short_and_never_outlives_the_session() {
        let tokens = tokens(SECRET);
        for _ in 0..200 {
            assert!((570..=600).contains(&tokens.issue(&session(86_400)).unwrap().expires_in));
        }
        assert!(tokens.issue(&session(100)).unwrap().expires_in <= 100);
        assert_eq!(tokens.issue(&session(-5)).unwrap().expires_in, 0);
    }

    #[test]
    fn every_configured_secret_verifies_and_the_first_signs() {
        let old = tokens(&format!("old:{OTHER}"));
        let both = tokens(&format!("new:{SECRET},old:{OTHER}"));
        let before = old.issue(&session(3600)).unwrap().text;
        assert!(both.verify(&before).is_ok());
        let after = both.issue(&session(3600)).unwrap().text;
        assert!(both.verify(&after).is_ok());
        assert_eq!(old.verify(&after).unwrap_err(), Refused::Invalid);
    }

    #[test]
    fn every_check_is_on() {
        let tokens = tokens(SECRET);
        let good = tokens.issue(&session(3600)).unwrap().text;
        let (header, claims) = (part(&good, 0), part(&good, 1));
        let with = |base: &Value, name: &str, value: Value| {
            let mut changed = base.clone();
            changed[name] = value;
            changed
        };
        let without = |name: &str| {
            let mut changed = claims.clone();
            changed.as_object_mut().unwrap().remove(name);
            changed
        };
        assert!(tokens.verify(&signed(&header, &claims, SECRET)).is_ok());
        let now = OffsetDateTime::now_utc().unix_timestamp();

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
            let forged = signed(&with(&header, name, value.clone()), &claims, SECRET);
            assert_eq!(tokens.verify(&forged).unwrap_err(), Refused::Invalid, "{name}: {value}");
        }
        for (name, value) in [
            ("iss", json!("other")),
            ("iss", json!(["claviger"])),
            ("aud", json!("other")),
            ("aud", json!(["api"])),
            ("type", json!("refresh")),
            ("sub", json!("ada")),
            ("sub", json!(null)),
            ("role", json!("root")),
            ("exp", json!("soon")),
            ("exp", json!(-1)),
            ("exp", json!(1e40)),
            ("nbf", json!(now + 60)),
        ] {
            let forged = signed(&header, &with(&claims, name, value.clone()), SECRET);
            assert_eq!(tokens.verify(&forged).unwrap_err(), Refused::Invalid, "{name}: {value}");
        }
        for name in ["iss", "aud", "sub", "sid", "exp", "type"] {
            let forged = signed(&header, &without(name), SECRET);
            assert_eq!(tokens.verify(&forged).unwrap_err(), Refused::Invalid, "without {name}");
        }
        let late = |seconds: i64| signed(&header, &with(&claims, "exp", json!(now - seconds)), SECRET);
        assert!(tokens.verify(&late(3)).is_ok(), "clocks differ a little");
        assert_eq!(tokens.verify(&late(7)).unwrap_err(), Refused::Expired);
        assert_eq!(tokens.verify(&signed(&header, &claims, OTHER)).unwrap_err(), Refused::Invalid);
    }

    /// A token of the form in which they are signed here, which the library is not asked about, if it is good.
    #[test]
    fn what_has_our_form_is_good_just_when_the_library_says_so() {
        let (tokens, old) = (tokens(&format!("new:{SECRET},old:{OTHER}")), tokens(OTHER));
        let good = tokens.issue(&session(3600)).unwrap().text;
        let ours = |text: &str| tokens.own.as_ref().unwrap().read(text, &tokens.policy).is_some();
        let (header, claims) = good.split_once('.').unwrap();
        let (claims, signature) = claims.split_once('.').unwrap();
        let claims = String::from_utf8(BASE64_URL_SAFE_NO_PAD.decode(claims).unwrap()).unwrap();
        let resigned = |from: &str, to: &str| {
            assert!(claims.contains(from), "{claims}");
            let message = format!("{header}.{}", BASE64_URL_SAFE_NO_PAD.encode(claims.replacen(from, to, 1)));
            let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, SECRET.as_bytes());
            let signature = BASE64_URL_SAFE_NO_PAD.encode(aws_lc_rs::hmac::sign(&key, message.as_bytes()));
            format!("{message}.{signature}")
        };
        let now = OffsetDateTime::now_utc().unix_timestamp();
        let names = ["iss", "aud", "sub", "sid", "jti", "iat", "exp", "auth_time", "email", "role", "type"];
        let list = Value::from(names.map(|name| part(&good, 1)[name].clone()).to_vec()).to_string();
        assert!(serde_json::from_str::<Claims>(&list).is_ok());
        let exp = part(&good, 1)["exp"].to_string();
        for text in
            [good.clone(), old.issue(&session(3600)).unwrap().text, resigned("{", "{ "), resigned("{", "{\"x\":1,")]
        {
            assert!(ours(&text) && tokens.read::<Claims>(&text).is_ok(), "{text}");
        }
        // Good, but the library is asked.
        for text in
            [resigned("{", "{\"x\":\"\\n\","), resigned("{", "{\"nbf\":1,"), resigned(&exp, &(now - 2).to_string())]
        {
            assert!(!ours(&text) && tokens.verify(&text).is_ok(), "{text}");
        }
        for text in [
            resigned("{", &format!("{{\"nbf\":{},", now + 60)),
            resigned("{", &format!("{{\"\\u006ebf\":{},", now + 60)),
            resigned("{", "{\"aud\":\"api\","),
            resigned("\"api\"", "[\"api\"]"),
            resigned("\"api\"", "\"other\""),
            resigned("\"claviger\"", "\"other\""),
            resigned("\"access\"", "\"client\""),
            resigned(&exp, &(now - 7).to_string()),
            resigned(&exp, "-1"),
            resigned(&claims, &list),
            format!("{good}="),
            format!("{good}."),
            format!("{header}.{good}"),
            good.replace(signature, ""),
            good.replace(signature, &signature[1..]),
            good.replace(signature, &format!("{signature}AAAA")),
            good.replace(signature, &format!("{signature}{signature}")),
            good.replacen('.', "..", 1),
        ] {
            assert!(!ours(&text) && tokens.verify(&text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_key_that_a_token_brings_along_is_ignored() {
        let tokens = tokens(SECRET);
        let claims = part(&tokens.issue(&session(3600)).unwrap().text, 1);
        let jwk = json!({"kty": "oct", "k": BASE64_URL_SAFE_NO_PAD.encode(OTHER), "alg": "HS256"});
        let header =
            json!({"alg": "HS256", "typ": "JWT", "kid": "../../dev/null", "jku": "http://localhost/", "jwk": jwk});
        assert_eq!(tokens.verify(&signed(&header, &claims, OTHER)).unwrap_err(), Refused::Invalid);
        assert!(tokens.verify(&signed(&header, &claims, SECRET)).is_ok());
    }

    #[test]
    fn debug_shows_neither_token_nor_secret() {
        let tokens = tokens(SECRET);
        let token = tokens.issue(&session(3600)).unwrap();
        let shown = format!("{tokens:?} {token:?}");
        assert!(!shown.contains(SECRET) && !shown.contains("eyJ"), "{shown}");
    }
}
