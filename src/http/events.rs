//! Events: one's own trail.

use actix_web::{HttpResponse, web};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::bearer::CurrentUser;
use super::error::ApiError;
use super::part::Part;
use super::{State, stream};
use crate::auth::{self, Trail};
use crate::domain::event::RecordedEvent;
use crate::domain::place::Place;

/// The query of `GET /api/auth/events`.
#[derive(Deserialize, IntoParams)]
pub(super) struct EventsQuery {
    /// How many; 50 if it is not said.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 200)]
    limit: Option<String>,
    /// `next` of an earlier answer.
    #[param(pattern = "^[0-9]{1,16}\\.[0-9a-f]{32}$")]
    before: Option<String>,
}

/// Part of what happened to an account.
#[derive(Serialize, ToSchema)]
#[schema(as = Events)]
pub(super) struct EventsBody {
    /// Newest first.
    events: Vec<RecordedEvent>,
    /// The `before` of the next part; null at the end of the list.
    #[schema(required, value_type = Option<String>, example = "1795252418123456.0199a1b2c3d47e8f90a1b2c3d4e5f607")]
    next: Option<Place>,
}

pub(super) async fn list(
    state: State,
    caller: CurrentUser,
    query: web::Query<EventsQuery>,
) -> Result<HttpResponse, ApiError> {
    let EventsQuery { limit, before } = query.into_inner();
    let Part { before, limit } =
        Part::parse(before.as_deref(), limit.as_deref()).map_err(auth::Error::InvalidFields)?;
    let Trail { events, next } = state.events(&caller.0, before, limit).await?;
    stream::list(&state, caller.0.sub, &EventsBody { events, next })
}
