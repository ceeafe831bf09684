//! The table `turns`: work that one process does for all.

use std::time::Duration;

use tokio_postgres::types::Type;

use super::{Error, Parameter, Statements, query_opt};

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
                 for update skip locked
               )
               update turns set due_at = clock_timestamp() + $2 * interval '1 second'
               from due where turns.name = due.name
               returning true";
    let parameters: [Parameter<'_>; 2] = [(&name, Type::TEXT), (&pause.as_secs_f64(), Type::FLOAT8)];
    Ok(query_opt(client, sql, &parameters).await?.is_some())
}
