//! An API that verifies access tokens by itself, and refuses those of ended sessions within seconds.
//!
//! ```sh
//! claviger user set-role api@example.com service
//! JWT_SECRET=… AUTH_URL=http://127.0.0.1:8080 SERVICE_EMAIL=api@example.com SERVICE_PASSWORD=… \
//!   cargo run --example resource_server
//! curl http://127.0.0.1:9000/items -H "authorization: Bearer $access"
//! ```

mod api;

use std::io::{Error, Result};
use std::net::TcpListener;

#[expect(clippy::disallowed_methods, reason = "a program of its own, whose settings are these four variables")]
fn variable(name: &str) -> Result<String> {
    std::env::var(name).map_err(|error| Error::other(format!("{name}: {error}")))
}

#[actix_web::main]
async fn main() -> Result<()> {
    let settings = api::Settings {
        jwt_secret: variable("JWT_SECRET")?,
        auth_url: variable("AUTH_URL")?,
        email: variable("SERVICE_EMAIL")?,
        password: variable("SERVICE_PASSWORD")?,
    };
    api::serve(settings, TcpListener::bind("127.0.0.1:9000")?)?.await
}
