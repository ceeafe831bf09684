//! Administration: numbers, accounts, and what can be done with them.

use actix_web::{HttpRequest, HttpResponse, web};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::accounts::{EndedBody, UserBody};
use super::bearer::CurrentUser;
use super::body::Body;
use super::error::ApiError;
use super::part::Part;
use super::{State, sender, stream};
use crate::auth;
use crate::auth::operate::{AccountChange, Details, Directory};
use crate::domain::event::RecordedEvent;
use crate::domain::place::Place;
use crate::domain::session::ListedSession;
use crate::domain::user::Role;
use crate::domain::user_filter::UserFilter;

/// The query of `GET /api/admin/users`.
#[derive(Deserialize, IntoParams)]
pub(super) struct UsersQuery {
    /// A part of the address or the name, in any case; one line.
    #[param(max_length = 200, pattern = "^[^\\u0000-\\u001f\\u007f-\\u009f]*$", example = "ada")]
    search: Option<String>,
    /// What they may do.
    #[param(value_type = Option<Role>, inline)]
    role: Option<String>,
    /// Whether their accounts are open.
    #[param(value_type = Option<UserStatus>, inline)]
    status: Option<String>,
    /// How many; 50 if it is not said.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 200)]
    limit: Option<String>,
    /// `next` of an earlier answer.
    #[param(pattern = "^[0-9]{1,16}\\.[0-9a-f]{32}$")]
    before: Option<String>,
}

/// Whether an account is open.
#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
#[expect(dead_code, reason = "for the document; the domain reads the text")]
pub(super) enum UserStatus {
    Active,
    Disabled,
}

/// The body of `PATCH /api/admin/users/{id}`. What is absent stays.
#[derive(Deserialize, ToSchema)]
pub(super) struct ChangeRequest {
    /// False closes the account, and ends its sessions.
    is_active: Option<bool>,
    /// What the person may do.
    #[schema(value_type = Option<Role>)]
    role: Option<String>,
}

/// Part of all users.
#[derive(Serialize, ToSchema)]
#[schema(as = Users)]
pub struct DirectoryBody {
    /// Newest first.
    users: Vec<UserBody>,
    /// The `before` of the next part; null at the end of the list.
    #[schema(required, value_type = Option<String>, example = "1795252418123456.0199a1b2c3d47e8f90a1b2c3d4e5f607")]
    next: Option<Place>,
}

/// A user with what an administrator needs to help.
#[derive(Serialize, ToSchema)]
#[schema(as = UserDetails)]
pub struct DetailsBody {
    #[serde(flatten)]
    user: UserBody,
    /// Since when the account is closed.
    #[schema(required, example = json!(null))]
    #[serde(with = "time::serde::rfc3339::option")]
    disabled_at: Option<OffsetDateTime>,
    /// How many could be refreshed.
    live_sessions: usize,
    /// Live ones and those that ended lately, newest login first.
    sessions: Vec<ListedSession>,
    /// The last 20.
    events: Vec<RecordedEvent>,
}

impl From<Directory> for DirectoryBody {
    fn from(directory: Directory) -> Self {
        Self { users: directory.users.into_iter().map(UserBody::from).collect(), next: directory.next }
    }
}

impl From<Details> for DetailsBody {
    fn from(details: Details) -> Self {
        Self {
            live_sessions: details.live_sessions(),
            disabled_at: details.user.disabled_at,
            user: details.user.into(),
            sessions: details.sessions,
            events: details.events,
        }
    }
}

pub(super) async fn statistics(state: State, caller: CurrentUser) -> Result<HttpResponse, ApiError> {
    Ok(HttpResponse::Ok().json(state.statistics(&caller.0).await?))
}

pub(super) async fn list(
    state: State,
    caller: CurrentUser,
    query: web::Query<UsersQuery>,
) -> Result<HttpResponse, ApiError> {
    let (filter, Part { before, limit }) = query.into_inner().check()?;
    let directory = state.list_users(&caller.0, &filter, before, limit).await?;
    stream::list(&state, caller.0.sub, &DirectoryBody::from(directory))
}

pub(super) async fn look(state: State, caller: CurrentUser, id: web::Path<String>) -> Result<HttpResponse, ApiError> {
    let details = state.look_at_user(&caller.0, parse_id(&id)).await?;
    stream::list(&state, caller.0.sub, &DetailsBody::from(details))
}

pub(super) async fn change(
    state: State,
    request: HttpRequest,
    caller: CurrentUser,
    id: web::Path<String>,
    body: Body<ChangeRequest>,
) -> Result<HttpResponse, ApiError> {
    let ChangeRequest { is_active, role } = body.0;
    let role = role.map(|name| Role::parse(&name, "role")).transpose();
    let role = role.map_err(|problem| auth::Error::InvalidFields(vec![problem]))?;
    let change = AccountChange { is_active, role };
    let user = state.change_user(&caller.0, parse_id(&id), change, &sender(&request)).await?;
    Ok(HttpResponse::Ok().json(UserBody::from(user)))
}

pub(super) async fn logout_all(
    state: State,
    request: HttpRequest,
    caller: CurrentUser,
    id: web::Path<String>,
) -> Result<HttpResponse, ApiError> {
    let ended = state.end_sessions_of(&caller.0, parse_id(&id), &sender(&request)).await?;
    Ok(HttpResponse::Ok().json(EndedBody { ended }))
}

pub(super) async fn clean_up(state: State, caller: CurrentUser) -> Result<HttpResponse, ApiError> {
    Ok(HttpResponse::Ok().json(state.clean_up(&caller.0).await?))
}

/// What is no id is nobody's. That is told to administrators alone, so it is looked for all the same.
fn parse_id(text: &str) -> Uuid {
    Uuid::try_parse(text).unwrap_or(Uuid::nil())
}

impl UsersQuery {
    fn check(self) -> Result<(UserFilter, Part), auth::Error> {
        let filter = UserFilter::parse(self.search.as_deref(), self.role.as_deref(), self.status.as_deref());
        let part = Part::parse(self.before.as_deref(), self.limit.as_deref());
        match (filter, part) {
            (Ok(filter), Ok(part)) => Ok((filter, part)),
            (filter, part) => {
                let problems = [filter.err(), part.err()].into_iter().flatten().flatten();
                Err(auth::Error::InvalidFields(problems.collect()))
            }
        }
    }
}
