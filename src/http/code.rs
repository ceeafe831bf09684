//! The one table of error codes.

use actix_web::http::StatusCode;

/// A stable name that programs decide by. docs/api.md has the same table for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is described by its title")]
pub enum Code {
    MalformedRequest,
    InvalidRequest,
    UnsupportedGrantType,
    InvalidScope,
    InvalidClient,
    InvalidCredentials,
    AccessTokenMissing,
    AccessTokenInvalid,
    AccessTokenExpired,
    RefreshTokenMissing,
    RefreshTokenInvalid,
    RefreshTokenReplayed,
    SessionExpired,
    SessionEnded,
    Forbidden,
    InsufficientScope,
    OriginNotAllowed,
    AccountDisabled,
    EmailNotVerified,
    NotFound,
    MethodNotAllowed,
    RequestTimeout,
    EmailTaken,
    PasswordChangedMeanwhile,
    BodyTooLarge,
    UnsupportedMediaType,
    ValidationFailed,
    RateLimited,
    Internal,
    Overloaded,
    DatabaseUnavailable,
    ShuttingDown,
}

impl Code {
    /// All of them, in the order of their statuses.
    pub const ALL: [Self; 32] = [
        Self::MalformedRequest,
        Self::InvalidRequest,
        Self::UnsupportedGrantType,
        Self::InvalidScope,
        Self::InvalidClient,
        Self::InvalidCredentials,
        Self::AccessTokenMissing,
        Self::AccessTokenInvalid,
        Self::AccessTokenExpired,
        Self::RefreshTokenMissing,
        Self::RefreshTokenInvalid,
        Self::RefreshTokenReplayed,
        Self::SessionExpired,
        Self::SessionEnded,
        Self::Forbidden,
        Self::InsufficientScope,
        Self::OriginNotAllowed,
        Self::AccountDisabled,
        Self::EmailNotVerified,
        Self::NotFound,
        Self::MethodNotAllowed,
        Self::RequestTimeout,
        Self::EmailTaken,
        Self::PasswordChangedMeanwhile,
        Self::BodyTooLarge,
        Self::UnsupportedMediaType,
        Self::ValidationFailed,
        Self::RateLimited,
        Self::Internal,
        Self::Overloaded,
        Self::DatabaseUnavailable,
        Self::ShuttingDown,
    ];

    /// The code's text, its status and what it means.
    #[must_use]
    pub fn describe(self) -> (&'static str, StatusCode, &'static str) {
        use StatusCode as S;
        match self {
            Self::MalformedRequest => ("malformed_request", S::BAD_REQUEST, "The request cannot be read"),
            Self::InvalidRequest => ("invalid_request", S::BAD_REQUEST, "The request for a token cannot be understood"),
            Self::UnsupportedGrantType => {
                ("unsupported_grant_type", S::BAD_REQUEST, "grant_type must be client_credentials")
            }
            Self::InvalidScope => ("invalid_scope", S::BAD_REQUEST, "The client has no such scope"),
            Self::InvalidClient => ("invalid_client", S::UNAUTHORIZED, "The client is not known by these credentials"),
            Self::InvalidCredentials => {
                ("invalid_credentials", S::UNAUTHORIZED, "The e-mail address or the password is wrong")
            }
            Self::AccessTokenMissing => ("access_token_missing", S::UNAUTHORIZED, "An access token is needed"),
            Self::AccessTokenInvalid => ("access_token_invalid", S::UNAUTHORIZED, "The access token is not valid"),
            Self::AccessTokenExpired => ("access_token_expired", S::UNAUTHORIZED, "The access token has expired"),
            Self::RefreshTokenMissing => ("refresh_token_missing", S::UNAUTHORIZED, "A refresh token is needed"),
            Self::RefreshTokenInvalid => ("refresh_token_invalid", S::UNAUTHORIZED, "The refresh token is not valid"),
            Self::RefreshTokenReplayed => {
                ("refresh_token_replayed", S::UNAUTHORIZED, "The refresh token was used before; its session has ended")
            }
            Self::SessionExpired => ("session_expired", S::UNAUTHORIZED, "The session has expired"),
            Self::SessionEnded => ("session_ended", S::UNAUTHORIZED, "The session has ended"),
            Self::Forbidden => ("forbidden", S::FORBIDDEN, "The account's role does not allow this"),
            Self::InsufficientScope => ("insufficient_scope", S::FORBIDDEN, "The access token does not allow this"),
            Self::OriginNotAllowed => {
                ("origin_not_allowed", S::FORBIDDEN, "Pages of this origin may not use the browser's cookie here")
            }
            Self::AccountDisabled => ("account_disabled", S::FORBIDDEN, "The account is disabled"),
            Self::EmailNotVerified => {
                ("email_not_verified", S::FORBIDDEN, "The e-mail address must be verified first; a mail says how")
            }
            Self::NotFound => ("not_found", S::NOT_FOUND, "There is nothing here"),
            Self::MethodNotAllowed => ("method_not_allowed", S::METHOD_NOT_ALLOWED, "The method is not allowed here"),
            Self::RequestTimeout => ("request_timeout", S::REQUEST_TIMEOUT, "The body did not come in time"),
            Self::EmailTaken => ("email_taken", S::CONFLICT, "An account with this e-mail address exists"),
            Self::PasswordChangedMeanwhile => {
                ("password_changed_meanwhile", S::CONFLICT, "Another request has just changed the password")
            }
            Self::BodyTooLarge => ("body_too_large", S::PAYLOAD_TOO_LARGE, "The body is larger than 16 KiB"),
            Self::UnsupportedMediaType => (
                "unsupported_media_type",
                S::UNSUPPORTED_MEDIA_TYPE,
                "The body must be application/json, and not compressed",
            ),
            Self::ValidationFailed => {
                ("validation_failed", S::UNPROCESSABLE_ENTITY, "Fields of the request are invalid")
            }
            Self::RateLimited => ("rate_limited", S::TOO_MANY_REQUESTS, "Too many tries; wait a little"),
            Self::Internal => ("internal", S::INTERNAL_SERVER_ERROR, "Something went wrong on our side"),
            Self::Overloaded => ("overloaded", S::SERVICE_UNAVAILABLE, "Too many sign-ins or large answers at once"),
            Self::ShuttingDown => ("shutting_down", S::SERVICE_UNAVAILABLE, "This process is about to end"),
            Self::DatabaseUnavailable => {
                ("database_unavailable", S::SERVICE_UNAVAILABLE, "The service cannot reach its database")
            }
        }
    }

    /// Whether a client may treat the session as over: nothing but a login helps.
    pub(super) fn means_signed_out(self) -> bool {
        matches!(
            self,
            Self::RefreshTokenInvalid | Self::RefreshTokenReplayed | Self::SessionExpired | Self::SessionEnded
        )
    }

    /// Whether RFC 6749 section 5.2 has it, in whose words clients of OAuth read it.
    pub(super) fn is_of_oauth(self) -> bool {
        matches!(self, Self::InvalidRequest | Self::UnsupportedGrantType | Self::InvalidScope | Self::InvalidClient)
    }

    /// The code of an error that the framework answered by itself.
    #[must_use]
    pub fn of_status(status: StatusCode) -> Self {
        match status {
            StatusCode::NOT_FOUND => Self::NotFound,
            StatusCode::METHOD_NOT_ALLOWED => Self::MethodNotAllowed,
            StatusCode::REQUEST_TIMEOUT => Self::RequestTimeout,
            StatusCode::PAYLOAD_TOO_LARGE => Self::BodyTooLarge,
            StatusCode::UNSUPPORTED_MEDIA_TYPE => Self::UnsupportedMediaType,
            status if status.is_client_error() => Self::MalformedRequest,
            _ => Self::Internal,
        }
    }
}
