//! What was revoked lately: read from `sessions`, `users` and `deleted_users`, which say when each was.

use std::time::Duration;

use time::OffsetDateTime;
use tokio_postgres::Row;
use tokio_postgres::types::Type;
use uuid::Uuid;

use super::{Error, Parameter, Statements, query_all};
use crate::domain::revocation::{Cursor, Revocation, Subject};

/// Some revocations, oldest first, and the database's clock.
#[derive(Debug)]
pub struct Listed {
    /// What was revoked.
    pub revocations: Vec<Revocation>,
    /// When the list was made.
    pub now: OffsetDateTime,
    /// Whether it is from the beginning again, as it was time for that.
    pub is_reread: bool,
}

/// Which revocations to list.
#[derive(Debug, Clone, Copy)]
pub struct Range {
    /// Those behind this; with none, all. If it is time to read all again, all.
    pub after: Option<Cursor>,
    /// None that are older.
    pub retention: Duration,
    /// As many at most.
    pub limit: i64,
}

/// The revocations in a range.
///
/// # Errors
/// [`Error`].
pub async fn list(client: &impl Statements, range: Range) -> Result<Listed, Error> {
    // One row at least, for the clock. The indexes are of rows that have a time, which Postgres does not conclude from a comparison
    // of pairs: without those words it reads all of both tables. A time to read again that is too far away was set by another clock.
    let sql = "with clock as (
                 select now, coalesce(now >= $5 or now < $5 - interval '1 hour', false) as is_reread
                 from (select clock_timestamp() as now) read
               ), asked as (
                 select now, is_reread, case when is_reread then '00000000-0000-0000-0000-000000000000' else $2 end as id,
                        greatest(case when is_reread then null else $1 end, now - $3 * interval '1 second') as after
                 from clock
               ), revoked as (
                 (select id, true as is_session, ended_at as revoked_at
                  from sessions
                  where ended_at is not null and (ended_at, id) > ((select after from asked), (select id from asked))
                  order by ended_at, id limit $4)
                 union all
                 (select id, false, disabled_at
                  from users
                  where disabled_at is not null and (disabled_at, id) > ((select after from asked), (select id from asked))
                  order by disabled_at, id limit $4)
                 union all
                 (select id, false, deleted_at
                  from deleted_users
                  where (deleted_at, id) > ((select after from asked), (select id from asked))
                  order by deleted_at, id limit $4)
                 order by revoked_at, id limit $4
               )
               select asked.now, asked.is_reread, revoked.id, is_session, revoked_at
               from asked left join revoked on true
               order by revoked_at, revoked.id";
    let Range { after, retention, limit } = range;
    let reread_at = after.filter(Cursor::is_at_end).and_then(|cursor| cursor.reread_at);
    let parameters: [Parameter<'_>; 5] = [
        (&after.map(|cursor| cursor.place.at), Type::TIMESTAMPTZ),
        (&after.map_or(Uuid::nil(), |cursor| cursor.place.id), Type::UUID),
        (&retention.as_secs_f64(), Type::FLOAT8),
        (&limit, Type::INT8),
        (&reread_at, Type::TIMESTAMPTZ),
    ];
    let rows = query_all(client, sql, &parameters).await?;
    let first = rows.first().ok_or_else(|| Error::Bug("a list without a clock".into()))?;
    let (now, is_reread) = (first.try_get("now")?, first.try_get("is_reread")?);
    let revocations = rows.iter().filter_map(|row| revocation(row).transpose()).collect::<Result<_, _>>()?;
    Ok(Listed { revocations, now, is_reread })
}

fn revocation(row: &Row) -> Result<Option<Revocation>, Error> {
    let Some(id) = row.try_get("id")? else { return Ok(None) };
    let subject = if row.try_get("is_session")? { Subject::Session(id) } else { Subject::User(id) };
    Ok(Some(Revocation { subject, revoked_at: row.try_get("revoked_at")? }))
}
