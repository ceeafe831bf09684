//! The refresh token's cookie: its name and attributes, and how it is read from requests.

use actix_web::HttpRequest;
use actix_web::cookie::time::Duration;
use actix_web::cookie::{Cookie, SameSite};
use actix_web::http::header::{self, HeaderValue};

use crate::domain::cookie_name::CookieName;

/// The cookie that holds a browser's refresh token.
#[derive(Debug, Clone)]
pub struct RefreshCookie {
    /// With its prefix.
    name: String,
    is_secure: bool,
}

impl RefreshCookie {
    /// `is_secure`: it travels by HTTPS alone, with the prefix `__Host-`: set by this very host over HTTPS and for no
    /// other, whatever a neighbour under the same domain does.
    #[must_use]
    pub fn new(name: &CookieName, is_secure: bool) -> Self {
        let name = if is_secure { format!("__Host-{name}") } else { name.to_string() };
        Self { name, is_secure }
    }

    /// With a refresh token that lives for some seconds.
    pub(super) fn with(&self, refresh_token: String, seconds: i64) -> Cookie<'static> {
        Cookie::build(self.name.clone(), refresh_token)
            .path("/")
            .http_only(true)
            .secure(self.is_secure)
            .same_site(SameSite::Strict)
            .max_age(Duration::seconds(seconds))
            .finish()
    }

    /// Makes a browser forget it.
    pub(super) fn removal(&self) -> Cookie<'static> {
        self.with(String::new(), 0)
    }

    /// What the request's cookies of this name hold, in their order. A browser sends several for several paths, and those
    /// of another service on another port of the same host.
    ///
    /// Names are compared byte for byte. A reader that decodes them, as the framework's does, takes `%5F_Host-…` for ours,
    /// and browsers let a neighbour set that; and it forgets all cookies when one of them is not UTF-8.
    pub(super) fn values(&self, request: &HttpRequest) -> Vec<String> {
        let lines = request.headers().get_all(header::COOKIE).map(HeaderValue::as_bytes);
        let pairs = lines.flat_map(|line| line.split(|byte| *byte == b';')).map(<[u8]>::trim_ascii);
        let values = pairs.filter_map(|pair| pair.strip_prefix(self.name.as_bytes())?.strip_prefix(b"="));
        values.filter(|value| !value.is_empty()).map(|value| String::from_utf8_lossy(value).into_owned()).collect()
    }
}
