//! Whether a token is good, without asking anybody.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::de::DeserializeOwned;
use serde_json::json;
use uuid::Uuid;

use crate::{Claims, ClientClaims, Secrets};

/// Which tokens are good. Without further words: what the service issues by its defaults.
#[derive(Debug, Clone)]
pub struct Policy {
    secrets: Secrets,
    issuer: String,
    audience: String,
    typ: String,
    leeway: Duration,
}

/// Clocks that differ more need a clock service, and revocations are kept so much longer than tokens live.
pub(crate) const MOST_LEEWAY: Duration = Duration::from_mins(1);

impl Policy {
    /// Tokens signed with one of these, issued by `claviger` for `claviger`, with the `typ` `JWT`, and 5 s of difference
    /// between the clocks.
    #[must_use]
    pub fn new(secrets: Secrets) -> Self {
        let (issuer, audience) = ("claviger".to_owned(), "claviger".to_owned());
        Self { secrets, issuer, audience, typ: "JWT".to_owned(), leeway: Duration::from_secs(5) }
    }

    /// The service's `access_token.issuer`.
    #[must_use]
    pub fn issuer(self, issuer: impl Into<String>) -> Self {
        Self { issuer: issuer.into(), ..self }
    }

    /// The service's `access_token.audience`.
    #[must_use]
    pub fn audience(self, audience: impl Into<String>) -> Self {
        Self { audience: audience.into(), ..self }
    }

    /// The service's `access_token.typ`.
    #[must_use]
    pub fn typ(self, typ: impl Into<String>) -> Self {
        Self { typ: typ.into(), ..self }
    }

    /// How far this machine's clock may be from the service's: a minute at most.
    #[must_use]
    pub fn leeway(self, leeway: Duration) -> Self {
        Self { leeway, ..self }
    }
}

/// Verifies tokens. Knows nothing of sessions that ended: [`Gate`](crate::Gate) does.
pub struct Verifier {
    typ: String,
    validation: Validation,
    keys: Vec<DecodingKey>,
}

/// Why a token is not good, with no more detail than a stranger may know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadToken {
    /// It was good and is over.
    #[error("the access token has expired")]
    Expired,
    /// It never was good.
    #[error("the access token is not valid")]
    Invalid,
}

/// Why there is no verifier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unusable {
    /// More than a minute.
    #[error("the leeway is more than a minute")]
    Leeway,
    /// The JWT library could not verify what it had just signed.
    #[error("the self-test failed: a token signed now does not verify")]
    SelfTest,
}

impl Verifier {
    /// A verifier that has verified a token once.
    ///
    /// # Errors
    /// [`Unusable`].
    ///
    /// # Panics
    /// When another dependency turns on a second backend of `jsonwebtoken`, and the program has not chosen between the two:
    /// at the start, and not at the first request.
    pub fn new(policy: &Policy) -> Result<Self, Unusable> {
        if policy.leeway > MOST_LEEWAY {
            return Err(Unusable::Leeway);
        }
        // Fixed: a token's own header never chooses.
        let mut validation = Validation::new(Algorithm::HS256);
        validation.leeway = policy.leeway.as_secs();
        validation.validate_nbf = true;
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        validation.set_issuer(&[&policy.issuer]);
        validation.set_audience(&[&policy.audience]);
        let keys = policy.secrets.bytes().map(DecodingKey::from_secret).collect();
        let verifier = Self { typ: policy.typ.clone(), validation, keys };
        verifier.self_test(policy)?;
        Ok(verifier)
    }

    fn self_test(&self, policy: &Policy) -> Result<(), Unusable> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let (nobody, header) = (Uuid::nil(), Header { typ: Some(self.typ.clone()), ..Header::new(Algorithm::HS256) });
        let claims = json!({
            "iss": policy.issuer, "aud": policy.audience, "sub": nobody, "sid": nobody, "jti": nobody, "iat": now,
            "exp": now + 60, "auth_time": now, "email": "", "role": "user", "type": "access",
        });
        let verifies = |secret: &[u8]| {
            let token = jsonwebtoken::encode(&header, &claims, &EncodingKey::from_secret(secret));
            token.is_ok_and(|token| self.verify(&token).is_ok())
        };
        if policy.secrets.bytes().all(verifies) { Ok(()) } else { Err(Unusable::SelfTest) }
    }

    /// What a good token of a person says. A program's is [`BadToken::Invalid`] here.
    ///
    /// # Errors
    /// [`BadToken`].
    pub fn verify(&self, token: &str) -> Result<Claims, BadToken> {
        self.read(token)
    }

    /// What a good token of a program says. A person's is [`BadToken::Invalid`] here.
    ///
    /// # Errors
    /// [`BadToken`].
    pub fn verify_client(&self, token: &str) -> Result<ClientClaims, BadToken> {
        self.read(token)
    }

    fn read<C: DeserializeOwned>(&self, token: &str) -> Result<C, BadToken> {
        let mut refused = BadToken::Invalid;
        for key in &self.keys {
            match jsonwebtoken::decode::<C>(token, key, &self.validation) {
                Ok(token) if self.understands(&token.header) => return Ok(token.claims),
                Err(error) if *error.kind() == ErrorKind::InvalidSignature => {}
                Err(error) if *error.kind() == ErrorKind::ExpiredSignature => refused = BadToken::Expired,
                Ok(_) | Err(_) => return Err(BadToken::Invalid),
            }
        }
        Err(refused)
    }

    /// Extensions that a token calls critical must be understood (RFC 7515 section 4.1.11), and none are.
    fn understands(&self, header: &Header) -> bool {
        let typ = header.typ.as_deref().unwrap_or_default();
        header.crit.is_none() && typ.eq_ignore_ascii_case(&self.typ)
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Verifier({} secrets)", self.keys.len())
    }
}

#[cfg(test)]
mod tests;
