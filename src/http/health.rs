//! Health: for balancers, orchestrators and people.

use actix_web::HttpResponse;
use serde_json::json;

use super::error::{ApiError, Code};
use super::{Outside, State};

/// The process answers. Says nothing of the database: restarting this process would not bring that back.
pub(super) async fn live() -> HttpResponse {
    HttpResponse::Ok().json(json!({ "status": "ok", "version": env!("CARGO_PKG_VERSION") }))
}

/// Requests sent here can be served, now and in a moment: the database answers within a second and has our schema, and this
/// process is not about to end.
pub(super) async fn ready(state: State, outside: Outside) -> Result<HttpResponse, ApiError> {
    if outside.shutting_down.has_begun() {
        return Err(ApiError::of(Code::ShuttingDown));
    }
    state.check_ready().await?;
    Ok(HttpResponse::Ok().json(json!({ "status": "ok", "database": "ok" })))
}
