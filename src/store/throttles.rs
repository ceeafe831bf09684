//! The table `throttles`: tries are taken before, and given back to who succeeds.

use std::time::Duration;

use tokio_postgres::types::Type;

use super::{Error, Parameter, Statements, Transaction, query_one, query_opt};
use crate::domain::throttle::Limit;

/// Takes a try from every bucket, or none and says how long to wait if one of them is empty.
///
/// # Errors
/// [`Error`].
pub async fn take(client: &impl Statements, limits: &[Limit]) -> Result<Option<Duration>, Error> {
    // Looked at first, so that a try that is refused costs nobody anything; looked at again under the row's lock, so that
    // many at once cannot take the same one.
    let sql = "with asked as (
                 select clock_timestamp() as now, key, make_interval(secs => refill) as refill,
                        make_interval(secs => refill * (burst - 1)) as slack
                 from unnest($1, $2, $3) as a (key, burst, refill)
               ), seen as (
                 select asked.*, greatest(t.full_at, now) as full_at
                 from asked left join throttles t on t.key = asked.key
               ), waiting as (
                 select max(full_at - now - slack) as time from seen
               ), taken as (
                 insert into throttles as t (key, full_at)
                 select key, now + refill from seen, waiting where waiting.time <= interval '0'
                 order by key
                 on conflict (key) do update
                   set full_at = greatest(t.full_at, clock_timestamp())
                                 + (select refill from asked where asked.key = excluded.key)
                   where t.full_at - clock_timestamp() <= (select slack from asked where asked.key = excluded.key)
                 returning 1
               )
               select extract(epoch from time)::float8 as seconds,
                      (select count(*) from taken) = (select count(*) from asked) as taken
               from waiting";
    let keys: Vec<&[u8]> = limits.iter().map(|limit| limit.key.as_slice()).collect();
    let bursts: Vec<f64> = limits.iter().map(|limit| f64::from(limit.burst)).collect();
    let refills: Vec<f64> = limits.iter().map(|limit| limit.refill.as_secs_f64()).collect();
    let parameters: [Parameter<'_>; 3] =
        [(&keys, Type::BYTEA_ARRAY), (&bursts, Type::FLOAT8_ARRAY), (&refills, Type::FLOAT8_ARRAY)];
    let row = query_one(client, sql, &parameters).await?;
    let seconds: f64 = row.try_get("seconds")?;
    if row.try_get("taken")? {
        return Ok(None);
    }
    Ok(Some(Duration::try_from_secs_f64(seconds.max(1.0)).unwrap_or(Duration::MAX)))
}

/// Gives back what a try took that succeeded: all that failures took where they count in a row, and elsewhere the try.
///
/// # Errors
/// [`Error`].
pub async fn give_back(client: &impl Statements, limits: &[Limit]) -> Result<(), Error> {
    // Locked in the order in which they are taken, so that nobody waits for another in a circle.
    let sql = "with asked as (
                 select key, make_interval(secs => refill) as refill, in_a_row
                 from unnest($1, $2, $3) as a (key, refill, in_a_row)
               ), locked as (
                 select t.key, case when in_a_row then clock_timestamp() else full_at - refill end as full_at
                 from throttles t join asked on asked.key = t.key
                 order by t.key
                 for update of t
               )
               update throttles t set full_at = locked.full_at from locked where t.key = locked.key";
    let keys: Vec<&[u8]> = limits.iter().map(|limit| limit.key.as_slice()).collect();
    let refills: Vec<f64> = limits.iter().map(|limit| limit.refill.as_secs_f64()).collect();
    let in_a_row: Vec<bool> = limits.iter().map(|limit| limit.in_a_row).collect();
    let parameters: [Parameter<'_>; 3] =
        [(&keys, Type::BYTEA_ARRAY), (&refills, Type::FLOAT8_ARRAY), (&in_a_row, Type::BOOL_ARRAY)];
    query_opt(client, sql, &parameters).await.map(drop)
}

/// Gives back what a sign-in took that succeeded, as [`give_back`], and takes one from the bucket of the account's sign-ins; says
/// how long to wait if that is empty, and then the transaction must be rolled back.
///
/// The account is locked by then, and this bucket is taken nowhere else, so no two sign-ins wait for each other in a circle.
///
/// # Errors
/// [`Error`].
pub async fn settle(
    transaction: &Transaction<'_>,
    limits: &[Limit],
    sign_ins: &Limit,
) -> Result<Option<Duration>, Error> {
    let sql = "with asked as (
                 select key, make_interval(secs => refill) as refill, in_a_row
                 from unnest($1, $2, $3) as a (key, refill, in_a_row)
               ), locked as (
                 select t.key, case when in_a_row then clock_timestamp() else full_at - refill end as full_at
                 from throttles t join asked on asked.key = t.key
                 order by t.key
                 for update of t
               ), given_back as (
                 update throttles t set full_at = locked.full_at from locked where t.key = locked.key
               ), taken as (
                 insert into throttles as t (key, full_at)
                 select $4, clock_timestamp() + make_interval(secs => $5)
                 on conflict (key) do update
                   set full_at = greatest(t.full_at, clock_timestamp()) + make_interval(secs => $5)
                   where t.full_at - clock_timestamp() <= make_interval(secs => $5 * ($6 - 1))
                 returning 1
               )
               select exists (select from taken) as taken,
                      extract(epoch from (select full_at from throttles where key = $4) - clock_timestamp()
                                         - make_interval(secs => $5 * ($6 - 1)))::float8 as seconds";
    let keys: Vec<&[u8]> = limits.iter().map(|limit| limit.key.as_slice()).collect();
    let refills: Vec<f64> = limits.iter().map(|limit| limit.refill.as_secs_f64()).collect();
    let in_a_row: Vec<bool> = limits.iter().map(|limit| limit.in_a_row).collect();
    let (sign_ins_key, refill, burst) =
        (sign_ins.key.as_slice(), sign_ins.refill.as_secs_f64(), f64::from(sign_ins.burst));
    let parameters: [Parameter<'_>; 6] = [
        (&keys, Type::BYTEA_ARRAY),
        (&refills, Type::FLOAT8_ARRAY),
        (&in_a_row, Type::BOOL_ARRAY),
        (&sign_ins_key, Type::BYTEA),
        (&refill, Type::FLOAT8),
        (&burst, Type::FLOAT8),
    ];
    let row = query_one(transaction, sql, &parameters).await?;
    if row.try_get("taken")? {
        return Ok(None);
    }
    let seconds: Option<f64> = row.try_get("seconds")?;
    Ok(Some(Duration::try_from_secs_f64(seconds.unwrap_or(1.0).max(1.0)).unwrap_or(Duration::MAX)))
}

/// Removes some of the rows that say nothing any more, and says how many.
///
/// # Errors
/// [`Error`].
pub async fn sweep(client: &impl Statements, limit: i64) -> Result<i64, Error> {
    let sql = "with idle as (
                 select key from throttles where full_at < clock_timestamp() limit $1 for update skip locked
               ), gone as (
                 delete from throttles t using idle where t.key = idle.key returning 1
               )
               select count(*) as removed from gone";
    Ok(query_one(client, sql, &[(&limit, Type::INT8)]).await?.try_get("removed")?)
}
