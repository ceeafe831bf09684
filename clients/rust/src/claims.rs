//! What good tokens say.

use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};
use uuid::Uuid;

/// What the access token of a person says.
///
/// In tests of your own make one from JSON with the claims of a token: `serde_json::from_value(json!({…}))`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[non_exhaustive]
pub struct Claims {
    /// Who issued it.
    pub iss: String,
    /// For which APIs.
    pub aud: String,
    /// The user's id: what to store beside whatever belongs to the user. Addresses change, this does not.
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
    /// The user's address, as it was when the token was issued.
    pub email: String,
    /// The user's role, as it was when the token was issued.
    pub role: Role,
    #[serde(rename = "type")]
    token_type: OfAPerson,
    /// All other claims, among them the fields of the profile that the service's `access_token.profile_claims` names. A
    /// field may be missing, and people write their own profiles: give no rights by what is here.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// What somebody may do in general.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// What everybody may.
    User,
    /// More.
    Admin,
}

/// What the access token of a program says.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[non_exhaustive]
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
    #[serde(rename = "scope", deserialize_with = "words")]
    pub scopes: Vec<String>,
    /// This token's own id.
    pub jti: Uuid,
    /// When it was issued, in seconds since 1970.
    pub iat: i64,
    /// When it ends, in seconds since 1970.
    pub exp: i64,
    #[serde(rename = "type")]
    token_type: OfAProgram,
}

impl ClientClaims {
    /// Whether the token allows this.
    #[must_use]
    pub fn allows(&self, scope: &str) -> bool {
        self.scopes.iter().any(|allowed| allowed == scope)
    }
}

/// The `type` of people's tokens. That it is read at all is the check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
enum OfAPerson {
    #[serde(rename = "access")]
    Access,
}

/// The `type` of programs' tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
enum OfAProgram {
    #[serde(rename = "client")]
    Client,
}

fn words<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    Ok(String::deserialize(deserializer)?.split_ascii_whitespace().map(str::to_owned).collect())
}
