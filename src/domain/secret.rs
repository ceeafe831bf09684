//! Secrets that operators choose, and the rule that refuses weak ones.

use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine as _};
use secrecy::{ExposeSecret, SecretString};

/// A secret of at least 32 bytes that does not look like a sample, with the operator's name for it.
///
/// Its `Debug` shows the name only.
#[derive(Debug, Clone)]
pub struct Secret {
    name: String,
    text: SecretString,
}

/// 256 bits, the size of the HMAC key (RFC 7518 section 3.2).
const MIN_BYTES: usize = 32;
/// 32 random hexadecimal digits miss this once in 30 million times.
const MIN_DISTINCT_CHARACTERS: usize = 8;
/// Shorter runs of neighbours happen in random text.
const SHORTEST_RUN: usize = 8;

/// Words that stand in documentation, templates and tests where a secret should be. They count nothing towards the
/// length, so a good secret may contain one. None is so short that chance writes it.
const SAMPLE_WORDS: [&str; 24] = [
    "changeme",
    "change",
    "please",
    "replace",
    "secret",
    "password",
    "passwd",
    "example",
    "sample",
    "default",
    "placeholder",
    "insecure",
    "qwerty",
    "development",
    "production",
    "super",
    "token",
    "refresh",
    "access",
    "signing",
    "private",
    "string",
    "least",
    "claviger",
];

impl Secret {
    /// Reads `name:secret,name:secret`, newest first, or one plain secret (named `default`).
    ///
    /// A plain secret is used as it is, also when it has commas in it. One in which a name and a colon could be seen must
    /// be written with a name in front.
    ///
    /// # Errors
    /// One sentence for each thing that is wrong. No sentence contains any part of a secret.
    pub fn parse_list(text: &str) -> Result<Vec<Self>, Vec<String>> {
        let items: Vec<&str> = text.split(',').map(str::trim).collect();
        let named: Vec<(&str, &str)> = items.iter().filter_map(|item| split_name(item)).collect();
        let pairs = if named.is_empty() { vec![("default", text)] } else { named };
        if pairs.len() < items.len() && pairs.first() != Some(&("default", text)) {
            return Err(vec!["has secrets with a name and without; write name:secret,name:secret".to_owned()]);
        }

        let mut problems: Vec<String> = Vec::new();
        for (index, (name, secret)) in pairs.iter().enumerate() {
            if let Some(weakness) = weakness(secret) {
                problems.push(format!("secret {name:?} {weakness}; make one with `claviger keys new`"));
            }
            let before = pairs.iter().take(index);
            if before.clone().any(|(other, _)| other == name) {
                problems.push(format!("the name {name:?} is used twice"));
            }
            if before.clone().any(|(_, other)| other == secret) {
                problems.push(format!("secret {name:?} repeats an earlier one of the list"));
            }
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        let secret = |(name, text): (&str, &str)| Self { name: name.to_owned(), text: text.to_owned().into() };
        Ok(pairs.into_iter().map(secret).collect())
    }

    /// The text of a new secret: 32 random bytes in base64url.
    ///
    /// # Errors
    /// Only when the system has no random bytes.
    pub fn generate() -> Result<String, aws_lc_rs::error::Unspecified> {
        let mut bytes = [0; 32];
        aws_lc_rs::rand::fill(&mut bytes)?;
        Ok(BASE64_URL_SAFE_NO_PAD.encode(bytes))
    }

    /// The operator's name for this secret, fit for logs.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The secret's bytes exactly as they were configured.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        self.text.expose_secret().as_bytes()
    }
}

fn split_name(item: &str) -> Option<(&str, &str)> {
    let (name, secret) = item.split_once(':')?;
    let good = (1..=32).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'));
    good.then_some((name, secret))
}

/// Why a secret is too easy to guess, as the end of a sentence.
fn weakness(secret: &str) -> Option<&'static str> {
    let distinct: std::collections::BTreeSet<char> = secret.chars().collect();
    if secret.len() < MIN_BYTES {
        Some("is shorter than 32 bytes")
    } else if secret.chars().any(char::is_control) {
        Some("contains a control character")
    } else if distinct.len() < MIN_DISTINCT_CHARACTERS {
        Some("uses too few different characters")
    } else if repeats_itself(secret.as_bytes()) {
        Some("is a short piece repeated")
    } else if bytes_beyond_samples(secret) < MIN_BYTES {
        Some("looks like a sample: without its common words and sequences it is shorter than 32 bytes")
    } else {
        None
    }
}

/// Whether the text is one piece of at most half its length, repeated.
fn repeats_itself(bytes: &[u8]) -> bool {
    (1..=bytes.len() / 2).any(|period| bytes.iter().zip(bytes.iter().skip(period)).all(|(a, b)| a == b))
}

/// Length without sample words and without runs such as `abcdef` or `012345`.
fn bytes_beyond_samples(secret: &str) -> usize {
    let mut rest = secret.to_lowercase();
    for word in SAMPLE_WORDS {
        rest = rest.replace(word, "");
    }
    let bytes = rest.as_bytes();
    let follows = |(a, b): (&u8, &u8)| a.checked_add(1) == Some(*b);
    let steps: Vec<bool> = bytes.iter().zip(bytes.iter().skip(1)).map(follows).collect();
    let in_runs: usize = steps
        .chunk_by(|a, b| a == b)
        .filter(|run| run.len() + 1 >= SHORTEST_RUN && run.contains(&true))
        .map(<[bool]>::len)
        .sum();
    rest.len().saturating_sub(in_runs)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "q7Zr0J4m8VtX2cLwN9sKfB5yHdP1gUeA6TiRoWk3";
    const OTHER: &str = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";

    fn problems(text: &str) -> String {
        Secret::parse_list(text).unwrap_err().join("; ")
    }

    #[test]
    fn a_plain_secret_is_used_as_it_is() {
        let secret = Secret::parse_list(GOOD).unwrap().remove(0);
        assert_eq!((secret.name(), secret.bytes()), ("default", GOOD.as_bytes()));
    }

    #[test]
    fn a_list_keeps_its_order_and_names() {
        let secrets = Secret::parse_list(&format!("2026-11:{GOOD}, 2026-05:{OTHER}")).unwrap();
        let names: Vec<&str> = secrets.iter().map(Secret::name).collect();
        assert_eq!(names, ["2026-11", "2026-05"]);
        assert_eq!(secrets[1].bytes(), OTHER.as_bytes());
    }

    #[test]
    fn weak_secrets_are_refused_with_the_reason() {
        for (text, reason) in [
            ("", "shorter than 32"),
            ("q7Zr0J4m8VtX2cLwN9sKfB5yHdP1gUe", "shorter than 32"),
            (&"a".repeat(64), "too few different"),
            (&"0123456789abcdef".repeat(4), "repeated"),
            ("abcdefghijklmnopqrstuvwxyz0123456789", "sample"),
            ("your-256-bit-secret-your-256-bit-secret!", "sample"),
            ("a-string-secret-at-least-256-bits-long", "sample"),
            ("your-super-secret-jwt-key-change-in-production", "sample"),
            ("changeme-changeme-please-changeme-now!1", "sample"),
        ] {
            assert!(problems(text).contains(reason), "{text}: {}", problems(text));
        }
    }

    #[test]
    fn random_secrets_of_every_usual_form_are_good() {
        for _ in 0..20_000 {
            let mut bytes = [0; 32];
            aws_lc_rs::rand::fill(&mut bytes).unwrap();
            let hex: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            for text in [hex.concat(), hex[..16].concat(), base64::prelude::BASE64_STANDARD.encode(bytes)] {
                assert!(Secret::parse_list(&text).is_ok(), "{text}: {}", problems(&text));
            }
        }
    }

    #[test]
    fn a_sample_word_does_not_spoil_a_good_secret() {
        assert!(Secret::parse_list(&format!("test-secret-{OTHER}")).is_ok());
    }

    #[test]
    fn a_list_in_which_a_name_is_missing_is_refused() {
        assert!(problems(&format!("new:{GOOD},{OTHER}")).contains("with a name and without"));
        assert!(problems(&format!("{GOOD},old:{OTHER}")).contains("with a name and without"));
        let plain = format!("{GOOD},{OTHER}");
        assert_eq!(Secret::parse_list(&plain).unwrap()[0].bytes(), plain.as_bytes());
    }

    #[test]
    fn a_secret_or_a_name_twice_is_refused() {
        assert!(problems(&format!("a:{GOOD},b:{GOOD}")).contains("repeats an earlier one"));
        assert!(problems(&format!("a:{GOOD},a:{OTHER}")).contains("used twice"));
    }

    #[test]
    fn a_generated_secret_is_good_and_new_each_time() {
        let (one, other) = (Secret::generate().unwrap(), Secret::generate().unwrap());
        assert!(Secret::parse_list(&format!("a:{one},b:{other}")).is_ok());
    }

    #[test]
    fn neither_debug_nor_a_problem_shows_a_secret() {
        let shown = format!("{:?}", Secret::parse_list(GOOD).unwrap());
        assert!(!shown.contains(GOOD), "{shown}");
        assert!(!problems(&format!("a:{GOOD},b:{GOOD}")).contains(GOOD));
    }
}
