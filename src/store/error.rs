//! What can go wrong between us and Postgres, sorted by what the caller can do about it.

use std::error::Error as StdError;

use deadpool_postgres::PoolError;
use tokio_postgres::error::SqlState;

/// A statement did not do its work.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Postgres is away, busy, locked, read-only or not migrated: the same call may succeed later.
    #[error("the database is unavailable")]
    Unavailable(#[source] Box<dyn StdError + Send + Sync>),
    /// A bug of ours: wrong SQL, or a row that breaks our own rules.
    #[error("the database refused a statement")]
    Bug(#[source] Box<dyn StdError + Send + Sync>),
}

impl Error {
    pub(super) fn unavailable(cause: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self::Unavailable(cause.into())
    }

    /// A value in a row that this version does not know.
    pub(super) fn unknown_value(column: &str, value: &str) -> Self {
        Self::Bug(format!("the column {column} holds {value:?}").into())
    }
}

impl From<tokio_postgres::Error> for Error {
    fn from(error: tokio_postgres::Error) -> Self {
        if error.code().is_none_or(may_pass) { Self::unavailable(error) } else { Self::Bug(error.into()) }
    }
}

impl From<PoolError> for Error {
    fn from(error: PoolError) -> Self {
        Self::unavailable(error)
    }
}

/// Whether an operator or time can heal it. The first two characters are the class (the manual's appendix A).
fn may_pass(code: &SqlState) -> bool {
    // A schema that is not migrated yet, or changed under a prepared statement; missing rights.
    const SINGLE: [&SqlState; 6] = [
        &SqlState::UNDEFINED_TABLE,
        &SqlState::UNDEFINED_COLUMN,
        &SqlState::FEATURE_NOT_SUPPORTED,
        &SqlState::INSUFFICIENT_PRIVILEGE,
        &SqlState::READ_ONLY_SQL_TRANSACTION,
        &SqlState::LOCK_NOT_AVAILABLE,
    ];
    // Connection, authorization, no such database, statement name, conflict, resources, operator, system, internal.
    const CLASSES: [&str; 9] = ["08", "28", "3D", "26", "40", "53", "57", "58", "XX"];
    SINGLE.contains(&code) || CLASSES.iter().any(|class| code.code().starts_with(class))
}
