//! Programs with credentials of their own, and users that they look up.

use actix_web::http::StatusCode;
use serde_json::json;

use super::{Code, Operation, Tag};
use crate::domain::client::Scope;
use crate::http::accounts::UserBody;
use crate::http::openapi::security;
use crate::http::token::TokenBody;

pub(in crate::http) fn issue(call: Operation) -> Operation {
    call.named(Tag::Programs, "token", "Credentials for a token")
        .told("The token endpoint of RFC 6749, for its section 4.4. Id and secret come by HTTP Basic or in the body, not both.")
        .secured_by(vec![json!({ security::CLIENT_CREDENTIALS: [] }), json!({})])
        .answers::<TokenBody>(StatusCode::OK, "A token. There is no refresh token; ask again when it is over.")
        .with_headers(&["Pragma"])
        .refuses(&[Code::UnsupportedGrantType, Code::InvalidScope, Code::InvalidClient, Code::Overloaded])
}

pub(in crate::http) fn user_of_id(call: Operation) -> Operation {
    call.named(Tag::Programs, "user_of_id", "A user, by id")
        .secured_by(security::with_scope(Scope::UsersRead))
        .answers::<UserBody>(StatusCode::OK, "The user, disabled or not.")
}

pub(in crate::http) fn user_of_email(call: Operation) -> Operation {
    call.named(Tag::Programs, "user_of_email", "A user, by address")
        .secured_by(security::with_scope(Scope::UsersRead))
        .answers::<UserBody>(StatusCode::OK, "The user, disabled or not.")
        .refuses(&[Code::NotFound])
}
