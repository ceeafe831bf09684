//! An API that verifies access tokens by itself, and refuses those of ended sessions within seconds.
//!
//! ```sh
//! claviger clients add resource-server --scope revocations:read
//! JWT_SECRET=… AUTH_URL=http://127.0.0.1:8080 CLIENT_ID=… CLIENT_SECRET=… \
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
        client_id: variable("CLIENT_ID")?,
        client_secret: variable("CLIENT_SECRET")?,
    };
    api::serve(settings, TcpListener::bind("127.0.0.1:9000")?)?.await
}
