//! For those in front and beside: gateways that ask about each request, and APIs that verify by themselves.

use actix_web::http::header::HeaderValue;
use actix_web::{HttpResponse, web};
use serde::{Deserialize, Serialize};
use serde_json::json;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use utoipa::openapi::schema::{AnyOfBuilder, KnownFormat, ObjectBuilder, Schema, SchemaFormat, Type};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::State;
use super::bearer::{Caller, CheckedUser};
use super::error::{ApiError, Code};
use crate::auth::{self, RevocationList};
use crate::domain::field::FieldError;
use crate::domain::place::Place;
use crate::domain::revocation::{Cursor, Revocation, Subject};

/// Says whose request it is in headers, for nginx's `auth_request` and its like.
pub(super) async fn check(state: State, caller: CheckedUser) -> Result<HttpResponse, ApiError> {
    let claims = caller.0;
    state.into_inner().check(&claims).await?;
    let mut answer = HttpResponse::NoContent();
    // As UTF-8: addresses may have letters that are not ASCII.
    let email = HeaderValue::from_bytes(claims.email.as_bytes());
    answer
        .insert_header(("x-auth-user-id", claims.sub.to_string()))
        .insert_header(("x-auth-email", email.map_err(|_control| ApiError::of(Code::AccessTokenInvalid))?))
        .insert_header(("x-auth-role", claims.role.as_str()))
        .insert_header(("x-auth-session-id", claims.sid.to_string()));
    Ok(answer.finish())
}

fn cursor_or_time() -> Schema {
    let text = || ObjectBuilder::new().schema_type(Type::String);
    let time = text().format(Some(SchemaFormat::KnownFormat(KnownFormat::DateTime)));
    let cursor = text().pattern(Some("^[0-9]{1,16}\\.[0-9a-f]{32}(\\.[0-9]{1,16})?$"));
    AnyOfBuilder::new().item(time).item(cursor).examples([json!("2026-01-31T12:00:00Z")]).into()
}

/// The query of `GET /api/auth/revocations`.
#[derive(Deserialize, IntoParams)]
pub(super) struct RevocationsQuery {
    /// `next` of an earlier answer, or a time (RFC 3339).
    #[param(schema_with = cursor_or_time)]
    after: Option<String>,
}

/// What was revoked within the lifetime of an access token.
#[derive(Serialize, ToSchema)]
#[schema(as = Revocations)]
pub(super) struct RevocationsBody {
    /// Refuse tokens whose `sid` is here.
    sessions: Vec<RevokedSession>,
    /// Refuse tokens whose `sub` is here and whose `iat` is not after that.
    users: Vec<RevokedUser>,
    /// The `after` of the next call.
    #[schema(value_type = String, example = "1795252418123456.00000000000000000000000000000000.1795252448123456")]
    next: Cursor,
    /// Whether to ask again at once.
    more: bool,
    /// Seconds after which an entry can be forgotten.
    #[schema(example = 610)]
    retention: u64,
    /// When this was read.
    #[serde(with = "time::serde::rfc3339")]
    server_time: OffsetDateTime,
}

/// A session that has ended.
#[derive(Serialize, ToSchema)]
struct RevokedSession {
    id: Uuid,
    #[serde(with = "time::serde::rfc3339")]
    revoked_at: OffsetDateTime,
}

/// A user all of whose sessions have ended.
#[derive(Serialize, ToSchema)]
struct RevokedUser {
    id: Uuid,
    #[serde(with = "time::serde::rfc3339")]
    revoked_at: OffsetDateTime,
}

impl From<RevocationList> for RevocationsBody {
    fn from(list: RevocationList) -> Self {
        let (mut sessions, mut users) = (Vec::new(), Vec::new());
        for Revocation { subject, revoked_at } in list.revocations {
            match subject {
                Subject::Session(id) => sessions.push(RevokedSession { id, revoked_at }),
                Subject::User(id) => users.push(RevokedUser { id, revoked_at }),
            }
        }
        let (next, more, retention) = (list.next, list.more, list.retention.as_secs());
        Self { sessions, users, next, more, retention, server_time: list.now }
    }
}

pub(super) async fn revocations(
    state: State,
    caller: Caller,
    query: web::Query<RevocationsQuery>,
) -> Result<HttpResponse, ApiError> {
    let after = query.after.as_deref().map(|text| cursor(text).ok_or(())).transpose();
    let after = after.map_err(|()| {
        let message = "must be next of an earlier answer, or a time such as 2026-01-31T12:00:00Z";
        auth::Error::InvalidFields(vec![FieldError::new("after", "invalid_place", message)])
    })?;
    Ok(HttpResponse::Ok().json(RevocationsBody::from(state.revocations(&caller.0, after).await?)))
}

fn cursor(text: &str) -> Option<Cursor> {
    Cursor::parse(text).or_else(|| Place::before(OffsetDateTime::parse(text, &Rfc3339).ok()?).map(Cursor::from))
}
