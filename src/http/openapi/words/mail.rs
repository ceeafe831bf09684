//! Mailed tokens: asking for one, and bringing it back.

use actix_web::http::StatusCode;
use serde_json::json;

use super::{Code, OF_PROOFS, Operation, Tag};
use crate::http::openapi::security;

pub(in crate::http) fn request_reset(call: Operation) -> Operation {
    call.named(Tag::Mail, "request_password_reset", "Ask for a mail to set a new password")
        .told("The same answer for every address, in the same time.")
        .answers_nothing(StatusCode::ACCEPTED, "If there is such an account, it gets a mail.")
        .refuses(&[Code::NotFound, Code::RateLimited, Code::Overloaded])
}

pub(in crate::http) fn reset(call: Operation) -> Operation {
    call.named(Tag::Mail, "reset_password", "Set a new password with a mailed token")
        .told("Ends all sessions. A password that breaks a rule does not use the token up.")
        .answers_nothing(StatusCode::NO_CONTENT, "The password is set.")
        .refuses(&[Code::NotFound, Code::RateLimited, Code::Overloaded])
}

pub(in crate::http) fn request_verification(call: Operation) -> Operation {
    call.named(Tag::Mail, "request_email_verification", "Ask for a mail to verify an address")
        .told("The bearer's own address; without a bearer, for who may not sign in yet, that of the body.")
        .secured_by(vec![json!({ security::USER: [] }), json!({})])
        .answers_nothing(StatusCode::ACCEPTED, "If there is such an account, it gets a mail.")
        .refuses(&[Code::AccessTokenMissing, Code::AccessTokenInvalid, Code::AccessTokenExpired])
        .refuses(&[Code::NotFound, Code::RateLimited, Code::Overloaded])
}

pub(in crate::http) fn confirm_email(call: Operation) -> Operation {
    call.named(Tag::Mail, "confirm_email", "Verify an address with a mailed token")
        .told("Also confirms a change of address.")
        .answers_nothing(StatusCode::NO_CONTENT, "The address is verified.")
        .refuses(&[Code::NotFound, Code::EmailTaken, Code::RateLimited, Code::Overloaded])
}

pub(in crate::http) fn request_email_change(call: Operation) -> Operation {
    call.named(Tag::Mail, "request_email_change", "Ask for another address")
        .told("The account has it when the token that is mailed there comes back.")
        .answers_nothing(StatusCode::ACCEPTED, "A mail goes to the new address.")
        .refuses(&OF_PROOFS)
        .refuses(&[Code::NotFound])
}
