//! Rows that nobody will ask for again go, a few at a time.

use tokio_postgres::types::Type;
use uuid::Uuid;

use super::live::{ends_at, expired_before};
use crate::domain::session::SessionPolicy;
use crate::store::walk::{Position, Stretch};
use crate::store::{Error, Parameter, Statements, query_one};

/// Pages in one step: a millisecond or two of work, and the locks of a few hundred rows.
const PAGES: i64 = 16;
/// Rows in one step where there are no pages.
const ROWS: i64 = 1_000;

/// What a step of the sweep did.
#[derive(Debug, Clone, Copy)]
pub struct Swept {
    /// Rows that are gone.
    pub removed: i64,
    /// Where the next step begins; none at the table's end.
    pub next: Option<Position>,
}

/// Looks at a stretch of the table, and removes the rows there that ended, or expired, longer ago than the policy keeps them.
///
/// A walk, and no index to find them by: the time that makes an idle session dead moves with each refresh, and an index on
/// it would cost every refresh more than the walk costs.
///
/// # Errors
/// [`Error`].
pub async fn sweep(client: &impl Statements, from: Position, policy: &SessionPolicy) -> Result<Swept, Error> {
    match from {
        Position::Page(page) => sweep_pages(client, page, policy).await,
        Position::User(user) => sweep_users(client, user, policy).await,
    }
}

/// By place and not by key: a page is read, written and logged once for all the rows in it, which are of many users. What moves
/// meanwhile was refreshed, and is not dead. Rows that somebody else has locked are left for the next time.
async fn sweep_pages(client: &impl Statements, from: i64, policy: &SessionPolicy) -> Result<Swept, Error> {
    // Arrays of places rather than joins: those the planner may turn into a scan of the whole table.
    let ends_at = ends_at("sessions", "$3");
    let sql = format!(
        "with dead as (
           select ctid as place
           from sessions
           where ctid >= format('(%s,0)', $1)::tid and ctid < format('(%s,0)', $1 + $2)::tid
             and coalesce(ended_at, {ends_at}) < clock_timestamp() - $4 * interval '1 second'
           for update skip locked
         ), gone as (
           delete from sessions where ctid = any (array(select place from dead)) returning 1
         )
         select (select count(*) from gone) as removed,
                $1 + $2 < pg_relation_size('sessions') / current_setting('block_size')::int8 as more"
    );
    let parameters: [Parameter<'_>; 4] = [
        (&from, Type::INT8),
        (&PAGES, Type::INT8),
        (&policy.idle_ttl.as_secs_f64(), Type::FLOAT8),
        (&policy.kept_after_end.as_secs_f64(), Type::FLOAT8),
    ];
    let row = query_one(client, &sql, &parameters).await?;
    let more: bool = row.try_get("more")?;
    Ok(Swept { removed: row.try_get("removed")?, next: more.then_some(Position::Page(from + PAGES)) })
}

/// Where tables are distributed: on all nodes at once, which can lock no rows first. Nothing is computed from a row, as a node
/// may compute in its own way.
async fn sweep_users(client: &impl Statements, from: Uuid, policy: &SessionPolicy) -> Result<Swept, Error> {
    let stretch = Stretch::behind(client, "sessions", "user_id", from, ROWS).await?;
    let oldest = "statement_timestamp() - $4 * interval '1 second'";
    let has_expired = expired_before(oldest, "$3");
    let sql = format!(
        "with gone as (
           delete from sessions
           where user_id > $1 and user_id <= $2
             and (ended_at < {oldest} or (ended_at is null and {has_expired}))
           returning 1
         )
         select count(*) as removed from gone"
    );
    let parameters: [Parameter<'_>; 4] = [
        (&from, Type::UUID),
        (&stretch.last, Type::UUID),
        (&policy.idle_ttl.as_secs_f64(), Type::FLOAT8),
        (&policy.kept_after_end.as_secs_f64(), Type::FLOAT8),
    ];
    let row = query_one(client, &sql, &parameters).await?;
    Ok(Swept { removed: row.try_get("removed")?, next: stretch.next })
}
