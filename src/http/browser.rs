//! Browsers: which pages may use the refresh token's cookie, and CORS.

use actix_cors::Cors;
use actix_web::HttpRequest;
use actix_web::http::Method;
use actix_web::http::header::{self, HeaderName};
use actix_web::http::uri::Authority;
use utoipa::ToSchema;

pub use super::cookie::RefreshCookie;
use super::error::{ApiError, Code};
use crate::auth;
use crate::domain::field::FieldError;
use crate::domain::origin::{AllowedOrigin, split_port};

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
/// How long browsers may remember what a preflight allowed.
const PREFLIGHT_SECONDS: usize = 600;

/// What browsers are told and believed.
#[derive(Debug, Clone)]
pub struct Browsers {
    /// Pages that may call with the cookie and read answers.
    pub allowed_origins: Vec<AllowedOrigin>,
    /// The origin of the service itself, where it is known.
    pub own_origin: Option<AllowedOrigin>,
    /// Where a browser keeps its refresh token.
    pub cookie: RefreshCookie,
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
    /// What a request for tokens asks for; its body is JSON. A page that may not use the cookie may not set it either: it
    /// could sign its visitor in to an account of its own.
    pub(super) fn asked_for(name: Option<&str>, browsers: &Browsers, request: &HttpRequest) -> Result<Self, ApiError> {
        match name {
            None | Some("body") => Ok(Self::Body),
            Some("cookie") => {
                browsers.check_origin(request)?;
                browsers.check_site(request)?;
                Ok(Self::Cookie)
            }
            Some(_) => {
                let problem = FieldError::new("token_transport", "unknown_value", "must be body or cookie");
                Err(auth::Error::InvalidFields(vec![problem]).into())
            }
        }
    }
}

/// Why a page may not use the cookie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    OtherOrigin,
    NoOrigin,
    SeveralOrigins,
    Contradiction,
    NotJson,
    OtherSite,
}

impl Refusal {
    pub(super) fn detail(self) -> &'static str {
        match self {
            Self::OtherOrigin => {
                "The Origin is not in cors.allowed_origins, and is not that of server.public_url: its pages may not use \
                 the cookie here"
            }
            Self::NoOrigin => {
                "There is no Origin header and no Sec-Fetch-Site: same-origin, one of which must show the page"
            }
            Self::SeveralOrigins => "There are several Origin headers, so none is believed",
            Self::Contradiction => {
                "Sec-Fetch-Site says same-origin, but the Origin is of another host: name it in cors.allowed_origins or \
                 server.public_url"
            }
            Self::NotJson => "The body is not JSON: with the cookie it must be application/json, or empty",
            Self::OtherSite => {
                "The page is on another site than the service, where browsers do not keep a cookie with SameSite=Strict: \
                 serve both under one domain, or use token_transport body"
            }
        }
    }
}

impl From<Refusal> for ApiError {
    fn from(refusal: Refusal) -> Self {
        Self::with_detail(Code::OriginNotAllowed, refusal.detail())
    }
}

impl Browsers {
    /// For a service that people reach under `public_url`; empty where that is not known.
    #[must_use]
    pub fn new(allowed_origins: Vec<AllowedOrigin>, public_url: &str, cookie: RefreshCookie) -> Self {
        let own_origin = AllowedOrigin::parse(public_url.trim_end_matches('/')).ok();
        Self { allowed_origins, own_origin, cookie }
    }

    /// Refuses a request unless it comes from a page that may use the cookie. This is the defence against forged requests:
    /// a form of another site, or a script there, cannot claim another origin.
    pub(super) fn check_origin(&self, request: &HttpRequest) -> Result<(), Refusal> {
        let is_same_origin = only(request, SEC_FETCH_SITE) == Some("same-origin");
        let Some(first) = request.headers().get(header::ORIGIN) else {
            return if is_same_origin { Ok(()) } else { Err(Refusal::NoOrigin) };
        };
        // Browsers send one, and of two nobody knows which to believe.
        if request.headers().get_all(header::ORIGIN).count() > 1 {
            return Err(Refusal::SeveralOrigins);
        }
        match first.to_str() {
            Ok(origin) if self.allows(origin) => Ok(()),
            Ok(origin) if is_same_origin && is_of_host(origin, request) => Ok(()),
            Ok(_) | Err(_) if is_same_origin => Err(Refusal::Contradiction),
            Ok(_) | Err(_) => Err(Refusal::OtherOrigin),
        }
    }

    /// Refuses a request whose answer sets the cookie, if the browser would not keep it. Browsers say what site a page is
    /// of; for those that do not, the origins are compared.
    pub(super) fn check_site(&self, request: &HttpRequest) -> Result<(), Refusal> {
        if self.is_on_other_site(request) { Err(Refusal::OtherSite) } else { Ok(()) }
    }

    /// Whether the request comes from a page of another site for certain.
    pub(super) fn is_on_other_site(&self, request: &HttpRequest) -> bool {
        if let Some(site) = only(request, SEC_FETCH_SITE) {
            return site == "cross-site";
        }
        let origin = only(request, header::ORIGIN);
        self.own_origin.as_ref().zip(origin).is_some_and(|(own, origin)| own.is_on_other_site(origin))
    }

    fn allows(&self, origin: &str) -> bool {
        self.allowed_origins.iter().chain(&self.own_origin).any(|allowed| allowed.matches(origin))
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

/// The value of a header that is there once.
fn only(request: &HttpRequest, name: HeaderName) -> Option<&str> {
    let mut values = request.headers().get_all(name);
    values.next().filter(|_| values.next().is_none()).and_then(|value| value.to_str().ok())
}

/// Whether an origin has the host that the request names. Ports are left out: proxies drop them, and a browser that says
/// same-origin has compared them.
fn is_of_host(origin: &str, request: &HttpRequest) -> bool {
    let host = only(request, header::HOST).or_else(|| request.uri().authority().map(Authority::as_str));
    let (Some((_, page)), Some(host)) = (origin.split_once("://"), host) else { return false };
    split_port(page).0.eq_ignore_ascii_case(split_port(host).0)
}
