//! Counting, across tables: each statement a bounded number of pages, or a day, so that none meets the limit on its time however
//! much there is.

use std::time::Duration;

use time::OffsetDateTime;
use tokio_postgres::types::Type;

use super::{Error, Parameter, Statements, query_one};
use crate::domain::session::SessionPolicy;
use crate::domain::statistics::UserCounts;

/// What one statement counted of a table.
#[derive(Debug, Clone, Copy)]
pub struct Counted<T> {
    /// The numbers.
    pub counts: T,
    /// The page that the next statement begins with; none at the table's end.
    pub next: Option<i64>,
}

/// What happened in a span of time.
#[derive(Debug, Clone, Copy)]
pub struct Happened {
    /// Accounts that were made.
    pub new_users: i64,
    /// Sign-ins with a password.
    pub logins: i64,
    /// Those that opened nothing.
    pub login_failures: i64,
}

/// The database's clock.
///
/// # Errors
/// [`Error`].
pub async fn get_time(client: &impl Statements) -> Result<OffsetDateTime, Error> {
    Ok(query_one(client, "select clock_timestamp() as now", &[]).await?.try_get("now")?)
}

/// Counts the accounts in `pages` pages of their table from page `from` on. Those that move meanwhile may be counted twice or not.
///
/// # Errors
/// [`Error`].
pub async fn count_users(client: &impl Statements, from: i64, pages: i64) -> Result<Counted<UserCounts>, Error> {
    let sql = "select count(*) as total, count(*) filter (where disabled_at is null) as active,
                      count(email_verified_at) as verified, count(*) filter (where role = 'admin') as admins,
                      $1 + $2 < pg_relation_size('users') / current_setting('block_size')::int8 as more
               from users
               where ctid >= format('(%s,0)', $1)::tid and ctid < format('(%s,0)', $1 + $2)::tid";
    let row = query_one(client, sql, &[(&from, Type::INT8), (&pages, Type::INT8)]).await?;
    let (total, active): (i64, i64) = (row.try_get("total")?, row.try_get("active")?);
    let (verified, admins) = (row.try_get("verified")?, row.try_get("admins")?);
    let more: bool = row.try_get("more")?;
    let counts = UserCounts { total, active, disabled: total - active, verified, admins };
    Ok(Counted { counts, next: more.then_some(from + pages) })
}

/// Counts the live sessions in `pages` pages of their table from page `from` on.
///
/// # Errors
/// [`Error`].
pub async fn count_live_sessions(
    client: &impl Statements,
    from: i64,
    pages: i64,
    policy: &SessionPolicy,
) -> Result<Counted<i64>, Error> {
    let sql = "select count(*) filter (
                        where ended_at is null
                          and least(expires_at, rotated_at + $3 * interval '1 second') > clock_timestamp()) as live,
                      $1 + $2 < pg_relation_size('sessions') / current_setting('block_size')::int8 as more
               from sessions
               where ctid >= format('(%s,0)', $1)::tid and ctid < format('(%s,0)', $1 + $2)::tid";
    let parameters: [Parameter<'_>; 3] =
        [(&from, Type::INT8), (&pages, Type::INT8), (&policy.idle_ttl.as_secs_f64(), Type::FLOAT8)];
    let row = query_one(client, sql, &parameters).await?;
    let more: bool = row.try_get("more")?;
    Ok(Counted { counts: row.try_get("live")?, next: more.then_some(from + pages) })
}

/// Counts what happened from a moment on, for so long.
///
/// # Errors
/// [`Error`].
pub async fn count_between(
    client: &impl Statements,
    from: OffsetDateTime,
    length: Duration,
) -> Result<Happened, Error> {
    let sql = "select (select count(*) from users
                       where created_at >= $1 and created_at < $1 + $2 * interval '1 second') as new_users,
                      count(*) filter (where kind = 'logged_in') as logins,
                      count(*) filter (where kind = 'login_failed') as login_failures
               from events
               where occurred_at >= $1 and occurred_at < $1 + $2 * interval '1 second'";
    let parameters: [Parameter<'_>; 2] = [(&from, Type::TIMESTAMPTZ), (&length.as_secs_f64(), Type::FLOAT8)];
    let row = query_one(client, sql, &parameters).await?;
    Ok(Happened {
        new_users: row.try_get("new_users")?,
        logins: row.try_get("logins")?,
        login_failures: row.try_get("login_failures")?,
    })
}
