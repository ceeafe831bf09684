//! The table `events`: appended to by the statement, or in the transaction, that does the thing, read by its owner, swept when old.

use std::sync::LazyLock;
use std::time::Duration;

use time::OffsetDateTime;
use tokio_postgres::Row;
use tokio_postgres::types::Type;
use uuid::Uuid;

use super::sessions::live::signed_in;
use super::{Error, Parameter, Statements, query_all, query_one, query_opt};
use crate::domain::access_token::Claims;
use crate::domain::event::{Event, RecordedEvent};
use crate::domain::place::Place;
use crate::domain::session::{Sender, SessionPolicy};

/// The beginning of the part of a statement that records what another part did.
///
/// It is given a time and an id, takes the user from a table of that user's rows, and ends in `returning true`: so Citus hands it
/// to the user's place, instead of having all places know what is recorded, or copying it, which row-level security refuses.
pub(super) const RECORD: &str = "insert into events \
    (user_id, occurred_at, id, session_id, kind, outcome, reason, ip_address, user_agent, request_id)";

/// As [`RECORD`], of what may have been done by another than the account's owner.
pub(super) const RECORD_BY: &str = "insert into events \
    (user_id, occurred_at, id, session_id, kind, outcome, reason, ip_address, user_agent, request_id, actor_id)";

/// Records an event. Where it tells of a change, this belongs in that change's transaction.
///
/// # Errors
/// [`Error`].
pub async fn insert(client: &impl Statements, event: &Event, sender: &Sender) -> Result<(), Error> {
    let sql =
        "insert into events (user_id, session_id, kind, outcome, reason, ip_address, user_agent, request_id, actor_id)
               values ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
    let parameters: [Parameter<'_>; 9] = [
        (&event.user_id.unwrap_or_default(), Type::UUID),
        (&event.session_id, Type::UUID),
        (&event.kind.as_str(), Type::TEXT),
        (&event.kind.outcome().as_str(), Type::TEXT),
        (&event.kind.reason(), Type::TEXT),
        (&sender.ip_address, Type::INET),
        (&sender.user_agent, Type::TEXT),
        (&sender.request_id, Type::TEXT),
        (&sender.actor_id, Type::UUID),
    ];
    query_opt(client, sql, &parameters).await.map(drop)
}

/// The newest events of a user, at most `limit`; with a place, those before it.
///
/// # Errors
/// [`Error`].
pub async fn list(
    client: &impl Statements,
    user_id: Uuid,
    before: Option<Place>,
    limit: i64,
) -> Result<Vec<RecordedEvent>, Error> {
    let (at, id) = bounds(before);
    let parameters: [Parameter<'_>; 4] =
        [(&user_id, Type::UUID), (&at, Type::TIMESTAMPTZ), (&id, Type::UUID), (&limit, Type::INT8)];
    query_all(client, LISTING, &parameters).await?.iter().map(recorded).collect()
}

/// The caller's events as [`list`] has them; none unless the session that asks is alive and its account open.
///
/// # Errors
/// [`Error`].
pub async fn list_own(
    client: &impl Statements,
    claims: &Claims,
    policy: &SessionPolicy,
    before: Option<Place>,
    limit: i64,
) -> Result<Option<Vec<RecordedEvent>>, Error> {
    // One row at least for a session that is alive, so that one without events is told from one that has ended.
    static STATEMENT: LazyLock<String> = LazyLock::new(|| {
        let signed_in = signed_in("$1", "$5", "$6");
        format!(
            "with listed as ({LISTING})
             select listed.* from ({signed_in}) caller left join listed on true
             order by listed.occurred_at desc, listed.id desc"
        )
    });
    let (at, id) = bounds(before);
    let parameters: [Parameter<'_>; 6] = [
        (&claims.sub, Type::UUID),
        (&at, Type::TIMESTAMPTZ),
        (&id, Type::UUID),
        (&limit, Type::INT8),
        (&claims.sid, Type::UUID),
        (&policy.idle_ttl.as_secs_f64(), Type::FLOAT8),
    ];
    let rows = query_all(client, &STATEMENT, &parameters).await?;
    let Some(first) = rows.first() else { return Ok(None) };
    if first.try_get::<_, Option<Uuid>>("id")?.is_none() {
        return Ok(Some(Vec::new()));
    }
    rows.iter().map(recorded).collect::<Result<_, _>>().map(Some)
}

const LISTING: &str = "select id, occurred_at, kind, outcome, reason, session_id, ip_address, user_agent, request_id,
                              actor_id
                       from events
                       where user_id = $1
                         and (occurred_at, id) < (coalesce($2, 'infinity'::timestamptz), $3)
                       order by occurred_at desc, id desc
                       limit $4";

/// The parameters of [`LISTING`] for what comes before a place.
fn bounds(before: Option<Place>) -> (Option<OffsetDateTime>, Uuid) {
    (before.map(|place| place.at), before.map_or(Uuid::nil(), |place| place.id))
}

fn recorded(row: &Row) -> Result<RecordedEvent, Error> {
    Ok(RecordedEvent {
        id: row.try_get("id")?,
        occurred_at: row.try_get("occurred_at")?,
        kind: row.try_get("kind")?,
        outcome: row.try_get("outcome")?,
        reason: row.try_get("reason")?,
        session_id: row.try_get("session_id")?,
        ip_address: row.try_get("ip_address")?,
        user_agent: row.try_get("user_agent")?,
        request_id: row.try_get("request_id")?,
        actor_id: row.try_get("actor_id")?,
    })
}

/// Removes some of the events that are older than `retention`, and says how many.
///
/// # Errors
/// [`Error`].
pub async fn sweep(client: &impl Statements, retention: Duration, limit: i64) -> Result<i64, Error> {
    // Rows are not locked first: a role that may only append could not do that.
    let sql = "with old as (
                 select user_id, occurred_at, id from events
                 where occurred_at < clock_timestamp() - $1 * interval '1 second'
                 order by occurred_at
                 limit $2
               ), gone as (
                 delete from events e using old
                 where e.user_id = old.user_id and e.occurred_at = old.occurred_at and e.id = old.id
                 returning 1
               )
               select count(*) as removed from gone";
    let parameters: [Parameter<'_>; 2] = [(&retention.as_secs_f64(), Type::FLOAT8), (&limit, Type::INT8)];
    Ok(query_one(client, sql, &parameters).await?.try_get("removed")?)
}
