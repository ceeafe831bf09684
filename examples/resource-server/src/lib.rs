//! An API of the shape of a document-processing back end, which verifies claviger's access tokens by itself.
//!
//! Anybody may have a text looked at; who is signed in has a history besides. What is kept is in memory and gone with the
//! process: the subject here is who may do what, and a database would hide it.

mod api;
mod documents;
mod problems;
mod settings;

use std::net::TcpListener;

use actix_cors::Cors;
use actix_web::dev::Server;
use actix_web::http::header::{AUTHORIZATION, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use actix_web::middleware::from_fn;
use actix_web::{App, HttpServer, web};

use documents::Documents;
pub use settings::{Problems, Settings};

/// Serves until it is stopped, and meanwhile hears which sessions ended. Leaves signals to the caller.
///
/// # Errors
/// When the listener cannot be used.
pub fn serve(settings: Settings, listener: TcpListener) -> std::io::Result<Server> {
    let Settings { gate, follower, allowed_origins, .. } = settings;
    tokio::spawn(follower.run());
    let (gate, documents) = (web::Data::new(gate), web::Data::new(Documents::default()));
    let app = move || {
        App::new()
            .app_data(gate.clone())
            .app_data(documents.clone())
            .configure(api::routes)
            .wrap(cors(&allowed_origins))
            // Outside, so that it sees what CORS refuses too.
            .wrap(from_fn(problems::around))
    };
    Ok(HttpServer::new(app).workers(2).max_connections(512).disable_signals().listen(listener)?.run())
}

/// Pages of these origins may call with a token, and read all answers, those that refuse them too.
fn cors(allowed_origins: &[String]) -> Cors {
    let cors = Cors::default()
        .allowed_methods(["GET", "POST", "DELETE"])
        .allowed_headers([AUTHORIZATION, CONTENT_TYPE])
        // By this a client sees that it should refresh.
        .expose_headers([WWW_AUTHENTICATE, RETRY_AFTER])
        .max_age(600);
    allowed_origins.iter().fold(cors, |cors, origin| cors.allowed_origin(origin))
}
