//! Several refresh tokens in one statement: those that are rotated or stay unchanged.

use std::net::IpAddr;

use tokio_postgres::types::Type;
use uuid::Uuid;

use super::refresh::{Presented, Refreshed, live};
use crate::domain::refresh_token::SecretHash;
use crate::domain::session::SessionPolicy;
use crate::store::batch::Outcome;
use crate::store::{Error, Parameter, Statements, query_all};

/// A presented token as a batch takes it.
#[derive(Debug)]
pub(in crate::store) struct BatchedRefresh {
    user_id: Uuid,
    session_id: Uuid,
    generation: i64,
    hash: SecretHash,
    successor: SecretHash,
    key: Option<SecretHash>,
    user_agent: Option<String>,
    ip_address: Option<IpAddr>,
}

impl BatchedRefresh {
    pub(super) fn of(presented: &Presented<'_>) -> Self {
        Self {
            user_id: presented.token.user_id,
            session_id: presented.token.session_id,
            generation: presented.token.generation.into(),
            hash: presented.token.hash(),
            successor: presented.successors.newest().hash(),
            key: presented.rotation_key,
            user_agent: presented.sender.user_agent.clone(),
            ip_address: presented.sender.ip_address,
        }
    }
}

// The function is in migrations/V0010__refresh_at_most_once_per_grace_window.sql.
const STATEMENT: &str = "select * from refresh_batch($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)";

/// The outcomes in the order of `presented`; none for a token with another verdict, or whose row is locked.
///
/// # Errors
/// [`Error`]; [`Error::Unavailable`] leaves open whether the rotations took place, other errors exclude it. A row that cannot be
/// read is an error of its own token.
pub(super) async fn refresh_batch(
    client: &impl Statements,
    presented: &[BatchedRefresh],
    policy: &SessionPolicy,
    with_profile: bool,
) -> Result<Vec<Outcome<Refreshed>>, Error> {
    let each = || presented.iter();
    let user_ids: Vec<Uuid> = each().map(|one| one.user_id).collect();
    let session_ids: Vec<Uuid> = each().map(|one| one.session_id).collect();
    let generations: Vec<i64> = each().map(|one| one.generation).collect();
    let hashes: Vec<&[u8]> = each().map(|one| &one.hash.0[..]).collect();
    let successors: Vec<&[u8]> = each().map(|one| &one.successor.0[..]).collect();
    let keys: Vec<Option<&[u8]>> = each().map(|one| Some(&one.key.as_ref()?.0[..])).collect();
    let user_agents: Vec<Option<&str>> = each().map(|one| one.user_agent.as_deref()).collect();
    let ip_addresses: Vec<Option<IpAddr>> = each().map(|one| one.ip_address).collect();
    let parameters: [Parameter<'_>; 11] = [
        (&user_ids, Type::UUID_ARRAY),
        (&session_ids, Type::UUID_ARRAY),
        (&generations, Type::INT8_ARRAY),
        (&hashes, Type::BYTEA_ARRAY),
        (&successors, Type::BYTEA_ARRAY),
        (&keys, Type::BYTEA_ARRAY),
        (&user_agents, Type::TEXT_ARRAY),
        (&ip_addresses, Type::INET_ARRAY),
        (&policy.idle_ttl.as_secs_f64(), Type::FLOAT8),
        (&policy.grace.as_secs_f64(), Type::FLOAT8),
        (&with_profile, Type::BOOL),
    ];
    let mut outcomes: Vec<Outcome<Refreshed>> = presented.iter().map(|_| None).collect();
    for row in query_all(client, STATEMENT, &parameters).await? {
        let item: i64 = row.try_get("item")?;
        let outcome = usize::try_from(item - 1).ok().and_then(|index| outcomes.get_mut(index));
        let outcome = outcome.ok_or_else(|| Error::unknown_value("item", "an index outside the batch"))?;
        let verdict: &str = row.try_get("verdict")?;
        *outcome = Some(match verdict {
            "rotate" => live(&row).map(Refreshed::Rotated),
            "unchanged" => live(&row).map(Refreshed::Unchanged),
            other => Err(Error::unknown_value("verdict", other)),
        });
    }
    Ok(outcomes)
}
