//! What is wrong with one field of a request.

use std::borrow::Cow;

/// One broken rule of one field, told to the client in a 422 answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldError {
    /// The field's name in the request, for instance `password`.
    pub field: Cow<'static, str>,
    /// A stable code for programs, for instance `too_short`.
    pub code: &'static str,
    /// A sentence for people. Never contains the refused value.
    pub message: String,
}

impl FieldError {
    /// A broken rule of `field`.
    pub fn new(field: impl Into<Cow<'static, str>>, code: &'static str, message: impl Into<String>) -> Self {
        Self { field: field.into(), code, message: message.into() }
    }

    /// The field is absent, null or empty.
    #[must_use]
    pub fn required(field: &'static str) -> Self {
        Self::new(field, "required", format!("{field} is required"))
    }
}
