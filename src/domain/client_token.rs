//! Access tokens of programs: signed as those of people are, and never to be taken for one.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use uuid::Uuid;

use super::access_token::{AccessToken, AccessTokens, Claims, Refused};
use super::client::Scopes;

/// The longest lifetime. Whoever verifies by itself accepts a program that was removed for so long; a program gets the next
/// token without anybody's doing.
const LONGEST: Duration = Duration::from_mins(5);

/// The claims of a program's token, in the names of RFC 9068.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ClientClaims {
    /// Who issued it.
    pub iss: String,
    /// For which APIs.
    pub aud: String,
    /// The program's id.
    pub sub: Uuid,
    /// The same.
    pub client_id: Uuid,
    /// What the token allows.
    pub scope: Scopes,
    /// This token's own id.
    pub jti: Uuid,
    /// When it was issued, in seconds since 1970.
    pub iat: i64,
    /// When it ends, in seconds since 1970.
    pub exp: i64,
    /// Always `client`: an API that asks for `access` refuses it.
    #[serde(rename = "type")]
    pub token_type: ClientTokenType,
}

/// The kind of token that a program has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ClientTokenType {
    /// `client`.
    Client,
}

/// Whom a good token was issued to. Each kind has claims that the other lacks, `type` first of all.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub enum Bearer {
    /// Somebody with an account, signed in.
    Person(Claims),
    /// A program with credentials of its own.
    Program(ClientClaims),
}

impl AccessTokens {
    /// A token for a program.
    ///
    /// # Errors
    /// Only when signing itself fails.
    pub fn issue_to_client(
        &self,
        id: Uuid,
        scope: Scopes,
        now: OffsetDateTime,
    ) -> Result<AccessToken, jsonwebtoken::errors::Error> {
        let policy = self.policy();
        let expires_in = i64::try_from(policy.ttl.min(LONGEST).as_secs()).unwrap_or(0);
        let claims = ClientClaims {
            iss: policy.issuer.clone(),
            aud: policy.audience.clone(),
            sub: id,
            client_id: id,
            scope,
            jti: Uuid::new_v4(),
            iat: now.unix_timestamp(),
            exp: now.unix_timestamp() + expires_in,
            token_type: ClientTokenType::Client,
        };
        Ok(AccessToken { text: self.sign(&claims)?, expires_in })
    }

    /// Whom a good token of either kind was issued to.
    ///
    /// # Errors
    /// [`Refused`], with no more detail than a stranger may know.
    pub fn verify_any(&self, text: &str) -> Result<Bearer, Refused> {
        self.read(text)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::access_token::AccessTokenPolicy;
    use super::super::client::Scope;
    use super::super::profile_claims::ProfileClaims;
    use super::super::secret::Secret;
    use super::super::session::LiveSession;
    use super::super::user::Role;
    use super::*;

    fn tokens(ttl: Duration) -> AccessTokens {
        let secrets = Secret::parse_list("q7Zr0J4m8VtX2cLwN9sKfB5yHdP1gUeA6TiRoWk3").unwrap();
        let policy = AccessTokenPolicy {
            issuer: "claviger".into(),
            audience: "api".into(),
            typ: "JWT".into(),
            ttl,
            profile_claims: ProfileClaims::default(),
        };
        AccessTokens::new(policy, &secrets).unwrap()
    }

    fn of_program(tokens: &AccessTokens) -> AccessToken {
        let scopes = Scopes::known(["users:read"]);
        tokens.issue_to_client(Uuid::from_u128(1), scopes, OffsetDateTime::now_utc()).unwrap()
    }

    #[test]
    fn neither_kind_is_read_as_the_other() {
        let tokens = tokens(Duration::from_mins(10));
        let now = OffsetDateTime::now_utc();
        let session = LiveSession {
            id: Uuid::from_u128(2),
            user_id: Uuid::from_u128(1),
            email: "ada@example.com".into(),
            role: Role::User,
            created_at: now,
            ends_at: now + Duration::from_hours(1),
            now,
            profile: None,
        };
        let (program, person) = (of_program(&tokens).text, tokens.issue(&session).unwrap().text);
        assert_eq!(tokens.verify(&program).unwrap_err(), Refused::Invalid);
        assert!(tokens.verify(&person).is_ok());
        assert!(matches!(tokens.verify_any(&person), Ok(Bearer::Person(claims)) if claims.sid == session.id));
        let Ok(Bearer::Program(claims)) = tokens.verify_any(&program) else { panic!("not a program's") };
        assert!(claims.client_id == Uuid::from_u128(1) && claims.scope.contains(Scope::UsersRead));
    }

    #[test]
    fn all_claims_of_both_kinds_at_once_are_read_by_their_type() {
        let tokens = tokens(Duration::from_mins(10));
        let now = OffsetDateTime::now_utc().unix_timestamp();
        let id = Uuid::from_u128(1);
        let mut claims = json!({
            "iss": "claviger", "aud": "api", "sub": id, "client_id": id, "scope": "users:read", "jti": id, "iat": now,
            "exp": now + 60, "type": "client", "sid": id, "auth_time": now, "email": "", "role": "admin",
        });
        assert!(matches!(tokens.verify_any(&tokens.sign(&claims).unwrap()), Ok(Bearer::Program(_))));
        claims["type"] = "access".into();
        assert!(matches!(tokens.verify_any(&tokens.sign(&claims).unwrap()), Ok(Bearer::Person(_))));
        for other in [json!("refresh"), json!(null), json!(["client", "access"])] {
            claims["type"] = other;
            assert_eq!(tokens.verify_any(&tokens.sign(&claims).unwrap()).unwrap_err(), Refused::Invalid);
        }
    }

    #[test]
    fn a_lifetime_is_five_minutes_or_less() {
        assert_eq!(of_program(&tokens(Duration::from_mins(10))).expires_in, 300);
        assert_eq!(of_program(&tokens(Duration::from_mins(1))).expires_in, 60);
    }
}
