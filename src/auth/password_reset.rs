//! A new password for who reads the account's mail.

use super::admission::Lane;
use super::events::{tell, tell_ended};
use super::hashing::Flow;
use super::mailing::{call_off, details};
use super::throttle::counted;
use super::{Auth, Error, checked, given};
use crate::domain::email::Email;
use crate::domain::event::{Event, Kind};
use crate::domain::field::FieldError;
use crate::domain::mail::MailKind;
use crate::domain::password::Password;
use crate::domain::session::{EndedBy, Sender};
use crate::domain::throttle;
use crate::domain::verification::{Purpose, VerificationToken};
use crate::store::mails::NewMail;
use crate::store::sessions::{self, Ending};
use crate::store::verifications::{self, Verification};
use crate::store::{events, users};

/// What somebody gives who has the mail.
pub struct PasswordReset {
    /// The mailed token.
    pub token: Option<String>,
    /// The password from now on.
    pub new_password: Option<String>,
}

impl Auth {
    /// Has a token mailed that sets a new password. Does the same for every address, and takes the same time: whether there is
    /// such an account is found out when the mail is sent.
    ///
    /// # Errors
    /// [`Error::NoMail`], [`Error::InvalidFields`], [`Error::RateLimited`], [`Error::Overloaded`],
    /// [`Error::DatabaseUnavailable`].
    pub async fn request_password_reset(&self, email: Option<String>, sender: &Sender) -> Result<(), Error> {
        self.mailing()?;
        let email = given(email, "email").and_then(|text| Email::parse(&text));
        let email = email.map_err(|problem| Error::InvalidFields(vec![problem]))?;
        self.request_mail(MailKind::ResetPassword, &email, sender).await
    }

    /// Queues a mail to an address that a stranger gave, within the limits of that.
    pub(super) async fn request_mail(&self, kind: MailKind, email: &Email, sender: &Sender) -> Result<(), Error> {
        let address = counted(sender);
        let _asking = self.admission.pass(address, Lane::Strangers).await?;
        self.take(&throttle::of_mail(kind.as_str(), email.as_str(), address), sender).await?;
        let mail = NewMail { kind, recipient: email.as_str(), user_id: None, details: details(sender) };
        self.store.run(async |client| self.queue(client, &mail).await).await?;
        self.mails_queued();
        Ok(())
    }

    /// Sets a new password, ends all sessions of the account, and marks its address as verified. A token does so once.
    ///
    /// # Errors
    /// [`Error::NoMail`], [`Error::InvalidFields`] with `invalid_token` for every token that is not good, whatever the reason,
    /// and for a password that breaks a rule, which leaves the token good, [`Error::RateLimited`], [`Error::Overloaded`],
    /// [`Error::DatabaseUnavailable`].
    pub async fn reset_password(&self, reset: PasswordReset, sender: &Sender) -> Result<(), Error> {
        self.mailing()?;
        let (token, new) = reset.check(self.password_min_length)?;
        let Verification { email, .. } = self.find_verification(&token, &[Purpose::ResetPassword], sender).await?;
        let new = Password::chosen(&new, self.password_min_length, &email, "new_password");
        let new = new.map_err(|problem| Error::InvalidFields(vec![problem]))?;
        let slot = self.hashing.queue(Flow::Network(throttle::network(counted(sender))))?;
        let hash = self.hashing.hash(&slot, new).await?;
        drop(slot);

        let user_id = token.user_id;
        let event = Event::of_account(Kind::PasswordReset, user_id);
        let ending = Ending { user_id, ended_by: EndedBy::PasswordChanged, sender };
        let resetting = self.store.transaction(async |transaction| {
            // Whoever waits here with the same token does not find it any more.
            users::lock(transaction, user_id).await?;
            let found = verifications::find(transaction, &token).await?;
            if found.is_none_or(|found| found.purpose != Purpose::ResetPassword) {
                return Ok(None);
            }
            users::set_password(transaction, user_id, &hash).await?;
            users::verify_email(transaction, user_id).await?;
            call_off(transaction, user_id).await?;
            verifications::delete_all(transaction, user_id, &[Purpose::VerifyEmail]).await?;
            let ended = sessions::end_all(transaction, None, ending, &self.sessions).await?;
            events::insert(transaction, &event, sender).await?;
            self.notify(transaction, MailKind::PasswordChanged, user_id, sender).await?;
            Ok(Some(ended))
        });
        let ended = resetting.await?.ok_or_else(invalid_token)?;
        self.mails_queued();
        tell(&event, sender);
        tell_ended(EndedBy::PasswordChanged, user_id, &ended, sender);
        Ok(())
    }

    /// What a mailed token allows, if that is one of `purposes`.
    ///
    /// # Errors
    /// [`Error::InvalidFields`] with `invalid_token`, [`Error::RateLimited`], [`Error::Overloaded`],
    /// [`Error::DatabaseUnavailable`].
    pub(super) async fn find_verification(
        &self,
        token: &VerificationToken,
        purposes: &[Purpose],
        sender: &Sender,
    ) -> Result<Verification, Error> {
        let address = counted(sender);
        let _asking = self.admission.pass(address, Lane::Strangers).await?;
        self.take(&throttle::of_mailed_tokens(address), sender).await?;
        let found = self.store.run(async |client| verifications::find(client, token).await).await?;
        found.filter(|found| purposes.contains(&found.purpose)).ok_or_else(invalid_token)
    }
}

impl PasswordReset {
    /// The password with no address yet that it must not be: whose it is, the token says.
    fn check(self, min_length: usize) -> Result<(VerificationToken, String), Error> {
        let mut problems = Vec::new();
        let token = checked(read_token(self.token), &mut problems);
        let new = given(self.new_password, "new_password");
        let new = new.and_then(|new| Password::chosen(&new, min_length, "", "new_password").map(|_good| new));
        match (token, checked(new, &mut problems)) {
            (Some(token), Some(new)) => Ok((token, new)),
            _ => Err(Error::InvalidFields(problems)),
        }
    }
}

/// A mailed token as somebody presents it.
pub(super) fn read_token(text: Option<String>) -> Result<VerificationToken, FieldError> {
    let text = given(text, "token")?;
    VerificationToken::parse(&text).ok_or_else(token_problem)
}

/// The same for all tokens that are not good: used, expired, replaced, of another kind, of a closed account, or made up.
pub(super) fn invalid_token() -> Error {
    Error::InvalidFields(vec![token_problem()])
}

fn token_problem() -> FieldError {
    FieldError::new("token", "invalid_token", "was used, has expired or never was; ask for another mail")
}
