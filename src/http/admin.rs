//! Administration: numbers, accounts, and what can be done with them.

use actix_web::{HttpRequest, HttpResponse, web};
use serde::{Deserialize, Serialize};
use serde_json::json;
use time::OffsetDateTime;
use uuid::Uuid;

use super::accounts::UserBody;
use super::bearer::CurrentUser;
use super::body::Body;
use super::error::ApiError;
use super::part::Part;
use super::{State, sender};
use crate::auth;
use crate::auth::operate::{AccountChange, Details, Directory};
use crate::domain::event::RecordedEvent;
use crate::domain::place::Place;
use crate::domain::session::ListedSession;
use crate::domain::user::Role;
use crate::domain::user_filter::UserFilter;

/// The query of `GET /api/admin/users`.
#[derive(Deserialize)]
pub(super) struct UsersQuery {
    search: Option<String>,
    role: Option<String>,
    status: Option<String>,
    limit: Option<String>,
    before: Option<String>,
}

/// The body of `PATCH /api/admin/users/{id}`. What is absent stays.
#[derive(Deserialize)]
pub(super) struct ChangeRequest {
    is_active: Option<bool>,
    role: Option<String>,
}

/// Part of all users.
#[derive(Serialize)]
pub struct DirectoryBody {
    users: Vec<UserBody>,
    next: Option<Place>,
}

/// A user with what an administrator needs to help.
#[derive(Serialize)]
pub struct DetailsBody {
    #[serde(flatten)]
    user: UserBody,
    #[serde(with = "time::serde::rfc3339::option")]
    disabled_at: Option<OffsetDateTime>,
    live_sessions: usize,
    sessions: Vec<ListedSession>,
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
    Ok(HttpResponse::Ok().json(DirectoryBody::from(directory)))
}

pub(super) async fn look(state: State, caller: CurrentUser, id: web::Path<String>) -> Result<HttpResponse, ApiError> {
    let details = state.look_at_user(&caller.0, parse_id(&id)).await?;
    Ok(HttpResponse::Ok().json(DetailsBody::from(details)))
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
    Ok(HttpResponse::Ok().json(json!({ "ended": ended })))
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
