//! Whatever stands in a query or a path, the answer is a documented one; a place in a list is read as it was written.

use actix_web::http::header::{AUTHORIZATION, HeaderValue};
use actix_web::http::{Method, Uri};
use claviger::domain::place::Place;

use super::service::{self, Request};

/// `p`: a place; else a digit or a letter for the call, and what comes behind its path.
pub(crate) fn check(data: &[u8]) {
    let Some((way, rest)) = data.split_first() else { return };
    if *way == b'p' {
        return check_place(&String::from_utf8_lossy(rest));
    }
    service::with(|service| {
        let (method, path, token) = match way {
            b'0' => (Method::GET, "/api/auth/events?", &service.access),
            b'1' => (Method::GET, "/api/auth/revocations?", &service.program),
            b'2' => (Method::DELETE, "/api/auth/sessions/", &service.access),
            b'e' => (Method::GET, "/api/users?", &service.program),
            b'i' => (Method::GET, "/api/users/", &service.program),
            b'a' => (Method::GET, "/api/admin/users?", &service.administrator),
            b'u' => (Method::GET, "/api/admin/users/", &service.administrator),
            _ => (Method::GET, "/", &service.access),
        };
        let Ok(target) = Uri::try_from(format!("{path}{}", legal(rest))) else { return };
        let authorization = HeaderValue::from_str(&format!("Bearer {token}")).unwrap();
        service.check(Request { method, target, headers: vec![(AUTHORIZATION, authorization)], body: Vec::new() });
    });
}

/// What may stand in a target as it is, and the rest percent-encoded.
fn legal(bytes: &[u8]) -> String {
    let encode = |byte: &u8| match byte {
        b'!'..=b'~' if !b"\"<>\\^`{|}#".contains(byte) => char::from(*byte).to_string(),
        byte => format!("%{byte:02X}"),
    };
    bytes.iter().map(encode).collect()
}

fn check_place(text: &str) {
    if let Some(place) = Place::parse(text) {
        assert!((1970..9999).contains(&place.at.year()), "{text}");
        let written = place.to_string();
        assert_eq!(Place::parse(&written), Some(place), "{text}");
        assert!(written.bytes().all(|b| b.is_ascii_hexdigit() || b == b'.'), "{written}");
    }
}
