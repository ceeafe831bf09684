//! Password change, by a caller who knows the current one.

use super::events::{tell, tell_ended};
use super::mailing::call_off;
use super::{Auth, Error, checked, given};
use crate::domain::access_token::Claims;
use crate::domain::event::{Event, Kind};
use crate::domain::mail::MailKind;
use crate::domain::password::Password;
use crate::domain::session::{EndedBy, Sender};
use crate::store::sessions::{self, Ending};
use crate::store::{Transaction, events, users};

/// What somebody gives to get another password.
pub struct PasswordChange {
    /// The password so far.
    pub current_password: Option<String>,
    /// The password from now on.
    pub new_password: Option<String>,
    /// Whether sessions on other devices go on.
    pub keep_other_sessions: bool,
}

impl Auth {
    /// Changes the caller's password, ends the other sessions in the same transaction, and says how many there were.
    ///
    /// # Errors
    /// [`Error::InvalidFields`], [`Error::InvalidCredentials`] when the current password is another,
    /// [`Error::PasswordChangedMeanwhile`] when another request has just changed it to something else,
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
        let mut caller = self.reauthenticate(claims, current, Kind::PasswordChangeFailed, sender).await?;
        let hash = self.hashing.hash(&caller.slot, new.clone()).await;
        let hash = self.unless_overloaded(hash, &caller.limits).await?;
        let event = Event::of_session(Kind::PasswordChanged, claims.sub, claims.sid);
        let ending = Ending { user_id: claims.sub, ended_by: EndedBy::PasswordChanged, sender };
        let end_others = async |transaction: &Transaction<'_>| {
            if keeps_others {
                return Ok(Vec::new());
            }
            sessions::end_all(transaction, Some(claims.sid), ending, &self.sessions).await
        };
        let changing = self.act(&mut caller, async |transaction| {
            users::set_password(transaction, claims.sub, &hash).await?;
            // Whoever had a mail for another way in has it no more.
            call_off(transaction, claims.sub).await?;
            events::insert(transaction, &event, sender).await?;
            self.notify(transaction, MailKind::PasswordChanged, claims.sub, sender).await?;
            end_others(transaction).await
        });
        let ended = match changing.await {
            // The same change was asked for twice, and the other request was first: the password is what it was to be.
            Err(Error::PasswordChangedMeanwhile) if self.is_now(&mut caller, new).await? => {
                self.act(&mut caller, end_others).await?
            }
            outcome => {
                let ended = outcome?;
                self.mails_queued();
                tell(&event, sender);
                ended
            }
        };
        tell_ended(EndedBy::PasswordChanged, claims.sub, &ended, sender);
        Ok(ended.len())
    }
}

impl PasswordChange {
    fn check(self, min_length: usize, email: &str) -> Result<(Password, Password), Error> {
        let mut problems = Vec::new();
        let current = checked(given(self.current_password, "current_password"), &mut problems);
        let new = given(self.new_password, "new_password");
        let new = checked(new.and_then(|new| Password::chosen(&new, min_length, email, "new_password")), &mut problems);
        match (current, new) {
            (Some(current), Some(new)) => Ok((Password::claimed(&current), new)),
            _ => Err(Error::InvalidFields(problems)),
        }
    }
}
