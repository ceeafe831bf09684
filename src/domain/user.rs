//! Users, and the rules of the fields that describe them.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use time::OffsetDateTime;
use utoipa::ToSchema;
use uuid::Uuid;

use super::email::Email;
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

/// How an operator names an account: both are unique.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Handle {
    /// By its id.
    Id(Uuid),
    /// By its address.
    Email(Email),
}

impl Handle {
    /// Reads an id or an address; no text is both.
    ///
    /// # Errors
    /// `invalid_email`, as [`Email::parse`].
    pub fn parse(text: &str) -> Result<Self, FieldError> {
        Uuid::try_parse(text.trim()).map(Self::Id).or_else(|_no_id| Email::parse(text).map(Self::Email))
    }
}

/// What a user may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Uses the applications behind this service.
    User,
    /// Also manages other users.
    Admin,
}

impl Role {
    /// The role's name in tokens, answers and the database.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Admin => "admin",
        }
    }

    /// The role of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::User, Self::Admin].into_iter().find(|role| role.as_str() == name)
    }

    /// Reads a role that somebody asks for.
    ///
    /// # Errors
    /// `unknown_value` for anything but a role's name.
    pub fn parse(name: &str, field: &'static str) -> Result<Self, FieldError> {
        Self::from_name(name).ok_or_else(|| FieldError::new(field, "unknown_value", "must be user or admin"))
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

#[cfg(test)]
mod tests {
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
}
