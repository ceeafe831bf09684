//! Runs work on a connection of the pool, and gives the connection back only when nothing can still be running on it.

use std::time::Duration;

use deadpool_postgres::Client;
use tokio::time::error::Elapsed;

use super::{Connection, Error};

/// Runs `work` within `limit`. A connection whose work failed or ran out of time is closed.
pub(super) async fn with_connection<T>(
    connection: Connection,
    limit: Duration,
    work: impl AsyncFnOnce(&mut Connection) -> Result<T, Error>,
) -> Result<T, Error> {
    let mut held = DiscardOnDrop(Some(connection));
    let Some(connection) = &mut held.0 else { return Err(Error::Bug("no connection is held".into())) };
    let outcome = in_time(tokio::time::timeout(limit, work(connection)).await);
    if has_ended(&outcome) {
        drop(held.0.take());
    }
    outcome
}

fn in_time<T>(outcome: Result<Result<T, Error>, Elapsed>) -> Result<T, Error> {
    outcome.unwrap_or_else(|elapsed| Err(Error::unavailable(elapsed)))
}

/// Whether the statement has ended.
fn has_ended<T>(outcome: &Result<T, Error>) -> bool {
    !matches!(outcome, Err(Error::Unavailable(_) | Error::ReadOnly(_) | Error::NotSetUp(_)))
}

/// Closes its connection instead of giving it back: after a failure, a panic, or a cancelled task a statement may still run on it.
struct DiscardOnDrop(Option<Connection>);

impl Drop for DiscardOnDrop {
    fn drop(&mut self) {
        self.0.take().map(|connection| Client::take(connection.client));
    }
}
