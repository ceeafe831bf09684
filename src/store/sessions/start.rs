//! A login, or a registration, becomes a row.

use tokio_postgres::Row;
use tokio_postgres::types::Type;
use uuid::Uuid;

use crate::domain::email::Email;
use crate::domain::password::PasswordHash;
use crate::domain::profile::Profile;
use crate::domain::refresh_token::SecretHash;
use crate::domain::session::{LiveSession, Sender, SessionPolicy};
use crate::domain::user::{Line, User};
use crate::store::events::RECORD;
use crate::store::users::{self, COLUMNS, Credentials};
use crate::store::{Error, Parameter, Transaction, addresses, query_opt};

/// A session about to start.
#[derive(Debug)]
pub struct NewSession<'a> {
    /// Its id.
    pub id: Uuid,
    /// Of its first token.
    pub secret_hash: SecretHash,
    /// Where the login comes from.
    pub sender: &'a Sender,
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

/// Makes a user and its first session; none if the address is taken.
///
/// # Errors
/// [`Error`]; [`Error::Taken`] also says that the address is.
pub async fn insert_with_user(
    transaction: &Transaction<'_>,
    user: NewUser<'_>,
    session: &NewSession<'_>,
    policy: &SessionPolicy,
) -> Result<Option<(User, LiveSession)>, Error> {
    let sign_in = format!(
        "made as (
           insert into users (id, email, password_hash, full_name, profile, created_at, updated_at, last_login_at)
           select $8, $9, $10, $11, $12, made_at, made_at, made_at from (select clock_timestamp() as made_at) clock
           on conflict do nothing
           returning {COLUMNS}
         ), signed_in as (select made.*, created_at as now, gen_random_uuid() as event_id from made)"
    );
    let parameters: [Parameter<'_>; 5] = [
        (&user.id, Type::UUID),
        (&user.email.as_str(), Type::TEXT),
        (&user.password_hash.as_stored(), Type::TEXT),
        (&user.full_name.map(Line::as_str), Type::TEXT),
        (&user.profile.into_json(), Type::JSONB),
    ];
    let started = start(transaction, "registered", (&sign_in, "s.id", ""), &parameters, session, policy).await?;
    if let Some((user, _)) = &started {
        addresses::claim(transaction, &user.email, user.id).await?;
    }
    Ok(started)
}

/// Starts a session for a user whose password was just verified; none if the password changed, or the account was
/// disabled or deleted, while the slow verification ran.
///
/// The user's row is locked, and its newest version looked at, so a password change is either seen here or sees this session
/// and ends it.
///
/// # Errors
/// [`Error`].
pub async fn insert(
    transaction: &Transaction<'_>,
    verified: &Credentials,
    rehashed: Option<&PasswordHash>,
    session: &NewSession<'_>,
    policy: &SessionPolicy,
) -> Result<Option<(User, LiveSession)>, Error> {
    // `now` is read when the row has been locked: whoever waited for a logout everywhere starts after it.
    let sign_in = format!(
        "locked as (
           select id as user_id from users where id = $8 and password_hash = $9 and disabled_at is null for no key update
         ), timed as (
           select user_id, clock_timestamp() as now, gen_random_uuid() as event_id from locked
         ), signed_in as (
           update users set last_login_at = now, password_hash = coalesce($10, password_hash)
           from timed where id = $8 and id = user_id
           returning {COLUMNS}, now, event_id
         )"
    );
    let parameters: [Parameter<'_>; 3] = [
        (&verified.user_id, Type::UUID),
        (&verified.password_hash.as_stored(), Type::TEXT),
        (&rehashed.map(PasswordHash::as_stored), Type::TEXT),
    ];
    // By way of the row that is there already, which says where what belongs to it goes.
    let sign_in = (&*sign_in, "u.id", "join users u on u.id = $8 and u.id = s.id");
    start(transaction, "logged_in", sign_in, &parameters, session, policy).await
}

/// One statement that signs a user in, by the parts `sign_in` with their parameters from $8 on, of which `signed_in` gives
/// the user, the time and an id for the event; starts the session; and records both as one event of `kind`. The user is `owner`,
/// of what `signed_in s` is joined with.
async fn start(
    transaction: &Transaction<'_>,
    kind: &str,
    (sign_in, owner, joined): (&str, &str, &str),
    sign_in_parameters: &[Parameter<'_>],
    session: &NewSession<'_>,
    policy: &SessionPolicy,
) -> Result<Option<(User, LiveSession)>, Error> {
    let sql = format!(
        "with {sign_in},
         started as (
           insert into sessions (user_id, id, secret_hash, rotated_at, created_at, expires_at, user_agent, ip_address,
                                 label)
           select {owner}, $1, $2, s.now, s.now, s.now + $3 * interval '1 second', $4, $5, $6
           from signed_in s {joined}
           returning true
         ),
         recorded as (
           {RECORD}
           select {owner}, s.now, s.event_id, $1, '{kind}', 'success', null, $5, $4, $7
           from signed_in s {joined}
           returning true
         )
         select {COLUMNS}, now as started_at, now + $3 * interval '1 second' as expires_at from signed_in"
    );
    let absolute_ttl = policy.absolute_ttl.as_secs_f64();
    let secret_hash = session.secret_hash.0.as_slice();
    let label = session.label.map(Line::as_str);
    let mut parameters: Vec<Parameter<'_>> = vec![
        (&session.id, Type::UUID),
        (&secret_hash, Type::BYTEA),
        (&absolute_ttl, Type::FLOAT8),
        (&session.sender.user_agent, Type::TEXT),
        (&session.sender.ip_address, Type::INET),
        (&label, Type::TEXT),
        (&session.sender.request_id, Type::TEXT),
    ];
    parameters.extend_from_slice(sign_in_parameters);
    let row = query_opt(transaction, &sql, &parameters).await?;
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
        profile: Some(user.profile.clone()),
    };
    Ok((user, session))
}
