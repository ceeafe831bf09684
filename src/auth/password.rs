//! A password for another, by who knows it.

use uuid::Uuid;

use super::events::{tell, tell_ended};
use super::hashing::{Comparison, Place};
use super::{Auth, Error, checked};
use crate::domain::access_token::Claims;
use crate::domain::event::{Event, Kind};
use crate::domain::field::FieldError;
use crate::domain::password::{Password, PasswordHash};
use crate::domain::session::{EndedBy, Sender};
use crate::domain::throttle::{self, Trier};
use crate::store::sessions::{self, Ending};
use crate::store::throttles;
use crate::store::{events, users};

/// What somebody gives to get another password.
pub struct PasswordChange {
    /// The password so far.
    pub current_password: Option<String>,
    /// The password from now on.
    pub new_password: Option<String>,
    /// Whether sessions on other devices go on.
    pub keep_other_sessions: bool,
}

/// What became of the change while the passwords were being hashed.
enum Changed {
    /// It was made, and ended these sessions.
    Now(Vec<Uuid>),
    /// The caller's session ended, or the account was closed.
    NoLongerAllowed,
    /// The hash that was verified is no longer there.
    Meanwhile,
}

impl Auth {
    /// Changes the caller's password, ends the other sessions in the same transaction, and says how many there were.
    ///
    /// # Errors
    /// [`Error::InvalidFields`], [`Error::InvalidCredentials`] when the current password is another,
    /// [`Error::AccessTokenInvalid`] when the caller's session or account is not alive, [`Error::RateLimited`],
    /// [`Error::Overloaded`], [`Error::DatabaseUnavailable`].
    pub async fn change_password(
        &self,
        claims: &Claims,
        change: PasswordChange,
        sender: &Sender,
    ) -> Result<usize, Error> {
        let keeps_others = change.keep_other_sessions;
        let (current, new) = change.check(self.password_min_length, &claims.email)?;
        let place = self.hashing.queue(Trier::Device(claims.sid))?;
        let limits = throttle::of_password_change(claims.sub, claims.sid);
        self.take(&limits, sender).await?;
        let event = Event::of_session(Kind::PasswordChanged, claims.sub, claims.sid);
        let ending = Ending { user_id: claims.sub, ended_by: EndedBy::PasswordChanged, sender };
        // A second time if the hash was replaced meanwhile: by a login that made it dearer, or by another change.
        for _ in 0..2 {
            let Some(verified) = self.verify(&place, claims, &current).await? else {
                return Err(self.refuse_password_change(claims, sender).await);
            };
            let hash = self.hashing.hash(&place, new.clone()).await?;
            let changing = self.store.transaction(async |transaction| {
                if !self.lock_live(transaction, claims).await? {
                    return Ok(Changed::NoLongerAllowed);
                }
                if !users::change_password(transaction, claims.sub, &verified, &hash).await? {
                    return Ok(Changed::Meanwhile);
                }
                events::insert(transaction, &event, sender).await?;
                if self.throttling {
                    throttles::give_back(transaction, &limits).await?;
                }
                if keeps_others {
                    return Ok(Changed::Now(Vec::new()));
                }
                let others = sessions::end_all(transaction, Some(claims.sid), ending, &self.sessions);
                Ok(Changed::Now(others.await?))
            });
            match changing.await? {
                Changed::Now(ended) => {
                    tell(&event, sender);
                    tell_ended(EndedBy::PasswordChanged, claims.sub, &ended, sender);
                    return Ok(ended.len());
                }
                Changed::NoLongerAllowed => return Err(Error::AccessTokenInvalid),
                Changed::Meanwhile => {}
            }
        }
        Err(self.refuse_password_change(claims, sender).await)
    }

    /// The stored hash, if it is that of the password.
    async fn verify(&self, place: &Place, claims: &Claims, password: &Password) -> Result<Option<PasswordHash>, Error> {
        let found = self.store.run(async |client| {
            let live = sessions::is_live(client, claims.sub, claims.sid, &self.sessions).await?;
            if live { users::find_password_hash(client, claims.sub).await } else { Ok(None) }
        });
        let stored = found.await?.ok_or(Error::AccessTokenInvalid)?;
        let compared = self.hashing.compare(place, password.clone(), Some(&stored)).await?;
        Ok((!matches!(compared, Comparison::Wrong)).then_some(stored))
    }

    async fn refuse_password_change(&self, claims: &Claims, sender: &Sender) -> Error {
        let event = Event::of_session(Kind::PasswordChangeFailed, claims.sub, claims.sid);
        self.record(event, sender).await.err().unwrap_or(Error::InvalidCredentials)
    }
}

impl PasswordChange {
    fn check(self, min_length: usize, email: &str) -> Result<(Password, Password), Error> {
        let mut problems = Vec::new();
        let given =
            |text: Option<String>, field| text.filter(|text| !text.is_empty()).ok_or(FieldError::required(field));
        let current = checked(given(self.current_password, "current_password"), &mut problems);
        let new = given(self.new_password, "new_password");
        let new = checked(new.and_then(|new| Password::chosen(&new, min_length, email, "new_password")), &mut problems);
        match (current, new) {
            (Some(current), Some(new)) => Ok((Password::claimed(&current), new)),
            _ => Err(Error::InvalidFields(problems)),
        }
    }
}
