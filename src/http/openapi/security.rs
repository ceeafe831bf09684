//! How callers show who they are.

use serde_json::{Map, Value, json};

use crate::domain::client::Scope;

/// A person, by an access token.
pub(super) const USER: &str = "user";
/// A program, by an access token.
pub(super) const CLIENT: &str = "client";
/// A program, by its credentials.
pub(super) const CLIENT_CREDENTIALS: &str = "client_credentials";
/// A browser, by its cookie.
pub(super) const COOKIE: &str = "refresh_cookie";

/// An administrator, or a program that may do this.
pub(super) fn with_scope(scope: Scope) -> Vec<Value> {
    vec![json!({ USER: [] }), json!({ CLIENT: [scope.as_str()] })]
}

/// All of them. A refresh token in a body is a field of that body.
pub(super) fn schemes() -> Value {
    let scopes: Map<String, Value> = Scope::ALL.iter().map(|scope| (scope.as_str().to_owned(), told(*scope))).collect();
    json!({
        USER: {
            "type": "http", "scheme": "bearer", "bearerFormat": "JWT",
            "description": "The access token of a person: `access_token` of a registration, a login or a refresh.",
        },
        CLIENT: {
            "type": "oauth2",
            "description": "The access token of a program, which it gets for its credentials (RFC 6749 section 4.4).",
            "flows": { "clientCredentials": { "tokenUrl": "/api/auth/token", "scopes": scopes } },
        },
        CLIENT_CREDENTIALS: {
            "type": "http", "scheme": "basic",
            "description": "A program's id and secret, each encoded as in a form (RFC 6749 section 2.3.1).",
        },
        COOKIE: {
            "type": "apiKey", "in": "cookie", "name": "__Host-refresh_token",
            "description": "The refresh token of a browser. A request that uses it comes from a page of this service or of an \
                            origin in `cors.allowed_origins`; its body is JSON, or empty. The setting `cookie.name` names \
                            it; without `cookie.secure` the prefix is left out.",
        },
    })
}

fn told(scope: Scope) -> Value {
    match scope {
        Scope::UsersRead => "Look users up.",
        Scope::RevocationsRead => "Read the list of revocations.",
    }
    .into()
}
