//! The table `users`: people, as they sign in and describe themselves. `manage` has what others do to them, `list` long lists.

mod list;
mod manage;

use std::net::IpAddr;
use std::sync::LazyLock;

use tokio_postgres::Row;
use tokio_postgres::types::Type;
use uuid::Uuid;

use super::{Connection, Error, Parameter, Statements, Store, Transaction, addresses, query_all, query_one, query_opt};
use crate::domain::access_token::Claims;
use crate::domain::email::Email;
use crate::domain::password::PasswordHash;
use crate::domain::profile::Profile;
use crate::domain::session::SessionPolicy;
use crate::domain::throttle::{Trier, network};
use crate::domain::user::{Line, Role, User};
use crate::store::sessions::NewUser;
use crate::store::sessions::live::is_live;
pub use list::{Listed, list};
pub use manage::{AddedUser, delete, insert, lock_all, set_disabled, set_role};

/// What a login compares with.
#[derive(Debug)]
pub struct Credentials {
    /// Whose they are.
    pub user_id: Uuid,
    /// Of the password.
    pub password_hash: PasswordHash,
    /// Whether an operator closed the account.
    pub disabled: bool,
    /// Whether the address is known to reach the account's owner.
    pub verified: bool,
    /// What the visitor is to this account.
    pub trier: Trier,
}

/// Who asks for credentials.
#[derive(Debug, Clone, Copy)]
pub struct Visitor {
    /// From where.
    pub address: IpAddr,
    /// Session and generation of a genuine refresh token that was shown.
    pub token: Option<(Uuid, u32)>,
}

/// The stored credentials behind an address. What nobody has takes the same two statements, and the same time.
///
/// # Errors
/// [`Error`].
pub async fn find_credentials(
    client: &impl Statements,
    email: &Email,
    visitor: &Visitor,
    policy: &SessionPolicy,
) -> Result<Option<Credentials>, Error> {
    static STATEMENT: LazyLock<String> = LazyLock::new(|| {
        let is_live = is_live("s", "$4");
        format!(
            "select u.id, u.password_hash, u.disabled_at is not null as disabled,
                    u.email_verified_at is not null as verified,
                    coalesce(bool_or(s.id = $2 and s.generation - $5 in (0, 1)), false) as is_device,
                    coalesce(bool_or(s.ip_address <<= $3::text::inet), false) as is_neighbour
             from users u left join sessions s on s.user_id = u.id and {is_live}
             where u.id = $6 and u.email = $1
             group by u.id"
        )
    });
    // A device may hold the current token, or the one before it if it has lost an answer. Whoever shows an older one has
    // found it somewhere.
    let owner = addresses::find_owner(client, email.as_str()).await?.unwrap_or_else(Uuid::new_v4);
    let (session_id, generation) = visitor.token.unzip();
    let generation = generation.map(i64::from);
    let parameters: [Parameter<'_>; 6] = [
        (&email.as_str(), Type::TEXT),
        (&session_id, Type::UUID),
        (&network(visitor.address).to_string(), Type::TEXT),
        (&policy.idle_ttl.as_secs_f64(), Type::FLOAT8),
        (&generation, Type::INT8),
        (&owner, Type::UUID),
    ];
    let row = query_opt(client, &STATEMENT, &parameters).await?;
    row.map(|row| {
        let trier = match (row.try_get("is_device")?, session_id, row.try_get("is_neighbour")?) {
            (true, Some(session), _) => Trier::Device(session),
            (_, _, true) => Trier::Neighbour(visitor.address),
            (_, _, false) => Trier::Stranger(visitor.address),
        };
        Ok(Credentials {
            user_id: row.try_get("id")?,
            password_hash: PasswordHash::from_stored(row.try_get("password_hash")?),
            disabled: row.try_get("disabled")?,
            verified: row.try_get("verified")?,
            trier,
        })
    })
    .transpose()
}

/// The user of that id.
///
/// # Errors
/// [`Error`].
pub async fn find(client: &impl Statements, id: Uuid) -> Result<Option<User>, Error> {
    let sql = format!("select {COLUMNS} from users where id = $1");
    let row = query_opt(client, &sql, &[(&id, Type::UUID)]).await?;
    row.as_ref().map(from_row).transpose()
}

/// The user whom a session belongs to; none unless the session is alive and its account open. Concurrent calls are batched.
///
/// # Errors
/// [`Error`].
pub async fn find_signed_in(store: &Store, claims: &Claims, policy: &SessionPolicy) -> Result<Option<User>, Error> {
    static ONE: LazyLock<String> = LazyLock::new(|| {
        let is_live = is_live("s", "$3");
        format!(
            "select {COLUMNS} from users
             where id = $1 and disabled_at is null
               and exists (select from sessions s where s.user_id = $1 and s.id = $2 and {is_live})"
        )
    });
    // The first array is selected, so that the planner does not know its length: it would plan for each length anew.
    static BATCH: LazyLock<String> = LazyLock::new(|| {
        let is_live = is_live("s", "$3");
        format!(
            "select item, {COLUMNS}
             from unnest((select $1), $2) with ordinality as asked (of_user, of_session, item) join users on id = of_user
             where disabled_at is null
               and exists (select from sessions s where s.user_id = of_user and s.id = of_session and {is_live})"
        )
    });
    let idle_ttl = policy.idle_ttl.as_secs_f64();
    let find_one = async |client: &Connection| {
        let parameters: [Parameter<'_>; 3] =
            [(&claims.sub, Type::UUID), (&claims.sid, Type::UUID), (&idle_ttl, Type::FLOAT8)];
        query_opt(client, &ONE, &parameters).await?.as_ref().map(from_row).transpose()
    };
    let single = async |client: &mut Connection| find_one(client).await;
    let batch = async |client: &Connection, asked: &[(Uuid, Uuid)]| {
        if let [_this] = asked {
            return Ok(vec![Some(find_one(client).await)]);
        }
        let (users, sessions): (Vec<Uuid>, Vec<Uuid>) = asked.iter().copied().unzip();
        let parameters: [Parameter<'_>; 3] =
            [(&users, Type::UUID_ARRAY), (&sessions, Type::UUID_ARRAY), (&idle_ttl, Type::FLOAT8)];
        let mut found: Vec<_> = asked.iter().map(|_| Some(Ok(None))).collect();
        for row in query_all(client, &BATCH, &parameters).await? {
            let item: i64 = row.try_get("item")?;
            let outcome = usize::try_from(item - 1).ok().and_then(|index| found.get_mut(index));
            *outcome.ok_or_else(|| Error::unknown_value("item", "an index outside the batch"))? =
                Some(from_row(&row).map(Some));
        }
        Ok(found)
    };
    store.batched(&store.batchers.users, store.deadline(), (claims.sub, claims.sid), single, batch).await
}

/// Locks a user until the transaction ends: logins, password changes and whatever ends all sessions wait.
///
/// # Errors
/// [`Error`].
pub async fn lock(transaction: &Transaction<'_>, id: Uuid) -> Result<(), Error> {
    let sql = "select true from users where id = $1 for no key update";
    query_opt(transaction, sql, &[(&id, Type::UUID)]).await.map(drop)
}

/// The hash of a user's password; none if the account is gone or closed.
///
/// # Errors
/// [`Error`].
pub async fn find_password_hash(client: &impl Statements, id: Uuid) -> Result<Option<PasswordHash>, Error> {
    let sql = "select password_hash from users where id = $1 and disabled_at is null";
    let row = query_opt(client, sql, &[(&id, Type::UUID)]).await?;
    Ok(row.map(|row| row.try_get("password_hash").map(PasswordHash::from_stored)).transpose()?)
}

/// Replaces the password's hash. Belongs in one transaction with `sessions::end_all`, on a user that is locked.
///
/// # Errors
/// [`Error`].
pub async fn set_password(transaction: &Transaction<'_>, id: Uuid, hash: &PasswordHash) -> Result<(), Error> {
    let sql = "update users set password_hash = $2, updated_at = statement_timestamp() where id = $1";
    let parameters: [Parameter<'_>; 2] = [(&id, Type::UUID), (&hash.as_stored(), Type::TEXT)];
    query_opt(transaction, sql, &parameters).await.map(drop)
}

/// Replaces the name, and the profile if there is a new one, and gives the user as it is then.
///
/// # Errors
/// [`Error`].
pub async fn describe(
    transaction: &Transaction<'_>,
    id: Uuid,
    full_name: Option<&Line>,
    profile: Option<Profile>,
) -> Result<User, Error> {
    let sql = format!(
        "update users set full_name = $2, profile = coalesce($3, profile), updated_at = statement_timestamp() where id = $1 returning {COLUMNS}"
    );
    let parameters: [Parameter<'_>; 3] = [
        (&id, Type::UUID),
        (&full_name.map(Line::as_str), Type::TEXT),
        (&profile.map(Profile::into_json), Type::JSONB),
    ];
    from_row(&query_one(transaction, &sql, &parameters).await?)
}

/// Makes a user who registered, without a session; none if the address is taken.
///
/// # Errors
/// [`Error`]; [`Error::Taken`] also says that the address is.
pub async fn insert_registered(transaction: &Transaction<'_>, user: NewUser<'_>) -> Result<Option<User>, Error> {
    let sql = format!(
        "insert into users (id, email, password_hash, full_name, profile, created_at, updated_at)
         select $1, $2, $3, $4, $5, made_at, made_at from (select clock_timestamp() as made_at) clock
         on conflict do nothing
         returning {COLUMNS}"
    );
    let parameters: [Parameter<'_>; 5] = [
        (&user.id, Type::UUID),
        (&user.email.as_str(), Type::TEXT),
        (&user.password_hash.as_stored(), Type::TEXT),
        (&user.full_name.map(Line::as_str), Type::TEXT),
        (&user.profile.into_json(), Type::JSONB),
    ];
    made(transaction, query_opt(transaction, &sql, &parameters).await?.as_ref()).await
}

/// A user who was just made, if one was, with his address.
async fn made(transaction: &Transaction<'_>, row: Option<&Row>) -> Result<Option<User>, Error> {
    let Some(user) = row.map(from_row).transpose()? else { return Ok(None) };
    addresses::claim(transaction, &user.email, user.id).await?;
    Ok(Some(user))
}

/// The account behind an address, closed or not.
///
/// # Errors
/// [`Error`].
pub async fn find_by_email(client: &impl Statements, email: &str) -> Result<Option<User>, Error> {
    let owner = addresses::find_owner(client, email).await?.unwrap_or_else(Uuid::new_v4);
    let sql = format!("select {COLUMNS} from users where id = $1 and email = $2");
    let row = query_opt(client, &sql, &[(&owner, Type::UUID), (&email, Type::TEXT)]).await?;
    row.as_ref().map(from_row).transpose()
}

/// Marks a user's address as verified.
///
/// # Errors
/// [`Error`].
pub async fn verify_email(transaction: &Transaction<'_>, id: Uuid) -> Result<(), Error> {
    let sql = "with clock as (select clock_timestamp() as now)
               update users set updated_at = now, email_verified_at = coalesce(email_verified_at, now)
               from clock where id = $1";
    query_opt(transaction, sql, &[(&id, Type::UUID)]).await.map(drop)
}

/// Gives a user who is locked another address, a verified one, in place of that which he has.
///
/// # Errors
/// [`Error`]; [`Error::Taken`] when another account has the address.
pub async fn change_email(transaction: &Transaction<'_>, id: Uuid, from: &str, to: &str) -> Result<(), Error> {
    if from == to {
        return verify_email(transaction, id).await;
    }
    let sql =
        "update users set email = $2, updated_at = statement_timestamp(), email_verified_at = statement_timestamp()
               where id = $1";
    query_opt(transaction, sql, &[(&id, Type::UUID), (&to, Type::TEXT)]).await?;
    // In this order: of two who want each other's address, neither waits for the other.
    addresses::claim(transaction, to, id).await?;
    addresses::release(transaction, from, id).await
}

/// The columns that make a [`User`].
pub(super) const COLUMNS: &str = "id, email, full_name, role, disabled_at, email_verified_at, profile, created_at, \
                                  updated_at, last_login_at";

/// A row with [`COLUMNS`].
pub(super) fn from_row(row: &Row) -> Result<User, Error> {
    Ok(User {
        id: row.try_get("id")?,
        email: row.try_get("email")?,
        full_name: row.try_get("full_name")?,
        role: role(row)?,
        disabled_at: row.try_get("disabled_at")?,
        email_verified_at: row.try_get("email_verified_at")?,
        profile: row.try_get("profile")?,
        created_at: row.try_get("created_at")?,
        updated_at: row.try_get("updated_at")?,
        last_login_at: row.try_get("last_login_at")?,
    })
}

/// The column `role` of a row.
pub(super) fn role(row: &Row) -> Result<Role, Error> {
    match row.try_get("role")? {
        // What programs had before they had credentials of their own. The column may still hold it.
        "service" => Ok(Role::User),
        name => Role::from_name(name).ok_or_else(|| Error::unknown_value("role", name)),
    }
}
