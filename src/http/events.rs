//! Events: one's own trail.

use actix_web::{HttpResponse, web};
use serde::{Deserialize, Serialize};

use super::State;
use super::bearer::CurrentUser;
use super::error::ApiError;
use super::part::Part;
use crate::auth::{self, Trail};
use crate::domain::event::RecordedEvent;
use crate::domain::place::Place;

/// The query of `GET /api/auth/events`.
#[derive(Deserialize)]
pub(super) struct EventsQuery {
    limit: Option<String>,
    before: Option<String>,
}

#[derive(Serialize)]
struct EventsBody {
    events: Vec<RecordedEvent>,
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
    Ok(HttpResponse::Ok().json(EventsBody { events, next }))
}
