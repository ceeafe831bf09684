//! Health: for balancers, orchestrators and people.

use actix_web::HttpResponse;
use serde_json::json;

use super::State;
use super::error::ApiError;

/// The process answers. Says nothing of the database: restarting this process would not bring that back.
pub(super) async fn live() -> HttpResponse {
    HttpResponse::Ok().json(json!({ "status": "ok", "version": env!("CARGO_PKG_VERSION") }))
}

/// Requests sent here can be served: the database answers within a second and has our schema.
pub(super) async fn ready(state: State) -> Result<HttpResponse, ApiError> {
    state.check_ready().await?;
    Ok(HttpResponse::Ok().json(json!({ "status": "ok", "database": "ok" })))
}
