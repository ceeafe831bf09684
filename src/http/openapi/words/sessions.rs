//! Sessions: starting, refreshing, listing and ending them.

use actix_web::http::StatusCode;
use serde_json::json;

use super::{Code, Operation, Tag};
use crate::http::accounts::EndedBody;
use crate::http::openapi::security;
use crate::http::sessions::{SessionsBody, SignedInBody, TokensBody};

/// A body that cannot be read.
const OF_BODIES: [Code; 4] =
    [Code::MalformedRequest, Code::RequestTimeout, Code::BodyTooLarge, Code::UnsupportedMediaType];

pub(in crate::http) fn login(call: Operation) -> Operation {
    call.named(Tag::Sessions, "login", "Sign in")
        .told(
            "Whether the address or the password was wrong is not told, nor whether there is such an account. With \
             `token_transport` `cookie` the page must be of an allowed origin and on the site of this service: browsers drop a \
             `SameSite=Strict` cookie from another site, so that is 403 `origin_not_allowed`.",
        )
        .answers::<SignedInBody>(StatusCode::OK, "Signed in.")
        .with_headers(&["Set-Cookie"])
        .refuses(&[Code::InvalidCredentials, Code::OriginNotAllowed, Code::AccountDisabled, Code::EmailNotVerified])
        .refuses(&[Code::RateLimited, Code::Overloaded])
}

pub(in crate::http) fn refresh(call: Operation) -> Operation {
    call.named(Tag::Sessions, "refresh", "Refresh the tokens")
        .told(
            "The token comes in the body, or in the cookie; `Authorization` is ignored. A session rotates at most once per grace \
             window of 30 seconds. Inside it the token that was rotated and the token that replaced it both get the latter, so a \
             refresh may return the refresh token that it was sent. The rotated token gets it later too, with the \
             `Idempotency-Key` of its rotation, until the next rotation. A body is not needed with the cookie.\n\nA body that \
             cannot be read is 400, 408, 413 or 415: keep the token and try again. A body that can be read and holds no good \
             token is 401. Of several cookies the newest that this service issued and whose session is alive counts.",
        )
        .secured_by(vec![json!({ security::COOKIE: [] }), json!({})])
        .reads_header(
            "Idempotency-Key",
            "At least 128 random bits, kept as long as the refresh token.",
            &json!({ "type": "string", "maxLength": 255, "example": "hX2vT9qLr0Yw3sKc8NfPzg" }),
        )
        .answers::<TokensBody>(StatusCode::OK, "A new access token, and the refresh token of the session: a new one, or the one that was sent.")
        .with_headers(&["Set-Cookie"])
        .refuses(&[Code::RefreshTokenMissing, Code::RefreshTokenInvalid, Code::RefreshTokenReplayed])
        .refuses(&[Code::SessionExpired, Code::SessionEnded, Code::OriginNotAllowed])
        .refuses(&OF_BODIES)
        .with_headers_of_errors(&["Set-Cookie"])
}

pub(in crate::http) fn logout(call: Operation) -> Operation {
    call.named(Tag::Sessions, "logout", "Sign out")
        .told(
            "Ends the session of the refresh token in the body or the cookie, or else of the bearer. Who has neither, or a token \
             that is dead, is signed out already. A body that cannot be read is 400, 408, 413 or 415, and several \
             `Authorization` headers that differ are 400 where a bearer decides: nothing has ended then.",
        )
        .secured_by(vec![json!({ security::COOKIE: [] }), json!({ security::USER: [] }), json!({})])
        .answers_nothing(StatusCode::NO_CONTENT, "Signed out.")
        .with_headers(&["Set-Cookie"])
        .refuses(&[Code::OriginNotAllowed])
        .refuses(&OF_BODIES)
}

pub(in crate::http) fn logout_all(call: Operation) -> Operation {
    call.named(Tag::Sessions, "logout_all", "Sign out everywhere")
        .answers::<EndedBody>(StatusCode::OK, "How many sessions ended.")
}

pub(in crate::http) fn list(call: Operation) -> Operation {
    call.named(Tag::Sessions, "sessions", "The caller's sessions").answers::<SessionsBody>(
        StatusCode::OK,
        "All live ones, and of those that ended within 7 days the last hundred.",
    )
}

pub(in crate::http) fn end(call: Operation) -> Operation {
    call.named(Tag::Sessions, "end_session", "End one of the caller's sessions")
        .answers_nothing(StatusCode::NO_CONTENT, "It has ended, perhaps before.")
}
