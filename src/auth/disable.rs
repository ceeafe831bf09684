//! Closing an account and opening it again, by an operator.

use super::Error;
use crate::domain::email::Email;
use crate::domain::session::{Device, EndedBy};
use crate::store::sessions::{self, EndAll};
use crate::store::{Store, users};

/// Closes an account and ends its sessions in one transaction; says how many there were, or that there is no such
/// account.
///
/// # Errors
/// [`Error::DatabaseUnavailable`].
pub async fn disable(store: &Store, email: &Email) -> Result<Option<i64>, Error> {
    let disabled = store.transaction(async |transaction| {
        let Some(user_id) = users::set_disabled(transaction, email, true).await? else { return Ok(None) };
        let ending = EndAll { user_id, kept: None, ended_by: EndedBy::Disabled, device: &Device::default() };
        sessions::end_all(transaction, ending).await.map(Some)
    });
    Ok(disabled.await?)
}

/// Opens an account again; says whether there is such an account. Its old sessions stay ended.
///
/// # Errors
/// [`Error::DatabaseUnavailable`].
pub async fn enable(store: &Store, email: &Email) -> Result<bool, Error> {
    let enabled = store.transaction(async |transaction| users::set_disabled(transaction, email, false).await);
    Ok(enabled.await?.is_some())
}
