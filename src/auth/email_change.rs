//! Another address for an account, by who knows its password and reads the new address's mail.

use super::events::tell;
use super::mailing::details;
use super::throttle::counted;
use super::{Auth, Error, checked, given};
use crate::domain::access_token::Claims;
use crate::domain::email::Email;
use crate::domain::event::{Event, Kind};
use crate::domain::field::FieldError;
use crate::domain::mail::MailKind;
use crate::domain::password::Password;
use crate::domain::session::Sender;
use crate::domain::throttle;
use crate::store::events;
use crate::store::mails::NewMail;

/// What somebody gives to get another address.
pub struct EmailChange {
    /// The account's password.
    pub password: Option<String>,
    /// The address from now on.
    pub new_email: Option<String>,
}

impl Auth {
    /// Has a token mailed to the new address, which becomes the account's when that comes back
    /// ([`Auth::confirm_email`]). Whether another account has it is told only to who reads its mail.
    ///
    /// # Errors
    /// [`Error::NoMail`], [`Error::InvalidFields`], [`Error::InvalidCredentials`] when the password is another,
    /// [`Error::PasswordChangedMeanwhile`], [`Error::AccessTokenInvalid`] when the caller's session or account is not alive,
    /// [`Error::RateLimited`], [`Error::Overloaded`], [`Error::DatabaseUnavailable`].
    pub async fn request_email_change(
        &self,
        claims: &Claims,
        change: EmailChange,
        sender: &Sender,
    ) -> Result<(), Error> {
        self.mailing()?;
        let (password, new_email) = change.check()?;
        let mut caller = self.reauthenticate(claims, password, Kind::EmailChangeFailed, sender).await?;
        let kind = MailKind::ChangeEmail;
        let of_mail = throttle::of_mail(kind.as_str(), new_email.as_str(), counted(sender));
        if let Err(refused) = self.take(&of_mail, sender).await {
            // The password was right, so its try is no failure.
            self.give_back_try(&caller.limits).await?;
            return Err(refused);
        }
        let event = Event::of_session(Kind::EmailChangeRequested, claims.sub, claims.sid);
        let recipient = new_email.as_str();
        let requesting = self.act(&mut caller, async |transaction| {
            events::insert(transaction, &event, sender).await?;
            let mail = NewMail { kind, recipient, user_id: Some(claims.sub), details: details(sender) };
            self.queue(transaction, &mail).await
        });
        requesting.await?;
        self.mails_queued();
        tell(&event, sender);
        Ok(())
    }
}

impl EmailChange {
    fn check(self) -> Result<(Password, Email), Error> {
        let mut problems = Vec::new();
        let password = checked(given(self.password, "password"), &mut problems);
        let email = given(self.new_email, "new_email").and_then(|text| {
            Email::parse(&text).map_err(|problem| FieldError { field: "new_email".into(), ..problem })
        });
        match (password, checked(email, &mut problems)) {
            (Some(password), Some(email)) => Ok((Password::claimed(&password), email)),
            _ => Err(Error::InvalidFields(problems)),
        }
    }
}
