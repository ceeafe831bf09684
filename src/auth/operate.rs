//! What an operator does to an account, on the command line.

use uuid::Uuid;

use super::Error;
use super::delete::delete_account;
use super::events::{tell, tell_ended};
use crate::domain::email::Email;
use crate::domain::event::{Event, Kind};
use crate::domain::session::{EndedBy, Sender, SessionPolicy};
use crate::domain::user::Role;
use crate::store::sessions::{self, Ending};
use crate::store::{self, Store, events, users};

/// Closes an account and ends its sessions in one transaction; says how many there were, or that there is no such
/// account.
///
/// # Errors
/// [`Error::DatabaseUnavailable`].
pub async fn disable(store: &Store, email: &Email, policy: &SessionPolicy) -> Result<Option<usize>, Error> {
    let sender = &Sender::default();
    let disabling = store.transaction(async |transaction| {
        let Some(user_id) = users::set_disabled(transaction, email, true).await? else { return Ok(None) };
        let event = Event { kind: Kind::AccountDisabled, user_id: Some(user_id), session_id: None };
        events::insert(transaction, &event, sender).await?;
        let ending = Ending { user_id, ended_by: EndedBy::Disabled, sender };
        Ok(Some((user_id, sessions::end_all(transaction, None, ending, policy).await?)))
    });
    let Some((user_id, ended)) = disabling.await? else { return Ok(None) };
    tell(&Event { kind: Kind::AccountDisabled, user_id: Some(user_id), session_id: None }, sender);
    tell_ended(EndedBy::Disabled, user_id, &ended, sender);
    Ok(Some(ended.len()))
}

/// Opens an account again; says whether there is such an account. Its old sessions stay ended.
///
/// # Errors
/// [`Error::DatabaseUnavailable`].
pub async fn enable(store: &Store, email: &Email) -> Result<bool, Error> {
    change(store, Kind::AccountEnabled, async |transaction| users::set_disabled(transaction, email, false).await).await
}

/// Gives an account another role, which its next access token has; says whether there is such an account.
///
/// # Errors
/// [`Error::DatabaseUnavailable`].
pub async fn set_role(store: &Store, email: &Email, role: Role) -> Result<bool, Error> {
    change(store, Kind::RoleChanged(role), async |transaction| users::set_role(transaction, email, role).await).await
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

/// One change to one account, recorded with it.
async fn change(
    store: &Store,
    kind: Kind,
    work: impl AsyncFnOnce(&store::Transaction<'_>) -> Result<Option<Uuid>, store::Error>,
) -> Result<bool, Error> {
    let changing = store.transaction(async |transaction| {
        let user_id = work(transaction).await?;
        if user_id.is_some() {
            events::insert(transaction, &Event { kind, user_id, session_id: None }, &Sender::default()).await?;
        }
        Ok(user_id)
    });
    let user_id = changing.await?;
    if user_id.is_some() {
        tell(&Event { kind, user_id, session_id: None }, &Sender::default());
    }
    Ok(user_id.is_some())
}
