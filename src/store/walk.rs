//! Walks through whole tables, a stretch at a time: for what no index finds.

use tokio_postgres::types::Type;
use uuid::Uuid;

use super::{Error, Parameter, Statements, query_one, query_opt};

/// Where the next stretch begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Position {
    /// With a page of the table. A page is read once for all the rows in it.
    Page(i64),
    /// Behind a user. Tables that are distributed have no pages of their own.
    User(Uuid),
}

/// The beginning of a walk.
///
/// # Errors
/// [`Error`].
pub async fn begin(client: &impl Statements) -> Result<Position, Error> {
    // What Citus keeps of the tables that it distributes.
    let sql = "select to_regclass('pg_catalog.pg_dist_partition') is not null as distributed";
    let distributed: bool = query_one(client, sql, &[]).await?.try_get("distributed")?;
    Ok(if distributed { Position::User(Uuid::nil()) } else { Position::Page(0) })
}

/// A stretch of a walk by users.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stretch {
    /// Its last user.
    pub(super) last: Uuid,
    /// Where the next begins; none at the end of the table.
    pub(super) next: Option<Position>,
}

impl Stretch {
    /// The stretch of about so many rows behind a user, in a table whose column `user` has the ids.
    pub(super) async fn behind(
        client: &impl Statements,
        table: &str,
        user: &str,
        first: Uuid,
        rows: i64,
    ) -> Result<Self, Error> {
        let sql = format!("select {user} as last from {table} where {user} > $1 order by {user} offset $2 limit 1");
        let parameters: [Parameter<'_>; 2] = [(&first, Type::UUID), (&rows, Type::INT8)];
        let Some(row) = query_opt(client, &sql, &parameters).await? else {
            return Ok(Self { last: Uuid::max(), next: None });
        };
        let last = row.try_get("last")?;
        Ok(Self { last, next: Some(Position::User(last)) })
    }
}
