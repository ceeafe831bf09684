//! The name of the refresh cookie, as an operator chooses it.

use std::fmt;

const MAX_BYTES: usize = 64;
/// Browsers tie conditions to these prefixes, whatever their case.
const RESERVED: [&str; 4] = ["__host-", "__secure-", "__http-", "__host-http-"];

/// A cookie's name without prefix: a token of RFC 9110 section 5.6.2, as RFC 6265 section 4.1.1 asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CookieName(String);

impl CookieName {
    /// Reads one as an operator writes it.
    ///
    /// # Errors
    /// The rule it breaks, as the end of a sentence.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let is_token_byte = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
        if text.is_empty() || text.len() > MAX_BYTES || !text.bytes().all(is_token_byte) {
            return Err("is not a cookie name: 1 to 64 letters, digits and !#$%&'*+-.^_`|~");
        }
        let lower = text.to_ascii_lowercase();
        if RESERVED.iter().any(|prefix| lower.starts_with(prefix)) {
            return Err("must leave out the prefix: cookie.secure adds __Host-");
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for CookieName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn token_of_rfc_6265_is_a_name() {
        for name in ["refresh_token", "a", "shop.refresh-1", "!#$%&'*+-.^_`|~", &"n".repeat(64), "_Host-x"] {
            assert_eq!(CookieName::parse(name).map(|name| name.to_string()).as_deref(), Ok(name));
        }
    }

    #[test]
    fn separators_controls_and_other_scripts_are_refused() {
        let long = "n".repeat(65);
        for name in ["", " ", "a b", "a=b", "a;b", "a,b", "a\"b", "(a)", "a/b", "a:b", "a\r\nb", "ä", "a\u{7f}", &long]
        {
            assert!(CookieName::parse(name).is_err(), "{name:?}");
        }
    }

    #[test]
    fn prefix_that_browsers_read_is_refused_in_any_case() {
        for name in ["__Host-refresh", "__host-refresh", "__Secure-refresh", "__HTTP-refresh", "__Host-Http-refresh"] {
            assert!(CookieName::parse(name).is_err(), "{name}");
        }
    }
}
