//! Errors as problem documents (RFC 9457), with the codes of claviger where it has one.

use std::fmt;

use actix_cors::CorsError;
use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::error::JsonPayloadError;
use actix_web::http::StatusCode;
use actix_web::http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue, X_CONTENT_TYPE_OPTIONS};
use actix_web::middleware::Next;
use actix_web::{Error, HttpResponse, ResponseError};
use serde::Serialize;

const MEDIA_TYPE: &str = "application/problem+json";

/// What is wrong with a request. Who calls is no matter here: the verifier refuses by itself.
#[derive(Debug)]
pub(crate) enum Problem {
    Malformed,
    Forbidden,
    NotFound,
    TooLarge,
    TooSlow,
    NotJson,
    Fields(Vec<FieldProblem>),
}

/// A rule that a field breaks.
#[derive(Debug, Serialize)]
pub(crate) struct FieldProblem {
    field: &'static str,
    code: &'static str,
    message: &'static str,
}

impl FieldProblem {
    pub(crate) fn new(field: &'static str, code: &'static str, message: &'static str) -> Self {
        Self { field, code, message }
    }
}

impl Problem {
    /// Status, code and sentence.
    fn describe(&self) -> (StatusCode, &'static str, &'static str) {
        match self {
            Self::Malformed => (StatusCode::BAD_REQUEST, "malformed_request", "The body must be a JSON object"),
            Self::Forbidden => (StatusCode::FORBIDDEN, "forbidden", "This document belongs to somebody else"),
            Self::NotFound => (StatusCode::NOT_FOUND, "not_found", "There is no such document"),
            Self::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", "The body is larger than 400 KiB"),
            Self::TooSlow => (StatusCode::REQUEST_TIMEOUT, "request_timeout", "The body did not come in time"),
            Self::NotJson => {
                (StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", "The body must be application/json")
            }
            Self::Fields(_) => {
                (StatusCode::UNPROCESSABLE_ENTITY, "validation_failed", "Fields of the request are invalid")
            }
        }
    }
}

impl From<JsonPayloadError> for Problem {
    fn from(error: JsonPayloadError) -> Self {
        match error {
            JsonPayloadError::Overflow { .. } | JsonPayloadError::OverflowKnownLength { .. } => Self::TooLarge,
            JsonPayloadError::ContentType => Self::NotJson,
            JsonPayloadError::Deserialize(_) | JsonPayloadError::Serialize(_) | JsonPayloadError::Payload(_) | _ => {
                Self::Malformed
            }
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.describe().1)
    }
}

impl ResponseError for Problem {
    fn status_code(&self) -> StatusCode {
        self.describe().0
    }

    fn error_response(&self) -> HttpResponse {
        let (status, code, title) = self.describe();
        let errors = if let Self::Fields(errors) = self { errors.as_slice() } else { &[] };
        document(status, code, title, errors)
    }
}

#[derive(Serialize)]
struct Document<'a> {
    #[serde(rename = "type")]
    kind: String,
    title: &'a str,
    status: u16,
    detail: &'a str,
    code: &'a str,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    errors: &'a [FieldProblem],
}

fn document(status: StatusCode, code: &str, title: &str, errors: &[FieldProblem]) -> HttpResponse {
    let kind = format!("urn:claviger:error:{code}");
    let problem = Document { kind, title, status: status.as_u16(), detail: title, code, errors };
    HttpResponse::build(status).content_type(MEDIA_TYPE).json(problem)
}

/// The headers of every answer, and a problem document in place of what the framework says by itself.
pub(crate) async fn around(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let mut answer = next.call(request).await?.map_into_boxed_body();
    let status = answer.status();
    let is_told = answer.headers().get(CONTENT_TYPE).is_some_and(|value| value == MEDIA_TYPE);
    if (status.is_client_error() || status.is_server_error()) && !is_told {
        let cors = answer.response().error().and_then(|error| error.as_error::<CorsError>());
        let mut told = if cors.is_some() { refused_by_cors() } else { of_framework(status) };
        // What was added on the way: `Allow`, and what lets a page of another origin read the problem.
        for (name, value) in answer.headers().iter().filter(|(name, _)| *name != CONTENT_TYPE) {
            told.headers_mut().append(name.clone(), value.clone());
        }
        answer = answer.into_response(told);
    }
    let headers = answer.headers_mut();
    // Answers are about one person at one moment, and data.
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    Ok(answer)
}

fn refused_by_cors() -> HttpResponse {
    document(StatusCode::FORBIDDEN, "origin_not_allowed", "Pages of this origin may not send such a request", &[])
}

fn of_framework(status: StatusCode) -> HttpResponse {
    let (code, title) = match status {
        StatusCode::NOT_FOUND => ("not_found", "There is nothing here"),
        StatusCode::METHOD_NOT_ALLOWED => ("method_not_allowed", "The method is not allowed here"),
        status if status.is_client_error() => ("malformed_request", "The request cannot be read"),
        _ => ("internal", "Something went wrong on our side"),
    };
    document(status, code, title, &[])
}
