//! Counting, across tables: each statement a bounded number of pages, or a day, so that none meets the limit on its time however
//! much there is.

use std::time::Duration;

use time::OffsetDateTime;
use tokio_postgres::Row;
use tokio_postgres::types::Type;

use super::sessions::live::is_live;
use super::walk::{Position, Stretch};
use super::{Error, Parameter, Statements, query_one};
use crate::domain::session::SessionPolicy;
use crate::domain::statistics::UserCounts;

/// Pages of a table for one statement: 64 MB, which a slow disk reads within the limit on a statement.
const PAGES: i64 = 8 * 1024;
/// Rows for one statement where there are no pages.
const ROWS: i64 = 5_000;

/// What one statement counted of a table.
#[derive(Debug, Clone, Copy)]
pub struct Counted<T> {
    /// The numbers.
    pub counts: T,
    /// Where the next statement begins; none at the table's end.
    pub next: Option<Position>,
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

/// Counts the accounts in a stretch of their table. Those that move meanwhile may be counted twice or not.
///
/// # Errors
/// [`Error`].
pub async fn count_users(client: &impl Statements, from: Position) -> Result<Counted<UserCounts>, Error> {
    let counts = "count(*) as total, count(*) filter (where disabled_at is null) as active,
                  count(email_verified_at) as verified, count(*) filter (where role = 'admin') as admins";
    let (row, next) = count(client, ("users", "id"), counts, from, None).await?;
    let (total, active): (i64, i64) = (row.try_get("total")?, row.try_get("active")?);
    let (verified, admins) = (row.try_get("verified")?, row.try_get("admins")?);
    Ok(Counted { counts: UserCounts { total, active, disabled: total - active, verified, admins }, next })
}

/// Counts the live sessions in a stretch of their table.
///
/// # Errors
/// [`Error`].
pub async fn count_live_sessions(
    client: &impl Statements,
    from: Position,
    policy: &SessionPolicy,
) -> Result<Counted<i64>, Error> {
    let counts = format!("count(*) filter (where {}) as live", is_live("sessions", "$3"));
    let idle_ttl = policy.idle_ttl.as_secs_f64();
    let (row, next) = count(client, ("sessions", "user_id"), &counts, from, Some((&idle_ttl, Type::FLOAT8))).await?;
    Ok(Counted { counts: row.try_get("live")?, next })
}

/// Counts, with `parameter` for $3, in a stretch of a table whose column of users is the second name.
async fn count(
    client: &impl Statements,
    (table, user): (&str, &str),
    counts: &str,
    from: Position,
    parameter: Option<Parameter<'_>>,
) -> Result<(Row, Option<Position>), Error> {
    match from {
        Position::Page(page) => {
            let sql = format!(
                "select {counts}, $1 + $2 < pg_relation_size('{table}') / current_setting('block_size')::int8 as more
                 from {table}
                 where ctid >= format('(%s,0)', $1)::tid and ctid < format('(%s,0)', $1 + $2)::tid"
            );
            let mut parameters: Vec<Parameter<'_>> = vec![(&page, Type::INT8), (&PAGES, Type::INT8)];
            parameters.extend(parameter);
            let row = query_one(client, &sql, &parameters).await?;
            let more: bool = row.try_get("more")?;
            Ok((row, more.then_some(Position::Page(page + PAGES))))
        }
        Position::User(first) => {
            let stretch = Stretch::behind(client, table, user, first, ROWS).await?;
            let sql = format!("select {counts} from {table} where {user} > $1 and {user} <= $2");
            let mut parameters: Vec<Parameter<'_>> = vec![(&first, Type::UUID), (&stretch.last, Type::UUID)];
            parameters.extend(parameter);
            Ok((query_one(client, &sql, &parameters).await?, stretch.next))
        }
    }
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
    let sql = "with made as (
                 select count(*) as new_users from users
                 where created_at >= $1 and created_at < $1 + $2 * interval '1 second'
               ), happened as (
                 select count(*) filter (where kind = 'logged_in') as logins,
                        count(*) filter (where kind = 'login_failed') as login_failures
                 from events
                 where occurred_at >= $1 and occurred_at < $1 + $2 * interval '1 second'
               )
               select new_users, logins, login_failures from made, happened";
    let parameters: [Parameter<'_>; 2] = [(&from, Type::TIMESTAMPTZ), (&length.as_secs_f64(), Type::FLOAT8)];
    let row = query_one(client, sql, &parameters).await?;
    Ok(Happened {
        new_users: row.try_get("new_users")?,
        logins: row.try_get("logins")?,
        login_failures: row.try_get("login_failures")?,
    })
}
