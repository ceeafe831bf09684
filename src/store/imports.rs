//! The table `users`, many at once: those who come from another system.

use std::collections::{HashMap, HashSet};

use time::OffsetDateTime;
use tokio_postgres::types::Type;
use uuid::Uuid;

use super::events::RECORD;
use super::{Error, Parameter, Statements, Transaction, addresses, query_all};
use crate::domain::imported::{ImportedUser, Verified};
use crate::domain::user::Line;

/// Why a user was not inserted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// The account is there: its id, or for one without an id its address.
    There,
    /// Its address is that of an account with another id.
    Taken,
}

/// Inserts users, with an event for each, and gives the places in `users` of those that it left out: whoever is there stays as
/// they are.
///
/// # Errors
/// [`Error`]; the transaction is to be given up then.
pub async fn insert(transaction: &Transaction<'_>, users: &[ImportedUser]) -> Result<Vec<(usize, Standing)>, Error> {
    let there = There::find(transaction, users).await?;
    let mut emails = HashSet::new();
    let is_new = |user: &ImportedUser| there.standing(user).is_none();
    let new: Vec<(usize, &ImportedUser)> =
        users.iter().enumerate().filter(|(_, user)| is_new(user) && emails.insert(user.email.as_str())).collect();
    let made = insert_new(transaction, &new).await?;
    let settled = settle(transaction, made).await?;
    record(transaction, &settled).await?;
    let inserted: HashSet<usize> =
        new.iter().filter(|(_, user)| settled.contains_key(user.email.as_str())).map(|(place, _)| *place).collect();
    let left_out = users.iter().enumerate().filter(|(place, _)| !inserted.contains(place));
    // Who was not seen before was inserted by somebody else at this very moment, or is given twice.
    Ok(left_out.map(|(place, user)| (place, there.standing(user).unwrap_or(Standing::There))).collect())
}

/// Who was there before.
struct There {
    ids: HashSet<Uuid>,
    owners: HashMap<String, Uuid>,
}

impl There {
    async fn find(client: &impl Statements, users: &[ImportedUser]) -> Result<Self, Error> {
        let given: Vec<Uuid> = users.iter().filter_map(|user| user.id).collect();
        let rows = query_all(client, "select id from users where id = any($1)", &[(&given, Type::UUID_ARRAY)]).await?;
        let ids = rows.iter().map(|row| row.try_get("id")).collect::<Result<_, _>>()?;
        let emails: Vec<&str> = users.iter().map(|user| user.email.as_str()).collect();
        let sql = "select email, user_id from addresses where email = any($1)";
        let rows = query_all(client, sql, &[(&emails, Type::TEXT_ARRAY)]).await?;
        let owners = rows
            .iter()
            .map(|row| Ok((row.try_get("email")?, row.try_get("user_id")?)))
            .collect::<Result<_, Error>>()?;
        Ok(Self { ids, owners })
    }

    fn standing(&self, user: &ImportedUser) -> Option<Standing> {
        if user.id.is_some_and(|id| self.ids.contains(&id)) {
            return Some(Standing::There);
        }
        let owner = self.owners.get(user.email.as_str())?;
        Some(if user.id.is_some_and(|id| id != *owner) { Standing::Taken } else { Standing::There })
    }
}

/// Inserts those who meet nobody, and gives their addresses and ids. A closed account was closed some time ago: nobody holds a
/// token of it, so the list of revocations has no need to tell of it as of news.
async fn insert_new(
    transaction: &Transaction<'_>,
    users: &[(usize, &ImportedUser)],
) -> Result<HashMap<String, Uuid>, Error> {
    let sql =
        "insert into users (id, email, password_hash, full_name, role, email_verified_at, disabled_at, created_at,
                                  updated_at, last_login_at, profile)
               select id, email, password_hash, full_name, role,
                      case when verified then coalesce(verified_at, clock_timestamp()) end,
                      case when not is_active then coalesce(last_login_at, created_at, clock_timestamp()) end,
                      coalesce(created_at, clock_timestamp()), clock_timestamp(), last_login_at, profile
               from unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::bool[], $7::timestamptz[],
                           $8::bool[], $9::timestamptz[], $10::timestamptz[], $11::jsonb[])
                 as given (id, email, password_hash, full_name, role, verified, verified_at, is_active, created_at,
                           last_login_at, profile)
               order by email
               on conflict do nothing
               returning email, id";
    let of = Columns::of(users);
    let parameters: [Parameter<'_>; 11] = [
        (&of.ids, Type::UUID_ARRAY),
        (&of.emails, Type::TEXT_ARRAY),
        (&of.hashes, Type::TEXT_ARRAY),
        (&of.names, Type::TEXT_ARRAY),
        (&of.roles, Type::TEXT_ARRAY),
        (&of.verified, Type::BOOL_ARRAY),
        (&of.verified_at, Type::TIMESTAMPTZ_ARRAY),
        (&of.active, Type::BOOL_ARRAY),
        (&of.created_at, Type::TIMESTAMPTZ_ARRAY),
        (&of.last_login_at, Type::TIMESTAMPTZ_ARRAY),
        (&of.profiles, Type::JSONB_ARRAY),
    ];
    let rows = query_all(transaction, sql, &parameters).await?;
    rows.iter().map(|row| Ok((row.try_get("email")?, row.try_get("id")?))).collect()
}

/// Gives users who were just made their addresses, unmakes those whose address was given to somebody else first, and gives the
/// others.
async fn settle(
    transaction: &Transaction<'_>,
    mut made: HashMap<String, Uuid>,
) -> Result<HashMap<String, Uuid>, Error> {
    let taken = addresses::claim_all(transaction, &made).await?;
    if !taken.is_empty() {
        let sql = "delete from users where id = any($1)";
        query_all(transaction, sql, &[(&taken, Type::UUID_ARRAY)]).await?;
        made.retain(|_, id| !taken.contains(id));
    }
    Ok(made)
}

async fn record(transaction: &Transaction<'_>, made: &HashMap<String, Uuid>) -> Result<(), Error> {
    let sql = format!(
        "{RECORD}
         select id, clock_timestamp(), gen_random_uuid(), null, 'account_imported', 'success', null, null, null, null
         from unnest($1::uuid[]) as made (id)
         returning true"
    );
    let ids: Vec<Uuid> = made.values().copied().collect();
    query_all(transaction, &sql, &[(&ids, Type::UUID_ARRAY)]).await.map(drop)
}

/// The users, column by column.
struct Columns<'a> {
    ids: Vec<Uuid>,
    emails: Vec<&'a str>,
    hashes: Vec<&'a str>,
    names: Vec<Option<&'a str>>,
    roles: Vec<&'static str>,
    verified: Vec<bool>,
    verified_at: Vec<Option<OffsetDateTime>>,
    active: Vec<bool>,
    created_at: Vec<Option<OffsetDateTime>>,
    last_login_at: Vec<Option<OffsetDateTime>>,
    profiles: Vec<&'a serde_json::Value>,
}

impl<'a> Columns<'a> {
    fn of(users: &[(usize, &'a ImportedUser)]) -> Self {
        fn each<'a, T>(users: &[(usize, &'a ImportedUser)], column: impl Fn(&'a ImportedUser) -> T) -> Vec<T> {
            users.iter().map(|(_, user)| column(user)).collect()
        }
        Self {
            ids: each(users, |user| user.id.unwrap_or_else(Uuid::now_v7)),
            emails: each(users, |user| user.email.as_str()),
            hashes: each(users, |user| user.password_hash.as_stored()),
            names: each(users, |user| user.full_name.as_ref().map(Line::as_str)),
            roles: each(users, |user| user.role.as_str()),
            verified: each(users, |user| user.verified != Verified::No),
            verified_at: each(users, |user| match user.verified {
                Verified::At(at) => Some(at),
                Verified::No | Verified::Sometime => None,
            }),
            active: each(users, |user| user.is_active),
            created_at: each(users, |user| user.created_at),
            last_login_at: each(users, |user| user.last_login_at),
            profiles: each(users, |user| &user.profile),
        }
    }
}
