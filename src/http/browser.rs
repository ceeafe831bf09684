//! Browsers: the refresh token in a cookie, which pages may use it, and CORS.

use actix_cors::Cors;
use actix_web::HttpRequest;
use actix_web::cookie::time::Duration;
use actix_web::cookie::{Cookie, SameSite};
use actix_web::http::Method;
use actix_web::http::header::{self, HeaderName, HeaderValue};
use utoipa::ToSchema;

use super::body;
use super::error::{ApiError, Code};
use crate::auth;
use crate::domain::field::FieldError;
use crate::domain::origin::AllowedOrigin;

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
/// How long browsers may remember what a preflight allowed.
const PREFLIGHT_SECONDS: usize = 600;

/// What browsers are told and believed.
#[derive(Debug, Clone)]
pub struct Browsers {
    /// Pages that may call with the cookie and read answers.
    pub allowed_origins: Vec<AllowedOrigin>,
    /// Whether the cookie travels by HTTPS alone.
    pub secure_cookie: bool,
}

/// How a client keeps its refresh token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ToSchema)]
#[schema(rename_all = "lowercase")]
pub(super) enum Transport {
    /// By itself, from the answer's body.
    Body,
    /// The browser does, in a cookie that no script can read.
    Cookie,
}

impl Transport {
    /// What a request for tokens asks for. A page that may not use the cookie may not set it either: it could sign its
    /// visitor in to an account of its own.
    pub(super) fn asked_for(name: Option<&str>, browsers: &Browsers, request: &HttpRequest) -> Result<Self, ApiError> {
        match name {
            None | Some("body") => Ok(Self::Body),
            Some("cookie") => browsers.guard(request).map(|()| Self::Cookie),
            Some(_) => {
                let problem = FieldError::new("token_transport", "unknown_value", "must be body or cookie");
                Err(auth::Error::InvalidFields(vec![problem]).into())
            }
        }
    }
}

impl Browsers {
    /// The cookie for a refresh token that lives for some seconds.
    pub(super) fn cookie(&self, refresh_token: String, seconds: i64) -> Cookie<'static> {
        Cookie::build(self.cookie_name(), refresh_token)
            .path("/")
            .http_only(true)
            .secure(self.secure_cookie)
            .same_site(SameSite::Strict)
            .max_age(Duration::seconds(seconds))
            .finish()
    }

    /// What makes a browser forget it.
    pub(super) fn removal(&self) -> Cookie<'static> {
        self.cookie(String::new(), 0)
    }

    /// The refresh token in the request's cookie.
    ///
    /// Names are compared byte for byte. A reader that decodes them, as the framework's does, takes `%5F_Host-…` for ours,
    /// and browsers let a neighbour set that; and it forgets all cookies when one of them is not UTF-8.
    pub(super) fn refresh_token(&self, request: &HttpRequest) -> Option<String> {
        let lines = request.headers().get_all(header::COOKIE).map(HeaderValue::as_bytes);
        let mut pairs = lines.flat_map(|line| line.split(|byte| *byte == b';')).map(<[u8]>::trim_ascii);
        let value = pairs.find_map(|pair| pair.strip_prefix(self.cookie_name().as_bytes())?.strip_prefix(b"="))?;
        Some(String::from_utf8_lossy(value).into_owned()).filter(|value| !value.is_empty())
    }

    /// `__Host-`: set by this very host over HTTPS and for no other, whatever a neighbour under the same domain does.
    fn cookie_name(&self) -> &'static str {
        if self.secure_cookie { "__Host-refresh_token" } else { "refresh_token" }
    }

    /// Refuses a request that uses or asks for the cookie, unless it is JSON from a page that may: a form of another site
    /// can be neither, and a script there cannot claim another origin.
    pub(super) fn guard(&self, request: &HttpRequest) -> Result<(), ApiError> {
        // One of each: browsers send no more, and of two nobody knows which to believe.
        let header = |name: HeaderName| {
            let mut values = request.headers().get_all(name);
            values.next().filter(|_| values.next().is_none()).and_then(|value| value.to_str().ok())
        };
        let same_origin = header(SEC_FETCH_SITE) == Some("same-origin");
        let permitted = same_origin || header(header::ORIGIN).is_some_and(|origin| self.allows(origin));
        if permitted && body::is_json(request) { Ok(()) } else { Err(ApiError::of(Code::OriginNotAllowed)) }
    }

    fn allows(&self, origin: &str) -> bool {
        self.allowed_origins.iter().any(|allowed| allowed.matches(origin))
    }

    /// The answers to preflights, and the headers that let allowed pages read answers, errors among them.
    pub fn cors(&self) -> Cors {
        let browsers = self.clone();
        Cors::default()
            .allowed_origin_fn(move |origin, _| origin.to_str().is_ok_and(|origin| browsers.allows(origin)))
            .allowed_methods([Method::GET, Method::POST, Method::PATCH, Method::DELETE])
            .allowed_headers([header::AUTHORIZATION, header::CONTENT_TYPE])
            .allowed_header("idempotency-key")
            .allowed_header("x-request-id")
            // Pages that are traced send them with every call, which a preflight must not stop.
            .allowed_header("traceparent")
            .allowed_header("tracestate")
            .expose_headers(["retry-after", "www-authenticate", "x-request-id"])
            .supports_credentials()
            .max_age(PREFLIGHT_SECONDS)
    }
}
