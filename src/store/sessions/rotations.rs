//! Several refresh tokens are presented at once: those that can be rotated are, in one statement.

use std::net::IpAddr;

use tokio_postgres::types::Type;
use uuid::Uuid;

use super::refresh::{Presented, live};
use crate::domain::refresh_token::SecretHash;
use crate::domain::session::{LiveSession, SessionPolicy};
use crate::store::together::Outcome;
use crate::store::{Error, Parameter, Statements, query_all};

/// What a rotation is asked for with, where others ask at the same time.
#[derive(Debug)]
pub(in crate::store) struct Rotation {
    user_id: Uuid,
    session_id: Uuid,
    generation: i64,
    hash: SecretHash,
    newest: SecretHash,
    key: Option<SecretHash>,
    user_agent: Option<String>,
    ip_address: Option<IpAddr>,
}

impl Rotation {
    pub(super) fn of(presented: &Presented<'_>) -> Self {
        Self {
            user_id: presented.token.user_id,
            session_id: presented.token.session_id,
            generation: presented.token.generation.into(),
            hash: presented.token.hash(),
            newest: presented.successors.newest().hash(),
            key: presented.rotation_key,
            user_agent: presented.sender.user_agent.clone(),
            ip_address: presented.sender.ip_address,
        }
    }
}

// The conditions are those of the first step in migrations/V0009__refresh.sql. Nobody is waited for: whose row somebody else has
// is left out, so that no two groups wait for each other, and nobody's lock keeps a group. A row that was changed since the
// statement began is left out too: it has another place by now (ctid), which the statement does not see. Twice the same token in a
// group is one rotation, and nothing about the other. The first array is selected, so that Postgres does not know how long it is:
// it would find its plan better than one for any length, and plan the statement each time.
const STATEMENT: &str = "
    with clock as materialized (
      select now, now - $9 * interval '1 second' as idle_start, now + $9 * interval '1 second' as idle_end
      from clock_timestamp() as now
    ), held as materialized (
      select p.place, p.user_id, p.id, p.newest, p.rotation_key, p.user_agent, p.ip_address, c.now, c.idle_end,
             s.ctid as row, u.email, u.role, case when $10 then u.profile end as profile
      from clock c
      cross join unnest((select $1), $2, $3, $4, $5, $6, $7, $8) with ordinality
        as p (user_id, id, generation, secret_hash, newest, rotation_key, user_agent, ip_address, place)
      join sessions s on s.user_id = p.user_id and s.id = p.id
      join users u on u.id = p.user_id
      where s.generation = p.generation and s.secret_hash = p.secret_hash and s.ended_at is null and u.disabled_at is null
        and c.now < s.expires_at and s.rotated_at > c.idle_start
      for no key update of s skip locked
    )
    update sessions s set
      generation   = s.generation + 1,
      secret_hash  = h.newest,
      rotated_at   = h.now,
      rotation_key = h.rotation_key,
      user_agent   = coalesce(h.user_agent, s.user_agent),
      ip_address   = coalesce(h.ip_address, s.ip_address)
    from held h
    where s.ctid = h.row and s.user_id = h.user_id and s.id = h.id
    returning h.place, s.user_id, s.id, h.email, h.role, h.profile, s.created_at, h.now,
              least(s.expires_at, h.idle_end) as ends_at";

/// What the rotated ones of them are now, in their order. Of the others nothing is known: their row was locked, or they are
/// worth something else.
///
/// # Errors
/// [`Error`]; whether the rotations took place is then unknown if it is [`Error::Unavailable`], else they did not. That one which
/// took place cannot be read is an error of its own.
pub(super) async fn rotate(
    client: &impl Statements,
    presented: &[Rotation],
    policy: &SessionPolicy,
    with_profile: bool,
) -> Result<Vec<Outcome<LiveSession>>, Error> {
    let (places, rotations): (Vec<usize>, Vec<&Rotation>) = that_go_together(presented).unzip();
    let each = || rotations.iter();
    let user_ids: Vec<Uuid> = each().map(|rotation| rotation.user_id).collect();
    let session_ids: Vec<Uuid> = each().map(|rotation| rotation.session_id).collect();
    let generations: Vec<i64> = each().map(|rotation| rotation.generation).collect();
    let hashes: Vec<&[u8]> = each().map(|rotation| &rotation.hash.0[..]).collect();
    let newest: Vec<&[u8]> = each().map(|rotation| &rotation.newest.0[..]).collect();
    let keys: Vec<Option<&[u8]>> = each().map(|rotation| Some(&rotation.key.as_ref()?.0[..])).collect();
    let user_agents: Vec<Option<&str>> = each().map(|rotation| rotation.user_agent.as_deref()).collect();
    let ip_addresses: Vec<Option<IpAddr>> = each().map(|rotation| rotation.ip_address).collect();
    let parameters: [Parameter<'_>; 10] = [
        (&user_ids, Type::UUID_ARRAY),
        (&session_ids, Type::UUID_ARRAY),
        (&generations, Type::INT8_ARRAY),
        (&hashes, Type::BYTEA_ARRAY),
        (&newest, Type::BYTEA_ARRAY),
        (&keys, Type::BYTEA_ARRAY),
        (&user_agents, Type::TEXT_ARRAY),
        (&ip_addresses, Type::INET_ARRAY),
        (&policy.idle_ttl.as_secs_f64(), Type::FLOAT8),
        (&with_profile, Type::BOOL),
    ];
    let mut rotated: Vec<Outcome<LiveSession>> = presented.iter().map(|_| None).collect();
    for row in query_all(client, STATEMENT, &parameters).await? {
        let place: i64 = row.try_get("place")?;
        let place = usize::try_from(place - 1).ok().and_then(|place| rotated.get_mut(*places.get(place)?));
        *place.ok_or_else(|| Error::unknown_value("place", "one that nobody has"))? = Some(live(&row));
    }
    Ok(rotated)
}

/// Those that go together, with their places: not two tokens of one session. Of these the older one, a repetition while it came alone, would be a
/// replay after the newer one; alone they go in the order in which they came.
fn that_go_together(presented: &[Rotation]) -> impl Iterator<Item = (usize, &Rotation)> {
    let has_another = |one: &Rotation| {
        presented.iter().any(|other| other.session_id == one.session_id && other.generation != one.generation)
    };
    presented.iter().enumerate().filter(move |(_, rotation)| !has_another(rotation))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rotation(session: u128, generation: i64) -> Rotation {
        let hash = SecretHash([0; 32]);
        Rotation {
            user_id: Uuid::nil(),
            session_id: Uuid::from_u128(session),
            generation,
            hash,
            newest: hash,
            key: None,
            user_agent: None,
            ip_address: None,
        }
    }

    #[test]
    fn two_tokens_of_one_session_do_not_go_together() {
        let rotations =
            [(1, 5), (2, 5), (1, 6), (3, 5), (3, 5)].map(|(session, generation)| rotation(session, generation));
        assert_eq!(that_go_together(&rotations).map(|(place, _)| place).collect::<Vec<_>>(), [1, 3, 4]);
    }
}
