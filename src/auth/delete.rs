//! Deleting an account, and all that belongs to it.

use uuid::Uuid;

use super::events::tell;
use super::{Auth, Error};
use crate::domain::access_token::Claims;
use crate::domain::event::{Event, Kind};
use crate::domain::field::FieldError;
use crate::domain::mail::MailKind;
use crate::domain::password::Password;
use crate::domain::session::Sender;
use crate::store::{self, Transaction, deleted_users, events, mails, users};

impl Auth {
    /// Deletes the caller's own account, for which the password is needed.
    ///
    /// # Errors
    /// [`Error::InvalidFields`], [`Error::InvalidCredentials`], [`Error::PasswordChangedMeanwhile`],
    /// [`Error::AccessTokenInvalid`] when the caller's session or account is not alive, [`Error::RateLimited`], [`Error::Overloaded`], [`Error::DatabaseUnavailable`].
    pub async fn delete_me(&self, claims: &Claims, password: Option<String>, sender: &Sender) -> Result<(), Error> {
        let password = password.filter(|text| !text.is_empty());
        let password = password.ok_or_else(|| Error::InvalidFields(vec![FieldError::required("password")]))?;
        let password = Password::claimed(&password);
        let mut caller = self.reauthenticate(claims, password, Kind::AccountDeletionFailed, sender).await?;
        let deleting = self.act(&mut caller, async |transaction| {
            self.notify(transaction, MailKind::AccountDeleted, claims.sub, sender).await?;
            delete_account(transaction, claims.sub, sender).await
        });
        deleting.await?;
        self.mails_queued();
        tell(&Event::of_account(Kind::AccountDeleted, claims.sub), sender);
        Ok(())
    }
}

/// Deletes an account with its sessions, open verifications and waiting mail; says whether there was one.
///
/// What stays is its trail, which names it by id alone, and, for as long as access tokens of it may live, that id, so that
/// gateways and APIs refuse them. The mail that tells of the deletion may be queued in the same transaction, before or after.
/// Once the transaction is committed, the log is to be told of `Event::of_account(Kind::AccountDeleted, …)`.
///
/// # Errors
/// [`store::Error`].
pub(super) async fn delete_account(
    transaction: &Transaction<'_>,
    user_id: Uuid,
    sender: &Sender,
) -> Result<bool, store::Error> {
    let Some(user) = users::find(transaction, user_id).await? else { return Ok(false) };
    // Before the account: whoever makes a token for one of them holds the mail and waits for the account.
    mails::delete_of_user(transaction, user_id, &user.email).await?;
    if !users::delete(transaction, user_id).await? {
        return Ok(false);
    }
    deleted_users::insert(transaction, user_id).await?;
    events::insert(transaction, &Event::of_account(Kind::AccountDeleted, user_id), sender).await?;
    Ok(true)
}
