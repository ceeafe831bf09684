//! Clients: programs that call with credentials of their own, and what they may do.

use std::collections::BTreeSet;
use std::fmt;

use aws_lc_rs::constant_time;
use aws_lc_rs::error::Unspecified;
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use time::OffsetDateTime;
use uuid::Uuid;

use super::refresh_token::SecretHash;
use super::secret::Secret;

/// Something that a program may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// Look users up.
    UsersRead,
    /// Read the list of revocations.
    RevocationsRead,
}

impl Scope {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::UsersRead, Self::RevocationsRead];

    /// The scope's name in tokens, requests and the database.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::UsersRead => "users:read",
            Self::RevocationsRead => "revocations:read",
        }
    }

    /// The scope of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scope| scope.as_str() == name)
    }
}

/// What a program, or a token of it, may do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Scopes(BTreeSet<Scope>);

impl Scopes {
    /// Those of a request, with spaces between them (RFC 6749 section 3.3); none if one of them does not exist, or if there
    /// is none.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let scopes: Option<BTreeSet<Scope>> = text.split_ascii_whitespace().map(Scope::from_name).collect();
        scopes.filter(|scopes| !scopes.is_empty()).map(Self)
    }

    /// Those of the names that this version knows: a newer one may have written others.
    #[must_use]
    pub fn known<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        Self(names.into_iter().filter_map(Scope::from_name).collect())
    }

    /// Whether this is among them.
    #[must_use]
    pub fn contains(&self, scope: Scope) -> bool {
        self.0.contains(&scope)
    }

    /// Whether all of `others` are among them.
    #[must_use]
    pub fn cover(&self, others: &Self) -> bool {
        others.0.is_subset(&self.0)
    }

    /// Their names.
    #[must_use]
    pub fn names(&self) -> Vec<&'static str> {
        self.0.iter().map(|scope| scope.as_str()).collect()
    }
}

impl FromIterator<Scope> for Scopes {
    fn from_iter<T: IntoIterator<Item = Scope>>(scopes: T) -> Self {
        Self(scopes.into_iter().collect())
    }
}

/// As the claim and the parameter `scope`.
impl fmt::Display for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.names().join(" "))
    }
}

impl Serialize for Scopes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Scopes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self::known(String::deserialize(deserializer)?.split_ascii_whitespace()))
    }
}

/// What a program proves itself by: 32 random bytes in base64url. Silent.
#[derive(Debug, Clone)]
pub struct ClientSecret(SecretString);

const SECRET_CHARACTERS: usize = 43;

impl ClientSecret {
    /// A new one.
    ///
    /// # Errors
    /// Only when the system has no random bytes.
    pub fn generate() -> Result<Self, Unspecified> {
        Ok(Self(Secret::generate()?.into()))
    }

    /// Reads what could be one; none for anything that never was, about which nobody need be asked.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let good = text.len() == SECRET_CHARACTERS
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
        good.then(|| Self(text.to_owned().into()))
    }

    /// What the database holds in its place.
    #[must_use]
    pub fn hash(&self) -> SecretHash {
        SecretHash::of(self.0.expose_secret().as_bytes())
    }

    /// Whether it is the one with that hash, in the same time for every other.
    #[must_use]
    pub fn matches(&self, stored: &SecretHash) -> bool {
        constant_time::verify_slices_are_equal(&self.hash().0, &stored.0).is_ok()
    }

    /// The text, to be shown once to who is to have it.
    #[must_use]
    pub fn reveal(&self) -> &str {
        self.0.expose_secret()
    }
}

/// A program as an operator sees it.
#[derive(Debug, Clone)]
pub struct Client {
    /// Its id, which is its name towards the API.
    pub id: Uuid,
    /// What operators call it.
    pub name: String,
    /// What it may do.
    pub scopes: Scopes,
    /// When it was added.
    pub created_at: OffsetDateTime,
    /// When it last got a token, to the minute.
    pub last_used_at: Option<OffsetDateTime>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_scope_has_one_name() {
        for scope in Scope::ALL {
            assert_eq!(Scope::from_name(scope.as_str()), Some(scope));
        }
        assert_eq!(Scope::from_name("users:write"), None);
    }

    #[test]
    fn scopes_are_a_set_in_words() {
        let both = Scopes::parse(" revocations:read  users:read users:read").unwrap();
        assert_eq!(both.to_string(), "users:read revocations:read");
        let one = Scopes::parse("users:read").unwrap();
        assert!(both.cover(&one) && !one.cover(&both) && one.contains(Scope::UsersRead));
        for text in ["", " ", "users:write", "users:read users:write", "USERS:READ", "users:read,revocations:read"] {
            assert_eq!(Scopes::parse(text), None, "{text}");
        }
        assert_eq!(Scopes::known(["users:read", "mars:read"]), one, "what a newer version wrote is no error");
    }

    #[test]
    fn a_secret_matches_its_hash_and_nothing_else_does() {
        let secret = ClientSecret::generate().unwrap();
        let text = secret.reveal().to_owned();
        assert!(ClientSecret::parse(&text).unwrap().matches(&secret.hash()));
        for at in 0..text.len() {
            let mut wrong = text.clone().into_bytes();
            wrong[at] = if wrong[at] == b'A' { b'B' } else { b'A' };
            let wrong = String::from_utf8(wrong).unwrap();
            assert!(!ClientSecret::parse(&wrong).unwrap().matches(&secret.hash()), "character {at}");
        }
        for text in ["", &text[1..], &format!("{text}A"), &format!("{}=", &text[1..]), &format!("{} ", &text[1..])] {
            assert!(ClientSecret::parse(text).is_none(), "{text}");
        }
    }

    #[test]
    fn debug_shows_no_secret() {
        let secret = ClientSecret::generate().unwrap();
        assert!(!format!("{secret:?}").contains(secret.reveal()));
    }
}
