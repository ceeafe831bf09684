//! The table `deleted_users`: ids of accounts that are no more, for as long as access tokens of theirs may live.

use std::time::Duration;

use tokio_postgres::types::Type;
use uuid::Uuid;

use super::{Error, Parameter, Statements, Transaction, query_one, query_opt};

/// Notes that an account is gone. Belongs after `users::delete` in its transaction: that waits for refreshes under way, and
/// the time noted here must be later than that of every token they issued.
///
/// # Errors
/// [`Error`].
pub async fn insert(transaction: &Transaction<'_>, id: Uuid) -> Result<(), Error> {
    // An id that was imported again may go again.
    let sql =
        "insert into deleted_users (id) values ($1) on conflict (id) do update set deleted_at = excluded.deleted_at";
    query_opt(transaction, sql, &[(&id, Type::UUID)]).await.map(drop)
}

/// Removes some of those that are older than `retention`, and says how many.
///
/// # Errors
/// [`Error`].
pub async fn sweep(client: &impl Statements, retention: Duration, limit: i64) -> Result<i64, Error> {
    let sql = "with old as (
                 select id from deleted_users
                 where deleted_at < clock_timestamp() - $1 * interval '1 second'
                 order by deleted_at, id
                 limit $2
               ), gone as (
                 delete from deleted_users d using old where d.id = old.id returning 1
               )
               select count(*) as removed from gone";
    let parameters: [Parameter<'_>; 2] = [(&retention.as_secs_f64(), Type::FLOAT8), (&limit, Type::INT8)];
    Ok(query_one(client, sql, &parameters).await?.try_get("removed")?)
}
