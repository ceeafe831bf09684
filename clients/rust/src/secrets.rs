//! The secrets that access tokens are signed with, and the rule that refuses weak ones: the service's own.

use std::collections::BTreeSet;
use std::fmt;

use secrecy::{ExposeSecret as _, SecretString};

/// What access tokens may be signed with: one secret, or while secrets are rotated several, newest first. Silent.
#[derive(Clone)]
pub struct Secrets(Vec<SecretString>);

/// Why a text is not good for [`Secrets`]. Shows nothing of the text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.join("; "))]
pub struct BadSecrets(Vec<String>);

/// 256 bits, the size of the HMAC key (RFC 7518 section 3.2).
const MIN_BYTES: usize = 32;
/// 32 random hexadecimal digits miss this once in 30 million times.
const MIN_DISTINCT_CHARACTERS: usize = 8;
/// Shorter runs and repetitions happen in random text.
const PIECE: usize = 8;

/// Words that stand in documentation, templates and tests where a secret should be. They count nothing towards the length.
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

impl Secrets {
    /// Reads what the service's `JWT_SECRET` may be: one secret, or `name:secret,name:secret`, newest first.
    ///
    /// A file ends in a line break that is no part of the secret; remove it first.
    ///
    /// # Errors
    /// [`BadSecrets`], for all that the service would not start with either: weak ones, repeated ones, a list in which a name
    /// is missing.
    pub fn parse(text: &str) -> Result<Self, BadSecrets> {
        let one = |problem: &str| Err(BadSecrets(vec![problem.to_owned()]));
        let items: Vec<&str> = text.split(',').map(str::trim).collect();
        let named: Vec<(&str, &str)> = items.iter().filter_map(|item| split_name(item)).collect();
        let looks_like_a_list = items.len() > 1 && items.iter().all(|item| item.len() >= MIN_BYTES);
        let pairs = match named.len() {
            0 if looks_like_a_list => return one("is a list without names; write name:secret,name:secret"),
            // As it is, also with commas in it.
            0 => vec![("", text)],
            count if count < items.len() => {
                return one("has secrets with a name and without; write name:secret,name:secret");
            }
            _ => named,
        };
        let mut problems = Vec::new();
        for (index, (name, secret)) in pairs.iter().enumerate() {
            let number = index + 1;
            let before = pairs.iter().take(index);
            problems.extend(weakness(secret).map(|weakness| format!("secret {number} {weakness}")));
            if before.clone().any(|(other, _)| other == name) {
                problems.push(format!("secret {number} has the name of an earlier one"));
            }
            if before.clone().any(|(_, other)| other == secret) {
                problems.push(format!("secret {number} repeats an earlier one"));
            }
        }
        if !problems.is_empty() {
            return Err(BadSecrets(problems));
        }
        Ok(Self(pairs.into_iter().map(|(_, secret)| secret.to_owned().into()).collect()))
    }

    /// The bytes of each, newest first.
    pub(crate) fn bytes(&self) -> impl Iterator<Item = &[u8]> {
        self.0.iter().map(|secret| secret.expose_secret().as_bytes())
    }
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secrets({})", self.0.len())
    }
}

/// Name and secret of one item of a list.
fn split_name(item: &str) -> Option<(&str, &str)> {
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

    fn bytes(text: &str) -> Vec<Vec<u8>> {
        Secrets::parse(text).unwrap().bytes().map(<[u8]>::to_vec).collect()
    }

    fn problems(text: &str) -> String {
        Secrets::parse(text).unwrap_err().to_string()
    }

    #[test]
    fn one_secret_is_used_as_it_is_and_a_list_keeps_its_order() {
        let with_comma = format!("{},{}", &GOOD[..20], &GOOD[20..]);
        assert_eq!(bytes(GOOD), [GOOD.as_bytes()]);
        assert_eq!(bytes(&with_comma), [with_comma.as_bytes()]);
        assert_eq!(bytes(&format!("new:{GOOD}, old:{OTHER}")), [GOOD.as_bytes(), OTHER.as_bytes()]);
    }

    #[test]
    fn weak_secrets_are_refused_with_the_reason() {
        for (text, reason) in [
            ("", "shorter than 32"),
            ("q7Zr0J4m8VtX2cLwN9sKfB5yHdP1gUe", "shorter than 32"),
            (&"a".repeat(64), "too few different"),
            (&"0123456789abcdef".repeat(4), "repeats"),
            ("q7Zr0J4m8VtX2cLwN9sKfB5yHdP1gUeA6TiRoWk3\n", "control"),
            ("your-super-secret-jwt-key-change-in-production", "sample"),
            ("zyxwvutsrqponmlkjihgfedcba9876543210", "sample"),
            (PUBLISHED[0], "sample"),
        ] {
            assert!(problems(text).contains(reason), "{text}: {}", problems(text));
        }
    }

    #[test]
    fn a_list_with_something_missing_or_twice_is_refused() {
        assert!(problems(&format!("new:{GOOD},{OTHER}")).contains("with a name and without"));
        assert!(problems(&format!("{GOOD},{OTHER}")).contains("without names"));
        assert!(problems(&format!("a:{GOOD},b:{GOOD}")).contains("repeats an earlier one"));
        assert!(problems(&format!("a:{GOOD},a:{OTHER}")).contains("the name of an earlier one"));
    }

    #[test]
    fn neither_debug_nor_a_problem_shows_a_secret() {
        assert_eq!(format!("{:?}", Secrets::parse(GOOD).unwrap()), "Secrets(1)");
        let bad = Secrets::parse(&format!("a:{GOOD},b:{GOOD}")).unwrap_err();
        assert!(!format!("{bad} {bad:?}").contains(GOOD));
    }
}
