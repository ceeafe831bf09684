//! Users, and the rules of the fields that describe them.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use time::OffsetDateTime;
use uuid::Uuid;

use super::field::FieldError;

/// A person with an account, as read from the database.
#[derive(Debug, Clone)]
pub struct User {
    /// Never changes and is never used again.
    pub id: Uuid,
    /// The normalised address.
    pub email: String,
    /// What to call the person.
    pub full_name: Option<String>,
    /// What the person may do.
    pub role: Role,
    /// Since when the account is closed by an operator.
    pub disabled_at: Option<OffsetDateTime>,
    /// Since when the address is known to reach the person.
    pub email_verified_at: Option<OffsetDateTime>,
    /// The application's own fields.
    pub profile: Value,
    /// When the account was made.
    pub created_at: OffsetDateTime,
    /// When what describes the person last changed.
    pub updated_at: OffsetDateTime,
    /// When the person last signed in with a password.
    pub last_login_at: Option<OffsetDateTime>,
}

/// What a user may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Uses the applications behind this service.
    User,
    /// Also manages other users.
    Admin,
    /// Is a program: reads the list of revocations.
    Service,
}

impl Role {
    /// The role's name in tokens, answers and the database.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Admin => "admin",
            Self::Service => "service",
        }
    }

    /// The role of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::User, Self::Admin, Self::Service].into_iter().find(|role| role.as_str() == name)
    }
}

/// A short line of text that people see: a name, a device label.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line(String);

const MAX_LINE_CHARACTERS: usize = 200;

impl Line {
    /// Reads a line without surrounding white space; an empty one is none.
    ///
    /// # Errors
    /// `too_long` above 200 characters, `invalid_text` for control characters (Postgres cannot store NUL, and line ends
    /// would break logs and mails).
    pub fn parse(text: &str, field: &'static str) -> Result<Option<Self>, FieldError> {
        let text = text.trim();
        if text.chars().count() > MAX_LINE_CHARACTERS {
            let message = format!("must have at most {MAX_LINE_CHARACTERS} characters");
            Err(FieldError::new(field, "too_long", message))
        } else if text.chars().any(char::is_control) {
            Err(FieldError::new(field, "invalid_text", "must be one line without control characters"))
        } else if text.is_empty() {
            Ok(None)
        } else {
            Ok(Some(Self(text.to_owned())))
        }
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The application's own fields of a user: a JSON object of at most 8 KiB.
#[derive(Debug, Clone, PartialEq)]
pub struct Profile(Value);

const MAX_PROFILE_BYTES: usize = 8 * 1024;

impl Profile {
    /// Checks an object from a request.
    ///
    /// # Errors
    /// `invalid_type` for anything but an object, `too_large` above 8 KiB of compact JSON, `invalid_text` for a NUL
    /// character, which Postgres cannot store.
    pub fn parse(value: Value) -> Result<Self, FieldError> {
        if !value.is_object() {
            return Err(FieldError::new("profile", "invalid_type", "must be an object"));
        }
        if value.to_string().len() > MAX_PROFILE_BYTES {
            return Err(FieldError::new("profile", "too_large", "must be at most 8192 bytes of JSON"));
        }
        if has_nul(&value) {
            return Err(FieldError::new("profile", "invalid_text", "must not contain the character U+0000"));
        }
        Ok(Self(value))
    }

    /// The object.
    #[must_use]
    pub fn into_json(self) -> Value {
        self.0
    }
}

impl Default for Profile {
    fn default() -> Self {
        Self(Value::Object(Map::new()))
    }
}

fn has_nul(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
        Value::String(text) => text.contains('\0'),
        Value::Array(items) => items.iter().any(has_nul),
        Value::Object(fields) => fields.iter().any(|(name, value)| name.contains('\0') || has_nul(value)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_line_is_trimmed_bounded_and_printable() {
        assert_eq!(Line::parse(" Ada Lovelace ", "full_name").unwrap().unwrap().as_str(), "Ada Lovelace");
        assert_eq!(Line::parse("  ", "full_name"), Ok(None));
        assert!(Line::parse(&"é".repeat(200), "full_name").is_ok());
        assert_eq!(Line::parse(&"é".repeat(201), "full_name").unwrap_err().code, "too_long");
        assert_eq!(Line::parse("a\0b", "full_name").unwrap_err().code, "invalid_text");
        assert_eq!(Line::parse("a\nb", "full_name").unwrap_err().code, "invalid_text");
    }

    #[test]
    fn a_profile_is_an_object_of_at_most_8_kib_without_nul() {
        let sized = |n: usize| json!({ "a": "x".repeat(n) });
        assert!(Profile::parse(sized(8192 - 8)).is_ok());
        assert_eq!(Profile::parse(sized(8192 - 7)).unwrap_err().code, "too_large");
        assert_eq!(Profile::parse(json!([1])).unwrap_err().code, "invalid_type");
        assert_eq!(Profile::parse(json!({"a": [{"b\0": 1}]})).unwrap_err().code, "invalid_text");
        assert_eq!(Profile::parse(json!({"a": {"b": "\0"}})).unwrap_err().code, "invalid_text");
    }
}
