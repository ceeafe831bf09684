//! Which tokens stopped counting before their end.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use serde::Deserialize;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::Claims;
use crate::verifier::MOST_LEEWAY;

/// What is known of ended sessions. A copy is the same list: one for who asks, one for who hears.
#[derive(Debug, Clone, Default)]
pub struct Revocations(Arc<RwLock<Known>>);

#[derive(Debug, Default)]
struct Known {
    sessions: HashMap<Uuid, OffsetDateTime>,
    users: HashMap<Uuid, OffsetDateTime>,
    /// The longest that was heard of: tokens that were issued when they lived longer are still about.
    retention: Duration,
    /// When was asked what was last heard to the end.
    complete_at: Option<Instant>,
}

/// An answer of `GET /api/auth/revocations`.
#[derive(Debug, Clone, Deserialize)]
pub struct RevocationList {
    sessions: Vec<Revoked>,
    users: Vec<Revoked>,
    /// What to ask for the next time, as `after`.
    pub next: String,
    /// Whether to do so at once.
    pub more: bool,
    /// In seconds.
    retention: u64,
    #[serde(with = "time::serde::rfc3339")]
    server_time: OffsetDateTime,
}

#[derive(Debug, Clone, Deserialize)]
struct Revoked {
    id: Uuid,
    #[serde(with = "time::serde::rfc3339")]
    revoked_at: OffsetDateTime,
}

impl Revocations {
    /// A list that has not been heard yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes in an answer, which may repeat what is known, and forgets what no token that still lives can mean. `asked_at` is
    /// when the question was sent: what happened later is not in the answer.
    pub fn learn(&self, list: &RevocationList, asked_at: Instant) {
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        known.sessions.extend(list.sessions.iter().map(|revoked| (revoked.id, revoked.revoked_at)));
        for Revoked { id, revoked_at } in &list.users {
            let latest = known.users.entry(*id).or_insert(*revoked_at);
            *latest = (*latest).max(*revoked_at);
        }
        // By the clock that dated them. The service counts 10 s for clocks, we may have been told to allow more.
        known.retention = known.retention.max(Duration::from_secs(list.retention));
        let kept = known.retention.saturating_add(MOST_LEEWAY);
        let matters = |_: &Uuid, revoked_at: &mut OffsetDateTime| list.server_time - *revoked_at <= kept;
        known.sessions.retain(matters);
        known.users.retain(matters);
        if !list.more {
            known.complete_at = Some(asked_at);
        }
    }

    /// How old the list is: everything that was revoked earlier is in it. None until it was heard to its end once.
    #[must_use]
    pub fn age(&self) -> Option<Duration> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).complete_at.map(|at| at.elapsed())
    }

    /// Whether a token with these claims is known to be revoked.
    #[must_use]
    pub fn refuse(&self, claims: &Claims) -> bool {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        // `iat` is in whole seconds: a token of the very second counts as issued before.
        let before = |revoked_at: &OffsetDateTime| claims.iat <= revoked_at.unix_timestamp();
        known.sessions.contains_key(&claims.sid) || known.users.get(&claims.sub).is_some_and(before)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const USER: Uuid = Uuid::from_u128(1);
    const SESSION: Uuid = Uuid::from_u128(2);

    fn issued_at(second: i64) -> Claims {
        let claims = json!({
            "iss": "", "aud": "", "sub": USER, "sid": SESSION, "jti": USER, "iat": second, "exp": second + 600,
            "auth_time": second, "email": "", "role": "user", "type": "access",
        });
        serde_json::from_value(claims).unwrap()
    }

    /// A time of the first of January 1970, of which this is the second.
    fn at(second: i64) -> String {
        format!("1970-01-01T00:{:02}:{:02}.5Z", second / 60, second % 60)
    }

    fn list(sessions: &Value, users: &Value, now: i64) -> RevocationList {
        let list = json!({
            "sessions": sessions, "users": users, "next": "x", "more": false, "retention": 610, "server_time": at(now),
            "added_by_a_newer_service": true,
        });
        serde_json::from_value(list).unwrap()
    }

    fn knowing(sessions: &Value, users: &Value, now: i64) -> Revocations {
        let revocations = Revocations::new();
        revocations.learn(&list(sessions, users, now), Instant::now());
        revocations
    }

    #[test]
    fn an_ended_session_has_no_good_tokens_and_other_sessions_have() {
        assert!(knowing(&json!([{"id": SESSION, "revoked_at": at(100)}]), &json!([]), 100).refuse(&issued_at(50)));
        assert!(!knowing(&json!([{"id": USER, "revoked_at": at(100)}]), &json!([]), 100).refuse(&issued_at(50)));
        assert!(!Revocations::new().refuse(&issued_at(50)));
    }

    #[test]
    fn a_user_cut_off_concerns_tokens_issued_by_then() {
        let revocations = knowing(&json!([]), &json!([{"id": USER, "revoked_at": at(100)}]), 100);
        assert_eq!([50, 100, 101].map(|second| revocations.refuse(&issued_at(second))), [true, true, false]);
        // Told again, and told an older one late: neither takes anything back.
        revocations.learn(&list(&json!([]), &json!([{"id": USER, "revoked_at": at(60)}]), 100), Instant::now());
        assert!(revocations.refuse(&issued_at(100)));
    }

    #[test]
    fn what_no_living_token_can_mean_is_forgotten_and_nothing_earlier() {
        let revocations = knowing(&json!([{"id": SESSION, "revoked_at": at(100)}]), &json!([]), 100);
        revocations.learn(&list(&json!([]), &json!([]), 770), Instant::now());
        assert!(revocations.refuse(&issued_at(50)), "a verifier may allow a minute");
        revocations.learn(&list(&json!([]), &json!([]), 771), Instant::now());
        assert!(!revocations.refuse(&issued_at(50)));
        assert!(revocations.0.read().unwrap().sessions.is_empty());
    }

    #[test]
    fn tokens_that_may_live_for_less_make_nothing_forgotten_that_older_ones_can_mean() {
        let revocations = knowing(&json!([{"id": SESSION, "revoked_at": at(100)}]), &json!([]), 100);
        let mut shorter = list(&json!([]), &json!([]), 300);
        shorter.retention = 60;
        revocations.learn(&shorter, Instant::now());
        assert!(revocations.refuse(&issued_at(50)));
    }

    #[test]
    fn a_list_is_complete_when_there_is_no_more() {
        let revocations = Revocations::new();
        let mut part = list(&json!([{"id": SESSION, "revoked_at": at(100)}]), &json!([]), 100);
        part.more = true;
        revocations.learn(&part, Instant::now());
        assert!(revocations.age().is_none() && revocations.refuse(&issued_at(50)));
        part.more = false;
        revocations.clone().learn(&part, Instant::now());
        assert!(revocations.age().is_some_and(|age| age < Duration::from_mins(1)), "a copy is the same list");
    }
}
