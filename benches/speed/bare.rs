//! The least that a server of this kind can do: actix-web with one handler, in a process of its own.
//!
//! `/json` answers a small document; `/verify` verifies an HS256 token of the service first, and answers as `check` does.

use std::io::{Write as _, stdout};
use std::process::ExitCode;
use std::sync::Arc;

use actix_web::http::header::AUTHORIZATION;
use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode};
use serde_json::{Value, json};

use super::ground::{ACCESS_SECRET, ISSUER};

/// Makes this program such a server.
pub(crate) const ARGUMENT: &str = "serve-bare";

pub(crate) fn serve() -> ExitCode {
    let mut validation = Validation::new(Algorithm::HS256);
    validation.set_audience(&[ISSUER]);
    validation.set_issuer(&[ISSUER]);
    let verifier = Arc::new((DecodingKey::from_secret(ACCESS_SECRET.as_bytes()), validation));
    let verify = move |request: HttpRequest| {
        let verifier = Arc::clone(&verifier);
        async move {
            let token =
                request.headers().get(AUTHORIZATION).and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
            let claims = token.and_then(|token| decode::<Value>(token, &verifier.0, &verifier.1).ok());
            match claims.as_ref().and_then(|claims| claims.claims["sub"].as_str()) {
                Some(user) => HttpResponse::NoContent().insert_header(("x-auth-user-id", user)).finish(),
                None => HttpResponse::Unauthorized().finish(),
            }
        }
    };
    let json = || async { HttpResponse::Ok().json(json!({"id": 1, "email": "ada@example.com"})) };
    let serving = async move {
        let app =
            move || App::new().route("/json", web::get().to(json)).route("/verify", web::get().to(verify.clone()));
        let server = HttpServer::new(app).workers(cores()).bind(("127.0.0.1", 0))?;
        writeln!(stdout(), "{}", server.addrs()[0])?;
        server.run().await
    };
    match actix_web::rt::System::new().block_on(serving) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}
