//! Whatever a body is, the answer is a documented one.

use actix_web::http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderName, HeaderValue, ORIGIN};
use actix_web::http::{Method, Uri};

use super::service::{self, Request};

const CALLS: [&str; 7] = ["register", "login", "refresh", "logout", "logout-all", "password", "token"];

/// A digit for the call, and its body. `$ACCESS` and `$REFRESH` stand for good tokens.
pub(crate) fn check(data: &[u8]) {
    let Some((call, body)) = data.split_first() else { return };
    let call = CALLS[usize::from(call.wrapping_sub(b'0')) % CALLS.len()];
    service::with(|service| {
        // Bytes that are not UTF-8 stay as they are.
        let body = match std::str::from_utf8(body) {
            Ok(text) => text.replace("$ACCESS", &service.access).replace("$REFRESH", &service.refresh).into_bytes(),
            Err(_) => body.to_vec(),
        };
        let header = |name: HeaderName, value: &str| (name, HeaderValue::from_str(value).unwrap());
        let headers = vec![
            header(CONTENT_TYPE, "application/json"),
            header(ORIGIN, "https://app.example.com"),
            header(AUTHORIZATION, &format!("Bearer {}", service.access)),
        ];
        let target = Uri::try_from(format!("/api/auth/{call}")).unwrap();
        service.check(Request { method: Method::POST, target, headers, body });
    });
}
