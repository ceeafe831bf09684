//! Resources: JSON in, JSON out. Handlers read the request, call one use case of `auth`, and write its outcome.
//!
//! A handler that takes a `CurrentUser` is protected; one that does not is public.

mod accounts;
mod bearer;
mod body;
pub mod error;
mod exchange;
mod health;
mod sessions;

use actix_web::http::header::{HeaderValue, USER_AGENT};
use actix_web::web::{self, ServiceConfig, get, head, post, resource, scope};
use actix_web::{HttpRequest, Responder};

use crate::domain::session::Device;
pub use exchange::{ShuttingDown, around};

/// Every route on one screen.
pub fn routes(config: &mut ServiceConfig) {
    config
        .service(
            scope("/api/auth")
                .service(resource("/register").route(post().to(accounts::register)))
                .service(resource("/login").route(post().to(sessions::login)))
                .service(resource("/refresh").route(post().to(sessions::refresh)))
                .service(resource("/logout").route(post().to(sessions::logout)))
                .service(resource("/logout-all").route(post().to(sessions::logout_all)))
                .service(resource("/me").route(get().to(accounts::me))),
        )
        .service(readable("/health", health::live))
        .service(readable("/health/live", health::live))
        .service(readable("/health/ready", health::ready));
}

/// A resource for monitors, some of which ask with HEAD.
fn readable<F, Args>(path: &str, handler: F) -> actix_web::Resource
where
    F: actix_web::Handler<Args>,
    Args: actix_web::FromRequest + 'static,
    F::Output: Responder + 'static,
{
    resource(path).route(get().to(handler.clone())).route(head().to(handler))
}

/// How much of a request's body is read.
#[must_use]
pub fn payload_limit() -> web::PayloadConfig {
    web::PayloadConfig::new(body::MAX_BYTES)
}

/// The application state of every handler.
type State = web::Data<crate::auth::Auth>;

/// What the request tells of the device that sent it.
fn device(request: &HttpRequest) -> Device {
    let user_agent = request.headers().get(USER_AGENT).map(HeaderValue::as_bytes);
    Device::new(request.peer_addr().map(|peer| peer.ip()), user_agent)
}
