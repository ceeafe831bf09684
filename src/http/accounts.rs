//! Accounts: registering, and one's own.

use actix_web::body::BodySize;
use actix_web::http::StatusCode;
use actix_web::http::header::{CONTENT_DISPOSITION, HeaderValue};
use actix_web::{HttpRequest, HttpResponse};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use time::OffsetDateTime;
use utoipa::ToSchema;
use utoipa::openapi::schema::{Object, ObjectBuilder, SchemaType, Type};
use uuid::Uuid;

use super::bearer::CurrentUser;
use super::body::Body;
use super::browser::Transport;
use super::error::ApiError;
use super::sessions::answer_signed_in;
use super::stream::{self, BrokenOff, Writer};
use super::{Outside, State, sender};
use crate::auth::{Export, PasswordChange, ProfileChange, Registered, Registration};
use crate::domain::event::RecordedEvent;
use crate::domain::place::Place;
use crate::domain::profile::Change;
use crate::domain::session::ListedSession;
use crate::domain::user::{Role, User};

/// The body of `POST /api/auth/register`.
#[derive(Deserialize, ToSchema)]
pub(super) struct RegisterRequest {
    /// Compared without regard to case.
    #[schema(value_type = String, required, format = "idn-email", max_length = 254, example = "ada@example.com")]
    email: Option<String>,
    /// Of any script, and not one of the most common; how short it may be is a setting.
    #[schema(value_type = String, required, format = Password, min_length = 8, max_length = 1024, example = "correct horse battery staple")]
    password: Option<String>,
    /// One line; empty is none.
    #[schema(max_length = 200, pattern = "^[^\\u0000-\\u001f\\u007f-\\u009f]*$", example = "Ada Lovelace")]
    full_name: Option<String>,
    /// The application's own fields, at most 8 KiB of JSON.
    #[schema(schema_with = profile_or_null)]
    profile: Option<Value>,
    /// How the refresh token comes.
    #[schema(value_type = Option<Transport>)]
    token_transport: Option<String>,
}

/// The body of `POST /api/auth/password`.
#[derive(Deserialize, ToSchema)]
pub(super) struct PasswordRequest {
    /// The one to be replaced.
    #[schema(value_type = String, required, format = Password, min_length = 1, example = "correct horse battery staple")]
    current_password: Option<String>,
    /// As at registration.
    #[schema(value_type = String, required, format = Password, min_length = 8, max_length = 1024, example = "a better horse with a longer staple")]
    new_password: Option<String>,
    /// Whether the other sessions go on.
    #[schema(example = false)]
    keep_other_sessions: Option<bool>,
}

/// The body of `DELETE /api/auth/me`.
#[derive(Deserialize, ToSchema)]
pub(super) struct DeletionRequest {
    /// The caller's.
    #[schema(value_type = String, required, format = Password, min_length = 1, example = "correct horse battery staple")]
    password: Option<String>,
}

/// The body of `PATCH /api/auth/me`, a merge patch: what is absent stays, null removes.
#[derive(Deserialize, ToSchema)]
pub(super) struct MeRequest {
    /// Null or empty removes it.
    #[serde(default)]
    #[schema(value_type = Option<String>, max_length = 200, pattern = "^[^\\u0000-\\u001f\\u007f-\\u009f]*$", example = "Countess of Lovelace")]
    full_name: Change<String>,
    /// Merged into what is there; null removes all of it.
    #[serde(default)]
    #[schema(schema_with = profile_or_null)]
    profile: Change<Value>,
}

fn profile() -> Object {
    let told = Some("The application's own fields, at most 8 KiB of JSON.");
    let examples = [json!({ "city": "London" })];
    ObjectBuilder::new().schema_type(Type::Object).description(told).examples(examples).build()
}

fn profile_or_null() -> Object {
    ObjectBuilder::from(profile()).schema_type(SchemaType::from_iter([Type::Object, Type::Null])).build()
}

/// A user as clients see it.
#[derive(Serialize, ToSchema)]
#[schema(as = User)]
pub struct UserBody {
    /// Never changes, and is never used again.
    id: Uuid,
    /// In lower case, the domain in ASCII.
    #[schema(format = "idn-email", example = "ada@example.com")]
    email: String,
    /// What to call the person.
    #[schema(required, example = "Ada Lovelace")]
    full_name: Option<String>,
    /// What the person may do.
    role: Role,
    /// Whether the account is open.
    is_active: bool,
    /// Whether the address was shown to reach the person.
    email_verified: bool,
    /// The application's own fields.
    #[schema(schema_with = profile)]
    profile: Value,
    /// When the account was made.
    #[serde(with = "time::serde::rfc3339")]
    created_at: OffsetDateTime,
    /// When what describes the person last changed.
    #[serde(with = "time::serde::rfc3339")]
    updated_at: OffsetDateTime,
    /// When the person last signed in with a password.
    #[schema(required)]
    #[serde(with = "time::serde::rfc3339::option")]
    last_login_at: Option<OffsetDateTime>,
}

/// A user who has no tokens yet: the address must be verified first.
#[derive(Serialize, ToSchema)]
#[schema(as = ToVerify)]
pub(super) struct ToVerifyBody {
    user: UserBody,
}

/// Everything that is kept about a user.
#[derive(ToSchema)]
#[expect(dead_code, reason = "the document has it, `write_export` writes it")]
#[schema(as = Export)]
pub(super) struct ExportBody {
    user: UserBody,
    /// Live ones and those that ended lately, newest login first.
    sessions: Vec<ListedSession>,
    /// The newest 10,000.
    events: Vec<RecordedEvent>,
    /// The `before` of the others at `GET /api/auth/events`.
    #[schema(required, value_type = Option<String>, example = json!(null))]
    events_next: Option<Place>,
}

/// How many sessions ended.
#[derive(Serialize, ToSchema)]
#[schema(as = Ended)]
pub(super) struct EndedBody {
    #[schema(minimum = 0, example = 2)]
    pub(super) ended: usize,
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
        Registered::ToVerify(user) => HttpResponse::Created().json(ToVerifyBody { user: user.into() }),
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
    let export = state.export(&caller.0, &sender(&request)).await?;
    let mut answer = stream::streamed(BodySize::Stream, async move |writer| write_export(export, writer).await);
    let file = HeaderValue::from_static("attachment; filename=\"account.json\"");
    answer.headers_mut().insert(CONTENT_DISPOSITION, file);
    Ok(answer)
}

/// Writes an [`ExportBody`], a page of rows at a time.
async fn write_export(mut export: Export, mut writer: Writer) -> Result<(), BrokenOff> {
    writer.text(b"{\"user\":").await?;
    writer.json(&UserBody::from(export.user.clone())).await?;
    writer.text(b",\"sessions\":[").await?;
    let mut separator: &[u8] = b"";
    loop {
        let page = export.next_sessions().await?;
        for session in &page {
            writer.text(separator).await?;
            writer.json(session).await?;
            separator = b",";
        }
        if page.is_empty() {
            break;
        }
    }
    writer.text(b"],\"events\":[").await?;
    separator = b"";
    loop {
        let page = export.next_events().await?;
        for event in &page {
            writer.text(separator).await?;
            writer.json(event).await?;
            separator = b",";
        }
        if page.is_empty() {
            break;
        }
    }
    writer.text(b"],\"events_next\":").await?;
    writer.json(&export.events_next()).await?;
    writer.text(b"}").await?;
    writer.end().await
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

/// The account goes, and with it the browser's cookie, unless that is of another account.
pub(super) async fn delete_me(
    state: State,
    outside: Outside,
    request: HttpRequest,
    caller: CurrentUser,
    body: Body<DeletionRequest>,
) -> Result<HttpResponse, ApiError> {
    state.delete_me(&caller.0, body.0.password, &sender(&request)).await?;
    let mut answer = HttpResponse::NoContent();
    let cookie = &outside.browsers.cookie;
    let (tokens, are_all) = state.recognize(cookie.values(&request));
    if are_all && !tokens.is_empty() && tokens.iter().all(|token| token.user_id == caller.0.sub) {
        answer.cookie(cookie.removal());
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
    Ok(HttpResponse::Ok().json(EndedBody { ended }))
}
