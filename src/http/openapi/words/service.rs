//! The process itself.

use actix_web::http::StatusCode;
use serde_json::json;

use super::{Code, Operation, Tag};
use crate::http::docs::DocumentBody;
use crate::http::health::{LiveBody, ReadyBody};

pub(in crate::http) fn health(call: Operation) -> Operation {
    live(call).named(Tag::Service, "health", "As `/health/live`")
}

pub(in crate::http) fn live(call: Operation) -> Operation {
    call.named(Tag::Service, "live", "Whether the process answers").answers::<LiveBody>(StatusCode::OK, "It does.")
}

pub(in crate::http) fn ready(call: Operation) -> Operation {
    call.named(Tag::Service, "ready", "Whether requests can be served, now and in a moment")
        .answers::<ReadyBody>(StatusCode::OK, "The database answers within a second, and has the schema.")
        .refuses(&[Code::ShuttingDown])
}

pub(in crate::http) fn document(call: Operation) -> Operation {
    let etag = json!({ "type": "string" });
    call.named(Tag::Service, "document", "This document")
        .told("A page at `/docs` shows it.")
        .reads_header("If-None-Match", "The `ETag` of one that is there already.", &etag)
        .answers::<DocumentBody>(StatusCode::OK, "OpenAPI 3.1.")
        .answers_nothing(StatusCode::NOT_MODIFIED, "It is still so.")
        .with_headers(&["ETag"])
        .kept()
}
