//! Secrets that operators choose, and the rule that refuses weak ones.

use std::collections::BTreeSet;

use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine as _};
use secrecy::{ExposeSecret, SecretString};

/// A secret of at least 32 bytes that does not look like a sample. Silent.
#[derive(Debug, Clone)]
pub struct Secret(SecretString);

/// 256 bits, the size of the HMAC key (RFC 7518 section 3.2).
const MIN_BYTES: usize = 32;
/// 32 random hexadecimal digits miss this once in 30 million times.
const MIN_DISTINCT_CHARACTERS: usize = 8;
/// Shorter runs and repetitions happen in random text.
const PIECE: usize = 8;

/// Words that stand in documentation, templates and tests where a secret should be. They count nothing towards the
/// length, so a good secret may contain one. None is so short that chance writes it.
const SAMPLE_WORDS: [&str; 27] = [
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
    "character",
    "secure",
    "ultra",
];

/// Printed in tutorials that many have copied.
const PUBLISHED: [&str; 1] = ["09d25e094faa6ca2556c818166b7a9563b93f7099f6f0f4caa6cf63b88e8d3e7"];

impl Secret {
    /// Reads `name:secret,name:secret`, newest first, or one plain secret.
    ///
    /// A plain secret is used as it is, also when it has commas in it. One in which a name and a colon could be seen must
    /// be written with a name in front.
    ///
    /// # Errors
    /// One sentence for each thing that is wrong. No sentence contains any part of what may be a secret, and what was
    /// meant as a name may be one.
    pub fn parse_list(text: &str) -> Result<Vec<Self>, Vec<String>> {
        let items: Vec<&str> = text.split(',').map(str::trim).collect();
        let named: Vec<(&str, &str)> = items.iter().filter_map(|item| split_name(item)).collect();
        let looks_like_a_list = items.len() > 1 && items.iter().all(|item| item.len() >= MIN_BYTES);
        let pairs = match named.len() {
            0 if looks_like_a_list => {
                return Err(vec!["is a list without names; write name:secret,name:secret".to_owned()]);
            }
            0 => vec![("default", text)],
            count if count < items.len() => {
                return Err(vec!["has secrets with a name and without; write name:secret,name:secret".to_owned()]);
            }
            _ => named,
        };

        let mut problems: Vec<String> = Vec::new();
        for (index, (name, secret)) in pairs.iter().enumerate() {
            let number = index + 1;
            if let Some(weakness) = weakness(secret) {
                let named = if *secret == text { "" } else { " (what stands before a colon is its name)" };
                problems.push(format!("secret {number} {weakness}{named}; make one with `claviger keys new`"));
            }
            let before = pairs.iter().take(index);
            if before.clone().any(|(other, _)| other == name) {
                problems.push(format!("secret {number} has the name of an earlier one"));
            }
            if before.clone().any(|(_, other)| other == secret) {
                problems.push(format!("secret {number} repeats an earlier one"));
            }
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        Ok(pairs.into_iter().map(|(_, secret)| Self(secret.to_owned().into())).collect())
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

    /// Makes the first random bytes of this process, which take a few hundredths of a second of a core: the library measures
    /// the processor's own noise for them. Whoever signs in first would wait for that.
    pub fn prepare() {
        let _no_randomness = aws_lc_rs::rand::fill(&mut [0]);
    }

    /// The secret's bytes exactly as they were configured.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        self.0.expose_secret().as_bytes()
    }
}

/// Name and secret of one item of a list.
pub(super) fn split_name(item: &str) -> Option<(&str, &str)> {
    let (name, secret) = item.split_once(':')?;
    let good = (1..=16).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'));
    good.then_some((name, secret))
}

/// Why a secret is too easy to guess, as the end of a sentence.
fn weakness(secret: &str) -> Option<&'static str> {
    let distinct: BTreeSet<char> = secret.chars().collect();
    if secret.len() < MIN_BYTES {
        Some("is shorter than 32 bytes")
    } else if secret.chars().any(char::is_control) {
        Some("contains a control character")
    } else if distinct.len() < MIN_DISTINCT_CHARACTERS {
        Some("uses too few different characters")
    } else if new_bytes(secret.as_bytes()) < MIN_BYTES {
        Some("repeats itself")
    } else if PUBLISHED.contains(&secret) || bytes_beyond_samples(secret) < MIN_BYTES {
        Some("looks like a sample: without its common words and sequences it is shorter than 32 bytes")
    } else {
        None
    }
}

/// Length without what stands earlier in the text, in pieces of eight.
fn new_bytes(bytes: &[u8]) -> usize {
    let mut seen = BTreeSet::new();
    bytes.len().min(PIECE - 1) + bytes.windows(PIECE).filter(|piece| seen.insert(*piece)).count()
}

/// Length without sample words and without runs such as `abcdefgh` or `87654321`.
fn bytes_beyond_samples(secret: &str) -> usize {
    let mut rest = secret.to_lowercase();
    for word in SAMPLE_WORDS {
        rest = rest.replace(word, "");
    }
    let bytes = rest.as_bytes();
    let step = |(a, b): (&u8, &u8)| i16::from(*b) - i16::from(*a);
    let steps: Vec<i16> = bytes.iter().zip(bytes.iter().skip(1)).map(step).collect();
    let is_run = |run: &&[i16]| run.len() + 1 >= PIECE && run.first().is_some_and(|step| step.abs() == 1);
    let in_runs: usize = steps.chunk_by(|a, b| a == b).filter(is_run).map(<[i16]>::len).sum();
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
        assert_eq!(Secret::parse_list(GOOD).unwrap()[0].bytes(), GOOD.as_bytes());
    }

    #[test]
    fn a_list_keeps_its_order() {
        let secrets = Secret::parse_list(&format!("2026-11:{GOOD}, 2026-05:{OTHER}")).unwrap();
        assert_eq!(secrets[0].bytes(), GOOD.as_bytes());
        assert_eq!(secrets[1].bytes(), OTHER.as_bytes());
    }

    #[test]
    fn weak_secrets_are_refused_with_the_reason() {
        for (text, reason) in [
            ("", "shorter than 32"),
            ("q7Zr0J4m8VtX2cLwN9sKfB5yHdP1gUe", "shorter than 32"),
            (&"a".repeat(64), "too few different"),
            (&"0123456789abcdef".repeat(4), "repeats"),
            ("abcdefghijklmnopqrstuvwxyz0123456789", "sample"),
            ("your-256-bit-secret-your-256-bit-secret!", "repeats"),
            ("a-string-secret-at-least-256-bits-long", "sample"),
            ("your-super-secret-jwt-key-change-in-production", "sample"),
            ("changeme-changeme-please-changeme-now!1", "sample"),
            ("my-32-character-ultra-secure-and-ultra-long-secret", "sample"),
            ("zyxwvutsrqponmlkjihgfedcba9876543210", "sample"),
            ("09d25e094faa6ca2556c818166b7a9563b93f7099f6f0f4caa6cf63b88e8d3e7", "sample"),
            ("asdfghjklasdfghjklasdfghjklasdfghjkl1", "repeats"),
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
        assert!(problems(&format!("{GOOD},{OTHER}")).contains("without names"));
        let with_comma = format!("{},{}", &GOOD[..20], &GOOD[20..]);
        assert_eq!(Secret::parse_list(&with_comma).unwrap()[0].bytes(), with_comma.as_bytes());
    }

    #[test]
    fn a_secret_or_a_name_twice_is_refused() {
        assert!(problems(&format!("a:{GOOD},b:{GOOD}")).contains("repeats an earlier one"));
        assert!(problems(&format!("a:{GOOD},a:{OTHER}")).contains("the name of an earlier one"));
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
        let with_colon = format!("{}:{}", &GOOD[..12], &GOOD[12..]);
        assert!(problems(&with_colon).contains("before a colon is its name"));
        assert!(!problems(&with_colon).contains(&GOOD[..12]));
    }
}
