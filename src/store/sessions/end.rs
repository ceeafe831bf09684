//! Sessions end before their time, and say why.

use std::time::Duration;

use deadpool_postgres::{GenericClient, Transaction};
use tokio_postgres::types::Type;
use uuid::Uuid;

use crate::domain::refresh_token::RefreshToken;
use crate::domain::session::{Device, EndedBy};
use crate::store::{Error, query_one, query_opt};

/// Ends the session of a genuine token, current or older, as its user asked; says whether there was one to end.
///
/// An older token is enough: whoever lost the answer to the last refresh must be able to sign out.
///
/// # Errors
/// [`Error`].
pub async fn end_by_token(client: &impl GenericClient, token: &RefreshToken, device: &Device) -> Result<bool, Error> {
    let sql = "update sessions set ended_at = clock_timestamp(), ended_by = 'logout', ended_ip_address = $5
               where user_id = $1 and id = $2 and ended_at is null
                 and (generation > $3 or (generation = $3 and secret_hash = $4))
               returning id";
    let row = query_opt(
        client,
        sql,
        &[
            (&token.user_id, Type::UUID),
            (&token.session_id, Type::UUID),
            (&i64::from(token.generation), Type::INT8),
            (&token.hash().0.as_slice(), Type::BYTEA),
            (&device.ip_address, Type::INET),
        ],
    )
    .await?;
    Ok(row.is_some())
}

/// Ends one session of a user; says whether there was one to end.
///
/// # Errors
/// [`Error`].
pub async fn end(
    client: &impl GenericClient,
    user_id: Uuid,
    id: Uuid,
    ended_by: EndedBy,
    device: &Device,
) -> Result<bool, Error> {
    let sql = "update sessions set ended_at = clock_timestamp(), ended_by = $3, ended_ip_address = $4
               where user_id = $1 and id = $2 and ended_at is null
               returning id";
    let row = query_opt(
        client,
        sql,
        &[
            (&user_id, Type::UUID),
            (&id, Type::UUID),
            (&ended_by.as_str(), Type::TEXT),
            (&device.ip_address, Type::INET),
        ],
    )
    .await?;
    Ok(row.is_some())
}

/// Ends all sessions of a user but `kept`, and says how many of them were still alive (with `idle_ttl`, if it is given).
///
/// # Errors
/// [`Error`].
pub async fn end_all(
    transaction: &Transaction<'_>,
    user_id: Uuid,
    kept: Option<Uuid>,
    ended_by: EndedBy,
    idle_ttl: Option<Duration>,
) -> Result<i64, Error> {
    // Locked in order, so that two of these at once cannot wait for each other.
    let sql = "with living as (
                 select id from sessions
                 where user_id = $1 and id is distinct from $2 and ended_at is null
                 order by id
                 for update
               ), ended as (
                 update sessions s set ended_at = clock_timestamp(), ended_by = $3
                 from living
                 where s.user_id = $1 and s.id = living.id
                 returning s.ended_at < least(s.expires_at, s.rotated_at + $4 * interval '1 second') as was_alive
               )
               select count(*) filter (where was_alive) as ended from ended";
    let row = query_one(
        transaction,
        sql,
        &[
            (&user_id, Type::UUID),
            (&kept, Type::UUID),
            (&ended_by.as_str(), Type::TEXT),
            (&idle_ttl.map(|ttl| ttl.as_secs_f64()), Type::FLOAT8),
        ],
    )
    .await?;
    Ok(row.try_get("ended")?)
}
