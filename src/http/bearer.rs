//! The bearer of an access token (RFC 6750), as a handler's argument.

use std::borrow::Cow;
use std::future::{Ready, ready};

use actix_web::dev::Payload;
use actix_web::http::header::AUTHORIZATION;
use actix_web::{FromRequest, HttpRequest};

use super::State;
use super::error::{ApiError, Code};
use crate::auth::{self, Auth};
use crate::domain::access_token::Claims;
use crate::domain::client_token::Bearer;

/// The person whom the request's access token was issued to. Taking one makes a handler protected.
pub(super) struct CurrentUser(pub(super) Claims);

/// Whoever the request's access token was issued to, person or program. What they may do, the use case asks.
pub(super) struct Caller(pub(super) Bearer);

impl FromRequest for CurrentUser {
    type Error = actix_web::Error;
    type Future = Ready<Result<Self, Self::Error>>;

    fn from_request(request: &HttpRequest, _payload: &mut Payload) -> Self::Future {
        ready(verified(request, Auth::authenticate).map(Self).map_err(actix_web::Error::from))
    }
}

impl FromRequest for Caller {
    type Error = actix_web::Error;
    type Future = Ready<Result<Self, Self::Error>>;

    fn from_request(request: &HttpRequest, _payload: &mut Payload) -> Self::Future {
        ready(verified(request, Auth::authenticate_any).map(Self).map_err(actix_web::Error::from))
    }
}

fn verified<T>(request: &HttpRequest, by: impl Fn(&Auth, &str) -> Result<T, auth::Error>) -> Result<T, ApiError> {
    let token = bearer_token(request).ok_or(ApiError::of(Code::AccessTokenMissing))?;
    let state = request.app_data::<State>().ok_or(ApiError::of(Code::Internal))?;
    Ok(by(state, &token)?)
}

/// The token of an `Authorization: Bearer …` header; the scheme's case does not matter (RFC 9110 section 11.1).
fn bearer_token(request: &HttpRequest) -> Option<Cow<'_, str>> {
    let value = request.headers().get(AUTHORIZATION)?.as_bytes().trim_ascii();
    let (scheme, token) = value.split_at_checked("bearer ".len())?;
    let found = scheme.eq_ignore_ascii_case(b"bearer ") && !token.trim_ascii().is_empty();
    let token = token.trim_ascii();
    // Most are text, which is found out at once; what is none is refused as any other wrong token.
    found.then(|| std::str::from_utf8(token).map_or_else(|_| String::from_utf8_lossy(token), Cow::Borrowed))
}
