//! Sessions as their user sees them.

use std::sync::LazyLock;

use tokio_postgres::Row;
use tokio_postgres::types::Type;
use uuid::Uuid;

use super::live::{ends_at, signed_in};
use crate::domain::access_token::Claims;
use crate::domain::session::{ListedSession, SessionPolicy};
use crate::domain::user::Role;
use crate::store::{Error, Parameter, Statements, query_all, query_opt, users};

/// The live sessions of a user and those that ended lately, `most_ended` of them at most, newest login first.
///
/// # Errors
/// [`Error`].
pub async fn list(
    client: &impl Statements,
    user_id: Uuid,
    policy: &SessionPolicy,
    most_ended: i64,
) -> Result<Vec<ListedSession>, Error> {
    static STATEMENT: LazyLock<String> = LazyLock::new(|| listing("true"));
    let parameters: [Parameter<'_>; 4] = [
        (&user_id, Type::UUID),
        (&policy.idle_ttl.as_secs_f64(), Type::FLOAT8),
        (&policy.kept_after_end.as_secs_f64(), Type::FLOAT8),
        (&most_ended, Type::INT8),
    ];
    query_all(client, &STATEMENT, &parameters).await?.iter().map(listed).collect()
}

/// The caller's sessions as [`list`] has them; none unless the session that asks is alive and its account open.
///
/// # Errors
/// [`Error`].
pub async fn list_own(
    client: &impl Statements,
    claims: &Claims,
    policy: &SessionPolicy,
    most_ended: i64,
) -> Result<Option<Vec<ListedSession>>, Error> {
    static STATEMENT: LazyLock<String> =
        LazyLock::new(|| listing(&format!("exists ({})", signed_in("$1", "$5", "$2"))));
    let parameters: [Parameter<'_>; 5] = [
        (&claims.sub, Type::UUID),
        (&policy.idle_ttl.as_secs_f64(), Type::FLOAT8),
        (&policy.kept_after_end.as_secs_f64(), Type::FLOAT8),
        (&most_ended, Type::INT8),
        (&claims.sid, Type::UUID),
    ];
    let rows = query_all(client, &STATEMENT, &parameters).await?;
    // The session that asks is itself in its list.
    if rows.is_empty() {
        return Ok(None);
    }
    rows.iter().map(listed).collect::<Result<_, _>>().map(Some)
}

/// The statement that lists sessions if `condition` holds.
fn listing(condition: &str) -> String {
    // Each half finds its rows by an index of its own, so that nobody waits for somebody's thousands.
    let ends_at = ends_at("sessions", "$2");
    format!(
        "with open as (
           select *, {ends_at} as ends_at from sessions where user_id = $1 and ended_at is null
         ), ended as (
           select *, {ends_at} as ends_at from sessions where user_id = $1 and ended_at is not null
           order by ended_at desc limit $4
         ), alive_or_over as (
           select *, case when ends_at <= clock_timestamp() then ends_at end as over_at,
                  case when ends_at <= clock_timestamp() then 'expired' end as over_by
           from open
           union all
           select *, ended_at, ended_by from ended
         ), ranked as (
           select *, row_number() over (partition by over_at is null order by over_at desc) as rank
           from alive_or_over
           where over_at is null or over_at > clock_timestamp() - $3 * interval '1 second'
         )
         select id, label, user_agent, ip_address, created_at, rotated_at, ends_at, over_at, over_by,
                ended_ip_address
         from ranked
         where (over_at is null or rank <= $4) and {condition}
         order by created_at desc, id desc"
    )
}

/// A page of what [`list`] gives: sessions whose ids are below `before`, at most `limit`, newest login first.
///
/// # Errors
/// [`Error`].
pub async fn list_page(
    client: &impl Statements,
    user_id: Uuid,
    policy: &SessionPolicy,
    before: Uuid,
    limit: i64,
) -> Result<Vec<ListedSession>, Error> {
    // Ids sort by the time of the login, and the primary key has them in that order.
    let sql = "with timed as (
                 select *, least(expires_at, rotated_at + $2 * interval '1 second') as ends_at
                 from sessions where user_id = $1 and id < $4
               ), alive_or_over as (
                 select *, coalesce(ended_at, case when ends_at <= clock_timestamp() then ends_at end) as over_at,
                        coalesce(ended_by, case when ends_at <= clock_timestamp() then 'expired' end) as over_by
                 from timed
               )
               select id, label, user_agent, ip_address, created_at, rotated_at, ends_at, over_at, over_by,
                      ended_ip_address
               from alive_or_over
               where over_at is null or over_at > clock_timestamp() - $3 * interval '1 second'
               order by id desc
               limit $5";
    let parameters: [Parameter<'_>; 5] = [
        (&user_id, Type::UUID),
        (&policy.idle_ttl.as_secs_f64(), Type::FLOAT8),
        (&policy.kept_after_end.as_secs_f64(), Type::FLOAT8),
        (&before, Type::UUID),
        (&limit, Type::INT8),
    ];
    query_all(client, sql, &parameters).await?.iter().map(listed).collect()
}

fn listed(row: &Row) -> Result<ListedSession, Error> {
    Ok(ListedSession {
        id: row.try_get("id")?,
        label: row.try_get("label")?,
        user_agent: row.try_get("user_agent")?,
        ip_address: row.try_get("ip_address")?,
        created_at: row.try_get("created_at")?,
        last_used_at: row.try_get("rotated_at")?,
        expires_at: row.try_get("ends_at")?,
        ended_at: row.try_get("over_at")?,
        ended_by: row.try_get("over_by")?,
        ended_ip_address: row.try_get("ended_ip_address")?,
    })
}

/// Whether a session is alive and its account open.
///
/// # Errors
/// [`Error`].
pub async fn is_live(client: &impl Statements, user_id: Uuid, id: Uuid, policy: &SessionPolicy) -> Result<bool, Error> {
    Ok(find_live_role(client, user_id, id, policy).await?.is_some())
}

/// What the owner of a session may do at this moment; none unless the session is alive and its account open.
///
/// # Errors
/// [`Error`].
pub async fn find_live_role(
    client: &impl Statements,
    user_id: Uuid,
    id: Uuid,
    policy: &SessionPolicy,
) -> Result<Option<Role>, Error> {
    static STATEMENT: LazyLock<String> = LazyLock::new(|| signed_in("$1", "$2", "$3"));
    let parameters: [Parameter<'_>; 3] =
        [(&user_id, Type::UUID), (&id, Type::UUID), (&policy.idle_ttl.as_secs_f64(), Type::FLOAT8)];
    query_opt(client, &STATEMENT, &parameters).await?.as_ref().map(users::role).transpose()
}

/// Some of the users who have sessions that nobody ended, in order of their ids, after that one.
///
/// # Errors
/// [`Error`].
pub async fn list_signed_in(client: &impl Statements, after: Uuid, limit: i64) -> Result<Vec<Uuid>, Error> {
    let sql = "select distinct user_id from sessions where ended_at is null and user_id > $1 order by user_id limit $2";
    let rows = query_all(client, sql, &[(&after, Type::UUID), (&limit, Type::INT8)]).await?;
    rows.iter().map(|row| Ok(row.try_get("user_id")?)).collect()
}
