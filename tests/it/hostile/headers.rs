//! Whatever a request's first lines are, the answer is a documented one.

use actix_web::http::header::{HeaderName, HeaderValue};
use actix_web::http::{Method, Uri};

use super::service::{self, Request};

/// A request as text: method and target, headers one a line, an empty line, the body. `$ACCESS` and `$REFRESH` stand for good
/// tokens. What no server would take for a request is left out.
pub(crate) fn check(data: &[u8]) {
    let (head, body) = match data.windows(2).position(|two| two == b"\n\n") {
        Some(end) => (&data[..end], &data[end + 2..]),
        None => (data, &[][..]),
    };
    let mut lines = head.split(|byte| *byte == b'\n');
    let first = lines.next().unwrap_or_default();
    let Some(space) = first.iter().position(|byte| *byte == b' ') else { return };
    let (Ok(method), Ok(target)) = (Method::from_bytes(&first[..space]), Uri::try_from(&first[space + 1..])) else {
        return;
    };
    if !target.path().starts_with('/') {
        return;
    }
    service::with(|service| {
        let filled = |bytes: &[u8]| match std::str::from_utf8(bytes) {
            Ok(text) => text.replace("$ACCESS", &service.access).replace("$REFRESH", &service.refresh).into_bytes(),
            Err(_) => bytes.to_vec(),
        };
        let header = |line: &[u8]| {
            let colon = line.iter().position(|byte| *byte == b':')?;
            let value = HeaderValue::from_bytes(filled(&line[colon + 1..]).trim_ascii()).ok()?;
            Some((HeaderName::from_bytes(&line[..colon]).ok()?, value))
        };
        let headers = lines.filter_map(header).collect();
        service.check(Request { method, target, headers, body: filled(body) });
    });
}
