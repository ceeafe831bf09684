//! Addresses, shown to reach their owners: by a mailed token that comes back.

use super::events::tell;
use super::password_reset::{invalid_token, read_token};
use super::{Auth, Error, given};
use crate::domain::access_token::Claims;
use crate::domain::email::Email;
use crate::domain::event::{Event, Kind};
use crate::domain::mail::MailKind;
use crate::domain::session::Sender;
use crate::domain::verification::Purpose;
use crate::store::mails::NewMail;
use crate::store::{self, events, users, verifications};

impl Auth {
    /// Has a token mailed that verifies an account's address: the caller's own, or that which somebody gives who may not sign
    /// in yet. Does the same whether there is such an account or not, and whether it is verified or not.
    ///
    /// # Errors
    /// [`Error::NoMail`], [`Error::InvalidFields`], [`Error::AccessTokenInvalid`] when the caller's session or account is not
    /// alive, [`Error::RateLimited`], [`Error::Overloaded`], [`Error::DatabaseUnavailable`].
    pub async fn request_email_verification(
        &self,
        caller: Option<&Claims>,
        email: Option<String>,
        sender: &Sender,
    ) -> Result<(), Error> {
        self.mailing()?;
        let email = match caller {
            // As it is now: the access token may be older than the address.
            Some(claims) => {
                let user = users::find_signed_in(&self.store, claims, &self.sessions).await?;
                Some(user.ok_or(Error::AccessTokenInvalid)?.email)
            }
            None => email,
        };
        let email = given(email, "email").and_then(|text| Email::parse(&text));
        let email = email.map_err(|problem| Error::InvalidFields(vec![problem]))?;
        self.request_mail(MailKind::VerifyEmail, &email, sender).await
    }

    /// Does what a mailed token allows: marks the account's address as verified, or gives the account the address that the
    /// token was mailed to, and tells the old one. A token does so once.
    ///
    /// # Errors
    /// [`Error::NoMail`], [`Error::InvalidFields`] with `invalid_token` for every token that is not good, whatever the reason,
    /// [`Error::EmailTaken`] when another account has the new address, [`Error::RateLimited`], [`Error::Overloaded`],
    /// [`Error::DatabaseUnavailable`].
    pub async fn confirm_email(&self, token: Option<String>, sender: &Sender) -> Result<(), Error> {
        const PURPOSES: [Purpose; 2] = [Purpose::VerifyEmail, Purpose::ChangeEmail];
        self.mailing()?;
        let token = read_token(token).map_err(|problem| Error::InvalidFields(vec![problem]))?;
        self.find_verification(&token, &PURPOSES, sender).await?;

        let user_id = token.user_id;
        let confirming = self.store.transaction(async |transaction| {
            users::lock(transaction, user_id).await?;
            let found = verifications::find(transaction, &token).await?;
            let Some(found) = found.filter(|found| PURPOSES.contains(&found.purpose)) else { return Ok(None) };
            let (kind, spent) = match found.purpose {
                // What was mailed to the old address opens nothing any more.
                Purpose::ChangeEmail => (
                    Kind::EmailChanged,
                    [Purpose::ChangeEmail, Purpose::VerifyEmail, Purpose::ResetPassword].as_slice(),
                ),
                Purpose::VerifyEmail | Purpose::ResetPassword => {
                    (Kind::EmailVerified, [Purpose::VerifyEmail].as_slice())
                }
            };
            let before = users::find(transaction, user_id).await?;
            users::change_email(transaction, user_id, &found.current_email, &found.email).await?;
            verifications::delete_all(transaction, user_id, spent).await?;
            let event = Event::of_account(kind, user_id);
            events::insert(transaction, &event, sender).await?;
            // One that never was shown to be the owner's is a stranger's.
            if kind == Kind::EmailChanged && before.is_some_and(|user| user.email_verified_at.is_some()) {
                let mut details = super::mailing::details(sender);
                details.new_email = Some(found.email);
                let recipient = &found.current_email;
                let notice = NewMail { kind: MailKind::EmailChanged, recipient, user_id: Some(user_id), details };
                self.queue(transaction, &notice).await?;
            }
            Ok(Some(event))
        });
        let confirmed = match confirming.await {
            Err(store::Error::Taken(_)) => return Err(Error::EmailTaken),
            outcome => outcome?,
        };
        let event = confirmed.ok_or_else(invalid_token)?;
        self.mails_queued();
        tell(&event, sender);
        Ok(())
    }
}
