//! Accounts: registering, and one's own.

use actix_web::http::StatusCode;
use actix_web::http::header::CONTENT_DISPOSITION;
use actix_web::{HttpRequest, HttpResponse};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use time::OffsetDateTime;
use uuid::Uuid;

use super::bearer::CurrentUser;
use super::body::Body;
use super::browser::Transport;
use super::error::ApiError;
use super::sessions::answer_signed_in;
use super::{Outside, State, sender};
use crate::auth::{Export, PasswordChange, ProfileChange, Registered, Registration};
use crate::domain::profile::Change;
use crate::domain::user::{Role, User};

/// The body of `POST /api/auth/register`.
#[derive(Deserialize)]
pub(super) struct RegisterRequest {
    email: Option<String>,
    password: Option<String>,
    full_name: Option<String>,
    profile: Option<Value>,
    token_transport: Option<String>,
}

/// The body of `POST /api/auth/password`.
#[derive(Deserialize)]
pub(super) struct PasswordRequest {
    current_password: Option<String>,
    new_password: Option<String>,
    keep_other_sessions: Option<bool>,
}

/// The body of `DELETE /api/auth/me`.
#[derive(Deserialize)]
pub(super) struct DeletionRequest {
    password: Option<String>,
}

/// The body of `PATCH /api/auth/me`, a merge patch: what is absent stays, null removes.
#[derive(Deserialize)]
pub(super) struct MeRequest {
    #[serde(default)]
    full_name: Change<String>,
    #[serde(default)]
    profile: Change<Value>,
}

/// A user as clients see it.
#[derive(Serialize)]
pub struct UserBody {
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
    outside: Outside,
    request: HttpRequest,
    body: Body<RegisterRequest>,
) -> Result<HttpResponse, ApiError> {
    let RegisterRequest { email, password, full_name, profile, token_transport } = body.0;
    let transport = Transport::asked_for(token_transport.as_deref(), &outside.browsers, &request)?;
    let registration = Registration { email, password, full_name, profile };
    Ok(match state.register(registration, &sender(&request)).await? {
        Registered::SignedIn(signed_in) => {
            answer_signed_in(StatusCode::CREATED, signed_in, transport, &outside.browsers)
        }
        Registered::ToVerify(user) => HttpResponse::Created().json(json!({ "user": UserBody::from(user) })),
    })
}

pub(super) async fn me(state: State, caller: CurrentUser) -> Result<HttpResponse, ApiError> {
    Ok(HttpResponse::Ok().json(UserBody::from(state.me(&caller.0).await?)))
}

/// Everything that is kept about the caller, as a file.
pub(super) async fn export_me(
    state: State,
    request: HttpRequest,
    caller: CurrentUser,
) -> Result<HttpResponse, ApiError> {
    let Export { user, sessions, trail } = state.export(&caller.0, &sender(&request)).await?;
    let body = json!({
        "user": UserBody::from(user), "sessions": sessions, "events": trail.events, "events_next": trail.next,
    });
    Ok(HttpResponse::Ok().insert_header((CONTENT_DISPOSITION, "attachment; filename=\"account.json\"")).json(body))
}

pub(super) async fn change_me(
    state: State,
    caller: CurrentUser,
    body: Body<MeRequest>,
) -> Result<HttpResponse, ApiError> {
    let MeRequest { full_name, profile } = body.0;
    let user = state.change_profile(&caller.0, ProfileChange { full_name, profile }).await?;
    Ok(HttpResponse::Ok().json(UserBody::from(user)))
}

/// The account goes, and with it the browser's cookie.
pub(super) async fn delete_me(
    state: State,
    outside: Outside,
    request: HttpRequest,
    caller: CurrentUser,
    body: Body<DeletionRequest>,
) -> Result<HttpResponse, ApiError> {
    state.delete_me(&caller.0, body.0.password, &sender(&request)).await?;
    let mut answer = HttpResponse::NoContent();
    if outside.browsers.refresh_token(&request).is_some() {
        answer.cookie(outside.browsers.removal());
    }
    Ok(answer.finish())
}

pub(super) async fn change_password(
    state: State,
    request: HttpRequest,
    caller: CurrentUser,
    body: Body<PasswordRequest>,
) -> Result<HttpResponse, ApiError> {
    let PasswordRequest { current_password, new_password, keep_other_sessions } = body.0;
    let keep_other_sessions = keep_other_sessions.unwrap_or(false);
    let change = PasswordChange { current_password, new_password, keep_other_sessions };
    let ended = state.change_password(&caller.0, change, &sender(&request)).await?;
    Ok(HttpResponse::Ok().json(json!({ "ended": ended })))
}
