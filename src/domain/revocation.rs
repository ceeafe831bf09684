//! Which access tokens stopped counting before their end: for those who verify without asking the database.

use std::collections::HashMap;
use std::fmt;
use std::time::Duration;

use serde::{Serialize, Serializer};
use time::OffsetDateTime;
use uuid::Uuid;

use super::access_token::{Claims, LEEWAY};
use super::place::Place;

/// What was revoked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Subject {
    /// All tokens of a session.
    Session(Uuid),
    /// All tokens that a user had been issued by then.
    User(Uuid),
}

/// What was revoked, and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Revocation {
    /// What.
    pub subject: Subject,
    /// When, by the database's clock.
    pub revoked_at: OffsetDateTime,
}

/// Where a reader of the list goes on.
///
/// A revocation is visible when its transaction has committed, which may be long after the time that it bears: a commit waits for
/// the synchronous standby, or in two phases. So the list is not only read onwards, but from its beginning again every so often.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cursor {
    /// The last revocation that was read; or at the end of the list a moment, without an id.
    pub place: Place,
    /// When to read the whole list again. None for a reader who named a moment.
    pub reread_at: Option<OffsetDateTime>,
}

impl Cursor {
    /// Reads what [`Cursor`] displays, also without its last part, and none for anything else.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let parse_moment = |text: &str| Place::parse(&format!("{text}.{}", Uuid::nil().simple())).map(|place| place.at);
        match text.match_indices('.').nth(1) {
            None => Some(Self::from(Place::parse(text)?)),
            Some((end, _)) => {
                let (place, moment) = text.split_at_checked(end)?;
                Some(Self { place: Place::parse(place)?, reread_at: Some(parse_moment(moment.strip_prefix('.')?)?) })
            }
        }
    }

    /// Whether the reader has read all there was, and is not in the middle of the list.
    #[must_use]
    pub fn is_at_end(&self) -> bool {
        self.place.id.is_nil()
    }
}

impl From<Place> for Cursor {
    fn from(place: Place) -> Self {
        Self { place, reread_at: None }
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.place.fmt(f)?;
        self.reread_at.map_or(Ok(()), |at| write!(f, ".{}", at.unix_timestamp_nanos() / 1000))
    }
}

impl Serialize for Cursor {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Revocation {
    /// Where it stands among all, oldest first.
    #[must_use]
    pub fn place(&self) -> Place {
        let (Subject::Session(id) | Subject::User(id)) = self.subject;
        Place { at: self.revoked_at, id }
    }
}

/// How long a revocation matters: as long as an access token may live, and the difference between two clocks.
#[must_use]
pub fn retention(access_token_ttl: Duration) -> Duration {
    access_token_ttl + 2 * LEEWAY
}

/// The revocations that can still matter: those of the last access-token lifetime.
#[derive(Debug, Clone, Default)]
pub struct Revocations(HashMap<Subject, OffsetDateTime>);

impl Revocations {
    /// Takes in news, which may repeat what is known, and forgets what is older than `retention` at the time `now`: every
    /// token that it concerned has expired.
    pub fn update(&mut self, news: impl IntoIterator<Item = Revocation>, now: OffsetDateTime, retention: Duration) {
        for Revocation { subject, revoked_at } in news {
            // Read again, a user's earlier end may come after the last one.
            let latest = self.0.entry(subject).or_insert(revoked_at);
            *latest = revoked_at.max(*latest);
        }
        self.0.retain(|_, revoked_at| now - *revoked_at <= retention);
    }

    /// Whether a token with these claims was revoked.
    #[must_use]
    pub fn refuse(&self, claims: &Claims) -> bool {
        // `iat` is in whole seconds: a token of the very second counts as issued before.
        let before = |revoked_at: &OffsetDateTime| claims.iat <= revoked_at.unix_timestamp();
        self.0.contains_key(&Subject::Session(claims.sid)) || self.0.get(&Subject::User(claims.sub)).is_some_and(before)
    }
}

#[cfg(test)]
mod tests {
    use super::super::access_token::TokenType;
    use super::super::user::Role;
    use super::*;

    const USER: Uuid = Uuid::from_u128(1);
    const SESSION: Uuid = Uuid::from_u128(2);

    fn at(second: i64) -> OffsetDateTime {
        OffsetDateTime::from_unix_timestamp(second).unwrap()
    }

    fn issued_at(second: i64) -> Claims {
        Claims {
            iss: String::new(),
            aud: String::new(),
            sub: USER,
            sid: SESSION,
            jti: Uuid::nil(),
            iat: second,
            exp: second + 600,
            auth_time: second,
            email: String::new(),
            role: Role::User,
            token_type: TokenType::Access,
        }
    }

    fn revocations(subject: Subject, revoked_at: i64) -> Revocations {
        let mut revocations = Revocations::default();
        revocations.update(
            [Revocation { subject, revoked_at: at(revoked_at) }],
            at(revoked_at),
            Duration::from_mins(10),
        );
        revocations
    }

    #[test]
    fn a_revoked_session_has_no_good_tokens_and_other_sessions_have() {
        assert!(revocations(Subject::Session(SESSION), 100).refuse(&issued_at(50)));
        assert!(!revocations(Subject::Session(USER), 100).refuse(&issued_at(50)));
        assert!(!Revocations::default().refuse(&issued_at(50)));
    }

    #[test]
    fn a_user_cut_off_concerns_tokens_issued_by_then() {
        let revocations = revocations(Subject::User(USER), 100);
        assert_eq!([50, 100, 101].map(|second| revocations.refuse(&issued_at(second))), [true, true, false]);
    }

    #[test]
    fn an_earlier_end_that_is_read_again_does_not_shorten_a_later_one() {
        let mut revocations = revocations(Subject::User(USER), 100);
        let again = Revocation { subject: Subject::User(USER), revoked_at: at(60) };
        revocations.update([again], at(100), Duration::from_mins(10));
        assert!(revocations.refuse(&issued_at(100)));
    }

    #[test]
    fn a_cursor_is_read_as_it_was_written_and_nothing_else_is() {
        let place = Place { at: at(100), id: Uuid::from_u128(7) };
        for cursor in [Cursor { place, reread_at: Some(at(130)) }, Cursor::from(place)] {
            assert_eq!(Cursor::parse(&cursor.to_string()), Some(cursor));
        }
        let place = place.to_string();
        for end in [".", ".x", ".-1", ".1.2", ".9223372036854775807", ".253370764800000000", ". 1"] {
            assert_eq!(Cursor::parse(&format!("{place}{end}")), None, "{end}");
        }
        assert_eq!(Cursor::parse(""), None);
    }

    #[test]
    fn what_no_living_token_can_mean_is_forgotten() {
        let mut revocations = revocations(Subject::Session(SESSION), 100);
        revocations.update([], at(700), Duration::from_mins(10));
        assert!(revocations.refuse(&issued_at(50)));
        revocations.update([], at(701), Duration::from_mins(10));
        assert!(!revocations.refuse(&issued_at(50)));
        assert!(revocations.0.is_empty());
    }
}
