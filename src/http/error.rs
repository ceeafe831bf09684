//! Every error a client can see: one document format (RFC 9457). `code` has the table of codes.

use std::fmt;
use std::time::Duration;

use actix_web::cookie::Cookie;
use actix_web::http::StatusCode;
use actix_web::http::header::{HeaderName, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use actix_web::{HttpResponse, ResponseError};
use serde::Serialize;
use time::OffsetDateTime;
use time::macros::datetime;
use utoipa::ToSchema;

pub use super::code::Code;
use crate::auth;
use crate::domain::client::Scope;
use crate::domain::field::FieldError;
use crate::domain::session::{EndedBy, Ending};

/// The media type of every error.
pub(super) const PROBLEM: &str = "application/problem+json";

/// An error on its way to the client, with its cause for the log.
#[derive(Debug)]
pub struct ApiError {
    code: Code,
    detail: Option<String>,
    fields: Vec<FieldError>,
    ending: Option<Ending>,
    cookie: Option<Box<Cookie<'static>>>,
    /// In seconds.
    retry_after: Option<u32>,
    scope: Option<Scope>,
    cause: Option<auth::Error>,
}

impl ApiError {
    /// An error that its code says all about.
    #[must_use]
    pub fn of(code: Code) -> Self {
        Self {
            code,
            detail: None,
            fields: Vec::new(),
            ending: None,
            cookie: None,
            retry_after: None,
            scope: None,
            cause: None,
        }
    }

    /// An error with a sentence that helps this client.
    #[must_use]
    pub fn with_detail(code: Code, detail: impl Into<String>) -> Self {
        Self { detail: Some(detail.into()), ..Self::of(code) }
    }

    /// The same error, which also sets a cookie.
    #[must_use]
    pub fn with_cookie(self, cookie: Cookie<'static>) -> Self {
        Self { cookie: Some(Box::new(cookie)), ..self }
    }

    /// Its code.
    #[must_use]
    pub fn code(&self) -> Code {
        self.code
    }

    /// What the operator should know and the client must not.
    #[must_use]
    pub fn cause(&self) -> Option<&auth::Error> {
        self.cause.as_ref()
    }

    /// The answer, complete.
    #[must_use]
    pub fn respond(&self, request_id: &str) -> HttpResponse {
        let (_, status, _) = self.code.describe();
        let mut response = HttpResponse::build(status);
        if let Some((name, value)) = self.header() {
            response.insert_header((name, value));
        }
        if let Some(cookie) = &self.cookie {
            response.cookie(Cookie::clone(cookie));
        }
        response.content_type(PROBLEM).json(self.problem(request_id))
    }

    /// The answer's body.
    pub(super) fn problem<'a>(&'a self, request_id: &'a str) -> Problem<'a> {
        let (code, status, title) = self.code.describe();
        let detail = self.detail.as_deref().unwrap_or(title);
        let of_oauth = self.code.is_of_oauth();
        Problem {
            kind: format!("urn:claviger:error:{code}"),
            title,
            status: status.as_u16(),
            detail,
            code,
            request_id,
            errors: self.fields.iter().map(FieldProblem::from).collect(),
            ended_by: self.ending.map(|ending| ending.ended_by),
            ended_at: self.ending.map(|ending| ending.ended_at),
            error: of_oauth.then_some(code),
            error_description: of_oauth.then_some(detail),
        }
    }

    /// An error as it may come, for the document.
    pub(super) fn example(code: Code) -> Self {
        let ended_by = [(Code::RefreshTokenReplayed, EndedBy::Replayed), (Code::SessionEnded, EndedBy::Logout)];
        let ended_by = ended_by.into_iter().find_map(|(of, ended_by)| (of == code).then_some(ended_by));
        let ending = ended_by.map(|ended_by| Ending { ended_by, ended_at: datetime!(2026-01-31 12:00 UTC) });
        let is_of_fields = code == Code::ValidationFailed;
        let fields = is_of_fields.then(|| FieldError::required("email")).into_iter().collect();
        Self { fields, ending, ..Self::of(code) }
    }

    /// The header that the status asks for.
    pub(super) fn header(&self) -> Option<(HeaderName, HeaderValue)> {
        let challenge = |text| Some((WWW_AUTHENTICATE, HeaderValue::from_static(text)));
        match self.code {
            // RFC 6750 section 3.1: without a token no error code.
            Code::AccessTokenInvalid => challenge(
                "Bearer realm=\"claviger\", error=\"invalid_token\", error_description=\"The access token is not valid\"",
            ),
            Code::AccessTokenExpired => challenge(
                "Bearer realm=\"claviger\", error=\"invalid_token\", error_description=\"The access token has expired\"",
            ),
            Code::InvalidClient => challenge("Basic realm=\"claviger\", charset=\"UTF-8\""),
            Code::InsufficientScope => {
                let scope = self.scope.map(Scope::as_str).unwrap_or_default();
                let text = format!("Bearer realm=\"claviger\", error=\"insufficient_scope\", scope=\"{scope}\"");
                HeaderValue::try_from(text).ok().map(|value| (WWW_AUTHENTICATE, value))
            }
            Code::InvalidCredentials
            | Code::AccessTokenMissing
            | Code::RefreshTokenMissing
            | Code::RefreshTokenInvalid
            | Code::RefreshTokenReplayed
            | Code::SessionExpired
            | Code::SessionEnded => challenge("Bearer realm=\"claviger\""),
            Code::DatabaseUnavailable | Code::ShuttingDown => Some((RETRY_AFTER, HeaderValue::from_static("2"))),
            Code::MalformedRequest
            | Code::InvalidRequest
            | Code::UnsupportedGrantType
            | Code::InvalidScope
            | Code::Forbidden
            | Code::OriginNotAllowed
            | Code::AccountDisabled
            | Code::EmailNotVerified
            | Code::NotFound
            | Code::MethodNotAllowed
            | Code::RequestTimeout
            | Code::EmailTaken
            | Code::PasswordChangedMeanwhile
            | Code::BodyTooLarge
            | Code::UnsupportedMediaType
            | Code::ValidationFailed
            | Code::Internal => None,
            Code::RateLimited | Code::Overloaded => {
                Some((RETRY_AFTER, HeaderValue::from(self.retry_after.unwrap_or(1))))
            }
        }
    }
}

impl From<auth::Error> for ApiError {
    fn from(error: auth::Error) -> Self {
        match error {
            auth::Error::InvalidFields(fields) => Self { fields, ..Self::of(Code::ValidationFailed) },
            auth::Error::InvalidCredentials => Self::of(Code::InvalidCredentials),
            auth::Error::AccountDisabled => Self::of(Code::AccountDisabled),
            auth::Error::EmailNotVerified => Self::of(Code::EmailNotVerified),
            auth::Error::NoMail => Self::with_detail(Code::NotFound, "No mail server is configured here"),
            auth::Error::Forbidden => Self::of(Code::Forbidden),
            auth::Error::NotOneself => Self::with_detail(
                Code::Forbidden,
                "Administrators cannot disable or demote themselves; another one can, or an operator",
            ),
            auth::Error::InsufficientScope(scope) => Self { scope: Some(scope), ..Self::of(Code::InsufficientScope) },
            auth::Error::InvalidClient => Self::of(Code::InvalidClient),
            auth::Error::InvalidScope => Self::of(Code::InvalidScope),
            auth::Error::NotFound => Self::of(Code::NotFound),
            auth::Error::EmailTaken => Self::of(Code::EmailTaken),
            auth::Error::PasswordChangedMeanwhile => Self::of(Code::PasswordChangedMeanwhile),
            auth::Error::AccessTokenInvalid => Self::of(Code::AccessTokenInvalid),
            auth::Error::AccessTokenExpired => Self::of(Code::AccessTokenExpired),
            auth::Error::RefreshTokenInvalid => Self::of(Code::RefreshTokenInvalid),
            auth::Error::RefreshTokenReplayed(ending) => {
                Self { ending: Some(ending), ..Self::of(Code::RefreshTokenReplayed) }
            }
            auth::Error::SessionEnded(ending) => Self { ending: Some(ending), ..Self::of(Code::SessionEnded) },
            auth::Error::SessionExpired => Self::of(Code::SessionExpired),
            auth::Error::RateLimited(wait) => Self { retry_after: whole_seconds(wait), ..Self::of(Code::RateLimited) },
            auth::Error::Overloaded(wait) => Self { retry_after: whole_seconds(wait), ..Self::of(Code::Overloaded) },
            auth::Error::DatabaseUnavailable(_) => Self { cause: Some(error), ..Self::of(Code::DatabaseUnavailable) },
            auth::Error::Internal(_) => Self { cause: Some(error), ..Self::of(Code::Internal) },
        }
    }
}

/// Rounded up: who comes back on time is let in.
fn whole_seconds(wait: Duration) -> Option<u32> {
    u32::try_from(wait.as_millis().div_ceil(1000).max(1)).ok()
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code.describe().0)
    }
}

impl ResponseError for ApiError {
    fn status_code(&self) -> StatusCode {
        self.code.describe().1
    }
}

/// An error (RFC 9457). Decide by `code`; texts may change.
#[derive(Serialize, ToSchema)]
pub(super) struct Problem<'a> {
    /// The code as a URN.
    #[serde(rename = "type")]
    kind: String,
    /// What the code means.
    title: &'a str,
    /// That of the answer.
    status: u16,
    /// A sentence for people.
    detail: &'a str,
    /// What programs decide by.
    code: &'a str,
    /// As in `X-Request-Id`, and in the log.
    request_id: &'a str,
    /// Each broken rule, at `validation_failed`.
    #[schema(required = false)]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<FieldProblem<'a>>,
    /// Why the session ended.
    #[schema(value_type = EndedBy, required = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    ended_by: Option<EndedBy>,
    /// When the session ended.
    #[schema(value_type = OffsetDateTime, required = false)]
    #[serde(skip_serializing_if = "Option::is_none", with = "time::serde::rfc3339::option")]
    ended_at: Option<OffsetDateTime>,
    /// The code again, where RFC 6749 section 5.2 has it.
    #[schema(value_type = String, required = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a str>,
    /// The detail again, where RFC 6749 section 5.2 has it.
    #[schema(value_type = String, required = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    error_description: Option<&'a str>,
}

/// A broken rule.
#[derive(Serialize, ToSchema)]
pub(super) struct FieldProblem<'a> {
    /// Which field of the request.
    field: &'a str,
    /// Which rule; newer versions have more of them.
    code: &'a str,
    /// The rule for people.
    message: &'a str,
}

impl<'a> From<&'a FieldError> for FieldProblem<'a> {
    fn from(error: &'a FieldError) -> Self {
        Self { field: &error.field, code: error.code, message: &error.message }
    }
}
