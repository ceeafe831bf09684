//! Tokens for programs: the token endpoint of RFC 6749, for the grant of its section 4.4.

use std::future::Future;
use std::pin::Pin;

use actix_web::dev::Payload;
use actix_web::http::header::{HeaderValue, PRAGMA};
use actix_web::{FromRequest, HttpRequest, HttpResponse, web};
use base64::prelude::{BASE64_STANDARD, Engine as _};
use percent_encoding::percent_decode_str;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::bearer::authorization;
use super::error::{ApiError, Code};
use super::{State, body, sender};
use crate::auth::{ClientLogin, ClientToken};

/// The parameters of `POST /api/auth/token`, of a form or of JSON. Unknown ones are ignored, repeated ones are not (RFC 6749
/// section 3.2).
#[derive(Deserialize, ToSchema)]
pub(super) struct TokenRequest {
    /// The one there is.
    #[schema(value_type = String, required, example = "client_credentials")]
    grant_type: Option<String>,
    /// Names with spaces between; less than the client may do.
    #[schema(example = "users:read")]
    scope: Option<String>,
    /// Unless it is in the header.
    #[schema(example = "0199a1b2-c3d4-7e8f-90a1-b2c3d4e5f607")]
    client_id: Option<String>,
    /// Unless it is in the header.
    #[schema(format = Password, example = "the secret that was shown once")]
    client_secret: Option<String>,
}

impl FromRequest for TokenRequest {
    type Error = actix_web::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self, Self::Error>>>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let (is_form, is_json) = (body::is(request, "application/x-www-form-urlencoded"), body::is_json(request));
        let bytes = body::read(request, payload);
        Box::pin(async move {
            let bytes = bytes.await?;
            let parsed = match std::str::from_utf8(&bytes) {
                Ok(form) if is_form || form.is_empty() => web::Query::from_query(form).ok().map(web::Query::into_inner),
                Ok(_) if is_json => body::parse(&bytes).ok(),
                Ok(_) | Err(_) => None,
            };
            let detail =
                "The body must be application/x-www-form-urlencoded, or a JSON object, with each parameter once";
            Ok(parsed.ok_or_else(|| ApiError::with_detail(Code::InvalidRequest, detail))?)
        })
    }
}

/// A token for a program.
#[derive(Serialize, ToSchema)]
#[schema(as = ClientToken)]
pub(super) struct TokenBody {
    /// A JWT, for `Authorization: Bearer`.
    #[schema(example = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.…")]
    access_token: String,
    /// Always this.
    #[schema(pattern = "^Bearer$", example = "Bearer")]
    token_type: &'static str,
    /// Seconds that it lives.
    #[schema(minimum = 1, example = 300)]
    expires_in: i64,
    /// What it allows; names with spaces between.
    #[schema(example = "users:read")]
    scope: String,
}

pub(super) async fn issue(
    state: State,
    request: HttpRequest,
    parameters: TokenRequest,
) -> Result<HttpResponse, ApiError> {
    let login = client_login(&request, parameters)?;
    let ClientToken { access_token, scopes } = state.client_token(login, &sender(&request)).await?;
    // Beside `no-store`, which every answer has: RFC 6749 section 5.1 asks for both.
    let answer = TokenBody {
        access_token: access_token.text,
        token_type: "Bearer",
        expires_in: access_token.expires_in,
        scope: scopes.to_string(),
    };
    Ok(HttpResponse::Ok().insert_header((PRAGMA, HeaderValue::from_static("no-cache"))).json(answer))
}

/// Who asks, by one way of the two (RFC 6749 section 2.3), and for what.
fn client_login(request: &HttpRequest, parameters: TokenRequest) -> Result<ClientLogin, ApiError> {
    let invalid = |detail: &str| ApiError::with_detail(Code::InvalidRequest, detail);
    // One without a value counts as left out (RFC 6749 section 3.2).
    let given = |parameter: Option<String>| parameter.filter(|text| !text.is_empty());
    let (client_id, client_secret) = (given(parameters.client_id), given(parameters.client_secret));
    match given(parameters.grant_type).as_deref() {
        Some("client_credentials") => {}
        Some(_) => return Err(ApiError::of(Code::UnsupportedGrantType)),
        None => return Err(invalid("grant_type is missing")),
    }
    let header =
        authorization(request).map_err(|_several| invalid("There are several Authorization headers that differ"))?;
    let (client_id, client_secret) = match (header, client_id, client_secret) {
        (Some(_), _, Some(_)) => {
            return Err(invalid("Credentials must come in the header or in the body, not in both"));
        }
        (Some(header), named, None) => {
            let (id, secret) = basic(header).ok_or(ApiError::of(Code::InvalidClient))?;
            if named.is_some_and(|named| named != id) {
                return Err(invalid("client_id is not the one of the Authorization header"));
            }
            (id, secret)
        }
        (None, Some(id), Some(secret)) => (id, secret),
        (None, _, _) => return Err(ApiError::of(Code::InvalidClient)),
    };
    Ok(ClientLogin { client_id, client_secret, scope: given(parameters.scope) })
}

/// Id and secret of an `Authorization: Basic …` header: joined by a colon, after each was encoded as in a form (RFC 6749
/// section 2.3.1).
fn basic(header: &[u8]) -> Option<(String, String)> {
    let (scheme, encoded) = std::str::from_utf8(header).ok()?.split_once(' ')?;
    let encoded = scheme.eq_ignore_ascii_case("basic").then(|| encoded.trim())?;
    let pair = String::from_utf8(BASE64_STANDARD.decode(encoded).ok()?).ok()?;
    let (id, secret) = pair.split_once(':')?;
    let decoded = |text: &str| {
        let text = text.replace('+', " ");
        percent_decode_str(&text).decode_utf8().ok().map(std::borrow::Cow::into_owned)
    };
    Some((decoded(id)?, decoded(secret)?))
}
