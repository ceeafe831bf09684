//! Resources: JSON in, JSON out. Handlers read the request, call one use case of `auth`, and write its outcome.
//!
//! A handler that takes a `CurrentUser` or a `Caller` is protected; one that does not is public.

mod accounts;
mod admin;
mod bearer;
mod body;
pub mod browser;
mod call;
pub mod client_address;
mod code;
pub mod connections;
mod console;
mod cookie;
mod docs;
pub mod error;
mod events;
mod exchange;
mod file;
mod gateway;
mod health;
mod measures;
pub mod openapi;
mod part;
mod presented;
mod sessions;
mod stream;
mod token;
mod traced;
mod users;
mod verifications;

use std::future::ready;

use actix_web::web::{self, ServiceConfig, get, head, resource};
use actix_web::{HttpMessage as _, HttpRequest};

use crate::domain::session::Sender;
use crate::traces::Tracer;
pub use accounts::UserBody;
pub use admin::{DetailsBody, DirectoryBody};
use browser::Browsers;
use call::{Path, at};
use client_address::Proxies;
pub use exchange::{ShuttingDown, around};
pub use measures::Measures;
use openapi::words;

/// Every call of the API on one screen, with the words that the document has for it.
fn paths() -> Vec<Path> {
    vec![
        at("/api/auth/register").post(accounts::register, words::accounts::register),
        at("/api/auth/login").post(sessions::login, words::sessions::login),
        at("/api/auth/refresh").post(sessions::refresh, words::sessions::refresh),
        at("/api/auth/logout").post(sessions::logout, words::sessions::logout),
        at("/api/auth/logout-all").post(sessions::logout_all, words::sessions::logout_all),
        at("/api/auth/token").post(token::issue, words::programs::issue),
        at("/api/auth/sessions").get(sessions::list, words::sessions::list),
        at("/api/auth/sessions/{id}").delete(sessions::end, words::sessions::end),
        at("/api/auth/me")
            .get(accounts::me, words::accounts::me)
            .patch(accounts::change_me, words::accounts::change_me)
            .delete(accounts::delete_me, words::accounts::delete_me),
        at("/api/auth/me/export").post(accounts::export_me, words::accounts::export_me),
        at("/api/auth/password").post(accounts::change_password, words::accounts::change_password),
        at("/api/auth/password-reset").post(verifications::request_reset, words::mail::request_reset),
        at("/api/auth/password-reset/confirm").post(verifications::reset, words::mail::reset),
        at("/api/auth/email-verification").post(verifications::request_verification, words::mail::request_verification),
        at("/api/auth/email-verification/confirm").post(verifications::confirm_email, words::mail::confirm_email),
        at("/api/auth/email").post(verifications::request_email_change, words::mail::request_email_change),
        at("/api/auth/events").get(events::list, words::accounts::events),
        at("/api/auth/check").read(gateway::check, words::gateways::check),
        at("/api/auth/revocations").get(gateway::revocations, words::gateways::revocations),
        at("/api/admin/stats").get(admin::statistics, words::admin::statistics),
        at("/api/admin/users").get(admin::list, words::admin::list),
        at("/api/admin/users/{id}").get(admin::look, words::admin::look).patch(admin::change, words::admin::change),
        at("/api/admin/users/{id}/logout-all").post(admin::logout_all, words::admin::logout_all),
        at("/api/admin/cleanup").post(admin::clean_up, words::admin::clean_up),
        at("/api/users").get(users::of_email, words::programs::user_of_email),
        at("/api/users/{id}").get(users::of_id, words::programs::user_of_id),
        at("/health").read(health::live, words::service::health),
        at("/health/live").read(health::live, words::service::live),
        at("/health/ready").read(health::ready, words::service::ready),
        at("/openapi.json").read(docs::document, words::service::document),
    ]
}

/// All that is served: the API, pages about it, and the console only if it is wanted.
pub fn routes(console: bool) -> impl FnOnce(&mut ServiceConfig) {
    move |config| {
        // Those whose parts vary are tried last, as that takes the longest.
        let (varying, fixed): (Vec<_>, Vec<_>) = paths().into_iter().partition(|path| path.pattern().contains('{'));
        for path in fixed.into_iter().chain(varying) {
            config.service(path.serve());
        }
        config
            .service(resource("/docs").route(get().to(docs::page)).route(head().to(docs::page)))
            .service(resource("/docs/{file}").route(get().to(docs::file)).route(head().to(docs::file)));
        for file in console::FILES.iter().filter(|_| console) {
            let answer = move |request: HttpRequest| ready(file.answer(&request));
            config.service(resource(file.name).route(get().to(answer)).route(head().to(answer)));
        }
    }
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
    /// Where requests are traced.
    pub tracer: Option<Tracer>,
}

type Outside = web::Data<Surroundings>;

/// Who sent the request.
fn sender(request: &HttpRequest) -> Sender {
    request.extensions().get::<Sender>().cloned().unwrap_or_default()
}
