//! The document of the API in OpenAPI 3.1. What a call takes is read off its handler's arguments, schemas are derived from the
//! types of bodies, errors are made by the code that makes real ones; `words` has what code cannot say.

mod arguments;
mod example;
mod headers;
mod operation;
mod problems;
mod security;
mod tags;
pub(super) mod words;

use serde::Serialize;
use serde_json::{Map, Value, json};

pub(super) use arguments::Arguments;
pub(super) use operation::Operation;
use problems::Problems;

use super::call::Path;

const TOLD: &str = "\
    Bodies are JSON in UTF-8, at most 16 KiB, not compressed; a byte order mark is ignored. Names are snake_case, times RFC 3339 in UTC, lengths of time whole seconds, ids \
    UUIDs. Unknown fields of a request are ignored, and answers may get new fields: clients are older or newer than servers.\n\n\
    Every error is `application/problem+json` (RFC 9457); decide by `code`. Any path that is not here is 404 `not_found`, any \
    other method 405 `method_not_allowed` with `Allow`, whatever is called. Two `Authorization` headers that differ are refused.\n\n\
    **Signed out** means only a 401 of a refresh with `refresh_token_invalid`, `session_expired`, `session_ended` or \
    `refresh_token_replayed`. After everything else keep the tokens and try again.\n\n\
    Pages of origins that the service allows can read answers (CORS, with credentials).";

/// The document. Takes a few milliseconds to write.
#[must_use]
pub fn document() -> Value {
    write(&super::paths())
}

fn write(paths: &[Path]) -> Value {
    let mut schemas = problems::schemas();
    let described: Vec<_> = paths.iter().map(|path| (path, path.operations())).collect();
    for (_, operation) in described.iter().flat_map(|(_, operations)| operations) {
        schemas.extend(operation.schemas.clone());
    }
    let mut problems = Problems::default();
    let mut written = Map::new();
    for (path, operations) in &described {
        let operations = operations.iter().map(|(method, operation)| {
            let errors = problems.of(&operation.refusals, &operation.refusal_headers);
            (method.as_str().to_lowercase(), operation.write(method, errors, &schemas))
        });
        written.insert(path.pattern().to_owned(), operations.collect::<Map<_, _>>().into());
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "claviger", "version": env!("CARGO_PKG_VERSION"), "summary": env!("CARGO_PKG_DESCRIPTION"),
            "description": TOLD, "license": { "name": "MIT", "identifier": "MIT" },
        },
        "servers": [{ "url": "/" }],
        "tags": tags::all(),
        "paths": written,
        "components": {
            "examples": problems::examples(), "headers": headers::all(), "responses": problems.write(),
            "schemas": Value::Object(schemas.into_iter().collect()), "securitySchemes": security::schemes(),
        },
    })
}

/// A reference to a component.
fn reference(kind: &str, name: &str) -> Value {
    json!({ "$ref": format!("#/components/{kind}/{name}") })
}

/// Something of ours, which is JSON.
fn json(value: &impl Serialize) -> Value {
    serde_json::to_value(value).unwrap_or_default()
}
