//! Bodies as `claviger::http` has them, which keeps those of tokens to itself.

use std::time::Duration;

use claviger::domain::user::{Role, User};
use claviger::http::UserBody;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use time::OffsetDateTime;
use uuid::Uuid;

use super::issuer::Issuer;

/// The answer to a refresh.
#[derive(Serialize)]
pub(crate) struct Pair {
    access_token: String,
    token_type: &'static str,
    expires_in: i64,
    refresh_token: Option<String>,
    refresh_expires_in: i64,
    session_id: Uuid,
    #[serde(with = "time::serde::rfc3339")]
    server_time: OffsetDateTime,
}

impl Pair {
    pub(crate) fn of(issuer: &Issuer) -> Self {
        let access_token = issuer.sign_access_token();
        Self {
            access_token: access_token.text,
            token_type: "Bearer",
            expires_in: access_token.expires_in,
            refresh_token: Some(issuer.encode_refresh_token().into_string()),
            refresh_expires_in: 2_592_000,
            session_id: Uuid::now_v7(),
            server_time: OffsetDateTime::now_utc(),
        }
    }
}

/// The body of a refresh.
#[derive(Serialize, Deserialize)]
pub(crate) struct RefreshRequest {
    refresh_token: Option<Value>,
}

impl RefreshRequest {
    pub(crate) fn of(issuer: &Issuer) -> Self {
        Self { refresh_token: Some(issuer.encode_refresh_token().into_string().into()) }
    }
}

/// The answer to who asks for the own account.
pub(crate) fn me() -> UserBody {
    let now = OffsetDateTime::now_utc();
    User {
        id: Uuid::now_v7(),
        email: "ada@example.com".to_owned(),
        full_name: Some("Ada Lovelace".to_owned()),
        role: Role::User,
        disabled_at: None,
        email_verified_at: Some(now),
        profile: json!({"city": "London"}),
        created_at: now - Duration::from_hours(24),
        updated_at: now,
        last_login_at: Some(now),
    }
    .into()
}
