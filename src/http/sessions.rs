//! Sessions: starting, refreshing and ending them.

use actix_web::http::header::HeaderValue;
use actix_web::{HttpRequest, HttpResponse};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use time::OffsetDateTime;
use uuid::Uuid;

use super::accounts::UserBody;
use super::bearer::CurrentUser;
use super::body::Body;
use super::error::{ApiError, Code};
use super::{State, device};
use crate::auth::{Login, Refresh, SignedIn, Tokens};

/// The body of `POST /api/auth/login`.
#[derive(Deserialize)]
pub(super) struct LoginRequest {
    email: Option<String>,
    password: Option<String>,
    label: Option<String>,
}

/// The body of `POST /api/auth/refresh` and `…/logout`.
#[derive(Deserialize)]
pub(super) struct RefreshTokenRequest {
    refresh_token: Option<Value>,
}

/// What a body says about a refresh token.
enum Presented {
    /// Nothing, null, or an empty text.
    Nothing,
    /// Something of another type. It is a token that was never issued, and not a broken request: clients sign out on
    /// exactly that answer.
    NoText,
    /// A text, whatever it is worth.
    Text(String),
}

impl Presented {
    /// A body that cannot be read holds no token that was ever issued either.
    fn of(body: Result<Body<RefreshTokenRequest>, actix_web::Error>) -> Result<Self, actix_web::Error> {
        let refresh_token = match body {
            Ok(body) => body.0.refresh_token,
            Err(error) => match error.as_error::<ApiError>().map(ApiError::code) {
                Some(Code::MalformedRequest | Code::BodyTooLarge) => return Ok(Self::NoText),
                _ => return Err(error),
            },
        };
        Ok(match refresh_token {
            None | Some(Value::Null) => Self::Nothing,
            Some(Value::String(text)) if text.is_empty() => Self::Nothing,
            Some(Value::String(text)) => Self::Text(text),
            Some(Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_)) => Self::NoText,
        })
    }
}

/// The body of `POST /api/auth/logout-all`.
#[derive(Deserialize)]
pub(super) struct LogoutAllRequest {
    keep_current: Option<bool>,
}

/// A token answer, in the names of RFC 6749 section 5.1.
#[derive(Serialize)]
pub(super) struct TokensBody {
    access_token: String,
    token_type: &'static str,
    expires_in: i64,
    refresh_token: String,
    refresh_expires_in: i64,
    session_id: Uuid,
    #[serde(with = "time::serde::rfc3339")]
    server_time: OffsetDateTime,
}

impl From<Tokens> for TokensBody {
    fn from(tokens: Tokens) -> Self {
        let Tokens { access_token, refresh_token, session } = tokens;
        Self {
            access_token: access_token.text,
            token_type: "Bearer",
            expires_in: access_token.expires_in,
            refresh_token: refresh_token.into_string(),
            refresh_expires_in: (session.ends_at - session.now).whole_seconds(),
            session_id: session.id,
            server_time: session.now,
        }
    }
}

/// The answer to registering and logging in.
#[derive(Serialize)]
pub(super) struct SignedInBody {
    #[serde(flatten)]
    tokens: TokensBody,
    user: UserBody,
}

impl From<SignedIn> for SignedInBody {
    fn from(signed_in: SignedIn) -> Self {
        Self { tokens: signed_in.tokens.into(), user: signed_in.user.into() }
    }
}

pub(super) async fn login(
    state: State,
    request: HttpRequest,
    body: Body<LoginRequest>,
) -> Result<HttpResponse, ApiError> {
    let LoginRequest { email, password, label } = body.0;
    let signed_in = state.login(Login { email, password, label }, &device(&request)).await?;
    Ok(HttpResponse::Ok().json(SignedInBody::from(signed_in)))
}

/// Any `Authorization` beside the refresh token is ignored: interceptors attach the expired access token everywhere.
pub(super) async fn refresh(
    state: State,
    request: HttpRequest,
    body: Result<Body<RefreshTokenRequest>, actix_web::Error>,
) -> Result<HttpResponse, actix_web::Error> {
    let refresh_token = match Presented::of(body)? {
        Presented::Nothing => return Err(ApiError::of(Code::RefreshTokenMissing).into()),
        Presented::NoText => return Err(ApiError::of(Code::RefreshTokenInvalid).into()),
        Presented::Text(text) => text,
    };
    let refresh = Refresh { refresh_token: &refresh_token, idempotency_key: idempotency_key(&request)? };
    let tokens = state.refresh(refresh, &device(&request)).await.map_err(ApiError::from)?;
    Ok(HttpResponse::Ok().json(TokensBody::from(tokens)))
}

/// The `Idempotency-Key` header, whose bytes mean nothing to us; an empty one is none.
fn idempotency_key(request: &HttpRequest) -> Result<Option<&[u8]>, ApiError> {
    let mut keys =
        request.headers().get_all("idempotency-key").map(HeaderValue::as_bytes).filter(|key| !key.is_empty());
    let key = keys.next();
    if key.is_some_and(|key| key.len() > 255) || keys.next().is_some() {
        let detail = "Idempotency-Key must be one header of at most 255 bytes";
        return Err(ApiError::with_detail(Code::MalformedRequest, detail));
    }
    Ok(key)
}

/// A refresh token decides; without one, a bearer ends its own session. Whoever has neither is signed out already.
pub(super) async fn logout(
    state: State,
    request: HttpRequest,
    caller: Result<CurrentUser, actix_web::Error>,
    body: Result<Body<RefreshTokenRequest>, actix_web::Error>,
) -> Result<HttpResponse, actix_web::Error> {
    let device = device(&request);
    let ended = match (Presented::of(body)?, caller) {
        (Presented::Text(token), _) => state.logout(&token, &device).await,
        (Presented::NoText | Presented::Nothing, Ok(caller)) => state.logout_bearer(&caller.0, &device).await,
        (Presented::NoText | Presented::Nothing, Err(_)) => Ok(()),
    };
    ended.map_err(ApiError::from)?;
    Ok(HttpResponse::NoContent().finish())
}

pub(super) async fn logout_all(
    state: State,
    request: HttpRequest,
    caller: CurrentUser,
    body: Body<LogoutAllRequest>,
) -> Result<HttpResponse, ApiError> {
    let ended = state.logout_all(&caller.0, body.0.keep_current.unwrap_or(false), &device(&request)).await?;
    Ok(HttpResponse::Ok().json(json!({ "ended": ended })))
}
