//! The table `clients`.

use time::OffsetDateTime;
use tokio_postgres::Row;
use tokio_postgres::types::Type;
use uuid::Uuid;

use super::{Error, Parameter, Statements, Transaction, query_all, query_one, query_opt};
use crate::domain::client::{Client, Scopes};
use crate::domain::refresh_token::SecretHash;
use crate::domain::user::Line;

/// What a program that asks for a token is compared with.
#[derive(Debug)]
pub struct ClientCredentials {
    /// Of its secret.
    pub secret_hash: SecretHash,
    /// What it may do.
    pub scopes: Scopes,
}

/// Makes a program known; says whether its name was free.
///
/// # Errors
/// [`Error`].
pub async fn insert(
    transaction: &Transaction<'_>,
    id: Uuid,
    name: &Line,
    secret_hash: SecretHash,
    scopes: &Scopes,
) -> Result<bool, Error> {
    let sql = "insert into clients (id, name, secret_hash, scopes) values ($1, $2, $3, $4)
               on conflict (name) do nothing returning true";
    let parameters: [Parameter<'_>; 4] = [
        (&id, Type::UUID),
        (&name.as_str(), Type::TEXT),
        (&secret_hash.0.as_slice(), Type::BYTEA),
        (&scopes.names(), Type::TEXT_ARRAY),
    ];
    Ok(query_opt(transaction, sql, &parameters).await?.is_some())
}

/// Forgets a program and says which id it had.
///
/// # Errors
/// [`Error`].
pub async fn delete(transaction: &Transaction<'_>, name: &Line) -> Result<Option<Uuid>, Error> {
    let sql = "delete from clients where name = $1 returning id";
    let row = query_opt(transaction, sql, &[(&name.as_str(), Type::TEXT)]).await?;
    Ok(row.map(|row| row.try_get("id")).transpose()?)
}

/// All programs, by name.
///
/// # Errors
/// [`Error`].
pub async fn list(client: &impl Statements) -> Result<Vec<Client>, Error> {
    let sql = "select id, name, scopes, created_at, last_used_at from clients order by name";
    query_all(client, sql, &[]).await?.iter().map(listed).collect()
}

/// The credentials of the program of that id, and the database's clock. When they are those that were shown, that is noted,
/// once a minute at most, so that a program that asks without end does not write without end.
///
/// # Errors
/// [`Error`].
pub async fn find_credentials(
    client: &impl Statements,
    id: Uuid,
    shown: SecretHash,
) -> Result<(Option<ClientCredentials>, OffsetDateTime), Error> {
    let sql = "with used as (
                 update clients set last_used_at = clock_timestamp()
                 where id = $1 and secret_hash = $2
                   and coalesce(last_used_at < clock_timestamp() - interval '1 minute', true)
               )
               select secret_hash, scopes, now from (select clock_timestamp() as now) clock left join clients on id = $1";
    let row = query_one(client, sql, &[(&id, Type::UUID), (&shown.0.as_slice(), Type::BYTEA)]).await?;
    let now = row.try_get("now")?;
    let Some(hash) = row.try_get::<_, Option<&[u8]>>("secret_hash")? else { return Ok((None, now)) };
    let hash = hash.try_into().map_err(|_length| Error::unknown_value("secret_hash", "another length"))?;
    Ok((Some(ClientCredentials { secret_hash: SecretHash(hash), scopes: scopes(&row)? }), now))
}

/// What the program of that id may do; none if it has been removed.
///
/// # Errors
/// [`Error`].
pub async fn find_scopes(client: &impl Statements, id: Uuid) -> Result<Option<Scopes>, Error> {
    let row = query_opt(client, "select scopes from clients where id = $1", &[(&id, Type::UUID)]).await?;
    row.as_ref().map(scopes).transpose()
}

fn listed(row: &Row) -> Result<Client, Error> {
    Ok(Client {
        id: row.try_get("id")?,
        name: row.try_get("name")?,
        scopes: scopes(row)?,
        created_at: row.try_get("created_at")?,
        last_used_at: row.try_get("last_used_at")?,
    })
}

fn scopes(row: &Row) -> Result<Scopes, Error> {
    Ok(Scopes::known(row.try_get::<_, Vec<&str>>("scopes")?))
}
