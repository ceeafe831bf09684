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

/// As [`CurrentUser`], for gateways. They pass on 401 and 403, and nginx makes 500 of anything else, so here a request that
/// cannot be read has a token that is not valid.
pub(super) struct CheckedUser(pub(super) Claims);

impl FromRequest for CheckedUser {
    type Error = actix_web::Error;
    type Future = Ready<Result<Self, Self::Error>>;

    fn from_request(request: &HttpRequest, _payload: &mut Payload) -> Self::Future {
        let user = verified(request, Auth::authenticate).map(Self).map_err(|error| {
            let is_several = error.code() == Code::MalformedRequest;
            if is_several { ApiError::with_detail(Code::AccessTokenInvalid, SEVERAL) } else { error }
        });
        ready(user.map_err(actix_web::Error::from))
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
    let token = bearer_token(request)?.ok_or(ApiError::of(Code::AccessTokenMissing))?;
    let state = request.app_data::<State>().ok_or(ApiError::of(Code::Internal))?;
    Ok(by(state, &token)?)
}

const SEVERAL: &str = "There are several Authorization headers that differ";

/// The value of the `Authorization` header. What stands in front may have looked at another one than this service would, so
/// several must be equal.
pub(super) fn authorization(request: &HttpRequest) -> Result<Option<&[u8]>, ApiError> {
    let mut values = request.headers().get_all(AUTHORIZATION).map(|value| value.as_bytes().trim_ascii());
    let value = values.next();
    if values.any(|other| Some(other) != value) {
        return Err(ApiError::with_detail(Code::MalformedRequest, SEVERAL));
    }
    Ok(value)
}

/// The token of an `Authorization: Bearer …` header; the scheme's case does not matter (RFC 9110 section 11.1).
fn bearer_token(request: &HttpRequest) -> Result<Option<Cow<'_, str>>, ApiError> {
    let parts = authorization(request)?.and_then(|value| value.split_at_checked("bearer ".len()));
    let Some((scheme, token)) = parts else { return Ok(None) };
    let token = token.trim_ascii();
    let found = scheme.eq_ignore_ascii_case(b"bearer ") && !token.is_empty();
    // Most are text, which is found out at once; what is none is refused as any other wrong token.
    Ok(found.then(|| std::str::from_utf8(token).map_or_else(|_| String::from_utf8_lossy(token), Cow::Borrowed)))
}
