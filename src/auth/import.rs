//! Import: users of another system become accounts here.

use super::Error;
use crate::domain::imported::ImportedUser;
use crate::store::{Store, imports};
pub use imports::Standing;

/// How many go together: all of them or, after a fault, none. Takes a fraction of `database.statement_timeout`.
pub const BATCH: usize = 1_000;

/// Makes accounts of users that have none yet, each with its event, all in one transaction. Gives the places of those that were
/// left out, with the reason; so the same users can be given twice.
///
/// # Errors
/// [`Error::DatabaseUnavailable`].
pub async fn add(store: &Store, users: &[ImportedUser]) -> Result<Vec<(usize, Standing)>, Error> {
    // No log line for each: they would be millions, and the events are in the table.
    Ok(store.transaction(async |transaction| imports::insert(transaction, users).await).await?)
}
