//! Sessions end before their time, and say why.

use deadpool_postgres::{GenericClient, Transaction};
use tokio_postgres::types::Type;
use uuid::Uuid;

use crate::domain::refresh_token::RefreshToken;
use crate::domain::session::{Device, EndedBy};
use crate::store::{Error, Parameter, query_one, query_opt};

/// Ends the session of a genuine token, current or older, as its user asked. One that has ended stays as it is.
///
/// An older token is enough: whoever lost the answer to the last refresh must be able to sign out.
///
/// # Errors
/// [`Error`].
pub async fn end_by_token(client: &impl GenericClient, token: &RefreshToken, device: &Device) -> Result<(), Error> {
    let sql = "update sessions set ended_at = clock_timestamp(), ended_by = 'logout', ended_ip_address = $5
               where user_id = $1 and id = $2 and ended_at is null
                 and (generation > $3 or (generation = $3 and secret_hash = $4))";
    let hash = token.hash();
    let parameters: [Parameter<'_>; 5] = [
        (&token.user_id, Type::UUID),
        (&token.session_id, Type::UUID),
        (&i64::from(token.generation), Type::INT8),
        (&hash.0.as_slice(), Type::BYTEA),
        (&device.ip_address, Type::INET),
    ];
    query_opt(client, sql, &parameters).await.map(drop)
}

/// Ends one session of a user, as its user asked. One that has ended stays as it is.
///
/// # Errors
/// [`Error`].
pub async fn end(client: &impl GenericClient, user_id: Uuid, id: Uuid, device: &Device) -> Result<(), Error> {
    let sql = "update sessions set ended_at = clock_timestamp(), ended_by = 'logout', ended_ip_address = $3
               where user_id = $1 and id = $2 and ended_at is null";
    let parameters: [Parameter<'_>; 3] = [(&user_id, Type::UUID), (&id, Type::UUID), (&device.ip_address, Type::INET)];
    query_opt(client, sql, &parameters).await.map(drop)
}

/// Which sessions of a user end, why, and for whom.
#[derive(Debug)]
pub struct EndAll<'a> {
    /// Whose.
    pub user_id: Uuid,
    /// One that goes on.
    pub kept: Option<Uuid>,
    /// Why.
    pub ended_by: EndedBy,
    /// Where the request came from; nowhere if an operator asked.
    pub device: &'a Device,
}

/// Ends all sessions of a user but one, and says how many there were that neither had ended nor were past their
/// absolute end.
///
/// # Errors
/// [`Error`].
pub async fn end_all(transaction: &Transaction<'_>, ending: EndAll<'_>) -> Result<i64, Error> {
    // Locked in order, so that two of these at once cannot wait for each other.
    let sql = "with living as (
                 select id from sessions
                 where user_id = $1 and id is distinct from $2 and ended_at is null
                 order by id
                 for update
               ), ended as (
                 update sessions s set ended_at = clock_timestamp(), ended_by = $3, ended_ip_address = $4
                 from living
                 where s.user_id = $1 and s.id = living.id
                 returning s.ended_at < s.expires_at as was_alive
               )
               select count(*) filter (where was_alive) as ended from ended";
    let parameters: [Parameter<'_>; 4] = [
        (&ending.user_id, Type::UUID),
        (&ending.kept, Type::UUID),
        (&ending.ended_by.as_str(), Type::TEXT),
        (&ending.device.ip_address, Type::INET),
    ];
    let row = query_one(transaction, sql, &parameters).await?;
    Ok(row.try_get("ended")?)
}
