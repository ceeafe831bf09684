//! Headers of answers.

use serde_json::{Map, Value, json};

use super::reference;

/// Each name, whether an answer that may have it must, what it says, and its schema.
type Header = (&'static str, bool, &'static str, fn() -> Value);

/// Whether answers may be kept.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Caching {
    /// They are about one person at one moment.
    Never,
    /// If it is asked each time whether they are still so.
    Revalidated,
}

const REVALIDATED: &str = "Cache-Control.revalidated";

const HEADERS: [Header; 15] = [
    ("Allow", true, "The methods that there are.", text),
    ("Cache-Control", true, "Nothing is kept.", || json!({ "type": "string", "enum": ["no-store"] })),
    (REVALIDATED, true, "Ask whether it is still so.", || json!({ "type": "string", "enum": ["no-cache"] })),
    ("Content-Disposition", true, "A file's name.", text),
    ("ETag", true, "Changes when the answer does.", text),
    (
        "Pragma",
        true,
        "For caches of long ago (RFC 6749 section 5.1).",
        || json!({ "type": "string", "enum": ["no-cache"] }),
    ),
    ("Retry-After", true, "Seconds to wait.", || json!({ "type": "integer", "minimum": 1 })),
    ("Set-Cookie", false, "The refresh token, or its removal, for a browser that asked for the cookie.", text),
    (
        "Traceparent",
        false,
        "Where in a trace the answer was made (W3C Trace Context), if the service is traced.",
        || json!({ "type": "string", "pattern": "^00-[0-9a-f]{32}-[0-9a-f]{16}-0[01]$" }),
    ),
    ("WWW-Authenticate", true, "What would open this (RFC 6750, RFC 7617).", text),
    ("X-Auth-Email", true, "The caller's address, in UTF-8.", text),
    ("X-Auth-Role", true, "The caller's role.", || json!({ "type": "string", "enum": ["user", "admin"] })),
    ("X-Auth-Session-Id", true, "The caller's session.", id),
    ("X-Auth-User-Id", true, "The caller's id.", id),
    (
        "X-Request-Id",
        true,
        "The request's own `X-Request-Id` if it is one, else a new one. The log has it.",
        || json!({ "type": "string", "pattern": "^[A-Za-z0-9._-]{1,64}$" }),
    ),
];

fn text() -> Value {
    json!({ "type": "string", "minLength": 1 })
}

fn id() -> Value {
    json!({ "type": "string", "format": "uuid" })
}

/// All of them.
pub(super) fn all() -> Value {
    let written = |(name, required, description, schema): Header| {
        (name.to_owned(), json!({ "required": required, "description": description, "schema": schema() }))
    };
    HEADERS.into_iter().map(written).collect::<Map<_, _>>().into()
}

/// References to those that every answer has, and to these.
pub(super) fn of_answer<'a>(caching: Caching, names: impl IntoIterator<Item = &'a str>) -> Value {
    let names = ["Cache-Control", "Traceparent", "X-Request-Id"].into_iter().chain(names);
    let mut headers: Map<String, Value> = names.map(|name| (name.to_owned(), reference("headers", name))).collect();
    if caching == Caching::Revalidated {
        headers.insert("Cache-Control".to_owned(), reference("headers", REVALIDATED));
    }
    headers.into()
}

/// A name as it is written here; names in code are in lower case.
pub(super) fn spelled(name: &str) -> Option<&'static str> {
    HEADERS.iter().map(|(known, ..)| *known).find(|known| known.eq_ignore_ascii_case(name))
}
