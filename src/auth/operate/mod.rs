//! What is done to accounts by others than their owners: by operators on the command line, and by administrators, who may do
//! less (`auth::admin`). Each change is one transaction, with the event that tells of it.

mod add;
mod everybody;
mod look;

use uuid::Uuid;

use super::Error;
use super::delete::delete_account;
use super::events::{tell, tell_ended};
use super::mailing::call_off;
use crate::domain::event::{Event, Kind};
use crate::domain::password::PasswordHash;
use crate::domain::session::{EndedBy, Sender, SessionPolicy};
use crate::domain::user::{Role, User};
use crate::store::sessions::{self, Ending};
use crate::store::{self, Store, Transaction, events, users};
pub use add::{NewAccount, add};
pub use everybody::{EverybodyOut, end_everybodys_sessions};
pub use look::{Details, Directory, find, list, look};

/// What is to be another way with an account.
#[derive(Debug, Clone, Copy, Default)]
pub struct AccountChange {
    /// Whether it is open. Closing it ends its sessions.
    pub is_active: Option<bool>,
    /// What its owner may do, as the next access token says.
    pub role: Option<Role>,
}

/// What became of an account.
#[derive(Debug)]
pub struct Changed {
    /// As it is now.
    pub user: User,
    /// The sessions that ended.
    pub ended: Vec<Uuid>,
    kinds: Vec<Kind>,
    ended_by: EndedBy,
}

impl Changed {
    /// How many sessions ended.
    #[must_use]
    pub fn ended(&self) -> usize {
        self.ended.len()
    }

    /// Tells the log, once it is committed.
    pub(super) fn tell(&self, sender: &Sender) {
        for kind in &self.kinds {
            tell(&Event::of_account(*kind, self.user.id), sender);
        }
        tell_ended(self.ended_by, self.user.id, &self.ended, sender);
    }
}

/// One change to a user who is locked; none if there is no such user. What is as it should be stays, and leaves no event.
pub(super) async fn apply(
    transaction: &Transaction<'_>,
    user_id: Uuid,
    change: AccountChange,
    sender: &Sender,
    policy: &SessionPolicy,
) -> Result<Option<Changed>, store::Error> {
    let Some(user) = users::find(transaction, user_id).await? else { return Ok(None) };
    let is_active = user.disabled_at.is_none();
    let mut changed = Changed { user, ended: Vec::new(), kinds: Vec::new(), ended_by: EndedBy::Disabled };
    let wanted = change.is_active.unwrap_or(is_active);
    if wanted != is_active {
        users::set_disabled(transaction, user_id, !wanted).await?;
        changed.kinds.push(if wanted { Kind::AccountEnabled } else { Kind::AccountDisabled });
    }
    if let Some(role) = change.role.filter(|role| *role != changed.user.role) {
        users::set_role(transaction, user_id, role).await?;
        changed.kinds.push(Kind::RoleChanged(role));
    }
    for kind in &changed.kinds {
        events::insert(transaction, &Event::of_account(*kind, user_id), sender).await?;
    }
    if !wanted {
        call_off(transaction, user_id).await?;
        let ending = Ending { user_id, ended_by: EndedBy::Disabled, sender };
        changed.ended = sessions::end_all(transaction, None, ending, policy).await?;
    }
    if !changed.kinds.is_empty() {
        let user = users::find(transaction, user_id).await?;
        changed.user = user.ok_or_else(|| store::Error::Bug("a locked user went away".into()))?;
    }
    Ok(Some(changed))
}

/// Ends all sessions of a user who is locked; none if there is no such user.
pub(super) async fn apply_logout(
    transaction: &Transaction<'_>,
    user_id: Uuid,
    sender: &Sender,
    policy: &SessionPolicy,
) -> Result<Option<Changed>, store::Error> {
    let Some(user) = users::find(transaction, user_id).await? else { return Ok(None) };
    let ending = Ending { user_id, ended_by: EndedBy::Revoked, sender };
    let ended = sessions::end_all(transaction, None, ending, policy).await?;
    Ok(Some(Changed { user, ended, kinds: Vec::new(), ended_by: EndedBy::Revoked }))
}

/// Changes an account; none if there is no such account.
///
/// # Errors
/// [`Error::DatabaseUnavailable`].
pub async fn change(
    store: &Store,
    user_id: Uuid,
    change: AccountChange,
    policy: &SessionPolicy,
) -> Result<Option<Changed>, Error> {
    let sender = &Sender::default();
    locked(store, user_id, async |transaction| apply(transaction, user_id, change, sender, policy).await).await
}

/// Ends all sessions of an account; none if there is no such account.
///
/// # Errors
/// [`Error::DatabaseUnavailable`].
pub async fn end_sessions(store: &Store, user_id: Uuid, policy: &SessionPolicy) -> Result<Option<Changed>, Error> {
    let sender = &Sender::default();
    locked(store, user_id, async |transaction| apply_logout(transaction, user_id, sender, policy).await).await
}

/// Gives an account another password, ends its sessions and takes back what was mailed to set one; none if there is no such
/// account.
///
/// # Errors
/// [`Error::DatabaseUnavailable`].
pub async fn set_password(
    store: &Store,
    user_id: Uuid,
    hash: &PasswordHash,
    policy: &SessionPolicy,
) -> Result<Option<Changed>, Error> {
    let sender = &Sender::default();
    let ended_by = EndedBy::PasswordChanged;
    let setting = async |transaction: &Transaction<'_>| {
        users::set_password(transaction, user_id, hash).await?;
        let Some(user) = users::find(transaction, user_id).await? else { return Ok(None) };
        call_off(transaction, user_id).await?;
        events::insert(transaction, &Event::of_account(Kind::PasswordSet, user_id), sender).await?;
        let ending = Ending { user_id, ended_by, sender };
        let ended = sessions::end_all(transaction, None, ending, policy).await?;
        Ok(Some(Changed { user, ended, kinds: vec![Kind::PasswordSet], ended_by }))
    };
    locked(store, user_id, setting).await
}

/// Deletes an account and all that belongs to it; says whether there was one.
///
/// # Errors
/// [`Error::DatabaseUnavailable`].
pub async fn delete(store: &Store, user_id: Uuid) -> Result<bool, Error> {
    let sender = &Sender::default();
    let deleted = store.transaction(async |transaction| delete_account(transaction, user_id, sender).await).await?;
    if deleted {
        tell(&Event::of_account(Kind::AccountDeleted, user_id), sender);
    }
    Ok(deleted)
}

/// An operator's change to one account. Others who change it wait.
async fn locked(
    store: &Store,
    user_id: Uuid,
    work: impl AsyncFnOnce(&Transaction<'_>) -> Result<Option<Changed>, store::Error>,
) -> Result<Option<Changed>, Error> {
    let changing = store.transaction(async |transaction| {
        users::lock(transaction, user_id).await?;
        work(transaction).await
    });
    let changed = changing.await?;
    if let Some(changed) = &changed {
        changed.tell(&Sender::default());
    }
    Ok(changed)
}
