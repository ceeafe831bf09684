//! `claviger openapi`: the document of the API.

use claviger::http;

use super::{Failure, print_json};

/// Prints the document.
pub(crate) fn openapi() -> Result<(), Failure> {
    print_json(&http::openapi::document())
}
