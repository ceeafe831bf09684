//! Mailed tokens: whoever has one reads the mail of the address it was sent to.
//!
//! A token is base64url of the user's id (16 bytes) and a secret (32). The database holds SHA-256 of the secret, so that a
//! copy of it opens nothing.

use std::fmt;

use aws_lc_rs::error::Unspecified;
use aws_lc_rs::rand;
use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine as _};
use secrecy::SecretString;
use uuid::Uuid;

use super::refresh_token::SecretHash;

/// What a token allows, once and for a short time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Mark the account's address as verified.
    VerifyEmail,
    /// Set a new password.
    ResetPassword,
    /// Give the account the address that the token was mailed to.
    ChangeEmail,
}

impl Purpose {
    /// The purpose's name in the database.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::VerifyEmail => "verify_email",
            Self::ResetPassword => "reset_password",
            Self::ChangeEmail => "change_email",
        }
    }

    /// The purpose of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::VerifyEmail, Self::ResetPassword, Self::ChangeEmail].into_iter().find(|purpose| purpose.as_str() == name)
    }
}

const USER_ID_BYTES: usize = 16;
const SECRET_BYTES: usize = 32;

/// A mailed token, new or as somebody presents it. Silent.
#[derive(Clone)]
pub struct VerificationToken {
    /// Whose account it is about.
    pub user_id: Uuid,
    secret: [u8; SECRET_BYTES],
}

impl VerificationToken {
    /// A new one.
    ///
    /// # Errors
    /// Only when the system has no random bytes.
    pub fn generate(user_id: Uuid) -> Result<Self, Unspecified> {
        let mut secret = [0; SECRET_BYTES];
        rand::fill(&mut secret)?;
        Ok(Self { user_id, secret })
    }

    /// Reads a token's text; none if it cannot be one.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        // Before any work that grows with the length.
        if text.len() > 2 * (USER_ID_BYTES + SECRET_BYTES) {
            return None;
        }
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(text.trim()).ok()?;
        let (user_id, secret) = bytes.split_first_chunk::<USER_ID_BYTES>()?;
        Some(Self { user_id: Uuid::from_bytes(*user_id), secret: secret.try_into().ok()? })
    }

    /// The text for the mail.
    #[must_use]
    pub fn text(&self) -> SecretString {
        let bytes = [self.user_id.as_bytes().as_slice(), self.secret.as_slice()].concat();
        BASE64_URL_SAFE_NO_PAD.encode(bytes).into()
    }

    /// What the database holds of it. Looked up by, so that nothing is compared byte by byte.
    #[must_use]
    pub fn hash(&self) -> SecretHash {
        SecretHash::of(&self.secret)
    }
}

impl fmt::Debug for VerificationToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VerificationToken(of {})", self.user_id)
    }
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;

    use super::*;

    #[test]
    fn a_token_is_read_as_it_was_written() {
        let token = VerificationToken::generate(Uuid::now_v7()).unwrap();
        let text = token.text();
        assert_eq!(text.expose_secret().len(), 64);
        let read = VerificationToken::parse(text.expose_secret()).unwrap();
        assert_eq!((read.user_id, read.hash().0), (token.user_id, token.hash().0));
        assert_ne!(VerificationToken::generate(token.user_id).unwrap().hash().0, token.hash().0);
    }

    #[test]
    fn what_is_no_token_is_none() {
        let good = VerificationToken::generate(Uuid::now_v7()).unwrap().text();
        let good = good.expose_secret();
        for text in ["", "x", &good[1..], &format!("{good}AAAA"), &good.replace(&good[..1], "!"), &"A".repeat(1 << 20)]
        {
            assert!(VerificationToken::parse(text).is_none(), "{text:.80}");
        }
    }

    #[test]
    fn debug_shows_no_secret() {
        let token = VerificationToken::generate(Uuid::now_v7()).unwrap();
        let shown = format!("{token:?} {:?}", token.text());
        assert!(!shown.contains(token.text().expose_secret()), "{shown}");
    }
}
