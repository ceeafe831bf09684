//! Sessions: starting, refreshing, listing and ending them.

use actix_web::http::StatusCode;
use actix_web::http::header::HeaderValue;
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder, web};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use utoipa::ToSchema;
use uuid::Uuid;

use super::accounts::{EndedBody, UserBody};
use super::bearer::CurrentUser;
use super::body::Body;
use super::browser::{Browsers, Transport};
use super::error::{ApiError, Code};
use super::presented::{Cookies, Presented, RefreshTokenRequest};
use super::{Outside, State, sender, stream};
use crate::auth::{self, Login, Refresh, SignedIn, Tokens};
use crate::domain::session::{EndedBy, ListedSession};

/// The body of `POST /api/auth/login`.
#[derive(Deserialize, ToSchema)]
pub(super) struct LoginRequest {
    /// What is no address is nobody's.
    #[schema(value_type = String, required, min_length = 1, example = "ada@example.com")]
    email: Option<String>,
    /// As at registration.
    #[schema(value_type = String, required, format = Password, min_length = 1, example = "correct horse battery staple")]
    password: Option<String>,
    /// The device's name, for lists of sessions.
    #[schema(max_length = 200, pattern = "^[^\\u0000-\\u001f\\u007f-\\u009f]*$", example = "Ada's phone")]
    label: Option<String>,
    /// How the refresh token comes.
    #[schema(value_type = Option<Transport>)]
    token_transport: Option<String>,
    /// One that the device still has, to show that it is no stranger; whatever it is worth. Its session ends if it is the
    /// same user's.
    #[schema(example = json!(null))]
    refresh_token: Option<String>,
}

/// The body of `POST /api/auth/logout-all`.
#[derive(Deserialize, ToSchema)]
pub(super) struct LogoutAllRequest {
    /// Whether the caller's own session goes on.
    #[schema(example = true)]
    keep_current: Option<bool>,
}

/// A token answer, in the names of RFC 6749 section 5.1.
#[derive(Serialize, ToSchema)]
#[schema(as = Tokens)]
pub(super) struct TokensBody {
    /// A JWT, for `Authorization: Bearer`.
    #[schema(example = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.…")]
    access_token: String,
    /// Always this.
    #[schema(pattern = "^Bearer$", example = "Bearer")]
    token_type: &'static str,
    /// Seconds that the access token lives.
    #[schema(minimum = 0, example = 600)]
    expires_in: i64,
    /// For the next refresh; inside the grace window the one that was sent. Not there if it is in the cookie.
    #[schema(value_type = String, required = false, example = "rt1_…")]
    #[serde(skip_serializing_if = "Option::is_none")]
    refresh_token: Option<String>,
    /// Seconds that the session lives unless it is refreshed.
    #[schema(minimum = 0, example = 2_592_000)]
    refresh_expires_in: i64,
    /// The session, as in the list of sessions and in the claim `sid`.
    session_id: Uuid,
    /// To see how wrong the device's clock is.
    #[serde(with = "time::serde::rfc3339")]
    server_time: OffsetDateTime,
}

/// Tokens, and whose they are.
#[derive(Serialize, ToSchema)]
#[schema(as = SignedIn)]
pub(super) struct SignedInBody {
    #[serde(flatten)]
    tokens: TokensBody,
    user: UserBody,
}

/// The answer to registering and logging in.
pub(super) fn answer_signed_in(
    status: StatusCode,
    signed_in: SignedIn,
    transport: Transport,
    browsers: &Browsers,
) -> HttpResponse {
    let mut answer = HttpResponse::build(status);
    let tokens = hand_over(signed_in.tokens, None, &mut answer, transport, browsers);
    answer.json(SignedInBody { tokens, user: signed_in.user.into() })
}

/// The tokens as the body has them; what the body has not goes into the answer's cookie.
///
/// A cookie that stays as `presented` is not set again: the answer may reach the browser after that of a later rotation, and
/// would put the older token back.
fn hand_over(
    tokens: Tokens,
    presented: Option<&str>,
    answer: &mut HttpResponseBuilder,
    transport: Transport,
    browsers: &Browsers,
) -> TokensBody {
    let Tokens { access_token, refresh_token, session } = tokens;
    let refresh_expires_in = (session.ends_at - session.now).whole_seconds();
    let refresh_token = match transport {
        Transport::Body => Some(refresh_token.into_string()),
        Transport::Cookie => {
            let refresh_token = refresh_token.into_string();
            if presented != Some(&*refresh_token) {
                answer.cookie(browsers.cookie.with(refresh_token, refresh_expires_in));
            }
            None
        }
    };
    TokensBody {
        access_token: access_token.text,
        token_type: "Bearer",
        expires_in: access_token.expires_in,
        refresh_token,
        refresh_expires_in,
        session_id: session.id,
        server_time: session.now,
    }
}

pub(super) async fn login(
    state: State,
    outside: Outside,
    request: HttpRequest,
    body: Body<LoginRequest>,
) -> Result<HttpResponse, ApiError> {
    let LoginRequest { email, password, label, token_transport, refresh_token } = body.0;
    let transport = Transport::asked_for(token_transport.as_deref(), &outside.browsers, &request)?;
    // A cookie says no more here than that the browser was signed in, so any page's will do.
    let refresh_token = refresh_token.or_else(|| {
        let (tokens, _) = state.recognize(outside.browsers.cookie.values(&request));
        tokens.into_iter().next().map(|token| token.text)
    });
    let login = Login { email, password, label, refresh_token };
    let signed_in = state.login(login, &sender(&request)).await.map_err(ApiError::from);
    outside.measures.login(signed_in.as_ref().err());
    let signed_in = signed_in?;
    Ok(answer_signed_in(StatusCode::OK, signed_in, transport, &outside.browsers))
}

/// Any `Authorization` beside the refresh token is ignored: interceptors attach the expired access token everywhere.
pub(super) async fn refresh(
    state: State,
    outside: Outside,
    request: HttpRequest,
    body: Result<Body<RefreshTokenRequest>, actix_web::Error>,
) -> Result<HttpResponse, actix_web::Error> {
    let browsers = &outside.browsers;
    let presented = Presented::by(&request, body, browsers, &state)?;
    let (sender, idempotency_key) = (sender(&request), idempotency_key(&request)?);
    let rotate = async |refresh_token: &str| state.refresh(Refresh { refresh_token, idempotency_key }, &sender).await;
    let (tokens, presented, transport) = match presented {
        Presented::Nothing if browsers.is_on_other_site(&request) => {
            return Err(ApiError::with_detail(Code::RefreshTokenMissing, COOKIE_KEPT_BACK).into());
        }
        Presented::Nothing => return Err(ApiError::of(Code::RefreshTokenMissing).into()),
        Presented::NoText => return Err(ApiError::of(Code::RefreshTokenInvalid).into()),
        Presented::Body(text) | Presented::Foreign(text) => {
            (rotate(&text).await.map_err(ApiError::from)?, text, Transport::Body)
        }
        Presented::Cookies(cookies) => {
            browsers.check_site(&request).map_err(ApiError::from)?;
            let (tokens, presented) = rotate_first(cookies, rotate, browsers).await?;
            (tokens, presented, Transport::Cookie)
        }
    };
    let mut answer = HttpResponse::Ok();
    let tokens = hand_over(tokens, Some(&presented), &mut answer, transport, browsers);
    Ok(answer.json(tokens))
}

const COOKIE_KEPT_BACK: &str = "There is no refresh token: the page is on another site than the service, where browsers do \
                                not send a cookie with SameSite=Strict";

/// New tokens for the first cookie whose session is alive, and that cookie.
async fn rotate_first(
    cookies: Cookies,
    rotate: impl AsyncFn(&str) -> Result<Tokens, auth::Error>,
    browsers: &Browsers,
) -> Result<(Tokens, String), ApiError> {
    let (mut signed_out, mut is_replaced) = (None, false);
    for token in cookies.tokens {
        let error = match rotate(&token.text).await {
            Ok(tokens) => return Ok((tokens, token.text)),
            Err(error) => error,
        };
        is_replaced |= matches!(&error, auth::Error::SessionEnded(ending) if ending.ended_by == EndedBy::Replaced);
        let error = ApiError::from(error);
        if !error.code().means_signed_out() {
            return Err(error);
        }
        signed_out = signed_out.or(Some(error));
    }
    let error = signed_out.unwrap_or_else(|| ApiError::of(Code::RefreshTokenMissing));
    // A cookie that opens nothing any more would only be refused again and again. The login that replaced a session has set another
    // cookie, which a removal would delete.
    Err(if cookies.are_all && !is_replaced { error.with_cookie(browsers.cookie.removal()) } else { error })
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
///
/// All sessions of the browser's cookies end: one that were left would sign the user in again.
pub(super) async fn logout(
    state: State,
    outside: Outside,
    request: HttpRequest,
    caller: Result<CurrentUser, actix_web::Error>,
    body: Result<Body<RefreshTokenRequest>, actix_web::Error>,
) -> Result<HttpResponse, actix_web::Error> {
    let (sender, browsers) = (sender(&request), &outside.browsers);
    let mut answer = HttpResponse::NoContent();
    match (Presented::by(&request, body, browsers, &state)?, caller) {
        (Presented::Body(token), _) => state.logout(&token, &sender).await.map_err(ApiError::from)?,
        (Presented::Cookies(Cookies { tokens, are_all }), _) => {
            for token in tokens {
                state.logout(&token.text, &sender).await.map_err(ApiError::from)?;
            }
            if are_all {
                answer.cookie(browsers.cookie.removal());
            }
        }
        (Presented::Nothing | Presented::NoText | Presented::Foreign(_), Ok(caller)) => {
            state.logout_bearer(&caller.0, &sender).await.map_err(ApiError::from)?;
        }
        (Presented::Nothing | Presented::NoText | Presented::Foreign(_), Err(error)) => {
            // Of several bearers nobody knows which session is meant. Without a good one the caller is signed out.
            if error.as_error::<ApiError>().is_some_and(|error| error.code() == Code::MalformedRequest) {
                return Err(error);
            }
        }
    }
    Ok(answer.finish())
}

pub(super) async fn logout_all(
    state: State,
    request: HttpRequest,
    caller: CurrentUser,
    body: Body<LogoutAllRequest>,
) -> Result<HttpResponse, ApiError> {
    let ended = state.logout_all(&caller.0, body.0.keep_current.unwrap_or(false), &sender(&request)).await?;
    Ok(HttpResponse::Ok().json(EndedBody { ended }))
}

/// A session as its user sees it.
#[derive(Serialize, ToSchema)]
#[schema(as = OwnSession)]
struct SessionBody {
    /// Whether it is the caller's own.
    current: bool,
    #[serde(flatten)]
    session: ListedSession,
}

/// Live sessions and those that ended lately, newest login first.
#[derive(Serialize, ToSchema)]
#[schema(as = Sessions)]
pub(super) struct SessionsBody {
    sessions: Vec<SessionBody>,
}

pub(super) async fn list(state: State, caller: CurrentUser) -> Result<HttpResponse, ApiError> {
    let listed = state.sessions(&caller.0).await?;
    let body = |session: ListedSession| SessionBody { current: session.id == caller.0.sid, session };
    stream::list(&state, caller.0.sub, &SessionsBody { sessions: listed.into_iter().map(body).collect() })
}

/// What is no id is nobody's session.
pub(super) async fn end(
    state: State,
    request: HttpRequest,
    caller: CurrentUser,
    id: web::Path<String>,
) -> Result<HttpResponse, ApiError> {
    let id = Uuid::try_parse(&id).map_err(|_no_id| ApiError::of(Code::NotFound))?;
    state.end_session(&caller.0, id, &sender(&request)).await?;
    Ok(HttpResponse::NoContent().finish())
}
