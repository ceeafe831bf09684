//! JSON bodies of requests.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use actix_web::dev::Payload;
use actix_web::error::PayloadError;
use actix_web::http::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderValue};
use actix_web::{FromRequest, HttpRequest, web};
use serde::de::DeserializeOwned;

use super::connections;
use super::error::{ApiError, Code};
use crate::auth;
use crate::domain::field::FieldError;

/// The largest good request is a registration of about 13 KiB: a profile of 8 KiB, and 1,024 characters of password.
pub(super) const MAX_BYTES: usize = 16 * 1024;

const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

/// For 16 KiB, over the slowest line.
const READ_LIMIT: Duration = Duration::from_secs(5);

/// A request's body: a JSON object, or nothing, which counts as an empty object. Unknown fields are ignored, because
/// clients are older or newer than servers.
pub(super) struct Body<T>(pub(super) T);

impl<T: DeserializeOwned + 'static> FromRequest for Body<T> {
    type Error = actix_web::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self, Self::Error>>>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let is_json = is_json(request);
        let bytes = read(request, payload);
        Box::pin(async move {
            let bytes = bytes.await?;
            if bytes.is_empty() {
                return Ok(Self(parse(b"{}")?));
            }
            if !is_json {
                return Err(ApiError::of(Code::UnsupportedMediaType).into());
            }
            Ok(Self(parse(&bytes)?))
        })
    }
}

/// A body, bounded in size and time, without its byte order mark (RFC 8259 section 8.1).
///
/// # Errors
/// Also for a body that is compressed: its length says nothing of how large it will be.
pub(super) fn read(
    request: &HttpRequest,
    payload: &mut Payload,
) -> impl Future<Output = Result<web::Bytes, ApiError>> + use<> {
    let bytes = web::Bytes::from_request(request, payload);
    let request = request.clone();
    async move {
        connections::wait_for_client(&request);
        let bytes =
            tokio::time::timeout(READ_LIMIT, bytes).await.map_err(|_elapsed| ApiError::of(Code::RequestTimeout))?;
        connections::begin_to_answer(&request);
        let bytes = bytes.map_err(|error| unreadable(&error))?;
        if !bytes.is_empty() && is_encoded(&request) {
            let detail = "The body must not be compressed: no Content-Encoding but identity is read";
            return Err(ApiError::with_detail(Code::UnsupportedMediaType, detail));
        }
        Ok(if bytes.starts_with(BYTE_ORDER_MARK) { bytes.slice(BYTE_ORDER_MARK.len()..) } else { bytes })
    }
}

/// Whether any `Content-Encoding` names another coding than `identity`. Several headers, and several codings in one, count
/// together (RFC 9110 section 8.4).
fn is_encoded(request: &HttpRequest) -> bool {
    let codings = request.headers().get_all(CONTENT_ENCODING).map(HeaderValue::as_bytes);
    let mut codings = codings.flat_map(|line| line.split(|byte| *byte == b',')).map(<[u8]>::trim_ascii);
    codings.any(|coding| !coding.is_empty() && !coding.eq_ignore_ascii_case(b"identity"))
}

/// Whether the request says it is JSON.
pub(super) fn is_json(request: &HttpRequest) -> bool {
    is(request, "application/json")
}

/// Whether the request says it is of that type. Parameters do not matter: JSON is UTF-8 whatever a `charset` says (RFC 8259
/// section 8.1), and so are forms (the URL standard, section 5). Several headers must agree.
pub(super) fn is(request: &HttpRequest, media_type: &str) -> bool {
    let mut values = request.headers().get_all(CONTENT_TYPE).map(|value| value.to_str().unwrap_or_default());
    let names =
        |value: &str| value.split(';').next().is_some_and(|essence| essence.trim().eq_ignore_ascii_case(media_type));
    values.next().is_some_and(names) && values.all(names)
}

fn unreadable(error: &actix_web::Error) -> ApiError {
    match error.as_error::<PayloadError>() {
        Some(PayloadError::Overflow) => ApiError::of(Code::BodyTooLarge),
        _ => ApiError::of(Code::of_status(error.as_response_error().status_code())),
    }
}

/// Reads a JSON object.
pub(super) fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, ApiError> {
    // In fields that it ignores, the deserializer would let other bytes pass.
    let text = std::str::from_utf8(bytes)
        .map_err(|_no_utf8| ApiError::with_detail(Code::MalformedRequest, "The body is not in UTF-8"))?;
    // The deserializer would also take a list of the fields' values.
    let starts_like_an_object = text.bytes().find(|byte| !byte.is_ascii_whitespace()) == Some(b'{');
    let json = &mut serde_json::Deserializer::from_str(text);
    let value = serde_path_to_error::deserialize(&mut *json).map_err(|error| refuse(&error));
    if !starts_like_an_object {
        let whole = serde_json::from_str::<serde::de::IgnoredAny>(text);
        let detail = whole.map_or_else(|error| not_json(&error), |_| "The body must be a JSON object".to_owned());
        return Err(ApiError::with_detail(Code::MalformedRequest, detail));
    }
    let value = value?;
    json.end().map_err(|error| ApiError::with_detail(Code::MalformedRequest, not_json(&error)))?;
    Ok(value)
}

fn refuse(error: &serde_path_to_error::Error<serde_json::Error>) -> ApiError {
    let field = error.path().to_string();
    if error.inner().is_data() && field != "." {
        let problem = FieldError::new(field, "invalid_type", "has the wrong type or a value out of range");
        auth::Error::InvalidFields(vec![problem]).into()
    } else {
        ApiError::with_detail(Code::MalformedRequest, not_json(error.inner()))
    }
}

/// The place but not the text, which may hold a password.
fn not_json(error: &serde_json::Error) -> String {
    format!("The body is not a JSON object (line {}, column {})", error.line(), error.column())
}
