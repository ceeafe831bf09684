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
                 for no key update skip locked
               )
               update turns set due_at = clock_timestamp() + $2 * interval '1 second'
               from due where turns.name = due.name
               returning true";
    let parameters: [Parameter<'_>; 2] = [(&name, Type::TEXT), (&pause.as_secs_f64(), Type::FLOAT8)];
    Ok(query_opt(client, sql, &parameters).await?.is_some())
}

/// Makes sure that what was not found is not there: fails, after a while, on a primary that has been replaced and does not know
/// it yet, as one that was frozen for a minute and has just woken up.
///
/// Reading waits for nobody, so such a server would say of everything that is newer than its own replacement that it does not
/// exist, and people would be signed out by that. Locking a row makes a commit, and a commit waits for the synchronous standby,
/// which follows another by then. The lock is one that many may have at once.
///
/// # Errors
/// [`Error`].
pub async fn attest(client: &impl Statements) -> Result<(), Error> {
    query_opt(client, "select from turns where name = 'sweep' for key share", &[]).await.map(drop)
}
