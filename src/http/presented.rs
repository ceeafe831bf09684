//! The refresh tokens that a request presents: in its body, or in cookies that its page may use.

use std::fmt;

use actix_web::HttpRequest;
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use utoipa::ToSchema;

use super::State;
use super::body::{self, Body};
use super::browser::{Browsers, Refusal};
use super::error::ApiError;
use crate::auth::Recognized;

/// The body of `POST /api/auth/refresh` and `…/logout`.
#[derive(serde::Deserialize, ToSchema)]
pub(super) struct RefreshTokenRequest {
    /// Goes before one in the cookie.
    #[serde(default)]
    #[schema(value_type = Option<String>, example = "rt1_…")]
    refresh_token: Field,
}

/// The field of a body that can be read.
#[derive(Default)]
enum Field {
    /// Absent, null, or empty.
    #[default]
    Missing,
    /// Of another type. It is a token that was never issued, and not a broken request: clients sign out on exactly that
    /// answer.
    NoText,
    Text(String),
}

/// What a request says about a refresh token.
pub(super) enum Presented {
    /// Nothing, null, or an empty text.
    Nothing,
    /// Something of another type.
    NoText,
    /// A text in the body, whatever it is worth.
    Body(String),
    /// Cookies, of which this service issued one at least.
    Cookies(Cookies),
    /// Cookies of the right name that this service did not issue: of another service on this host, or made up. One of them.
    Foreign(String),
}

/// Refresh tokens in a request's cookies.
pub(super) struct Cookies {
    /// The newest session first.
    pub(super) tokens: Vec<Recognized>,
    /// Whether there was nothing else under the cookie's name. A removal may then hit nothing but these.
    pub(super) are_all: bool,
}

impl Presented {
    /// A token in the body goes before one in a cookie, which only some pages may use.
    ///
    /// # Errors
    /// A body that cannot be read: what it says is not known, so the cookie does not stand in for it.
    pub(super) fn by(
        request: &HttpRequest,
        body: Result<Body<RefreshTokenRequest>, actix_web::Error>,
        browsers: &Browsers,
        state: &State,
    ) -> Result<Self, actix_web::Error> {
        let in_body = match body.map(|body| body.0.refresh_token) {
            Ok(Field::Text(text)) => return Ok(Self::Body(text)),
            other => other,
        };
        let values = browsers.cookie.values(request);
        let Some(first) = values.first().cloned() else {
            return Ok(if matches!(in_body?, Field::NoText) { Self::NoText } else { Self::Nothing });
        };
        browsers.check_origin(request).map_err(ApiError::from)?;
        if in_body.is_err() && !body::is_json(request) {
            return Err(ApiError::from(Refusal::NotJson).into());
        }
        in_body?;
        let (tokens, are_all) = state.recognize(values);
        Ok(if tokens.is_empty() { Self::Foreign(first) } else { Self::Cookies(Cookies { tokens, are_all }) })
    }
}

impl<'de> Deserialize<'de> for Field {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyValue)
    }
}

/// Takes a value of any type, nested as deep as it likes.
struct AnyValue;

impl<'de> Visitor<'de> for AnyValue {
    type Value = Field;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("any value")
    }

    fn visit_str<E>(self, text: &str) -> Result<Field, E> {
        Ok(if text.is_empty() { Field::Missing } else { Field::Text(text.to_owned()) })
    }

    fn visit_unit<E>(self) -> Result<Field, E> {
        Ok(Field::Missing)
    }

    fn visit_bool<E>(self, _value: bool) -> Result<Field, E> {
        Ok(Field::NoText)
    }

    fn visit_i64<E>(self, _value: i64) -> Result<Field, E> {
        Ok(Field::NoText)
    }

    fn visit_u64<E>(self, _value: u64) -> Result<Field, E> {
        Ok(Field::NoText)
    }

    fn visit_f64<E>(self, _value: f64) -> Result<Field, E> {
        Ok(Field::NoText)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Field, A::Error> {
        while items.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Field::NoText)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Field, A::Error> {
        while members.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Field::NoText)
    }
}
