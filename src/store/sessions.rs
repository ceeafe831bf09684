//! The table `sessions`: starting, rotating and ending them.
//!
//! docs/token-lifecycle.md explains the statements; docs/adr/0003-rotation-in-one-statement.md why they are as they are.

use std::time::Duration;

use deadpool_postgres::{GenericClient, Transaction};
use tokio_postgres::Row;
use tokio_postgres::types::Type;
use uuid::Uuid;

use super::users::{self, Credentials};
use super::{Error, Parameter, query_one, query_opt};
use crate::domain::email::Email;
use crate::domain::password::PasswordHash;
use crate::domain::refresh_token::{RefreshToken, SecretHash, Successors};
use crate::domain::session::{Device, EndedBy, Ending, LiveSession, SessionPolicy};
use crate::domain::user::{Line, Profile, User};

/// A session about to start.
#[derive(Debug)]
pub struct NewSession<'a> {
    /// Its id.
    pub id: Uuid,
    /// Of its first token.
    pub secret_hash: SecretHash,
    /// Where the login comes from.
    pub device: &'a Device,
    /// The device's name.
    pub label: Option<&'a Line>,
}

/// A user about to exist.
#[derive(Debug)]
pub struct NewUser<'a> {
    /// Its id.
    pub id: Uuid,
    /// Its address.
    pub email: &'a Email,
    /// Of its password.
    pub password_hash: &'a PasswordHash,
    /// What to call the person.
    pub full_name: Option<&'a Line>,
    /// The application's own fields.
    pub profile: Profile,
}

/// Makes a user and its first session in one statement; none if the address is taken.
///
/// # Errors
/// [`Error`].
pub async fn insert_with_user(
    client: &impl GenericClient,
    user: NewUser<'_>,
    session: &NewSession<'_>,
    policy: &SessionPolicy,
) -> Result<Option<(User, LiveSession)>, Error> {
    let sign_in = "insert into users (id, email, password_hash, full_name, profile, last_login_at)
                   values ($7, $8, $9, $10, $11, clock_timestamp())
                   on conflict (email) do nothing
                   returning *";
    let parameters: [Parameter<'_>; 5] = [
        (&user.id, Type::UUID),
        (&user.email.as_str(), Type::TEXT),
        (&user.password_hash.as_stored(), Type::TEXT),
        (&user.full_name.map(Line::as_str), Type::TEXT),
        (&user.profile.into_json(), Type::JSONB),
    ];
    start(client, sign_in, &parameters, session, policy).await
}

/// Starts a session for a user whose password was just verified; none if the password changed, or the account was
/// disabled or deleted, while the slow verification ran.
///
/// The update locks the user's row and looks at its newest version, so a password change is either seen here or sees
/// this session and ends it.
///
/// # Errors
/// [`Error`].
pub async fn insert(
    client: &impl GenericClient,
    verified: &Credentials,
    rehashed: Option<&PasswordHash>,
    session: &NewSession<'_>,
    policy: &SessionPolicy,
) -> Result<Option<(User, LiveSession)>, Error> {
    let sign_in = "update users
                   set last_login_at = clock_timestamp(), password_hash = coalesce($9, password_hash)
                   where id = $7 and password_hash = $8 and disabled_at is null
                   returning *";
    let parameters: [Parameter<'_>; 3] = [
        (&verified.user_id, Type::UUID),
        (&verified.password_hash.as_stored(), Type::TEXT),
        (&rehashed.map(PasswordHash::as_stored), Type::TEXT),
    ];
    start(client, sign_in, &parameters, session, policy).await
}

/// One statement that signs a user in, by `sign_in` with its parameters from $7 on, and starts the session.
async fn start(
    client: &impl GenericClient,
    sign_in: &str,
    sign_in_parameters: &[Parameter<'_>],
    session: &NewSession<'_>,
    policy: &SessionPolicy,
) -> Result<Option<(User, LiveSession)>, Error> {
    let sql = format!(
        "with signed_in as ({sign_in}),
         started as (
           insert into sessions (user_id, id, secret_hash, rotated_at, created_at, expires_at, user_agent, ip_address,
                                 label)
           select id, $1, $2, last_login_at, last_login_at, last_login_at + $3 * interval '1 second', $4, $5, $6
           from signed_in
           returning expires_at, created_at as started_at
         )
         select * from signed_in, started"
    );
    let absolute_ttl = policy.absolute_ttl.as_secs_f64();
    let secret_hash = session.secret_hash.0.as_slice();
    let label = session.label.map(Line::as_str);
    let mut parameters: Vec<Parameter<'_>> = vec![
        (&session.id, Type::UUID),
        (&secret_hash, Type::BYTEA),
        (&absolute_ttl, Type::FLOAT8),
        (&session.device.user_agent, Type::TEXT),
        (&session.device.ip_address, Type::INET),
        (&label, Type::TEXT),
    ];
    parameters.extend_from_slice(sign_in_parameters);
    let row = query_opt(client, &sql, &parameters).await?;
    row.map(|row| started(&row, session.id, policy)).transpose()
}

fn started(row: &Row, id: Uuid, policy: &SessionPolicy) -> Result<(User, LiveSession), Error> {
    let user = users::from_row(row)?;
    let now: time::OffsetDateTime = row.try_get("started_at")?;
    let expires_at: time::OffsetDateTime = row.try_get("expires_at")?;
    let session = LiveSession {
        id,
        user_id: user.id,
        email: user.email.clone(),
        role: user.role,
        created_at: now,
        ends_at: expires_at.min(now + policy.idle_ttl),
        now,
    };
    Ok((user, session))
}

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
    pub device: &'a Device,
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

/// Decides what a presented token is worth, and acts on it, in one statement and one round trip.
///
/// The row lock makes simultaneous uses take turns; who waited sees what the winner wrote.
///
/// # Errors
/// [`Error`]; whether the rotation took place is then unknown, and a retry within the grace window finds out.
pub async fn refresh(
    client: &impl GenericClient,
    presented: &Presented<'_>,
    policy: &SessionPolicy,
) -> Result<Refreshed, Error> {
    // `now` is read after the lock was granted, once, so that every comparison and every column agree.
    let sql = "with current as (
                 select s.user_id, s.id, s.generation, s.secret_hash, s.rotated_at, s.rotation_key, s.created_at,
                        s.expires_at, s.ended_at, s.ended_by, u.email, u.role, u.disabled_at
                 from sessions s join users u on u.id = s.user_id
                 where s.user_id = $1 and s.id = $2
                 for update of s
               ), timed as (
                 select current.*, clock_timestamp() as now from current
               ), decided as (
                 select timed.*, case
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
                 where t.user_id = d.user_id and t.id = d.id and d.verdict in ('rotate', 'replay')
               )
               select verdict, user_id, id, email, role, created_at, secret_hash, now,
                      least(expires_at, case verdict when 'rotate' then now else rotated_at end
                                        + $8 * interval '1 second')                                as ends_at,
                      case verdict when 'replay' then 'replayed' when 'disabled' then 'disabled'
                                   else ended_by end                                              as ended_by,
                      case verdict when 'replay' then now when 'disabled' then disabled_at
                                   else ended_at end                                              as ended_at
               from decided";
    let newest = presented.successors.newest().map(|token| token.hash().0.to_vec());
    let row = query_opt(
        client,
        sql,
        &[
            (&presented.token.user_id, Type::UUID),
            (&presented.token.session_id, Type::UUID),
            (&i64::from(presented.token.generation), Type::INT8),
            (&presented.token.hash().0.as_slice(), Type::BYTEA),
            (&newest, Type::BYTEA),
            (&presented.successors.hashes(), Type::BYTEA_ARRAY),
            (&presented.rotation_key.map(|hash| hash.0.to_vec()), Type::BYTEA),
            (&policy.idle_ttl.as_secs_f64(), Type::FLOAT8),
            (&policy.grace.as_secs_f64(), Type::FLOAT8),
            (&presented.device.user_agent, Type::TEXT),
            (&presented.device.ip_address, Type::INET),
        ],
    )
    .await?;
    row.map_or(Ok(Refreshed::Unknown), |row| refreshed(&row))
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
    })
}

fn ending(row: &Row) -> Result<Ending, Error> {
    let name: &str = row.try_get("ended_by")?;
    let ended_by = EndedBy::from_name(name).ok_or_else(|| Error::unknown_value("ended_by", name))?;
    Ok(Ending { ended_by, ended_at: row.try_get("ended_at")? })
}

/// Ends the session of a genuine token, current or older, as its user asked; says whether there was one to end.
///
/// An older token is enough: whoever lost the answer to the last refresh must be able to sign out.
///
/// # Errors
/// [`Error`].
pub async fn end_by_token(client: &impl GenericClient, token: &RefreshToken, device: &Device) -> Result<bool, Error> {
    let sql = "update sessions set ended_at = clock_timestamp(), ended_by = 'logout', ended_ip_address = $5
               where user_id = $1 and id = $2 and ended_at is null
                 and (generation > $3 or (generation = $3 and secret_hash = $4))
               returning id";
    let row = query_opt(
        client,
        sql,
        &[
            (&token.user_id, Type::UUID),
            (&token.session_id, Type::UUID),
            (&i64::from(token.generation), Type::INT8),
            (&token.hash().0.as_slice(), Type::BYTEA),
            (&device.ip_address, Type::INET),
        ],
    )
    .await?;
    Ok(row.is_some())
}

/// Ends one session of a user; says whether there was one to end.
///
/// # Errors
/// [`Error`].
pub async fn end(
    client: &impl GenericClient,
    user_id: Uuid,
    id: Uuid,
    ended_by: EndedBy,
    device: &Device,
) -> Result<bool, Error> {
    let sql = "update sessions set ended_at = clock_timestamp(), ended_by = $3, ended_ip_address = $4
               where user_id = $1 and id = $2 and ended_at is null
               returning id";
    let row = query_opt(
        client,
        sql,
        &[
            (&user_id, Type::UUID),
            (&id, Type::UUID),
            (&ended_by.as_str(), Type::TEXT),
            (&device.ip_address, Type::INET),
        ],
    )
    .await?;
    Ok(row.is_some())
}

/// Ends all sessions of a user but `kept`, and says how many of them were still alive (with `idle_ttl`, if it is given).
///
/// # Errors
/// [`Error`].
pub async fn end_all(
    transaction: &Transaction<'_>,
    user_id: Uuid,
    kept: Option<Uuid>,
    ended_by: EndedBy,
    idle_ttl: Option<Duration>,
) -> Result<i64, Error> {
    let sql = "with ended as (
                 update sessions set ended_at = clock_timestamp(), ended_by = $3
                 where user_id = $1 and id is distinct from $2 and ended_at is null
                 returning ended_at < least(expires_at, rotated_at + $4 * interval '1 second') as was_alive
               )
               select count(*) filter (where was_alive) as ended from ended";
    let row = query_one(
        transaction,
        sql,
        &[
            (&user_id, Type::UUID),
            (&kept, Type::UUID),
            (&ended_by.as_str(), Type::TEXT),
            (&idle_ttl.map(|ttl| ttl.as_secs_f64()), Type::FLOAT8),
        ],
    )
    .await?;
    Ok(row.try_get("ended")?)
}
