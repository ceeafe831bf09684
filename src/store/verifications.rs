//! The table `verifications`: mailed tokens, by what they allow. A row goes when its token is used.

use std::time::Duration;

use tokio_postgres::types::Type;
use uuid::Uuid;

use super::{Error, Parameter, Statements, Transaction, query_one, query_opt};
use crate::domain::verification::{Purpose, VerificationToken};

/// What a good token allows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verification {
    /// What.
    pub purpose: Purpose,
    /// The address it was mailed to.
    pub email: String,
    /// The account's address at this moment.
    pub current_email: String,
}

/// Makes a token good for a time.
///
/// # Errors
/// [`Error`].
pub async fn insert(
    client: &impl Statements,
    token: &VerificationToken,
    purpose: Purpose,
    email: &str,
    ttl: Duration,
) -> Result<(), Error> {
    let sql = "insert into verifications (user_id, secret_hash, purpose, email, expires_at)
               values ($1, $2, $3, $4, clock_timestamp() + $5 * interval '1 second')";
    let hash = token.hash();
    let parameters: [Parameter<'_>; 5] = [
        (&token.user_id, Type::UUID),
        (&hash.0.as_slice(), Type::BYTEA),
        (&purpose.as_str(), Type::TEXT),
        (&email, Type::TEXT),
        (&ttl.as_secs_f64(), Type::FLOAT8),
    ];
    query_opt(client, sql, &parameters).await.map(drop)
}

/// What a token allows; none if it was used, has expired or never was, if the account is closed, or if it was mailed to an
/// address that is not the account's any more. A token for a change of address was mailed to one that is not yet.
///
/// # Errors
/// [`Error`].
pub async fn find(client: &impl Statements, token: &VerificationToken) -> Result<Option<Verification>, Error> {
    let sql = "select v.purpose, v.email, u.email as current_email
               from verifications v join users u on u.id = v.user_id
               where v.user_id = $1 and v.secret_hash = $2 and v.expires_at > clock_timestamp()
                 and u.disabled_at is null and (v.email = u.email or v.purpose = 'change_email')";
    let hash = token.hash();
    let parameters: [Parameter<'_>; 2] = [(&token.user_id, Type::UUID), (&hash.0.as_slice(), Type::BYTEA)];
    let Some(row) = query_opt(client, sql, &parameters).await? else { return Ok(None) };
    let purpose: &str = row.try_get("purpose")?;
    Ok(Some(Verification {
        purpose: Purpose::from_name(purpose).ok_or_else(|| Error::unknown_value("purpose", purpose))?,
        email: row.try_get("email")?,
        current_email: row.try_get("current_email")?,
    }))
}

/// Removes all of a user's tokens of a purpose: what they allowed is done, or must not be done any more.
///
/// # Errors
/// [`Error`].
pub async fn delete_all(transaction: &Transaction<'_>, user_id: Uuid, purposes: &[Purpose]) -> Result<(), Error> {
    let sql = "delete from verifications where user_id = $1 and purpose = any($2)";
    let purposes: Vec<&str> = purposes.iter().map(|purpose| purpose.as_str()).collect();
    query_opt(transaction, sql, &[(&user_id, Type::UUID), (&purposes, Type::TEXT_ARRAY)]).await.map(drop)
}

/// Removes some of the tokens that have expired, and says how many.
///
/// # Errors
/// [`Error`].
pub async fn sweep(client: &impl Statements, limit: i64) -> Result<i64, Error> {
    let sql = "with expired as (
                 select user_id, secret_hash from verifications
                 where expires_at < clock_timestamp() order by expires_at limit $1
               ), gone as (
                 delete from verifications v using expired e
                 where v.user_id = e.user_id and v.secret_hash = e.secret_hash returning 1
               )
               select count(*) as removed from gone";
    Ok(query_one(client, sql, &[(&limit, Type::INT8)]).await?.try_get("removed")?)
}
