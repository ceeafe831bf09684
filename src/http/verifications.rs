//! Mailed tokens: asking for one, and bringing it back.

use actix_web::http::header::AUTHORIZATION;
use actix_web::{FromRequest as _, HttpRequest, HttpResponse};
use serde::Deserialize;
use utoipa::ToSchema;

use super::bearer::CurrentUser;
use super::body::Body;
use super::error::ApiError;
use super::{State, sender};
use crate::auth::{EmailChange, PasswordReset};

/// The body of `POST /api/auth/password-reset`.
#[derive(Deserialize, ToSchema)]
pub(super) struct ResetMailRequest {
    /// Whose password it is.
    #[schema(value_type = String, required, format = "idn-email", max_length = 254, example = "ada@example.com")]
    email: Option<String>,
}

/// The body of `POST /api/auth/email-verification`.
#[derive(Deserialize, ToSchema)]
pub(super) struct VerificationMailRequest {
    /// The address to be verified; a bearer's own needs no naming.
    #[schema(format = "idn-email", max_length = 254, example = "ada@example.com")]
    email: Option<String>,
}

/// The body of `POST /api/auth/password-reset/confirm`.
#[derive(Deserialize, ToSchema)]
pub(super) struct ResetRequest {
    /// From the mail.
    #[schema(value_type = String, required, min_length = 1, example = "from the mail")]
    token: Option<String>,
    /// As at registration.
    #[schema(value_type = String, required, format = Password, min_length = 8, max_length = 1024, example = "a better horse with a longer staple")]
    new_password: Option<String>,
}

/// The body of `POST /api/auth/email-verification/confirm`.
#[derive(Deserialize, ToSchema)]
pub(super) struct ConfirmRequest {
    /// From the mail.
    #[schema(value_type = String, required, min_length = 1, example = "from the mail")]
    token: Option<String>,
}

/// The body of `POST /api/auth/email`.
#[derive(Deserialize, ToSchema)]
pub(super) struct EmailRequest {
    /// The caller's.
    #[schema(value_type = String, required, format = Password, min_length = 1, example = "correct horse battery staple")]
    password: Option<String>,
    /// The address to have.
    #[schema(value_type = String, required, format = "idn-email", max_length = 254, example = "countess@example.com")]
    new_email: Option<String>,
}

pub(super) async fn request_reset(
    state: State,
    request: HttpRequest,
    body: Body<ResetMailRequest>,
) -> Result<HttpResponse, ApiError> {
    state.request_password_reset(body.0.email, &sender(&request)).await?;
    Ok(HttpResponse::Accepted().finish())
}

pub(super) async fn reset(
    state: State,
    request: HttpRequest,
    body: Body<ResetRequest>,
) -> Result<HttpResponse, ApiError> {
    let ResetRequest { token, new_password } = body.0;
    state.reset_password(PasswordReset { token, new_password }, &sender(&request)).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// With a bearer the caller's own address, without one that of the body: of somebody who may not sign in yet.
pub(super) async fn request_verification(
    state: State,
    request: HttpRequest,
    body: Body<VerificationMailRequest>,
) -> Result<HttpResponse, actix_web::Error> {
    let has_bearer = request.headers().contains_key(AUTHORIZATION);
    let caller = if has_bearer { Some(CurrentUser::extract(&request).await?.0) } else { None };
    let sender = sender(&request);
    state.request_email_verification(caller.as_ref(), body.0.email, &sender).await.map_err(ApiError::from)?;
    Ok(HttpResponse::Accepted().finish())
}

pub(super) async fn confirm_email(
    state: State,
    request: HttpRequest,
    body: Body<ConfirmRequest>,
) -> Result<HttpResponse, ApiError> {
    state.confirm_email(body.0.token, &sender(&request)).await?;
    Ok(HttpResponse::NoContent().finish())
}

pub(super) async fn request_email_change(
    state: State,
    request: HttpRequest,
    caller: CurrentUser,
    body: Body<EmailRequest>,
) -> Result<HttpResponse, ApiError> {
    let EmailRequest { password, new_email } = body.0;
    state.request_email_change(&caller.0, EmailChange { password, new_email }, &sender(&request)).await?;
    Ok(HttpResponse::Accepted().finish())
}
