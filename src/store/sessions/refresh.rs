//! A refresh token is presented: one statement decides what it is worth, acts, and records a replay.

use std::sync::LazyLock;

use tokio_postgres::Row;
use tokio_postgres::types::Type;

use crate::domain::refresh_token::{RefreshToken, SecretHash, Successors};
use crate::domain::session::{EndedBy, Ending, LiveSession, Sender, SessionPolicy};
use crate::store::events::RECORD;
use crate::store::mails::within_reason;
use crate::store::{Error, Statements, query_opt, turns, users};

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

// `now` is read after the lock was granted, once, so that every comparison and every column agree. Each part that reads or
// writes a table names the user by $1, and so goes to one place where tables are distributed.
static STATEMENT: LazyLock<String> = LazyLock::new(|| statement("null::jsonb"));
static STATEMENT_WITH_PROFILE: LazyLock<String> = LazyLock::new(|| statement("u.profile"));

fn statement(profile: &str) -> String {
    let within_reason = within_reason("$1");
    format!(
        "with current as (
          select s.user_id, s.id, s.generation, s.secret_hash, s.rotated_at, s.rotation_key, s.created_at,
                 s.expires_at, s.ended_at, s.ended_by, coalesce(s.label, s.user_agent) as device, u.email, u.role, u.disabled_at,
                 u.email_verified_at is not null as verified, {profile} as profile,
                 case when s.generation > $3 then {within_reason} end as may_be_told
          from sessions s join users u on u.id = s.user_id
          where s.user_id = $1 and s.id = $2
          for update of s
        ), timed as (
          select current.*, clock_timestamp() as now, gen_random_uuid() as event_id from current
        ), decided as (
          select timed.*, case
            when ended_by = 'expired'                            then 'expired'
            when ended_at is not null                            then 'ended'
            when disabled_at is not null                         then 'disabled'
            when now >= expires_at
              or now >= rotated_at + $8 * interval '1 second'    then 'expired'
            when generation = $3 and secret_hash = $4            then 'rotate'
            when generation = $3 + 1 and secret_hash = any($6)
              and (now < rotated_at + $9 * interval '1 second'
                   or rotation_key = $7)                         then 'repeat'
            when generation > $3                                 then 'replay'
            else                                                      'unknown'
          end as verdict
          from timed
        ), acted as (
          update sessions t set
            generation       = t.generation + (d.verdict = 'rotate')::int,
            secret_hash      = case d.verdict when 'rotate' then $5 else t.secret_hash end,
            rotated_at       = case d.verdict when 'rotate' then d.now else t.rotated_at end,
            rotation_key     = case d.verdict when 'rotate' then $7 else t.rotation_key end,
            user_agent       = case d.verdict when 'rotate' then coalesce($10, t.user_agent) else t.user_agent end,
            ip_address       = case d.verdict when 'rotate' then coalesce($11, t.ip_address) else t.ip_address end,
            ended_at         = case d.verdict when 'replay' then d.now end,
            ended_by         = case d.verdict when 'replay' then 'replayed' end,
            ended_ip_address = case d.verdict when 'replay' then $11 end
          from decided d
          where t.user_id = $1 and t.id = $2 and d.verdict in ('rotate', 'replay')
        ), recorded as (
          {RECORD}
          select t.user_id, d.now, d.event_id, d.id, 'refresh_token_replayed', 'failure', 'replayed', $11, $10, $12
          from decided d join sessions t on t.user_id = $1 and t.id = d.id where d.verdict = 'replay'
          returning true
        ), mailed as (
          insert into mails (id, kind, recipient, user_id, details)
          select gen_random_uuid(), 'session_replayed', email, user_id,
                 jsonb_strip_nulls(jsonb_build_object('ip_address', host($11), 'device', device))
          from decided where verdict = 'replay' and $13 and verified and may_be_told
        )
        select verdict, user_id, id, email, role, profile, created_at, secret_hash, now,
               least(expires_at, case verdict when 'rotate' then now else rotated_at end
                                 + $8 * interval '1 second')                                as ends_at,
               case verdict when 'replay' then 'replayed' when 'disabled' then 'disabled'
                            else ended_by end                                              as ended_by,
               case verdict when 'replay' then now when 'disabled' then disabled_at
                            else ended_at end                                              as ended_at
        from decided"
    )
}

/// Decides what a presented token is worth, and acts on it, in one statement and one round trip. Only that there is no such
/// session is made sure of by a second one.
///
/// The row lock makes simultaneous uses take turns; who waited sees what the winner wrote. It also makes every answer wait for
/// the synchronous standby, if there is one.
///
/// # Errors
/// [`Error`]; whether the rotation took place is then unknown, and a retry within the grace window finds out.
pub async fn refresh(
    client: &impl Statements,
    presented: &Presented<'_>,
    policy: &SessionPolicy,
) -> Result<Refreshed, Error> {
    let newest = presented.successors.newest().hash();
    let row = query_opt(
        client,
        if presented.with_profile { &STATEMENT_WITH_PROFILE } else { &STATEMENT },
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

fn live(row: &Row) -> Result<LiveSession, Error> {
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
