//! Passwords and their stored hashes: two types, neither of which prints.
//!
//! The functions that hash are slow by design; requests go through `auth::hashing`, which bounds how many run at once.
//! `foreign` reads the hashes that other systems made, `work` compares with them.

mod foreign;
mod work;

use std::borrow::Cow;
use std::fmt;
use std::sync::LazyLock;

use aws_lc_rs::hmac;
use base64::prelude::{BASE64_STANDARD_NO_PAD, Engine as _};
use secrecy::{ExposeSecret, SecretSlice, SecretString};
use unicode_normalization::UnicodeNormalization;

use super::field::FieldError;
use foreign::{Foreign, Form};
pub use work::{Bcrypt, Salt};
use work::{OtherWork, Work};

/// A password as its owner means it: NFC, so that one typed on another keyboard or system is the same password.
#[derive(Debug, Clone)]
pub struct Password {
    text: SecretString,
    /// As it came, if that is something else: other systems hashed what was typed.
    typed: Option<SecretString>,
}

/// Far above every passphrase, far below what would make normalising costly.
const MAX_CHARACTERS: usize = 1024;

impl Password {
    /// A password somebody claims to have. No rule applies: an old account may have a password that today's refuse.
    #[must_use]
    pub fn claimed(text: &str) -> Self {
        let normal: String = text.nfc().collect();
        let typed = (normal != text).then(|| text.to_owned().into());
        Self { text: normal.into(), typed }
    }

    /// A password for a new account, or a change, of somebody with the address `email`.
    ///
    /// # Errors
    /// `too_short` below `min_length` characters, `too_long` above 1,024, `too_common` for one that many people have or
    /// that is the address or its first part, in any case of letters. Any character of any script is good.
    pub fn chosen(text: &str, min_length: usize, email: &str, field: &'static str) -> Result<Self, FieldError> {
        let password = Self::claimed(text);
        let chosen = password.text.expose_secret();
        let length = chosen.chars().count();
        if length < min_length {
            let message = format!("must have at least {min_length} characters");
            Err(FieldError::new(field, "too_short", message))
        } else if length > MAX_CHARACTERS {
            let message = format!("must have at most {MAX_CHARACTERS} characters");
            Err(FieldError::new(field, "too_long", message))
        } else if is_common(chosen) {
            Err(FieldError::new(field, "too_common", "is one that many people have, and is tried first"))
        } else if is_own(chosen, email) {
            Err(FieldError::new(field, "too_common", "must not be the e-mail address"))
        } else {
            Ok(password)
        }
    }

    /// Hashes with a fresh salt. Takes a quarter of a second at cost 12.
    ///
    /// # Errors
    /// Only when the system has no random bytes or the cost is outside 4 to 31.
    pub fn hash(&self, cost: u32) -> Result<PasswordHash, bcrypt::BcryptError> {
        let bcrypt = bcrypt::non_truncating_hash(self.digest(), cost)?;
        Ok(PasswordHash(format!("{SCHEME}{bcrypt}").into()))
    }

    /// What has to be computed to compare it with `hash`.
    #[must_use]
    pub fn comparing(&self, hash: &PasswordHash) -> Comparing {
        if let Some(hash) = hash.parts() {
            return Comparing::Bcrypt(vec![Attempt { key: self.key(), hash, counts: true, is_own: true }]);
        }
        let Some(foreign) = Foreign::from_stored(hash.as_stored()) else { return Comparing::Bcrypt(Vec::new()) };
        let Foreign { form, work, .. } = foreign;
        let (hash, before) = match work {
            Work::Bcrypt(hash, before) => (hash, before),
            Work::Other(work) => return Comparing::Other(Other { form, work }),
        };
        let attempt = |text: Cow<'_, str>| {
            let bytes = before.apply(text.as_bytes());
            Attempt { key: Key::of(&bytes), hash: hash.clone(), counts: !bytes.contains(&0), is_own: false }
        };
        Comparing::Bcrypt(self.texts(form).into_iter().map(attempt).collect())
    }

    /// The texts that another system may have hashed: as it was typed, or else as most keyboards would have typed it.
    fn texts(&self, form: Form) -> Vec<Cow<'_, str>> {
        let normal = self.text.expose_secret();
        match form {
            Form::Nfkc => vec![normal.nfkc().collect::<String>().into()],
            Form::Typed => self.typed.iter().map(|typed| typed.expose_secret().into()).chain([normal.into()]).collect(),
        }
    }

    /// How many texts another system's hash is compared with.
    #[must_use]
    pub fn forms(&self) -> u32 {
        1 + u32::from(self.typed.is_some())
    }

    /// Whether another system hashed this password. Takes as long as that system had it.
    #[must_use]
    pub fn is_behind(&self, other: &Other) -> bool {
        self.texts(other.form).iter().any(|text| other.work.matches(text.as_bytes()))
    }

    /// What bcrypt is computed of.
    #[must_use]
    pub fn key(&self) -> Key {
        Key::of(self.digest().as_bytes())
    }

    /// 43 characters whatever the length: bcrypt reads only 72 bytes, and other implementations stop at a NUL.
    ///
    /// The label is public. It makes the digest useless to somebody who holds plain SHA-256 hashes of the same
    /// passwords from elsewhere and would try those against bcrypt ("shucking"). See ADR 0004.
    fn digest(&self) -> String {
        let key = hmac::Key::new(hmac::HMAC_SHA256, b"claviger password v1");
        BASE64_STANDARD_NO_PAD.encode(hmac::sign(&key, self.text.expose_secret().as_bytes()))
    }
}

/// bcrypt's input for a password, with the NUL that it ends with.
#[derive(Debug)]
pub struct Key(SecretSlice<u8>);

impl Key {
    fn of(bytes: &[u8]) -> Self {
        Self([bytes, &[0]].concat().into())
    }

    /// For computing with it.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.0.expose_secret()
    }
}

/// What has to be computed to compare a password with a stored hash.
pub enum Comparing {
    /// These, until one matches: none at all for a hash that nobody can read.
    Bcrypt(Vec<Attempt>),
    /// [`Password::is_behind`], which takes its own time.
    Other(Other),
}

/// Another system's hash that is no bcrypt, read.
pub struct Other {
    form: Form,
    work: OtherWork,
}

/// A bcrypt that may come out as a hash says.
pub struct Attempt {
    /// What it is computed of.
    pub key: Key,
    /// What it is computed with, and what must come out.
    pub hash: Bcrypt,
    /// Whether a match counts: no library took a password with a NUL.
    pub counts: bool,
    /// Whether a hash like that is as those of today, but for its cost.
    pub is_own: bool,
}

/// Whether a password is among the 30,000 most common ones, in any case of letters.
fn is_common(password: &str) -> bool {
    /// Sorted by bytes. The file says where they are from.
    static COMMON: LazyLock<Vec<&str>> = LazyLock::new(|| {
        let (_origin, passwords) = include_str!("common_passwords.txt").split_once("---\n").unwrap_or_default();
        passwords.lines().collect()
    });
    COMMON.binary_search(&password.to_lowercase().as_str()).is_ok()
}

fn is_own(password: &str, email: &str) -> bool {
    let (password, email) = (password.to_lowercase(), email.to_lowercase());
    password == email || email.split_once('@').is_some_and(|(name, _)| name == password)
}

/// Says how the bcrypt input was made, so that hashes made in another way can live in the same column.
const SCHEME: &str = "{hmac-sha256}";
/// Of an account that has no password yet.
const NONE: &str = "{none}";
/// What `password.bcrypt_cost` can be.
const OWN_COSTS: std::ops::RangeInclusive<u32> = 4..=16;

/// A stored password hash: salted, slow, one way, and silent all the same.
#[derive(Clone)]
pub struct PasswordHash(SecretString);

impl PasswordHash {
    /// What the database holds.
    #[must_use]
    pub fn from_stored(text: String) -> Self {
        Self(text.into())
    }

    /// Reads a hash as another system's table has it, or another claviger's: which scheme made it is told by its form.
    ///
    /// # Errors
    /// What is wrong with it, without any of it: a scheme that is not known here, or one that asks for absurd work.
    pub fn imported(text: &str) -> Result<Self, Cow<'static, str>> {
        let text = text.trim();
        let own = Self(text.to_owned().into());
        if text == NONE {
            Ok(own)
        } else if let Some(bcrypt) = own.bcrypt() {
            work::Bcrypt::parse(bcrypt, OWN_COSTS)?;
            Ok(own)
        } else if let Some(foreign) = Foreign::from_stored(text) {
            Ok(Self(foreign.to_stored().into()))
        } else {
            foreign::recognise(text).map(|foreign| Self(foreign.to_stored().into()))
        }
    }

    /// Of an account whose owner has not set a password yet: none matches.
    #[must_use]
    pub fn none() -> Self {
        Self(NONE.to_owned().into())
    }

    /// Whether another system made it, at a cost that only time can tell.
    #[must_use]
    pub fn is_foreign(&self) -> bool {
        Foreign::from_stored(self.as_stored()).is_some()
    }

    fn bcrypt(&self) -> Option<&str> {
        self.0.expose_secret().strip_prefix(SCHEME)
    }

    /// What the database is to hold.
    #[must_use]
    pub fn as_stored(&self) -> &str {
        self.0.expose_secret()
    }

    /// What a password is compared with; none if it cannot be read, or another system made it.
    #[must_use]
    pub fn parts(&self) -> Option<Bcrypt> {
        Bcrypt::parse(self.bcrypt()?, OWN_COSTS).ok()
    }

    /// Of what came out of bcrypt for a password's [`Key`].
    #[must_use]
    pub fn from_output(cost: u32, salt: &Salt, output: &[u8; 24]) -> Self {
        Self(format!("{SCHEME}{}", Bcrypt::text(cost, salt, output)).into())
    }
}

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordHash(…)")
    }
}

#[cfg(test)]
impl Password {
    /// Whether this is the password behind `hash`, by the crate `bcrypt` where that made it.
    pub(crate) fn verify(&self, hash: &PasswordHash) -> bool {
        match self.comparing(hash) {
            Comparing::Bcrypt(attempts) => attempts.into_iter().any(|Attempt { key, hash, counts, .. }| {
                let key: Vec<u8> = key.as_bytes().iter().copied().take(72).collect();
                hash.has_digest(&bcrypt::bcrypt(hash.cost, *hash.salt.as_bytes(), &key)) && counts
            }),
            Comparing::Other(other) => self.is_behind(&other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COST: u32 = 4;

    fn verifies(stored: &str, claimed: &str) -> bool {
        Password::claimed(claimed).verify(&Password::claimed(stored).hash(COST).unwrap())
    }

    #[test]
    fn every_byte_of_a_long_password_counts() {
        let long = "x".repeat(72);
        assert!(verifies(&format!("{long}a"), &format!("{long}a")));
        assert!(!verifies(&format!("{long}a"), &format!("{long}b")));
        assert!(!verifies(&format!("{long}a"), &long));
    }

    #[test]
    fn a_nul_byte_counts() {
        assert!(verifies("pass\0word", "pass\0word"));
        assert!(!verifies("pass\0word", "pass\0wurd"));
        assert!(!verifies("pass\0word", "pass"));
    }

    #[test]
    fn composed_and_decomposed_letters_are_the_same_password() {
        assert!(verifies("Z\u{fc}rich-2026", "Zu\u{308}rich-2026"));
    }

    #[test]
    fn length_counts_characters_of_any_script() {
        assert_eq!(Password::chosen("пароль", 8, "", "password").unwrap_err().code, "too_short");
        assert!(Password::chosen("пароль12", 8, "", "password").is_ok());
        assert!(Password::chosen(&"密".repeat(MAX_CHARACTERS), 8, "", "password").is_ok());
        let error = Password::chosen(&"密".repeat(MAX_CHARACTERS + 1), 8, "", "password").unwrap_err();
        assert_eq!(error.code, "too_long");
    }

    #[test]
    fn what_everybody_has_is_refused_and_what_only_contains_it_is_not() {
        let code = |text| Password::chosen(text, 6, "Jürgen@example.com", "password").map_err(|error| error.code).err();
        for common in ["123456", "password", "PassWord123", "zxcvbnm", "qwertyuiop", "jürgen", "JÜRGEN@example.com"] {
            assert_eq!(code(common), Some("too_common"), "{common}");
        }
        for good in ["password is what I say", "123456 horses", "jürgen@example.org", "example.com"] {
            assert_eq!(code(good), None, "{good}");
        }
        let (_, list) = include_str!("common_passwords.txt").split_once("---\n").unwrap();
        assert!(list.lines().is_sorted() && list.lines().count() == 30_000);
    }

    #[test]
    fn a_hash_knows_its_parts() {
        let password = Password::claimed("correct horse");
        let hash = password.hash(COST).unwrap();
        let parts = hash.parts().unwrap();
        assert_eq!(parts.cost, COST);
        let output = bcrypt::bcrypt(COST, *parts.salt.as_bytes(), password.key().as_bytes());
        assert!(parts.has_digest(&output) && !parts.has_digest(&[0; 24]));
        assert_eq!(PasswordHash::from_output(COST, &parts.salt, &output).as_stored(), hash.as_stored());
        assert!(PasswordHash::from_stored("nonsense".into()).parts().is_none());
    }

    #[test]
    fn an_unreadable_hash_verifies_nothing() {
        for stored in ["", "nonsense", "{hmac-sha256}", "{hmac-sha256}$2b$04$short", "$2b$04$abcdefghijklmnopqrstuu"] {
            assert!(!Password::claimed("").verify(&PasswordHash::from_stored(stored.into())), "{stored}");
        }
    }

    #[test]
    fn a_hash_that_would_take_days_opens_to_nobody_at_once() {
        let hash = Password::claimed("correct horse").hash(COST).unwrap();
        let dear = hash.as_stored().replace("$2b$04$", "$2b$31$");
        assert!(!Password::claimed("correct horse").verify(&PasswordHash::from_stored(dear)));
    }

    #[test]
    fn neither_type_prints() {
        let password = Password::claimed("correct horse");
        let hash = password.hash(COST).unwrap();
        let shown = format!("{password:?} {hash:?} {:?}", password.key());
        assert!(!shown.contains("horse") && !shown.contains(&password.digest()) && !shown.contains("$2"), "{shown}");
    }
}
