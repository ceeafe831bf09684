//! The table `addresses`: whose an address is. Nothing else says so where tables are distributed by user.
//!
//! Written in the transaction that writes the address into `users`, and after it: a program of the version before, for which
//! triggers write here, takes the two in that order too.

use std::collections::{HashMap, HashSet};

use tokio_postgres::types::Type;
use uuid::Uuid;

use super::{Error, Parameter, Statements, Transaction, query_all, query_opt};

/// Whose an address is.
///
/// # Errors
/// [`Error`].
pub(super) async fn find_owner(client: &impl Statements, email: &str) -> Result<Option<Uuid>, Error> {
    let sql = "select user_id from addresses where email = $1";
    let row = query_opt(client, sql, &[(&email, Type::TEXT)]).await?;
    Ok(row.map(|row| row.try_get("user_id")).transpose()?)
}

/// Makes an address a user's, or leaves it so.
///
/// # Errors
/// [`Error::Taken`] when it is somebody else's.
pub(super) async fn claim(transaction: &Transaction<'_>, email: &str, user_id: Uuid) -> Result<(), Error> {
    let sql = "insert into addresses as a (email, user_id) values ($1, $2)
               on conflict (email) do update set user_id = excluded.user_id where a.user_id = excluded.user_id
               returning true";
    let parameters: [Parameter<'_>; 2] = [(&email, Type::TEXT), (&user_id, Type::UUID)];
    query_opt(transaction, sql, &parameters)
        .await?
        .map(drop)
        .ok_or_else(|| Error::Taken("the address has an owner".into()))
}

/// Makes addresses users', and gives those users who get none, as theirs is somebody else's already.
///
/// # Errors
/// [`Error`].
pub(super) async fn claim_all(
    transaction: &Transaction<'_>,
    owners: &HashMap<String, Uuid>,
) -> Result<Vec<Uuid>, Error> {
    // In order, so that two of these at once cannot wait for each other.
    let sql = "insert into addresses as a (email, user_id)
               select email, user_id from unnest($1::text[], $2::uuid[]) as given (email, user_id) order by email
               on conflict (email) do update set user_id = excluded.user_id where a.user_id = excluded.user_id
               returning user_id";
    let (emails, user_ids): (Vec<&String>, Vec<Uuid>) = owners.iter().unzip();
    let parameters: [Parameter<'_>; 2] = [(&emails, Type::TEXT_ARRAY), (&user_ids, Type::UUID_ARRAY)];
    let rows = query_all(transaction, sql, &parameters).await?;
    let claimed: HashSet<Uuid> = rows.iter().map(|row| row.try_get("user_id")).collect::<Result<_, _>>()?;
    Ok(user_ids.into_iter().filter(|id| !claimed.contains(id)).collect())
}

/// Makes a user's address nobody's.
///
/// # Errors
/// [`Error`].
pub(super) async fn release(transaction: &Transaction<'_>, email: &str, user_id: Uuid) -> Result<(), Error> {
    let sql = "delete from addresses where email = $1 and user_id = $2";
    query_opt(transaction, sql, &[(&email, Type::TEXT), (&user_id, Type::UUID)]).await.map(drop)
}
