//! The listener for Prometheus: every figure of this process, on an address of its own.

use std::net::SocketAddr;
use std::time::{SystemTime, UNIX_EPOCH};

use actix_web::dev::Server;
use actix_web::http::header::ContentType;
use actix_web::web::{self, get, head, resource};
use actix_web::{App as ActixApp, HttpResponse, HttpServer};

use super::AppError;
use crate::figures::Figures;

/// Enters what is known of the process itself.
pub(super) fn enter_process(figures: &mut Figures) {
    let started = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs());
    let started = usize::try_from(started).unwrap_or_default();
    let build = ("build_info", "The version that runs; the value is always 1.");
    figures.enter_levels(build, "version", || [(env!("CARGO_PKG_VERSION"), 1)]);
    figures.enter_level("start_time_seconds", "When the process started, in seconds since 1970.", move || started);
}

/// Listens; answers once the server is awaited.
///
/// # Errors
/// [`AppError::Listen`].
pub(super) fn listen(address: SocketAddr, figures: Figures) -> Result<(Server, SocketAddr), AppError> {
    let figures = web::Data::new(figures);
    let factory = move || {
        let metrics = resource("/metrics").route(get().to(show)).route(head().to(show));
        ActixApp::new().app_data(figures.clone()).service(metrics)
    };
    let failed = |error| AppError::Listen(format!("{address} for metrics"), error);
    let server = HttpServer::new(factory).workers(1).max_connections(64).disable_signals();
    let server = server.bind(address).map_err(failed)?;
    let address = server.addrs().first().copied().unwrap_or(address);
    Ok((server.run(), address))
}

async fn show(figures: web::Data<Figures>) -> HttpResponse {
    match figures.text() {
        Ok(text) => HttpResponse::Ok()
            .insert_header(("content-type", "text/plain; version=0.0.4; charset=utf-8"))
            .insert_header(("cache-control", "no-store"))
            .body(text),
        Err(std::fmt::Error) => HttpResponse::InternalServerError().insert_header(ContentType::plaintext()).finish(),
    }
}
