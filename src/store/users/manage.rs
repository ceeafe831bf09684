//! What operators and administrators do to users.

use tokio_postgres::types::Type;
use uuid::Uuid;

use super::{COLUMNS, lock, made};
use crate::domain::email::Email;
use crate::domain::password::PasswordHash;
use crate::domain::user::{Line, Role, User};
use crate::store::{Error, Parameter, Transaction, addresses, query_opt};

/// A user whom an operator makes.
#[derive(Debug)]
pub struct AddedUser<'a> {
    /// The id.
    pub id: Uuid,
    /// The address.
    pub email: &'a Email,
    /// Of the password.
    pub password_hash: &'a PasswordHash,
    /// What to call the person.
    pub full_name: Option<&'a Line>,
    /// What the person may do.
    pub role: Role,
    /// Whether the address is known to reach the person.
    pub verified: bool,
}

/// Makes a user; none if the address is taken.
///
/// # Errors
/// [`Error`]; [`Error::Taken`] also says that the address is.
pub async fn insert(transaction: &Transaction<'_>, user: &AddedUser<'_>) -> Result<Option<User>, Error> {
    let sql = format!(
        "insert into users (id, email, password_hash, full_name, role, email_verified_at)
         values ($1, $2, $3, $4, $5, case when $6 then clock_timestamp() end)
         on conflict do nothing
         returning {COLUMNS}"
    );
    let parameters: [Parameter<'_>; 6] = [
        (&user.id, Type::UUID),
        (&user.email.as_str(), Type::TEXT),
        (&user.password_hash.as_stored(), Type::TEXT),
        (&user.full_name.map(Line::as_str), Type::TEXT),
        (&user.role.as_str(), Type::TEXT),
        (&user.verified, Type::BOOL),
    ];
    made(transaction, query_opt(transaction, &sql, &parameters).await?.as_ref()).await
}

/// Locks several users until the transaction ends, as [`super::lock`] does one: in one order, so that two who lock the same
/// cannot wait for each other.
///
/// # Errors
/// [`Error`].
pub async fn lock_all(transaction: &Transaction<'_>, ids: &[Uuid]) -> Result<(), Error> {
    let mut ids = ids.to_vec();
    ids.sort_unstable();
    // One by one: they may be in different places.
    for id in ids {
        lock(transaction, id).await?;
    }
    Ok(())
}

/// Closes or opens an account. Closing belongs in one transaction with `sessions::end_all`: a refresh that waits for a
/// session's lock sees the session's end, but not this change.
///
/// # Errors
/// [`Error`].
pub async fn set_disabled(transaction: &Transaction<'_>, id: Uuid, disabled: bool) -> Result<(), Error> {
    let sql = "with clock as (select clock_timestamp() as now)
               update users set updated_at = now, disabled_at = case when $2 then coalesce(disabled_at, now) end
               from clock where id = $1";
    query_opt(transaction, sql, &[(&id, Type::UUID), (&disabled, Type::BOOL)]).await.map(drop)
}

/// Gives a user another role.
///
/// # Errors
/// [`Error`].
pub async fn set_role(transaction: &Transaction<'_>, id: Uuid, role: Role) -> Result<(), Error> {
    let sql = "update users set role = $2, updated_at = statement_timestamp() where id = $1";
    query_opt(transaction, sql, &[(&id, Type::UUID), (&role.as_str(), Type::TEXT)]).await.map(drop)
}

/// Deletes a user, with the sessions and verifications that refer to the row, and says whether there was one. Waits for whatever is being done with them.
///
/// # Errors
/// [`Error`].
pub async fn delete(transaction: &Transaction<'_>, id: Uuid) -> Result<bool, Error> {
    let row = query_opt(transaction, "delete from users where id = $1 returning email", &[(&id, Type::UUID)]).await?;
    let Some(row) = row else { return Ok(false) };
    addresses::release(transaction, row.try_get("email")?, id).await?;
    Ok(true)
}
