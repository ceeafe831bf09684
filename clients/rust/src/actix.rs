//! Users as arguments of actix-web's handlers.

use std::borrow::Cow;
use std::fmt;
use std::future::{Ready, ready};
use std::ops::Deref;

use actix_web::dev::Payload;
use actix_web::http::StatusCode;
use actix_web::http::header::{AUTHORIZATION, CACHE_CONTROL, RETRY_AFTER, WWW_AUTHENTICATE};
use actix_web::{FromRequest, HttpRequest, HttpResponse, ResponseError, web};
use serde_json::json;

use crate::{Claims, Gate, Refused, Role};

/// Somebody who is signed in. A handler that takes one answers 401 to everybody else.
///
/// Needs `.app_data(web::Data::new(gate))`, with the [`Gate`]. **Do not take an `Option<User>`**: actix-web makes `None` of every
/// error, so who comes with an expired token would be treated as nobody instead of being told to refresh. [`MaybeUser`] is
/// what you want.
#[derive(Debug, Clone)]
pub struct User(pub Claims);

/// Somebody who may be signed in. Who sends no `Authorization` is nobody, which is fine; who sends one must be let in by it: a
/// bad or expired token is 401, so that the caller refreshes and comes again as who it is.
#[derive(Debug, Clone)]
pub struct MaybeUser(pub Option<Claims>);

/// Why a request is refused: a problem document (RFC 9457) with the codes of the service itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rejection {
    /// 401 `access_token_missing`: there is no `Authorization: Bearer …`.
    Missing,
    /// 401 `access_token_invalid` or `access_token_expired`; or 503 `revocations_unknown`.
    Refused(Refused),
    /// 403 `forbidden`: not for this user.
    Forbidden,
    /// 500 `internal`: the application has no [`Gate`] among its data.
    NoGate,
}

impl User {
    /// Fails unless the user had this role when the token was issued, ten minutes ago at most by default.
    ///
    /// # Errors
    /// [`Rejection::Forbidden`].
    pub fn require(&self, role: Role) -> Result<(), Rejection> {
        if self.role == role { Ok(()) } else { Err(Rejection::Forbidden) }
    }
}

impl Deref for User {
    type Target = Claims;

    fn deref(&self) -> &Claims {
        &self.0
    }
}

impl FromRequest for User {
    type Error = actix_web::Error;
    type Future = Ready<Result<Self, Self::Error>>;

    fn from_request(request: &HttpRequest, _payload: &mut Payload) -> Self::Future {
        let user = claims(request).and_then(|claims| claims.ok_or(Rejection::Missing));
        ready(user.map(Self).map_err(actix_web::Error::from))
    }
}

impl FromRequest for MaybeUser {
    type Error = actix_web::Error;
    type Future = Ready<Result<Self, Self::Error>>;

    fn from_request(request: &HttpRequest, _payload: &mut Payload) -> Self::Future {
        ready(claims(request).map(Self).map_err(actix_web::Error::from))
    }
}

/// Whose request it is; nobody's if it does not say.
fn claims(request: &HttpRequest) -> Result<Option<Claims>, Rejection> {
    let gate = request.app_data::<web::Data<Gate>>().ok_or(Rejection::NoGate)?;
    let mut headers = request.headers().get_all(AUTHORIZATION);
    let Some(header) = headers.next() else { return Ok(None) };
    // What stands in front may have looked at one, and we at the other.
    if headers.next().is_some() {
        return Err(Rejection::Refused(Refused::Invalid));
    }
    let token = bearer_token(header.as_bytes()).ok_or(Rejection::Missing)?;
    gate.check(&token).map(Some).map_err(Rejection::Refused)
}

/// The token of `Bearer …`; the scheme's case does not matter (RFC 9110 section 11.1).
fn bearer_token(header: &[u8]) -> Option<Cow<'_, str>> {
    let (scheme, token) = header.trim_ascii().split_at_checked("bearer ".len())?;
    let found = scheme.eq_ignore_ascii_case(b"bearer ") && !token.trim_ascii().is_empty();
    found.then(|| String::from_utf8_lossy(token.trim_ascii()))
}

impl Rejection {
    /// Status, code and sentence.
    fn describe(self) -> (StatusCode, &'static str, &'static str) {
        match self {
            Self::Missing => (StatusCode::UNAUTHORIZED, "access_token_missing", "An access token is needed"),
            Self::Refused(Refused::Invalid | Refused::Ended) => {
                (StatusCode::UNAUTHORIZED, "access_token_invalid", "The access token is not valid")
            }
            Self::Refused(Refused::Expired) => {
                (StatusCode::UNAUTHORIZED, "access_token_expired", "The access token has expired")
            }
            Self::Refused(Refused::Unsure) => (
                StatusCode::SERVICE_UNAVAILABLE,
                "revocations_unknown",
                "Whether the session has ended cannot be told at the moment",
            ),
            Self::Forbidden => (StatusCode::FORBIDDEN, "forbidden", "This is not for you"),
            Self::NoGate => (StatusCode::INTERNAL_SERVER_ERROR, "internal", "Something went wrong on our side"),
        }
    }
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoGate => f.write_str("the application has no web::Data<claviger_verifier::Gate>"),
            Self::Missing | Self::Refused(_) | Self::Forbidden => f.write_str(self.describe().1),
        }
    }
}

impl ResponseError for Rejection {
    fn status_code(&self) -> StatusCode {
        self.describe().0
    }

    fn error_response(&self) -> HttpResponse {
        let (status, code, title) = self.describe();
        let mut response = HttpResponse::build(status);
        response.insert_header((CACHE_CONTROL, "no-store"));
        match self {
            // RFC 6750 section 3.1: without a token no error code.
            Self::Missing => {
                response.insert_header((WWW_AUTHENTICATE, "Bearer realm=\"claviger\""));
            }
            Self::Refused(Refused::Invalid | Refused::Ended | Refused::Expired) => {
                let challenge =
                    format!("Bearer realm=\"claviger\", error=\"invalid_token\", error_description=\"{title}\"");
                response.insert_header((WWW_AUTHENTICATE, challenge));
            }
            Self::Refused(Refused::Unsure) => {
                response.insert_header((RETRY_AFTER, "1"));
            }
            Self::Forbidden | Self::NoGate => {}
        }
        response.content_type("application/problem+json").json(json!({
            "type": format!("urn:claviger:error:{code}"), "title": title, "status": status.as_u16(), "detail": title, "code": code,
        }))
    }
}

#[cfg(test)]
mod tests;
