//! Events: one's own trail.

use actix_web::{HttpResponse, web};
use serde::{Deserialize, Serialize};

use super::State;
use super::bearer::CurrentUser;
use super::error::ApiError;
use crate::auth::{self, Trail};
use crate::domain::event::RecordedEvent;
use crate::domain::field::FieldError;
use crate::domain::place::Place;

const DEFAULT_LIMIT: u32 = 50;
const MOST: u32 = 200;

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
    let (before, limit) = query.into_inner().check()?;
    let Trail { events, next } = state.events(&caller.0, before, limit).await?;
    Ok(HttpResponse::Ok().json(EventsBody { events, next }))
}

impl EventsQuery {
    fn check(self) -> Result<(Option<Place>, u32), auth::Error> {
        let limit = self.limit.as_deref().map_or(Some(DEFAULT_LIMIT), |text| text.parse().ok());
        let before = self.before.as_deref().map(|text| Place::parse(text).ok_or(())).transpose();
        match (before, limit.filter(|limit| (1..=MOST).contains(limit))) {
            (Ok(before), Some(limit)) => Ok((before, limit)),
            (before, limit) => {
                let bad_limit = FieldError::new("limit", "out_of_range", format!("must be from 1 to {MOST}"));
                let bad_before = FieldError::new("before", "invalid_place", "must be next of an earlier answer");
                let problems = [limit.is_none().then_some(bad_limit), before.is_err().then_some(bad_before)];
                Err(auth::Error::InvalidFields(problems.into_iter().flatten().collect()))
            }
        }
    }
}
