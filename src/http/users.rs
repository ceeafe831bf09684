//! Users, looked up by programs and administrators.

use actix_web::{HttpResponse, web};
use serde::Deserialize;
use utoipa::IntoParams;
use uuid::Uuid;

use super::State;
use super::accounts::UserBody;
use super::bearer::Caller;
use super::error::{ApiError, Code};
use crate::auth::{self, Wanted};
use crate::domain::email::Email;
use crate::domain::field::FieldError;

/// The query of `GET /api/users`.
#[derive(Deserialize, IntoParams)]
pub(super) struct UsersQuery {
    /// An address, in any spelling.
    #[param(value_type = String, required, format = "idn-email", max_length = 254, example = "ada@example.com")]
    email: Option<String>,
}

/// What is no id is nobody's.
pub(super) async fn of_id(state: State, caller: Caller, id: web::Path<String>) -> Result<HttpResponse, ApiError> {
    let id = Uuid::try_parse(&id).map_err(|_no_id| ApiError::of(Code::NotFound))?;
    look_up(&state, &caller, &Wanted::Id(id)).await
}

/// What is no address is told: a `+` that was not encoded is a space by now.
pub(super) async fn of_email(
    state: State,
    caller: Caller,
    query: web::Query<UsersQuery>,
) -> Result<HttpResponse, ApiError> {
    let text = query.into_inner().email.filter(|text| !text.is_empty());
    let email = text.ok_or(FieldError::required("email")).and_then(|text| Email::parse(&text));
    let email = email.map_err(|problem| auth::Error::InvalidFields(vec![problem]))?;
    look_up(&state, &caller, &Wanted::Email(email)).await
}

async fn look_up(state: &State, caller: &Caller, wanted: &Wanted) -> Result<HttpResponse, ApiError> {
    Ok(HttpResponse::Ok().json(UserBody::from(state.look_up(&caller.0, wanted).await?)))
}
