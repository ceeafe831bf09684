//! Long lists of users, newest first.

use time::OffsetDateTime;
use tokio_postgres::types::Type;
use uuid::Uuid;

use super::{COLUMNS, from_row};
use crate::domain::place::Place;
use crate::domain::user::{Role, User};
use crate::domain::user_filter::UserFilter;
use crate::store::{Error, Parameter, Statements, query_all};

/// Part of a list.
#[derive(Debug)]
pub struct Listed {
    /// Those that pass the filter.
    pub users: Vec<User>,
    /// The last that was looked at, if there may be more behind it.
    pub next: Option<Place>,
}

/// Looks at the `looked_at` newest users behind `before`, and gives those that pass the filter, at most `limit`.
///
/// No index finds a part of a name, so a list of many users is looked through a bounded number of rows at a time.
///
/// # Errors
/// [`Error`].
pub async fn list(
    client: &impl Statements,
    filter: &UserFilter,
    before: Option<Place>,
    limit: i64,
    looked_at: i64,
) -> Result<Listed, Error> {
    // The last row that was looked at is there in any case, to say how far this came. An array of ids rather than a join: where
    // tables are distributed, a join with what was put together fetches all that it is with.
    let sql = format!(
        "with part as (
           select id as part_id, created_at as part_created_at,
                  ($3 is null or email like $3 or lower(full_name) like lower($3))
                    and ($4 is null or role = $4)
                    and ($5 is null or (disabled_at is null) = $5) as passes
           from users
           where (created_at, id) < (coalesce($1, 'infinity'), $2)
           order by created_at desc, id desc
           limit $7
         ), shown as (
           select * from part where passes order by part_created_at desc, part_id desc limit $6
         ), last as (
           select part_id, part_created_at, (select count(*) from part) = $7 as is_full
           from part order by part_created_at, part_id limit 1
         )
         select l.part_id as last_id, l.part_created_at as last_created_at, l.is_full,
                s.part_id is not null as is_shown, {COLUMNS}
         from last l left join shown s on true
           left join (select {COLUMNS} from users where id = any (array(select part_id from shown))) u on u.id = s.part_id
         order by s.part_created_at desc, s.part_id desc"
    );
    let parameters: [Parameter<'_>; 7] = [
        (&before.map(|place| place.at), Type::TIMESTAMPTZ),
        (&before.map_or(Uuid::nil(), |place| place.id), Type::UUID),
        (&filter.pattern(), Type::TEXT),
        (&filter.role.map(Role::as_str), Type::TEXT),
        (&filter.is_active, Type::BOOL),
        (&limit, Type::INT8),
        (&looked_at, Type::INT8),
    ];
    let rows = query_all(client, &sql, &parameters).await?;
    let Some(first) = rows.first() else { return Ok(Listed { users: Vec::new(), next: None }) };
    let at: OffsetDateTime = first.try_get("last_created_at")?;
    let place = Place { at, id: first.try_get("last_id")? };
    let is_full: bool = first.try_get("is_full")?;
    let mut users = Vec::with_capacity(rows.len());
    for row in &rows {
        if row.try_get("is_shown")? {
            users.push(from_row(row)?);
        }
    }
    Ok(Listed { users, next: is_full.then_some(place) })
}
