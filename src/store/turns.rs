//! The table `turns`: work that one process does for all.

use std::time::Duration;

use tokio_postgres::types::Type;

use super::{Error, Parameter, Statements, query_one, query_opt};

/// Takes a turn that is due, and says whether it was; the next is due after `pause`. One that another process is taking
/// at this moment is that one's. One that is further away than `pause` was set by a clock that was wrong, or before the
/// pause was shortened: it is due.
///
/// # Errors
/// [`Error`].
pub async fn take(client: &impl Statements, name: &str, pause: Duration) -> Result<bool, Error> {
    let sql = "with due as (
                 select name from turns
                 where name = $1 and (due_at <= clock_timestamp() or due_at > clock_timestamp() + $2 * interval '1 second')
                 for no key update skip locked
               )
               update turns set due_at = clock_timestamp() + $2 * interval '1 second'
               from due where turns.name = due.name
               returning true";
    let parameters: [Parameter<'_>; 2] = [(&name, Type::TEXT), (&pause.as_secs_f64(), Type::FLOAT8)];
    Ok(query_opt(client, sql, &parameters).await?.is_some())
}

/// Confirms that this server is still the primary. Fails on one that was replaced while it was frozen and has not noticed yet.
///
/// Reads wait for nobody, so a stale primary reports every row that is newer than its replacement as missing. A row lock forces a
/// commit, which waits for the synchronous standby, and that follows the new primary by then. A key-share lock blocks no other.
///
/// # Errors
/// [`Error`]; also where the row is missing, as nothing would be committed then.
pub async fn confirm_primary(client: &impl Statements) -> Result<(), Error> {
    query_one(client, "select from turns where name = 'sweep' for key share", &[]).await.map(drop)
}
