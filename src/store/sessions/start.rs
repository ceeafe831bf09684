//! A login, or a registration, becomes a row.

use deadpool_postgres::GenericClient;
use tokio_postgres::Row;
use tokio_postgres::types::Type;
use uuid::Uuid;

use crate::domain::email::Email;
use crate::domain::password::PasswordHash;
use crate::domain::refresh_token::SecretHash;
use crate::domain::session::{Device, LiveSession, SessionPolicy};
use crate::domain::user::{Line, Profile, User};
use crate::store::users::{self, COLUMNS, Credentials};
use crate::store::{Error, Parameter, query_opt};

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
                   on conflict (email) do nothing";
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
                   where id = $7 and password_hash = $8 and disabled_at is null";
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
        "with signed_in as ({sign_in} returning {COLUMNS}),
         started as (
           insert into sessions (user_id, id, secret_hash, rotated_at, created_at, expires_at, user_agent, ip_address,
                                 label)
           select id, $1, $2, last_login_at, last_login_at, last_login_at + $3 * interval '1 second', $4, $5, $6
           from signed_in
           returning expires_at, created_at as started_at
         )
         select {COLUMNS}, started_at, expires_at from signed_in, started"
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
