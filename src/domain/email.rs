//! E-mail addresses, brought to one spelling once, when they enter.

use unicode_normalization::UnicodeNormalization;

use super::field::FieldError;

/// An address in its one spelling: NFC, lower case, the domain in ASCII (punycode).
///
/// Two addresses that differ only in case are the same account. RFC 5321 would allow a mail server to tell `Ada@` from
/// `ada@`; none in use does, and people type both.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Email(String);

/// RFC 5321 section 4.5.3.1: a path has at most 256 octets with its brackets.
const MAX_BYTES: usize = 254;
const MAX_LOCAL_BYTES: usize = 64;

impl Email {
    /// Reads an address as people type it. Surrounding white space is dropped.
    ///
    /// # Errors
    /// `invalid_email` unless it has the shape `local@domain` with a domain that DNS could hold.
    pub fn parse(text: &str) -> Result<Self, FieldError> {
        Self::normalise(text).map(Self).ok_or_else(|| {
            FieldError::new("email", "invalid_email", "must be an e-mail address such as ada@example.com")
        })
    }

    fn normalise(text: &str) -> Option<String> {
        let text = text.trim();
        // Before any work that grows with the length.
        if text.len() > MAX_BYTES {
            return None;
        }
        let (local, domain) = text.rsplit_once('@')?;
        let local: String = local.nfc().flat_map(char::to_lowercase).nfc().collect();
        let domain = idna::domain_to_ascii_strict(domain).ok()?;
        let email = format!("{local}@{domain}");
        let good = !local.is_empty()
            && local.len() <= MAX_LOCAL_BYTES
            && local.split('.').all(|part| !part.is_empty())
            && local.chars().all(is_local_char)
            && !domain.is_empty()
            && !domain.ends_with('.')
            && email.len() <= MAX_BYTES;
        good.then_some(email)
    }

    /// The normalised address.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// RFC 5322 `atext` and the dot, and letters and digits of every script (RFC 6531). Quoted local parts are refused:
/// nobody has one, and many mail programs mishandle them.
fn is_local_char(c: char) -> bool {
    c.is_alphanumeric() || ".!#$%&'*+/=?^_`{|}~-".contains(c) || (!c.is_ascii() && is_mark(c))
}

/// Combining marks belong to letters of many scripts and are not alphanumeric themselves.
fn is_mark(c: char) -> bool {
    unicode_normalization::char::is_combining_mark(c)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn spellings_of_one_address_are_one_address() {
        for (typed, stored) in [
            ("ada@example.com", "ada@example.com"),
            ("  Ada@EXAMPLE.com\n", "ada@example.com"),
            ("ada+news@example.com", "ada+news@example.com"),
            ("Jo\u{308}rg@B\u{dc}CHER.example", "j\u{f6}rg@xn--bcher-kva.example"),
            ("o'neill@localhost", "o'neill@localhost"),
        ] {
            assert_eq!(Email::parse(typed).unwrap().as_str(), stored, "{typed}");
        }
    }

    #[test]
    fn what_is_no_address_is_refused() {
        let long_local = format!("{}@example.com", "a".repeat(65));
        let long = format!("a@{}.com", "b".repeat(260));
        for typed in [
            "",
            "@",
            "ada",
            "ada@",
            "@example.com",
            "a b@example.com",
            "a@b@example.com",
            "ada@exa mple.com",
            "ada@example..com",
            ".ada@example.com",
            "ada.@example.com",
            "a..b@example.com",
            "ada@-example.com",
            "ada\0@example.com",
            "ada@example.com\0",
            "\"ada\"@example.com",
            "ada@example.com.",
            "ada<@example.com",
            &long_local,
            &long,
        ] {
            assert_eq!(Email::parse(typed).map_err(|e| e.code), Err("invalid_email"), "{typed:?}");
        }
    }

    proptest! {
        #[test]
        fn normalising_twice_changes_nothing(text in "\\PC{1,20}@[a-zA-Z\u{e0}-\u{17f}]{1,12}\\.[a-z]{2,5}") {
            if let Ok(once) = Email::parse(&text) {
                prop_assert_eq!(Email::parse(once.as_str()).unwrap(), once);
            }
        }

        #[test]
        fn case_never_makes_a_second_account(text in "[a-zA-Z0-9._+-]{1,20}@[a-zA-Z]{1,12}\\.[a-zA-Z]{2,5}") {
            prop_assert_eq!(Email::parse(&text).ok(), Email::parse(&text.to_uppercase()).ok());
        }
    }
}
