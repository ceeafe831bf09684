//! Secrets in a file, while they are rotated.

use secrecy::{ExposeSecret, SecretString};
use time::OffsetDateTime;

use super::secret::{Secret, split_name};

/// Secrets with their names, newest first, as an operator keeps them in a file. Silent.
pub struct SecretList(Vec<(String, SecretString)>);

impl SecretList {
    /// Reads what [`Secret::parse_list`] reads.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let secrets = Secret::parse_list(text).map_err(|problems| problems.join("; "))?;
        let is_plain = secrets.len() == 1 && secrets.iter().all(|secret| secret.bytes() == text.as_bytes());
        if is_plain {
            return Ok(Self(vec![("first".to_owned(), text.to_owned().into())]));
        }
        let named = text.split(',').filter_map(|item| split_name(item.trim()));
        Ok(Self(named.map(|(name, secret)| (name.to_owned(), secret.to_owned().into())).collect()))
    }

    /// With a new secret in last place, called after the day.
    ///
    /// # Errors
    /// When the system has no random bytes, or the old secret cannot stand in a list.
    pub fn add(mut self) -> Result<Self, String> {
        let secret = Secret::generate().map_err(|_unspecified| "the system has no random bytes".to_owned())?;
        let day = OffsetDateTime::now_utc().date().to_string();
        let names = self.names();
        let numbered = (2..).map(|number| format!("{day}-{number}"));
        let name = std::iter::once(day.clone()).chain(numbered).find(|name| !names.contains(&name.as_str()));
        self.0.push((name.unwrap_or(day), secret.into()));
        let read_again = Secret::parse_list(&self.to_text()).unwrap_or_default();
        let kept = self.0.iter().zip(&read_again).all(|((_, old), new)| old.expose_secret().as_bytes() == new.bytes());
        if kept && read_again.len() == self.0.len() {
            Ok(self)
        } else {
            Err("has a secret with a comma or with white space at an end, which cannot be one of a list".to_owned())
        }
    }

    /// With the named secret in front.
    ///
    /// # Errors
    /// When there is none of that name.
    pub fn promote(mut self, name: &str) -> Result<Self, String> {
        let index = self.find(name)?;
        let secret = self.0.remove(index);
        self.0.insert(0, secret);
        Ok(self)
    }

    /// Without the named secret.
    ///
    /// # Errors
    /// When there is none of that name, or it is the one in use.
    pub fn drop(mut self, name: &str) -> Result<Self, String> {
        match self.find(name)? {
            0 => Err(format!("uses {name}; promote another first")),
            index => {
                self.0.remove(index);
                Ok(self)
            }
        }
    }

    fn find(&self, name: &str) -> Result<usize, String> {
        let found = self.0.iter().position(|(other, _)| other == name);
        found.ok_or_else(|| format!("has no secret {name:?}; there are {}", self.names().join(", ")))
    }

    /// The names, newest first.
    #[must_use]
    pub fn names(&self) -> Vec<&str> {
        self.0.iter().map(|(name, _)| name.as_str()).collect()
    }

    /// The text for a file.
    #[must_use]
    pub fn to_text(&self) -> String {
        let items: Vec<String> =
            self.0.iter().map(|(name, secret)| format!("{name}:{}", secret.expose_secret())).collect();
        items.join(",")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rotation_adds_last_then_uses_first_then_drops() {
        const OLD: &str = "fWq3kPz7RtYx1VbN5mLc9HsD2gJ8aKeU4oXi6TvB0nE";
        let used = |list: &SecretList| Secret::parse_list(&list.to_text()).unwrap().first().unwrap().bytes().to_vec();
        let added = SecretList::parse(OLD).unwrap().add().unwrap();
        assert_eq!((added.names().len(), added.names()[0], used(&added)), (2, "first", OLD.as_bytes().to_vec()));
        let new = added.names()[1].to_owned();
        let promoted = added.promote(&new).unwrap().promote(&new).unwrap();
        assert_eq!((promoted.names()[1], used(&promoted) == OLD.as_bytes()), ("first", false));
        let dropped = promoted.drop("first").unwrap();
        assert!(dropped.names().len() == 1 && !dropped.to_text().contains(OLD));
        assert!(dropped.drop(&new).is_err());
        let again = SecretList::parse(OLD).unwrap().add().unwrap().add().unwrap();
        assert_eq!(Secret::parse_list(&again.to_text()).unwrap().len(), 3);
    }

    #[test]
    fn what_cannot_be_a_list_is_not_made_one() {
        assert!(SecretList::parse("short").is_err());
        let with_comma = "fWq3kPz7RtYx1VbN5mLc9,HsD2gJ8aKeU4oXi6TvB0nE";
        assert!(SecretList::parse(with_comma).unwrap().add().is_err());
        let spaced = "fWq3kPz7RtYx1VbN5mLc9HsD2gJ8aKeU4oXi6TvB0nE ";
        assert!(SecretList::parse(spaced).unwrap().add().is_err());
        assert!(SecretList::parse("a:fWq3kPz7RtYx1VbN5mLc9HsD2gJ8aKeU4oXi6TvB0nE").unwrap().promote("b").is_err());
    }
}
