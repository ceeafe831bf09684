//! Sessions end before their time, say why, and leave an event each.

use tokio_postgres::Row;
use tokio_postgres::types::Type;
use uuid::Uuid;

use super::live::{ends_at, is_live};
use crate::domain::refresh_token::RefreshToken;
use crate::domain::session::{EndedBy, Sender, SessionPolicy};
use crate::store::events::RECORD_BY;
use crate::store::{Error, Parameter, Statements, Transaction, query_all, query_one, turns};

/// Why sessions of a user end, and for whom.
#[derive(Debug, Clone, Copy)]
pub struct Ending<'a> {
    /// Whose they are.
    pub user_id: Uuid,
    /// Why.
    pub ended_by: EndedBy,
    /// Where the request came from; nowhere if an operator asked.
    pub sender: &'a Sender,
}

/// Ends the session of a genuine token, current or older, as its user asked; says whether it was this that ended it.
///
/// An older token is enough: whoever lost the answer to the last refresh must be able to sign out.
///
/// # Errors
/// [`Error`].
pub async fn end_by_token(
    client: &impl Statements,
    token: &RefreshToken,
    sender: &Sender,
    policy: &SessionPolicy,
) -> Result<bool, Error> {
    let is_of_token = is_of_token("$8", "$9", "$10");
    let doomed = format!("select id, $2 as ended_by from sessions where user_id = $1 and {is_of_token}");
    let ending = Ending { user_id: token.user_id, ended_by: EndedBy::Logout, sender };
    let hash = token.hash();
    let which: [Parameter<'_>; 3] = [
        (&token.session_id, Type::UUID),
        (&i64::from(token.generation), Type::INT8),
        (&hash.0.as_slice(), Type::BYTEA),
    ];
    is_ended(client, &end_doomed(client, &doomed, &which, ending, policy).await?).await
}

/// Whether a session is that of a genuine token: of its current one, or of one before.
fn is_of_token(id: &str, generation: &str, hash: &str) -> String {
    format!("(id = {id} and (generation > {generation} or (generation = {generation} and secret_hash = {hash})))")
}

/// Ends one session; says whether it was this that ended it.
///
/// # Errors
/// [`Error`].
pub async fn end(
    client: &impl Statements,
    id: Uuid,
    ending: Ending<'_>,
    policy: &SessionPolicy,
) -> Result<bool, Error> {
    let doomed = "select id, $2 as ended_by from sessions where user_id = $1 and id = $8";
    is_ended(client, &end_doomed(client, doomed, &[(&id, Type::UUID)], ending, policy).await?).await
}

/// Whether something ended. That there was nothing to end is made sure of, before anybody is told that it has ended.
async fn is_ended(client: &impl Statements, ended: &[(Uuid, EndedBy)]) -> Result<bool, Error> {
    if ended.is_empty() {
        turns::confirm_primary(client).await?;
    }
    Ok(!ended.is_empty())
}

/// Whether a user has, or lately had, a session.
///
/// # Errors
/// [`Error`].
pub async fn is_known(client: &impl Statements, user_id: Uuid, id: Uuid) -> Result<bool, Error> {
    let sql = "select exists (select from sessions where user_id = $1 and id = $2) as known";
    Ok(query_one(client, sql, &[(&user_id, Type::UUID), (&id, Type::UUID)]).await?.try_get("known")?)
}

/// Ends all sessions of a user but one, and says which.
///
/// # Errors
/// [`Error`].
pub async fn end_all(
    transaction: &Transaction<'_>,
    kept: Option<Uuid>,
    ending: Ending<'_>,
    policy: &SessionPolicy,
) -> Result<Vec<Uuid>, Error> {
    let doomed =
        "select id, $2 as ended_by from sessions where user_id = $1 and id is distinct from $8 and ended_at is null";
    let ended = end_doomed(transaction, doomed, &[(&kept, Type::UUID)], ending, policy).await?;
    Ok(ended.into_iter().map(|(id, _)| id).collect())
}

/// Ends the sessions that a new one displaces, and returns them with their reasons. The session of the token that the device
/// presented is `replaced`; of the others the longest idle are `evicted`, until the policy's maximum is left.
///
/// Belongs in the transaction that started the new one: that holds the user's row, so logins at the same moment take turns
/// here, and each sees the sessions of those before it.
///
/// # Errors
/// [`Error`].
pub async fn displace(
    transaction: &Transaction<'_>,
    started: Uuid,
    presented: Option<&RefreshToken>,
    ending: Ending<'_>,
    policy: &SessionPolicy,
) -> Result<Vec<(Uuid, EndedBy)>, Error> {
    let (is_live, is_presented) = (is_live("sessions", "$6"), is_of_token("$9", "$10", "$11"));
    let doomed = format!(
        "select id, $12 as ended_by from sessions where user_id = $1 and ended_at is null and {is_presented}
         union all
         (select id, $2 from sessions
          where user_id = $1 and id <> $8 and {is_live} and {is_presented} is not true
          order by rotated_at desc, id desc
          offset $13)"
    );
    let presented = presented.filter(|token| token.user_id == ending.user_id);
    let id = presented.map(|token| token.session_id);
    let generation = presented.map(|token| i64::from(token.generation));
    let hash = presented.map(|token| token.hash().0.to_vec());
    let which: [Parameter<'_>; 6] = [
        (&started, Type::UUID),
        (&id, Type::UUID),
        (&generation, Type::INT8),
        (&hash, Type::BYTEA),
        (&EndedBy::Replaced.as_str(), Type::TEXT),
        (&(i64::from(policy.max_per_user) - 1), Type::INT8),
    ];
    end_doomed(transaction, &doomed, &which, ending, policy).await
}

/// Ends the sessions that `doomed` selects with a reason each, with $1 for the user, $2 for the reason of `ending` and `which`
/// from $8 on; says which were alive until now.
///
/// One that had expired gets that for its end: it must not come back when somebody raises the time to live. Where an
/// administrator ended it from is not its owner's to see.
async fn end_doomed(
    client: &impl Statements,
    doomed: &str,
    which: &[Parameter<'_>],
    ending: Ending<'_>,
    policy: &SessionPolicy,
) -> Result<Vec<(Uuid, EndedBy)>, Error> {
    // Locked in order, so that two of these at once cannot wait for each other. An array, and no `in`: Citus 13.2 confuses the
    // formats of its intermediate results where rows are locked that a subquery is joined with.
    let ends_at = ends_at("s", "$6");
    let sql = format!(
        "with doomed as ({doomed}),
         locked as (
           select s.id, {ends_at} as expired_at
           from sessions s
           where s.user_id = $1 and s.id = any (array(select id from doomed)) and s.ended_at is null
           order by s.id
           for update
         ), timed as (
           select locked.*, (select d.ended_by from doomed d where d.id = locked.id) as ended_by,
                  clock_timestamp() as now, gen_random_uuid() as event_id
           from locked
         ), ended as (
           update sessions s set
             ended_at         = least(t.now, t.expired_at),
             ended_by         = case when t.now < t.expired_at then t.ended_by else 'expired' end,
             ended_ip_address = case when t.now < t.expired_at and $7 is null then $3 end
           from timed t
           where s.user_id = $1 and s.id = t.id
           returning s.user_id, s.id, s.ended_by, t.now, t.event_id, t.now < t.expired_at as was_alive
         ), recorded as (
           {RECORD_BY}
           select u.id, e.now, e.event_id, e.id, 'session_ended', 'success', e.ended_by, $3, $4, $5, $7
           from ended e join users u on u.id = $1 and u.id = e.user_id where e.was_alive
           returning true
         )
         select id, ended_by from ended where was_alive"
    );
    let mut parameters: Vec<Parameter<'_>> = Vec::with_capacity(7 + which.len());
    let ended_by = ending.ended_by.as_str();
    let idle_ttl = policy.idle_ttl.as_secs_f64();
    parameters.extend_from_slice(&[
        (&ending.user_id, Type::UUID),
        (&ended_by, Type::TEXT),
        (&ending.sender.ip_address, Type::INET),
        (&ending.sender.user_agent, Type::TEXT),
        (&ending.sender.request_id, Type::TEXT),
        (&idle_ttl, Type::FLOAT8),
        (&ending.sender.actor_id, Type::UUID),
    ]);
    parameters.extend_from_slice(which);
    query_all(client, &sql, &parameters).await?.iter().map(ended).collect()
}

fn ended(row: &Row) -> Result<(Uuid, EndedBy), Error> {
    let name: &str = row.try_get("ended_by")?;
    let ended_by = EndedBy::from_name(name).ok_or_else(|| Error::unknown_value("ended_by", name))?;
    Ok((row.try_get("id")?, ended_by))
}
