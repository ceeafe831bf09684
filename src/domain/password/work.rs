//! The work of comparing a password with a hash that another system made, and the bounds of that work.
//!
//! Whoever writes the table decides how dear a comparison is. So what a hash may ask for is bounded, at import and again at
//! each login.

use std::borrow::Cow;
use std::num::NonZeroU32;
use std::ops::RangeInclusive;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::{digest, hmac, pbkdf2};
use base64::alphabet;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use base64::engine::{DecodePaddingMode, Engine as _};
use base64::prelude::BASE64_STANDARD;

/// What is wrong with a hash, without any of it.
pub(super) type Rule = Cow<'static, str>;

/// Each step doubles: 14 takes about a second.
pub(super) const BCRYPT_COSTS: RangeInclusive<u32> = 4..=14;
/// Five times what Django and Werkzeug ask for in 2026; two seconds at most.
const MOST_ITERATIONS: u32 = 5_000_000;
/// Of scrypt and argon2, for each core that hashes: the most that OWASP recommends for scrypt.
const MOST_KIB: u32 = 128 * 1024;
/// scrypt's N·r·p: eight times passlib's.
const MOST_BLOCKS: u64 = 1 << 22;
/// argon2's memory times passes: a GiB gone through once.
const MOST_KIB_PASSES: u64 = 1 << 20;
const SALT_BYTES: RangeInclusive<usize> = 1..=128;
const DIGEST_BYTES: RangeInclusive<usize> = 16..=64;

/// A hash, read: what to compute and what must come out.
pub(super) enum Work {
    Bcrypt(Bcrypt, Before),
    Other(OtherWork),
}

/// Whose amount only time can tell.
pub(super) enum OtherWork {
    Pbkdf2 { algorithm: pbkdf2::Algorithm, iterations: NonZeroU32, salt: Vec<u8>, digest: Vec<u8> },
    Scrypt { params: scrypt::Params, salt: Vec<u8>, digest: Vec<u8> },
    Argon2 { argon2: Box<argon2::Argon2<'static>>, salt: Vec<u8>, digest: Vec<u8> },
}

/// What is done to a password before bcrypt, so that every byte of a long one counts.
pub(super) enum Before {
    Nothing,
    /// Django's `bcrypt_sha256`.
    Sha256Hex,
    /// passlib's `bcrypt-sha256` up to version 1.7.2.
    Sha256Base64,
    /// Since then, under the text of the salt.
    HmacBase64(String),
}

/// A bcrypt hash, `$2b$12$…`.
#[derive(Clone)]
pub struct Bcrypt {
    /// The logarithm of its rounds.
    pub cost: u32,
    /// What it was salted with.
    pub salt: Salt,
    digest: [u8; 23],
}

/// 16 random bytes, no secret.
#[derive(Clone, Copy, Default)]
pub struct Salt([u8; 16]);

impl Salt {
    /// A fresh one.
    ///
    /// # Errors
    /// When the system has no random bytes.
    pub fn random() -> Result<Self, aws_lc_rs::error::Unspecified> {
        let mut bytes = [0; 16];
        aws_lc_rs::rand::fill(&mut bytes)?;
        Ok(Self(bytes))
    }

    /// Its bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

/// Some libraries left the unused bits of the last character as chance made them.
const BCRYPT_BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::BCRYPT,
    GeneralPurposeConfig::new()
        .with_encode_padding(false)
        .with_decode_padding_mode(DecodePaddingMode::RequireNone)
        .with_decode_allow_trailing_bits(true),
);

impl Bcrypt {
    /// Reads `$2a$`, `$2b$` and `$2y$`, which are one algorithm.
    pub(super) fn parse(text: &str, costs: RangeInclusive<u32>) -> Result<Self, Rule> {
        let mut parts = text.split('$');
        let (before, version, cost) = (parts.next(), parts.next(), parts.next());
        let (Some(""), Some("2a" | "2b" | "2y"), Some(cost)) = (before, version, cost) else { return malformed() };
        let tail = parts.next().filter(|tail| tail.len() == 22 + 31 && parts.next().is_none());
        let Some((salt, digest)) = tail.and_then(|tail| tail.split_at_checked(22)) else { return malformed() };
        Self::of(cost, salt, digest, costs)
    }

    /// From its parts, as text.
    pub(super) fn of(cost: &str, salt: &str, digest: &str, costs: RangeInclusive<u32>) -> Result<Self, Rule> {
        let cost = number(cost)?;
        if !costs.contains(&cost) {
            return Err(format!("is bcrypt of a cost outside {} to {}", costs.start(), costs.end()).into());
        }
        let bytes = |text: &str| BCRYPT_BASE64.decode(text).ok();
        let salt = bytes(salt).and_then(|salt| salt.try_into().ok()).map(Salt);
        let digest = bytes(digest).and_then(|digest| digest.try_into().ok());
        let (Some(salt), Some(digest)) = (salt, digest) else { return malformed() };
        Ok(Self { cost, salt, digest })
    }

    /// A new one, as text.
    pub(super) fn text(cost: u32, salt: &Salt, output: &[u8; 24]) -> String {
        // bcrypt keeps 23 of the 24 bytes.
        let [digest @ .., _] = output;
        format!("$2b${cost:02}${}{}", BCRYPT_BASE64.encode(salt.0), BCRYPT_BASE64.encode(digest))
    }

    /// Whether this is what came out.
    #[must_use]
    pub fn has_digest(&self, output: &[u8; 24]) -> bool {
        let [digest @ .., _] = output;
        equal(digest, &self.digest)
    }
}

impl Before {
    pub(super) fn apply<'a>(&self, password: &'a [u8]) -> Cow<'a, [u8]> {
        let sha256 = |bytes| digest::digest(&digest::SHA256, bytes);
        match self {
            Self::Nothing => password.into(),
            Self::Sha256Hex => {
                sha256(password).as_ref().iter().flat_map(|byte| format!("{byte:02x}").into_bytes()).collect()
            }
            Self::Sha256Base64 => BASE64_STANDARD.encode(sha256(password)).into_bytes().into(),
            Self::HmacBase64(salt) => {
                let key = hmac::Key::new(hmac::HMAC_SHA256, salt.as_bytes());
                BASE64_STANDARD.encode(hmac::sign(&key, password)).into_bytes().into()
            }
        }
    }
}

impl Work {
    /// PBKDF2 with the hash of that name, as long as that hash.
    pub(super) fn pbkdf2(hash: &str, iterations: &str, salt: Vec<u8>, digest: Vec<u8>) -> Result<Self, Rule> {
        let (algorithm, length) = match hash {
            "sha1" => (pbkdf2::PBKDF2_HMAC_SHA1, 20),
            "sha256" => (pbkdf2::PBKDF2_HMAC_SHA256, 32),
            "sha512" => (pbkdf2::PBKDF2_HMAC_SHA512, 64),
            _ => return Err("is PBKDF2 with a hash other than SHA-1, SHA-256 and SHA-512".into()),
        };
        let iterations = NonZeroU32::new(number(iterations)?).filter(|count| count.get() <= MOST_ITERATIONS);
        let iterations = iterations.ok_or("is PBKDF2 with none or more than 5,000,000 iterations")?;
        check_salt(&salt)?;
        if digest.len() != length {
            return malformed();
        }
        Ok(Self::Other(OtherWork::Pbkdf2 { algorithm, iterations, salt, digest }))
    }

    /// scrypt with 2 to the power of `log_n`.
    pub(super) fn scrypt(log_n: u32, r: u32, p: u32, salt: Vec<u8>, digest: Vec<u8>) -> Result<Self, Rule> {
        const TOO_DEAR: &str = "is scrypt that takes more than 128 MiB, or N·r·p above 4,194,304";
        let n = 1_u64.checked_shl(log_n).filter(|n| (2..=MOST_BLOCKS).contains(n)).ok_or(TOO_DEAR)?;
        let (r64, p64) = (u64::from(r), u64::from(p));
        let memory = n.saturating_add(p64).saturating_mul(r64);
        let blocks = n.saturating_mul(r64).saturating_mul(p64);
        if memory > u64::from(MOST_KIB) * 8 || blocks > MOST_BLOCKS {
            return Err(TOO_DEAR.into());
        }
        let log_n = u8::try_from(log_n).map_err(|_large| TOO_DEAR)?;
        let Ok(params) = scrypt::Params::new(log_n, r, p) else { return malformed() };
        check_salt(&salt)?;
        check_digest(&digest)?;
        Ok(Self::Other(OtherWork::Scrypt { params, salt, digest }))
    }

    /// argon2i or argon2id.
    pub(super) fn argon2(
        (algorithm, version): (argon2::Algorithm, argon2::Version),
        [kib, passes, lanes]: [u32; 3],
        salt: Vec<u8>,
        digest: Vec<u8>,
    ) -> Result<Self, Rule> {
        if kib > MOST_KIB || lanes > 64 || u64::from(kib) * u64::from(passes) > MOST_KIB_PASSES {
            return Err("is argon2 that takes more than 128 MiB, 64 lanes, or 1 GiB in all passes".into());
        }
        check_salt(&salt)?;
        check_digest(&digest)?;
        let params = argon2::Params::new(kib, passes, lanes, Some(digest.len())).ok();
        let Some(params) = params.filter(|_| salt.len() >= argon2::MIN_SALT_LEN) else { return malformed() };
        let argon2 = Box::new(argon2::Argon2::new(algorithm, version, params));
        Ok(Self::Other(OtherWork::Argon2 { argon2, salt, digest }))
    }
}

impl OtherWork {
    /// Whether this comes out for that password.
    pub(super) fn matches(&self, password: &[u8]) -> bool {
        match self {
            Self::Pbkdf2 { algorithm, iterations, salt, digest } => {
                pbkdf2::verify(*algorithm, *iterations, salt, password, digest).is_ok()
            }
            Self::Scrypt { params, salt, digest } => {
                let mut computed = vec![0; digest.len()];
                scrypt::scrypt(password, salt, params, &mut computed).is_ok() && equal(&computed, digest)
            }
            Self::Argon2 { argon2, salt, digest } => {
                let mut computed = vec![0; digest.len()];
                argon2.hash_password_into(password, salt, &mut computed).is_ok() && equal(&computed, digest)
            }
        }
    }
}

/// A number in plain decimal digits.
pub(super) fn number(text: &str) -> Result<u32, Rule> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| digits).map_or_else(malformed, Ok)
}

/// The answer to a hash that has the beginning of a known scheme and not its form.
pub(super) fn malformed<T>() -> Result<T, Rule> {
    Err("is no whole hash of the scheme that it begins with".into())
}

fn check_salt(salt: &[u8]) -> Result<(), Rule> {
    if SALT_BYTES.contains(&salt.len()) { Ok(()) } else { malformed() }
}

fn check_digest(digest: &[u8]) -> Result<(), Rule> {
    if DIGEST_BYTES.contains(&digest.len()) { Ok(()) } else { malformed() }
}

fn equal(computed: &[u8], digest: &[u8]) -> bool {
    verify_slices_are_equal(computed, digest).is_ok()
}
