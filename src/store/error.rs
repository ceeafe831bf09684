//! What can go wrong between us and Postgres, sorted by what the caller can do about it.

use std::borrow::Cow;
use std::error::Error as StdError;

use deadpool_postgres::PoolError;
use tokio_postgres::error::{DbError, SqlState};

use crate::telemetry::chain;

type Cause = Box<dyn StdError + Send + Sync>;

/// A statement did not do its work.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Postgres is away, busy or locked: the same call may succeed later.
    #[error("the database is unavailable")]
    Unavailable(#[source] Cause),
    /// It takes no writes: a standby, or a primary that has been replaced. Another connection may lead to its successor.
    #[error("the database takes no writes")]
    ReadOnly(#[source] Cause),
    /// Tables, rights, or the whole database are not there: an operator, or the next migration, heals it.
    #[error("the database is not set up")]
    NotSetUp(#[source] Cause),
    /// Somebody else has what must be one's own: a row breaks a unique constraint.
    #[error("it is taken")]
    Taken(#[source] Cause),
    /// A bug of ours: wrong SQL, or a row that breaks our own rules.
    #[error("the database refused a statement")]
    Bug(#[source] Cause),
}

impl Error {
    pub(super) fn unavailable(cause: impl Into<Cause>) -> Self {
        Self::Unavailable(cause.into())
    }

    /// A value in a row that this version does not know.
    pub(super) fn unknown_value(column: &str, value: &str) -> Self {
        Self::Bug(format!("the column {column} holds {value:?}").into())
    }

    /// In one word, for traces.
    pub(super) fn kind(&self) -> Cow<'static, str> {
        let kind = match self {
            Self::Unavailable(_) => "unavailable",
            Self::ReadOnly(_) => "read_only",
            Self::NotSetUp(_) => "not_set_up",
            Self::Taken(_) => "taken",
            Self::Bug(_) => "bug",
        };
        kind.into()
    }
}

impl From<tokio_postgres::Error> for Error {
    fn from(error: tokio_postgres::Error) -> Self {
        let code = error.code().cloned();
        let cause = without_values(&error).into();
        if code.as_ref().is_some_and(is_set_up_later) {
            Self::NotSetUp(cause)
        } else if code == Some(SqlState::UNIQUE_VIOLATION) {
            Self::Taken(cause)
        } else if code == Some(SqlState::READ_ONLY_SQL_TRANSACTION) {
            Self::ReadOnly(cause)
        } else if code.is_none_or(|code| passes(&code) || is_lost_statement(&code)) {
            Self::Unavailable(cause)
        } else {
            Self::Bug(cause)
        }
    }
}

impl From<PoolError> for Error {
    fn from(error: PoolError) -> Self {
        match error {
            PoolError::Backend(error) if error.code().is_some_and(is_set_up_later) => {
                Self::NotSetUp(without_values(&error).into())
            }
            PoolError::Backend(error) => Self::unavailable(without_values(&error)),
            other @ (PoolError::Timeout(_)
            | PoolError::Closed
            | PoolError::NoRuntimeSpecified
            | PoolError::PostCreateHook(_)) => Self::unavailable(other),
        }
    }
}

/// The error without its DETAIL and the like, which quote rows, and with them password hashes.
pub(super) fn without_values(error: &tokio_postgres::Error) -> String {
    error.as_db_error().map_or_else(|| chain(error), describe)
}

fn describe(error: &DbError) -> String {
    let hint = hint(error);
    let place = [("table", error.table()), ("column", error.column()), ("constraint", error.constraint())];
    let place = place.iter().filter_map(|(kind, name)| name.map(|name| format!(", {kind} {name}")));
    format!("{} (SQLSTATE {}{}){hint}", error.message(), error.code().code(), place.collect::<String>())
}

/// What to change when a pooler is the reason.
fn hint(error: &DbError) -> &'static str {
    if is_lost_statement(error.code()) {
        "; a pooler in transaction mode? Set database.prepared_statements = false"
    } else if error.message().contains("unsupported startup parameter") {
        "; a pooler? Set database.statement_timeout = 0s, and the limit on the role"
    } else {
        ""
    }
}

/// A prepared statement that is not there, or is there already: another client's.
fn is_lost_statement(code: &SqlState) -> bool {
    [&SqlState::INVALID_SQL_STATEMENT_NAME, &SqlState::DUPLICATE_PSTATEMENT].contains(&code)
}

/// Whether time heals it: connections, conflicts, resources, operators at work, the system, a fail-over. The first two
/// characters are the class (the manual's appendix A).
pub(super) fn passes(code: &SqlState) -> bool {
    const CLASSES: [&str; 5] = ["08", "40", "53", "57", "58"];
    [&SqlState::READ_ONLY_SQL_TRANSACTION, &SqlState::LOCK_NOT_AVAILABLE].contains(&code)
        || CLASSES.iter().any(|class| code.code().starts_with(class))
}

/// Whether an operator heals it: no schema yet, or one that changed under a prepared statement; no rights, no role, no
/// database.
fn is_set_up_later(code: &SqlState) -> bool {
    const SINGLE: [&SqlState; 5] = [
        &SqlState::UNDEFINED_FUNCTION,
        &SqlState::UNDEFINED_TABLE,
        &SqlState::UNDEFINED_COLUMN,
        &SqlState::FEATURE_NOT_SUPPORTED,
        &SqlState::INSUFFICIENT_PRIVILEGE,
    ];
    const CLASSES: [&str; 4] = ["26", "28", "3D", "XX"];
    SINGLE.contains(&code) || CLASSES.iter().any(|class| code.code().starts_with(class))
}
