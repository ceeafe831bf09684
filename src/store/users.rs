//! The table `users`.

use deadpool_postgres::{GenericClient, Transaction};
use tokio_postgres::Row;
use tokio_postgres::types::Type;
use uuid::Uuid;

use super::{Error, query_opt};
use crate::domain::email::Email;
use crate::domain::password::PasswordHash;
use crate::domain::user::{Role, User};

/// What a login compares with.
#[derive(Debug)]
pub struct Credentials {
    /// Whose they are.
    pub user_id: Uuid,
    /// Of the password.
    pub password_hash: PasswordHash,
    /// Whether an operator closed the account.
    pub disabled: bool,
}

/// The stored credentials behind an address.
///
/// # Errors
/// [`Error`].
pub async fn find_credentials(client: &impl GenericClient, email: &Email) -> Result<Option<Credentials>, Error> {
    let sql = "select id, password_hash, disabled_at is not null as disabled from users where email = $1";
    let row = query_opt(client, sql, &[(&email.as_str(), Type::TEXT)]).await?;
    row.map(|row| {
        Ok(Credentials {
            user_id: row.try_get("id")?,
            password_hash: PasswordHash::from_stored(row.try_get("password_hash")?),
            disabled: row.try_get("disabled")?,
        })
    })
    .transpose()
}

/// The user of that id.
///
/// # Errors
/// [`Error`].
pub async fn find(client: &impl GenericClient, id: Uuid) -> Result<Option<User>, Error> {
    let sql = format!("select {COLUMNS} from users where id = $1");
    let row = query_opt(client, &sql, &[(&id, Type::UUID)]).await?;
    row.as_ref().map(from_row).transpose()
}

/// Closes or opens the account behind an address and says whose it is. Closing belongs in one transaction with
/// `sessions::end_all`: a refresh that waits for a session's lock sees the session's end, but not this change.
///
/// # Errors
/// [`Error`].
pub async fn set_disabled(transaction: &Transaction<'_>, email: &Email, disabled: bool) -> Result<Option<Uuid>, Error> {
    let sql = "update users set updated_at = clock_timestamp(), \
               disabled_at = case when $2 then coalesce(disabled_at, clock_timestamp()) end \
               where email = $1 returning id";
    let row = query_opt(transaction, sql, &[(&email.as_str(), Type::TEXT), (&disabled, Type::BOOL)]).await?;
    Ok(row.map(|row| row.try_get("id")).transpose()?)
}

/// The columns that make a [`User`].
pub(super) const COLUMNS: &str = "id, email, full_name, role, disabled_at, email_verified_at, profile, created_at, \
                                  updated_at, last_login_at";

/// A row with [`COLUMNS`].
pub(super) fn from_row(row: &Row) -> Result<User, Error> {
    Ok(User {
        id: row.try_get("id")?,
        email: row.try_get("email")?,
        full_name: row.try_get("full_name")?,
        role: role(row)?,
        disabled_at: row.try_get("disabled_at")?,
        email_verified_at: row.try_get("email_verified_at")?,
        profile: row.try_get("profile")?,
        created_at: row.try_get("created_at")?,
        updated_at: row.try_get("updated_at")?,
        last_login_at: row.try_get("last_login_at")?,
    })
}

pub(super) fn role(row: &Row) -> Result<Role, Error> {
    let name: &str = row.try_get("role")?;
    Role::from_name(name).ok_or_else(|| Error::unknown_value("role", name))
}
