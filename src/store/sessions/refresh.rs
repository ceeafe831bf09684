//! Refreshes: one statement decides what a presented token is worth, acts, and records a replay. Concurrent refreshes of a session
//! run one after another, those of different sessions in batches.

use std::sync::Arc;
use std::time::Instant;

use tokio_postgres::Row;
use tokio_postgres::types::Type;
use uuid::Uuid;

use super::refresh_batch::{BatchedRefresh, refresh_batch};
use crate::domain::refresh_token::{RefreshToken, SecretHash, Successors};
use crate::domain::session::{EndedBy, Ending, LiveSession, Sender, SessionPolicy};
use crate::store::batch::Batcher;
use crate::store::single_flight::SingleFlight;
use crate::store::{Connection, Error, Statements, Store, query_opt, users};
use crate::telemetry::chain;

/// A genuine refresh token as a client presents it.
#[derive(Debug)]
pub struct Presented<'a> {
    /// The token.
    pub token: &'a RefreshToken,
    /// Its possible successors; a rotation issues the newest.
    pub successors: &'a Successors,
    /// SHA-256 of the request's `Idempotency-Key`.
    pub rotation_key: Option<SecretHash>,
    /// The request.
    pub sender: &'a Sender,
    /// Whether a replay mails the account's owner.
    pub mails: bool,
    /// Whether the outcome includes the user's profile.
    pub with_profile: bool,
}

/// The outcome of a presented token. It is committed, whatever it is.
#[derive(Debug, Clone)]
pub enum Refreshed {
    /// The token was current; its newest successor is now.
    Rotated(LiveSession),
    /// A rotation issued the token inside the grace window. It stays current.
    Unchanged(LiveSession),
    /// The token is the parent and may be repeated; the hash is that of its successor.
    Repeated(LiveSession, SecretHash),
    /// The token was rotated before and may not be repeated: its session has just been ended.
    Replayed(Ending),
    /// The session had been ended before.
    Ended(Ending),
    /// The session is past its idle or absolute end.
    Expired,
    /// The token is newer than its session's row: the database was restored, or failed over without synchronous replication.
    Ahead,
    /// No session has such a token.
    Unknown,
}

impl Refreshed {
    /// All values of [`Refreshed::verdict`].
    pub const VERDICTS: [&str; 8] = ["rotate", "unchanged", "repeat", "replay", "ended", "expired", "ahead", "unknown"];

    /// The verdict's name in metrics.
    #[must_use]
    pub fn verdict(&self) -> &'static str {
        match self {
            Self::Rotated(_) => "rotate",
            Self::Unchanged(_) => "unchanged",
            Self::Repeated(..) => "repeat",
            Self::Replayed(_) => "replay",
            Self::Ended(_) => "ended",
            Self::Expired => "expired",
            Self::Ahead => "ahead",
            Self::Unknown => "unknown",
        }
    }

    /// The outcome of an equal request directly after this one; none if the database has to decide.
    fn repeated(&self, presented: &Presented<'_>, policy: &SessionPolicy) -> Option<Self> {
        match self {
            Self::Rotated(session) => {
                let may_repeat = !policy.grace.is_zero() || presented.rotation_key.is_some();
                may_repeat.then(|| Self::Repeated(session.clone(), presented.successors.newest().hash()))
            }
            Self::Replayed(ending) => Some(Self::Ended(*ending)),
            Self::Unchanged(_) | Self::Repeated(..) | Self::Ended(_) | Self::Expired | Self::Ahead | Self::Unknown => {
                Some(self.clone())
            }
        }
    }
}

/// What makes two requests of one session equal: generation, secret and `Idempotency-Key`.
type Identity = (u32, SecretHash, Option<SecretHash>);

/// The refreshes in flight on one worker.
#[derive(Default)]
pub(in crate::store) struct Refreshes {
    by_session: Arc<SingleFlight<Uuid, Identity, Result<Refreshed, Error>>>,
    batcher: Batcher<BatchedRefresh, Refreshed>,
}

/// Decides a presented token's verdict and acts on it, in one statement and one round trip. Only a row that another transaction has
/// locked takes a second statement.
///
/// # Errors
/// [`Error`]; whether the rotation took place is then unknown, and a retry within the grace window finds out.
pub async fn refresh(store: &Store, presented: &Presented<'_>, policy: &SessionPolicy) -> Result<Refreshed, Error> {
    let deadline = store.deadline();
    let single = async |client: &mut Connection| {
        let refreshed = refresh_one(client, presented, policy, true).await?;
        refreshed.ok_or_else(|| Error::unknown_value("verdict", "locked"))
    };
    let batch = async |client: &Connection, batch: &[BatchedRefresh]| {
        if let [_this] = batch {
            return Ok(vec![refresh_one(client, presented, policy, false).await?.map(Ok)]);
        }
        refresh_batch(client, batch, policy, presented.with_profile).await
    };
    let work = async || {
        let refreshes = &store.batchers.refreshes;
        store.batched(&refreshes.batcher, deadline, BatchedRefresh::of(presented), single, batch).await
    };
    let follow = |outcome: &Result<Refreshed, Error>| match outcome {
        Ok(refreshed) => refreshed.repeated(presented, policy).map(Ok),
        Err(error @ Error::Unavailable(_)) => Some(Err(Error::unavailable(chain(error)))),
        Err(_other) => None,
    };
    let identity = (presented.token.generation, presented.token.hash(), presented.rotation_key);
    let call = (presented.token.session_id, identity);
    let limit = deadline.saturating_duration_since(Instant::now());
    let refreshed = store.batchers.refreshes.by_session.run(call, limit, work, follow).await;
    refreshed.unwrap_or_else(|| Err(Error::unavailable("other refreshes of the session took too long")))
}

// The function is in migrations/V0010__refresh_at_most_once_per_grace_window.sql.
const STATEMENT: &str = "select * from refresh_one($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)";

/// The outcome of one token; none if its row is locked and this may not wait.
///
/// Every verdict but `unchanged` locks the session's row. That lock makes a commit, which waits for the synchronous standby: a primary
/// that has been replaced cannot answer from its outdated rows.
async fn refresh_one(
    client: &impl Statements,
    presented: &Presented<'_>,
    policy: &SessionPolicy,
    may_wait: bool,
) -> Result<Option<Refreshed>, Error> {
    let successor = presented.successors.newest().hash();
    let row = query_opt(
        client,
        STATEMENT,
        &[
            (&presented.token.user_id, Type::UUID),
            (&presented.token.session_id, Type::UUID),
            (&i64::from(presented.token.generation), Type::INT8),
            (&presented.token.hash().0.as_slice(), Type::BYTEA),
            (&successor.0.as_slice(), Type::BYTEA),
            (&presented.successors.hashes(), Type::BYTEA_ARRAY),
            (&presented.rotation_key.map(|hash| hash.0.to_vec()), Type::BYTEA),
            (&policy.idle_ttl.as_secs_f64(), Type::FLOAT8),
            (&policy.grace.as_secs_f64(), Type::FLOAT8),
            (&presented.sender.user_agent, Type::TEXT),
            (&presented.sender.ip_address, Type::INET),
            (&presented.sender.request_id, Type::TEXT),
            (&presented.mails, Type::BOOL),
            (&presented.with_profile, Type::BOOL),
            (&may_wait, Type::BOOL),
        ],
    )
    .await?;
    // The function locks a row of another table where there is no session, for the same reason.
    row.map_or(Ok(Some(Refreshed::Unknown)), |row| refreshed(&row))
}

fn refreshed(row: &Row) -> Result<Option<Refreshed>, Error> {
    let verdict: &str = row.try_get("verdict")?;
    Ok(Some(match verdict {
        "rotate" => Refreshed::Rotated(live(row)?),
        "unchanged" => Refreshed::Unchanged(live(row)?),
        "repeat" => {
            let hash: &[u8] = row.try_get("secret_hash")?;
            let hash = hash.try_into().map_err(|_length| Error::unknown_value("secret_hash", "another length"))?;
            Refreshed::Repeated(live(row)?, SecretHash(hash))
        }
        "replay" => Refreshed::Replayed(ending(row)?),
        "ended" | "disabled" => Refreshed::Ended(ending(row)?),
        "expired" => Refreshed::Expired,
        "ahead" => Refreshed::Ahead,
        "unknown" => Refreshed::Unknown,
        "locked" => return Ok(None),
        other => return Err(Error::unknown_value("verdict", other)),
    }))
}

pub(super) fn live(row: &Row) -> Result<LiveSession, Error> {
    Ok(LiveSession {
        id: row.try_get("id")?,
        user_id: row.try_get("user_id")?,
        email: row.try_get("email")?,
        role: users::role(row)?,
        created_at: row.try_get("created_at")?,
        ends_at: row.try_get("ends_at")?,
        now: row.try_get("now")?,
        profile: row.try_get("profile")?,
    })
}

fn ending(row: &Row) -> Result<Ending, Error> {
    let name: &str = row.try_get("ended_by")?;
    let ended_by = EndedBy::from_name(name).ok_or_else(|| Error::unknown_value("ended_by", name))?;
    Ok(Ending { ended_by, ended_at: row.try_get("ended_at")? })
}
