//! Mail, from where it is asked for: use cases queue it, and whoever sends it works on its own time.

use std::sync::Arc;

use tokio::sync::Notify;
use uuid::Uuid;

use super::{Auth, Error};
use crate::domain::mail::{MailDetails, MailKind};
use crate::domain::session::Sender;
use crate::domain::verification::Purpose;
use crate::store::mails::{self, NewMail};
use crate::store::{self, Statements, Transaction, verifications};

/// That mail is sent, and what follows from it.
#[derive(Debug, Clone)]
pub struct Mailing {
    /// Whether an account can be used only once its address is verified.
    pub require_verified_email: bool,
    /// Notified when a mail was queued.
    pub queued: Arc<Notify>,
}

impl Auth {
    /// That mail is sent.
    ///
    /// # Errors
    /// [`Error::NoMail`] where it is not.
    pub(super) fn mailing(&self) -> Result<&Mailing, Error> {
        self.mailing.as_ref().ok_or(Error::NoMail)
    }

    /// Whether an account can be used only once its address is verified.
    pub(super) fn requires_verified_email(&self) -> bool {
        self.mailing.as_ref().is_some_and(|mailing| mailing.require_verified_email)
    }

    /// Queues a mail to whom it names; nothing where no mail is sent. Where it goes with a change, this belongs in that change's
    /// transaction. Afterwards call [`Auth::mails_queued`].
    ///
    /// # Errors
    /// [`store::Error`].
    pub(super) async fn queue(&self, client: &impl Statements, mail: &NewMail<'_>) -> Result<(), store::Error> {
        if self.mailing.is_some() { mails::insert(client, mail).await } else { Ok(()) }
    }

    /// Queues a notice to an account's owner of what was done to it; nothing where no mail is sent. Call it in the transaction
    /// that does it (where the account is deleted: before its row goes, and whatever else waits for it may be removed, but not
    /// this), and [`Auth::mails_queued`] once that is committed.
    ///
    /// # Errors
    /// [`store::Error`].
    pub(super) async fn notify(
        &self,
        client: &impl Statements,
        kind: MailKind,
        user_id: Uuid,
        sender: &Sender,
    ) -> Result<(), store::Error> {
        if self.mailing.is_none() {
            return Ok(());
        }
        mails::insert_notice(client, kind, user_id, &details(sender)).await
    }

    /// Has mails sent at once that were queued and committed. Without this they wait for the next look, half a minute at most.
    pub(super) fn mails_queued(&self) {
        if let Some(mailing) = &self.mailing {
            mailing.queued.notify_one();
        }
    }
}

/// Takes back what mailed tokens of a user would open, and those that are about to be mailed. For everything that shuts out who
/// knew the old password: they may have asked for the account to get their own address, and wait with the token.
///
/// # Errors
/// [`store::Error`].
pub(super) async fn call_off(transaction: &Transaction<'_>, user_id: Uuid) -> Result<(), store::Error> {
    // First the mails: a token that is being made for one is there when this has waited for it.
    mails::delete_of_kind(transaction, user_id, MailKind::ChangeEmail).await?;
    verifications::delete_all(transaction, user_id, &[Purpose::ResetPassword, Purpose::ChangeEmail]).await
}

/// What a mail tells of who did it.
pub(super) fn details(sender: &Sender) -> MailDetails {
    MailDetails {
        ip_address: sender.ip_address.map(|address| address.to_string()),
        device: sender.user_agent.clone(),
        request_id: sender.request_id.clone(),
        new_email: None,
    }
}
