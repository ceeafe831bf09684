//! Gateways that ask about each request, and APIs that verify by themselves.

use actix_web::http::StatusCode;

use super::{Code, Operation, Tag};
use crate::domain::client::Scope;
use crate::http::gateway::RevocationsBody;
use crate::http::openapi::security;

pub(in crate::http) fn check(call: Operation) -> Operation {
    call.named(Tag::Gateways, "check", "Whose request it is, in headers")
        .told("For nginx's `auth_request` and its like. Answered from memory; a token of an ended session is refused within 3 seconds.")
        .answers_nothing(StatusCode::NO_CONTENT, "A good access token.")
        .with_headers(&["X-Auth-User-Id", "X-Auth-Email", "X-Auth-Role", "X-Auth-Session-Id"])
        .never_refuses(&[Code::DatabaseUnavailable])
}

pub(in crate::http) fn revocations(call: Operation) -> Operation {
    call.named(Tag::Gateways, "revocations", "What was revoked within the lifetime of an access token")
        .told("At most 2,000 entries a part. Entries are told again, all of them every half minute, so that none is missed.")
        .secured_by(security::with_scope(Scope::RevocationsRead))
        .answers::<RevocationsBody>(StatusCode::OK, "Part of it.")
}
