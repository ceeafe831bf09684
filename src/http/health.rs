//! Health: for balancers, orchestrators and people.

use actix_web::HttpResponse;
use serde::Serialize;
use utoipa::ToSchema;

use super::error::{ApiError, Code};
use super::{Outside, State};

/// That the process answers.
#[derive(Serialize, ToSchema)]
#[schema(as = Live)]
pub(super) struct LiveBody {
    #[schema(example = "ok")]
    status: &'static str,
    /// This program's.
    #[schema(example = "0.1.0")]
    version: &'static str,
}

/// That requests can be served.
#[derive(Serialize, ToSchema)]
#[schema(as = Ready)]
pub(super) struct ReadyBody {
    #[schema(example = "ok")]
    status: &'static str,
    #[schema(example = "ok")]
    database: &'static str,
}

/// The process answers. Says nothing of the database: restarting this process would not bring that back.
pub(super) async fn live() -> HttpResponse {
    HttpResponse::Ok().json(LiveBody { status: "ok", version: env!("CARGO_PKG_VERSION") })
}

/// Requests sent here can be served, now and in a moment: the database answers within a second and has our schema, and this
/// process is not about to end.
pub(super) async fn ready(state: State, outside: Outside) -> Result<HttpResponse, ApiError> {
    if outside.shutting_down.has_begun() {
        return Err(ApiError::of(Code::ShuttingDown));
    }
    state.check_ready().await?;
    Ok(HttpResponse::Ok().json(ReadyBody { status: "ok", database: "ok" }))
}
