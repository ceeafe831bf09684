//! How statements reach Postgres: prepared once for each connection, or in one piece each time.

use std::sync::Arc;

use deadpool_postgres::{Client, GenericClient};
use tokio_postgres::Row;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::{ToSql, Type};

use super::Error;
use super::summary::summary;
use crate::traces::{self, KeyValue, Part};

/// A connection of the pool, lent for one piece of work.
pub struct Connection {
    pub(super) client: Client,
    pub(super) prepared: bool,
    /// Where it leads, for traces.
    pub(super) place: Arc<[KeyValue]>,
}

/// A transaction on a connection.
pub struct Transaction<'a> {
    inner: deadpool_postgres::Transaction<'a>,
    prepared: bool,
    place: &'a [KeyValue],
}

impl Connection {
    pub(super) async fn transaction(&mut self) -> Result<Transaction<'_>, Error> {
        let Self { client, prepared, place } = self;
        let beginning = begin(place, "begin");
        let inner = end(beginning, client.transaction().await)?;
        Ok(Transaction { inner, prepared: *prepared, place })
    }
}

impl Transaction<'_> {
    pub(super) async fn commit(self) -> Result<(), Error> {
        let committing = begin(self.place, "commit");
        end(committing, self.inner.commit().await)
    }

    pub(super) async fn rollback(self) -> Result<(), Error> {
        let rolling_back = begin(self.place, "rollback");
        end(rolling_back, self.inner.rollback().await)
    }
}

/// A value and its type: naming the type spares the server guessing it, and the SQL its casts.
pub(super) type Parameter<'a> = (&'a (dyn ToSql + Sync), Type);

/// What statements can be run on: one alone on a connection, several that belong together on a transaction.
pub trait Statements {
    /// Runs a statement and gives its rows.
    fn rows(
        &self,
        sql: &str,
        parameters: &[(&(dyn ToSql + Sync), Type)],
    ) -> impl Future<Output = Result<Vec<Row>, Error>> + Send;
}

impl Statements for Connection {
    async fn rows(&self, sql: &str, parameters: &[Parameter<'_>]) -> Result<Vec<Row>, Error> {
        let statement = begin(&self.place, sql);
        let outcome = if self.prepared {
            match prepared(&self.client, sql, parameters).await {
                Err(error) if error.code() == Some(&SqlState::FEATURE_NOT_SUPPORTED) => {
                    // "cached plan must not change result type": somebody has changed a column, and nothing was done yet.
                    // (A transaction is lost by then; its caller repeats the request.)
                    self.client.statement_cache.clear();
                    prepared(&self.client, sql, parameters).await
                }
                outcome => outcome,
            }
        } else {
            self.client.query_typed(sql, parameters).await
        };
        end(statement, outcome)
    }
}

impl Statements for Transaction<'_> {
    async fn rows(&self, sql: &str, parameters: &[Parameter<'_>]) -> Result<Vec<Row>, Error> {
        let statement = begin(self.place, sql);
        let outcome = if self.prepared {
            prepared(&self.inner, sql, parameters).await
        } else {
            self.inner.query_typed(sql, parameters).await
        };
        end(statement, outcome)
    }
}

/// A statement begins, as traces have it: by OpenTelemetry's conventions for databases, and never with a value.
fn begin(place: &[KeyValue], sql: &str) -> Part {
    traces::call(|| {
        let summary = summary(sql);
        let own = [KeyValue::new("db.query.summary", summary.clone())];
        (summary.into(), own.into_iter().chain(place.iter().cloned()).collect())
    })
}

/// It came to this.
fn end<T>(statement: Part, outcome: Result<T, tokio_postgres::Error>) -> Result<T, Error> {
    statement.came_to(&outcome, |error| match error.code() {
        Some(code) => code.code().to_owned().into(),
        None => "connection".into(),
    });
    Ok(outcome?)
}

/// Planned and sent once, and by its name from then on. Poolers in transaction mode that do not know of this give a
/// client's statements to another connection, where the name means nothing, or another client's statement.
async fn prepared(
    client: &impl GenericClient,
    sql: &str,
    parameters: &[Parameter<'_>],
) -> Result<Vec<Row>, tokio_postgres::Error> {
    let types: Vec<Type> = parameters.iter().map(|(_, kind)| kind.clone()).collect();
    let values: Vec<&(dyn ToSql + Sync)> = parameters.iter().map(|(value, _)| *value).collect();
    let statement = client.prepare_typed_cached(sql, &types).await?;
    client.query(&statement, &values).await
}

/// Runs a statement.
pub(super) async fn query_all(
    client: &impl Statements,
    sql: &str,
    parameters: &[Parameter<'_>],
) -> Result<Vec<Row>, Error> {
    client.rows(sql, parameters).await
}

/// Runs a statement that gives one row or none.
pub(super) async fn query_opt(
    client: &impl Statements,
    sql: &str,
    parameters: &[Parameter<'_>],
) -> Result<Option<Row>, Error> {
    let mut rows = client.rows(sql, parameters).await?;
    if rows.len() > 1 {
        return Err(Error::Bug("a statement gave several rows".into()));
    }
    Ok(rows.pop())
}

/// Runs a statement that must give one row.
pub(super) async fn query_one(client: &impl Statements, sql: &str, parameters: &[Parameter<'_>]) -> Result<Row, Error> {
    query_opt(client, sql, parameters).await?.ok_or_else(|| Error::Bug("a statement gave no row".into()))
}
