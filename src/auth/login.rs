//! Login: a password for a session.

use uuid::Uuid;

use super::hashing::Comparison;
use super::{Auth, Error, SignedIn, checked};
use crate::domain::email::Email;
use crate::domain::field::FieldError;
use crate::domain::password::Password;
use crate::domain::session::Device;
use crate::domain::user::Line;
use crate::store::sessions::{self, NewSession};
use crate::store::users;

/// What somebody gives to sign in.
pub struct Login {
    /// The address.
    pub email: Option<String>,
    /// The password.
    pub password: Option<String>,
    /// The device's name.
    pub label: Option<String>,
}

impl Auth {
    /// Starts a session for whoever knows the password.
    ///
    /// An unknown address, a wrong password and a closed account take the same work. That an account is closed is told
    /// only to who knows its password.
    ///
    /// # Errors
    /// [`Error::InvalidFields`], [`Error::InvalidCredentials`], [`Error::AccountDisabled`], [`Error::Overloaded`],
    /// [`Error::DatabaseUnavailable`].
    pub async fn login(&self, login: Login, device: &Device) -> Result<SignedIn, Error> {
        let (email, password, label) = login.check()?;
        // What is no address is nobody's: it goes the same way as an unknown one.
        let found = match Email::parse(&email) {
            Ok(email) => self.store.run(async |client| users::find_credentials(client, &email).await).await?,
            Err(_no_address) => None,
        };
        let stored = found.as_ref().map(|credentials| &credentials.password_hash);
        let rehashed = match self.hashing.compare(password, stored).await? {
            Comparison::Wrong => return Err(Error::InvalidCredentials),
            Comparison::Right => None,
            Comparison::Weak(rehashed) => Some(rehashed),
        };
        let verified = found.ok_or(Error::InvalidCredentials)?;
        if verified.disabled {
            return Err(Error::AccountDisabled);
        }

        let token = self.refresh_keys.first_token(verified.user_id, Uuid::now_v7()).map_err(Error::internal)?;
        let session = NewSession { id: token.session_id, secret_hash: token.hash(), device, label: label.as_ref() };
        let started = self
            .store
            .run(async |client| sessions::insert(client, &verified, rehashed.as_ref(), &session, &self.sessions).await);
        let (user, session) = started.await?.ok_or(Error::InvalidCredentials)?;
        Ok(SignedIn { user, tokens: self.tokens(session, &token)? })
    }
}

impl Login {
    fn check(self) -> Result<(String, Password, Option<Line>), Error> {
        let mut problems = Vec::new();
        let mut given = |text: Option<String>, field| {
            checked(text.filter(|text| !text.is_empty()).ok_or(FieldError::required(field)), &mut problems)
        };
        let (email, password) = (given(self.email, "email"), given(self.password, "password"));
        let label = checked(Line::parse(self.label.as_deref().unwrap_or_default(), "label"), &mut problems);
        match (email, password, label) {
            (Some(email), Some(password), Some(label)) => Ok((email, Password::claimed(&password), label)),
            _ => Err(Error::InvalidFields(problems)),
        }
    }
}
