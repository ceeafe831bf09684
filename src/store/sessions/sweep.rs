//! Rows that nobody will ask for again go, a few at a time.

use tokio_postgres::types::Type;

use crate::domain::session::SessionPolicy;
use crate::store::{Error, Parameter, Statements, query_one};

/// What a step of the sweep did.
#[derive(Debug, Clone, Copy)]
pub struct Swept {
    /// Rows that are gone.
    pub removed: i64,
    /// The page that the next step begins with; none at the table's end.
    pub next: Option<i64>,
}

/// Looks at `pages` pages of the table from page `from` on, and removes the rows there that ended, or expired, longer ago
/// than the policy keeps them. Rows that somebody else has locked are left for the next time.
///
/// A walk, and no index to find them by: the time that makes an idle session dead moves with each refresh, and an index on
/// it would cost every refresh more than the walk costs. By place and not by key: a page is read, written and logged once
/// for all the rows in it, which are of many users. What moves meanwhile was refreshed, and is not dead.
///
/// # Errors
/// [`Error`].
pub async fn sweep(client: &impl Statements, from: i64, pages: i64, policy: &SessionPolicy) -> Result<Swept, Error> {
    // Arrays of places rather than joins: those the planner may turn into a scan of the whole table.
    let sql = "with dead as (
                 select ctid as place
                 from sessions
                 where ctid >= format('(%s,0)', $1)::tid and ctid < format('(%s,0)', $1 + $2)::tid
                   and coalesce(ended_at, least(expires_at, rotated_at + $3 * interval '1 second'))
                         < clock_timestamp() - $4 * interval '1 second'
                 for update skip locked
               ), gone as (
                 delete from sessions where ctid = any (array(select place from dead)) returning 1
               )
               select (select count(*) from gone) as removed,
                      $1 + $2 < pg_relation_size('sessions') / current_setting('block_size')::int8 as more";
    let parameters: [Parameter<'_>; 4] = [
        (&from, Type::INT8),
        (&pages, Type::INT8),
        (&policy.idle_ttl.as_secs_f64(), Type::FLOAT8),
        (&policy.kept_after_end.as_secs_f64(), Type::FLOAT8),
    ];
    let row = query_one(client, sql, &parameters).await?;
    let more: bool = row.try_get("more")?;
    Ok(Swept { removed: row.try_get("removed")?, next: more.then_some(from + pages) })
}
