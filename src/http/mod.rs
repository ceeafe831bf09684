//! Resources: JSON in, JSON out. Handlers read the request, call one use case of `auth`, and write its outcome.
//!
//! A handler that takes a `CurrentUser` or a `Caller` is protected; one that does not is public.

mod accounts;
mod admin;
mod bearer;
mod body;
pub mod browser;
pub mod client_address;
mod code;
pub mod connections;
mod console;
pub mod error;
mod events;
mod exchange;
mod gateway;
mod health;
mod measures;
mod part;
mod sessions;
mod token;
mod users;
mod verifications;

use std::future::ready;

use actix_web::web::{self, ServiceConfig, delete, get, head, patch, post, resource, scope};
use actix_web::{HttpMessage as _, HttpRequest, Responder};

use crate::domain::session::Sender;
pub use accounts::UserBody;
pub use admin::{DetailsBody, DirectoryBody};
use browser::Browsers;
use client_address::Proxies;
pub use exchange::{ShuttingDown, around};
pub use measures::Measures;

/// Every route on one screen; those of the console only if it is to be served.
pub fn routes(console: bool) -> impl FnOnce(&mut ServiceConfig) {
    move |config| {
        config
            .service(
                scope("/api/auth")
                    .service(resource("/register").route(post().to(accounts::register)))
                    .service(resource("/login").route(post().to(sessions::login)))
                    .service(resource("/refresh").route(post().to(sessions::refresh)))
                    .service(resource("/logout").route(post().to(sessions::logout)))
                    .service(resource("/logout-all").route(post().to(sessions::logout_all)))
                    .service(resource("/token").route(post().to(token::issue)))
                    .service(resource("/sessions").route(get().to(sessions::list)))
                    .service(resource("/sessions/{id}").route(delete().to(sessions::end)))
                    .service(
                        resource("/me")
                            .route(get().to(accounts::me))
                            .route(patch().to(accounts::change_me))
                            .route(delete().to(accounts::delete_me)),
                    )
                    .service(resource("/me/export").route(get().to(accounts::export_me)))
                    .service(resource("/password").route(post().to(accounts::change_password)))
                    .service(resource("/password-reset").route(post().to(verifications::request_reset)))
                    .service(resource("/password-reset/confirm").route(post().to(verifications::reset)))
                    .service(resource("/email-verification").route(post().to(verifications::request_verification)))
                    .service(resource("/email-verification/confirm").route(post().to(verifications::confirm_email)))
                    .service(resource("/email").route(post().to(verifications::request_email_change)))
                    .service(resource("/events").route(get().to(events::list)))
                    .service(readable("/check", gateway::check))
                    .service(resource("/revocations").route(get().to(gateway::revocations))),
            )
            .service(
                scope("/api/admin")
                    .service(resource("/stats").route(get().to(admin::statistics)))
                    .service(resource("/users").route(get().to(admin::list)))
                    .service(resource("/users/{id}").route(get().to(admin::look)).route(patch().to(admin::change)))
                    .service(resource("/users/{id}/logout-all").route(post().to(admin::logout_all)))
                    .service(resource("/cleanup").route(post().to(admin::clean_up))),
            )
            .service(resource("/api/users").route(get().to(users::of_email)))
            .service(resource("/api/users/{id}").route(get().to(users::of_id)))
            .service(readable("/health", health::live))
            .service(readable("/health/live", health::live))
            .service(readable("/health/ready", health::ready));
        if console {
            for file in console::FILES {
                config.service(readable(file.path, move |request: HttpRequest| ready(file.answer(&request))));
            }
        }
    }
}

/// A resource for readers, some of which (monitors) ask with HEAD.
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

/// What stands between this process and its callers.
pub struct Surroundings {
    /// Proxies that tell whose request they pass on.
    pub proxies: Proxies,
    /// Browsers, and the pages in them.
    pub browsers: Browsers,
    /// Whether callers reach this service by HTTPS.
    pub https: bool,
    /// Whether the process is about to end.
    pub shutting_down: ShuttingDown,
    /// What is measured of requests.
    pub measures: Measures,
}

type Outside = web::Data<Surroundings>;

/// Who sent the request.
fn sender(request: &HttpRequest) -> Sender {
    request.extensions().get::<Sender>().cloned().unwrap_or_default()
}
