//! The table `users`, many at once: those who come from another system.

use time::OffsetDateTime;
use tokio_postgres::types::Type;
use uuid::Uuid;

use super::events::RECORD;
use super::{Error, Parameter, Statements, query_all};
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

/// Inserts users, with an event for each, in one statement, and gives the places in `users` of those that it left out: whoever
/// is there stays as they are.
///
/// # Errors
/// [`Error`]; nobody is inserted then.
pub async fn insert(client: &impl Statements, users: &[ImportedUser]) -> Result<Vec<(usize, Standing)>, Error> {
    // What the last part sees of `users` is from before the insert. Whoever is not inserted, and is not seen there either,
    // was inserted by somebody else at this very moment. A closed account was closed some time ago: nobody holds a token of
    // it, so the list of revocations has no need to tell of it as of news.
    let sql = format!(
        "with given as (
           select * from unnest($1::uuid[], $2::bool[], $3::text[], $4::text[], $5::text[], $6::text[], $7::bool[],
                                $8::timestamptz[], $9::bool[], $10::timestamptz[], $11::timestamptz[], $12::jsonb[])
           with ordinality as given (id, has_id, email, password_hash, full_name, role, verified, verified_at, is_active,
                                     created_at, last_login_at, profile, place)
         ), inserted as (
           insert into users (id, email, password_hash, full_name, role, email_verified_at, disabled_at, created_at,
                              updated_at, last_login_at, profile)
           select id, email, password_hash, full_name, role,
                  case when verified then coalesce(verified_at, clock_timestamp()) end,
                  case when not is_active then coalesce(last_login_at, created_at, clock_timestamp()) end,
                  coalesce(created_at, clock_timestamp()), clock_timestamp(), last_login_at, profile
           from given
           on conflict do nothing
           returning id
         ), recorded as (
           {RECORD} select id, null, 'account_imported', 'success', null, null, null, null from inserted
         )
         select g.place, coalesce(g.has_id and other.id <> g.id and same.id is null, false) as taken
         from given g
         left join inserted i on i.id = g.id
         left join users same on same.id = g.id
         left join users other on other.email = g.email
         where i.id is null"
    );
    let of = Columns::of(users);
    let parameters: [Parameter<'_>; 12] = [
        (&of.ids, Type::UUID_ARRAY),
        (&of.has_id, Type::BOOL_ARRAY),
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
    let rows = query_all(client, &sql, &parameters).await?;
    rows.iter()
        .map(|row| {
            let place: i64 = row.try_get("place")?;
            let standing = if row.try_get("taken")? { Standing::Taken } else { Standing::There };
            let place = usize::try_from(place - 1).map_err(|error| Error::Bug(error.into()))?;
            Ok((place, standing))
        })
        .collect()
}

/// The users, column by column.
struct Columns<'a> {
    ids: Vec<Uuid>,
    has_id: Vec<bool>,
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
    fn of(users: &'a [ImportedUser]) -> Self {
        fn each<'a, T>(users: &'a [ImportedUser], column: impl Fn(&'a ImportedUser) -> T) -> Vec<T> {
            users.iter().map(column).collect()
        }
        Self {
            ids: each(users, |user| user.id.unwrap_or_else(Uuid::now_v7)),
            has_id: each(users, |user| user.id.is_some()),
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
