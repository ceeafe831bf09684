//! What was revoked lately: read from `sessions`, `users` and `deleted_users`, which say when each was.

use std::time::Duration;

use time::OffsetDateTime;
use tokio_postgres::Row;
use tokio_postgres::types::Type;
use uuid::Uuid;

use super::{Error, Parameter, Statements, query_all};
use crate::domain::place::Place;
use crate::domain::revocation::{Revocation, Subject};

/// Some revocations, oldest first, and the database's clock.
#[derive(Debug)]
pub struct Listed {
    /// What was revoked.
    pub revocations: Vec<Revocation>,
    /// When the list was made.
    pub now: OffsetDateTime,
}

/// The revocations after `after`, but none older than `retention`, and at most `limit`.
///
/// # Errors
/// [`Error`].
pub async fn list(
    client: &impl Statements,
    after: Option<Place>,
    retention: Duration,
    limit: i64,
) -> Result<Listed, Error> {
    // One row at least, for the clock. The indexes are of rows that have a time, which Postgres does not conclude from a comparison
    // of pairs: without those words it reads all of both tables.
    let sql = "with asked as (
                 select now, greatest($1, now - $3 * interval '1 second') as after
                 from (select clock_timestamp() as now) clock
               ), revoked as (
                 (select id, true as is_session, ended_at as revoked_at
                  from sessions where ended_at is not null and (ended_at, id) > ((select after from asked), $2)
                  order by ended_at, id limit $4)
                 union all
                 (select id, false, disabled_at
                  from users where disabled_at is not null and (disabled_at, id) > ((select after from asked), $2)
                  order by disabled_at, id limit $4)
                 union all
                 (select id, false, deleted_at
                  from deleted_users
                  where (deleted_at, id) > ((select after from asked), $2) order by deleted_at, id limit $4)
                 order by revoked_at, id limit $4
               )
               select now, id, is_session, revoked_at from asked left join revoked on true order by revoked_at, id";
    let place = after.map_or((None, Uuid::nil()), |place| (Some(place.at), place.id));
    let parameters: [Parameter<'_>; 4] = [
        (&place.0, Type::TIMESTAMPTZ),
        (&place.1, Type::UUID),
        (&retention.as_secs_f64(), Type::FLOAT8),
        (&limit, Type::INT8),
    ];
    let rows = query_all(client, sql, &parameters).await?;
    let first = rows.first().ok_or_else(|| Error::Bug("a list without a clock".into()))?;
    let now = first.try_get("now")?;
    let revocations = rows.iter().filter_map(|row| revocation(row).transpose()).collect::<Result<_, _>>()?;
    Ok(Listed { revocations, now })
}

fn revocation(row: &Row) -> Result<Option<Revocation>, Error> {
    let Some(id) = row.try_get("id")? else { return Ok(None) };
    let subject = if row.try_get("is_session")? { Subject::Session(id) } else { Subject::User(id) };
    Ok(Some(Revocation { subject, revoked_at: row.try_get("revoked_at")? }))
}
