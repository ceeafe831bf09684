//! Accounts: registering, and one's own.

use actix_web::{HttpRequest, HttpResponse};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use time::OffsetDateTime;
use uuid::Uuid;

use super::bearer::CurrentUser;
use super::body::Body;
use super::error::ApiError;
use super::sessions::SignedInBody;
use super::{State, device};
use crate::auth::Registration;
use crate::domain::user::{Role, User};

/// The body of `POST /api/auth/register`.
#[derive(Deserialize)]
pub(super) struct RegisterRequest {
    email: Option<String>,
    password: Option<String>,
    full_name: Option<String>,
    profile: Option<Value>,
}

/// A user as clients see it.
#[derive(Serialize)]
pub(super) struct UserBody {
    id: Uuid,
    email: String,
    full_name: Option<String>,
    role: Role,
    is_active: bool,
    email_verified: bool,
    profile: Value,
    #[serde(with = "time::serde::rfc3339")]
    created_at: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339")]
    updated_at: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339::option")]
    last_login_at: Option<OffsetDateTime>,
}

impl From<User> for UserBody {
    fn from(user: User) -> Self {
        Self {
            id: user.id,
            email: user.email,
            full_name: user.full_name,
            role: user.role,
            is_active: user.disabled_at.is_none(),
            email_verified: user.email_verified_at.is_some(),
            profile: user.profile,
            created_at: user.created_at,
            updated_at: user.updated_at,
            last_login_at: user.last_login_at,
        }
    }
}

pub(super) async fn register(
    state: State,
    request: HttpRequest,
    body: Body<RegisterRequest>,
) -> Result<HttpResponse, ApiError> {
    let RegisterRequest { email, password, full_name, profile } = body.0;
    let registration = Registration { email, password, full_name, profile };
    let signed_in = state.register(registration, &device(&request)).await?;
    Ok(HttpResponse::Created().json(SignedInBody::from(signed_in)))
}

pub(super) async fn me(state: State, caller: CurrentUser) -> Result<HttpResponse, ApiError> {
    Ok(HttpResponse::Ok().json(UserBody::from(state.me(&caller.0).await?)))
}
