//! A refresh token is presented: one statement decides what it is worth, acts, and records a replay. Of several that are presented
//! at the same time, one statement rotates those that can be.

use tokio_postgres::Row;
use tokio_postgres::types::Type;

use super::rotations::{Rotation, rotate};
use crate::domain::refresh_token::{RefreshToken, SecretHash, Successors};
use crate::domain::session::{EndedBy, Ending, LiveSession, Sender, SessionPolicy};
use crate::store::{Connection, Error, Statements, Store, query_opt, turns, users};

/// A genuine refresh token as a client presents it.
#[derive(Debug)]
pub struct Presented<'a> {
    /// The token.
    pub token: &'a RefreshToken,
    /// What may follow it; the first is issued by a rotation.
    pub successors: &'a Successors,
    /// SHA-256 of the request's `Idempotency-Key`.
    pub rotation_key: Option<SecretHash>,
    /// Where it comes from.
    pub sender: &'a Sender,
    /// Whether a replay is told to the account's owner by mail.
    pub mails: bool,
    /// Whether the session's user is to come with the profile.
    pub with_profile: bool,
}

/// What became of a presented token. Whatever it is, it is committed.
#[derive(Debug)]
pub enum Refreshed {
    /// It was current; its newest successor is now.
    Rotated(LiveSession),
    /// It was rotated before and may be repeated; the hash is that of the successor then issued.
    Repeated(LiveSession, SecretHash),
    /// It was rotated before and may not be repeated: its session has been ended just now.
    Replayed(Ending),
    /// Its session had been ended before.
    Ended(Ending),
    /// Its session is past its idle or absolute end.
    Expired,
    /// No session has such a token: its user is gone, or the database is older than the token.
    Unknown,
}

impl Refreshed {
    /// All that [`Refreshed::verdict`] says.
    pub const VERDICTS: [&str; 6] = ["rotate", "repeat", "replay", "ended", "expired", "unknown"];

    /// In one word, as figures have it.
    #[must_use]
    pub fn verdict(&self) -> &'static str {
        match self {
            Self::Rotated(_) => "rotate",
            Self::Repeated(..) => "repeat",
            Self::Replayed(_) => "replay",
            Self::Ended(_) => "ended",
            Self::Expired => "expired",
            Self::Unknown => "unknown",
        }
    }
}

// What it does is in migrations/V0009__refresh.sql.
const STATEMENT: &str = "select * from refresh_session($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)";

/// Decides what a presented token is worth, and acts on it, in one statement and one round trip. Only that there is no such
/// session is made sure of by a second one. Those that come while others are at it are rotated together, where they can be.
///
/// # Errors
/// [`Error`]; whether the rotation took place is then unknown, and a retry within the grace window finds out.
pub async fn refresh(store: &Store, presented: &Presented<'_>, policy: &SessionPolicy) -> Result<Refreshed, Error> {
    let alone = async |client: &mut Connection| decide(client, presented, policy).await;
    let all = async |client: &Connection, rotations: &[Rotation]| {
        let rotated = rotate(client, rotations, policy, presented.with_profile).await?;
        Ok(rotated.into_iter().map(|session| Some(session?.map(Refreshed::Rotated))).collect())
    };
    store.together(&store.meetings.refreshing, Rotation::of(presented), alone, all).await
}

/// The row lock makes simultaneous uses take turns; who waited sees what the winner wrote. It also makes every answer wait for
/// the synchronous standby, if there is one.
async fn decide(
    client: &impl Statements,
    presented: &Presented<'_>,
    policy: &SessionPolicy,
) -> Result<Refreshed, Error> {
    let newest = presented.successors.newest().hash();
    let row = query_opt(
        client,
        STATEMENT,
        &[
            (&presented.token.user_id, Type::UUID),
            (&presented.token.session_id, Type::UUID),
            (&i64::from(presented.token.generation), Type::INT8),
            (&presented.token.hash().0.as_slice(), Type::BYTEA),
            (&newest.0.as_slice(), Type::BYTEA),
            (&presented.successors.hashes(), Type::BYTEA_ARRAY),
            (&presented.rotation_key.map(|hash| hash.0.to_vec()), Type::BYTEA),
            (&policy.idle_ttl.as_secs_f64(), Type::FLOAT8),
            (&policy.grace.as_secs_f64(), Type::FLOAT8),
            (&presented.sender.user_agent, Type::TEXT),
            (&presented.sender.ip_address, Type::INET),
            (&presented.sender.request_id, Type::TEXT),
            (&presented.mails, Type::BOOL),
            (&presented.with_profile, Type::BOOL),
        ],
    )
    .await?;
    let Some(row) = row else {
        turns::attest(client).await?;
        return Ok(Refreshed::Unknown);
    };
    refreshed(&row)
}

fn refreshed(row: &Row) -> Result<Refreshed, Error> {
    let verdict: &str = row.try_get("verdict")?;
    match verdict {
        "rotate" => Ok(Refreshed::Rotated(live(row)?)),
        "repeat" => {
            let hash: &[u8] = row.try_get("secret_hash")?;
            let hash = hash.try_into().map_err(|_length| Error::unknown_value("secret_hash", "another length"))?;
            Ok(Refreshed::Repeated(live(row)?, SecretHash(hash)))
        }
        "replay" => Ok(Refreshed::Replayed(ending(row)?)),
        "ended" | "disabled" => Ok(Refreshed::Ended(ending(row)?)),
        "expired" => Ok(Refreshed::Expired),
        "unknown" => Ok(Refreshed::Unknown),
        other => Err(Error::unknown_value("verdict", other)),
    }
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
