//! Places in long lists, which come in parts.

use std::fmt;

use serde::{Serialize, Serializer};
use time::{OffsetDateTime, UtcOffset};
use uuid::Uuid;

/// A place in a list that is sorted by time, from which the next part goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// The time, to the microsecond, as the database keeps it.
    pub at: OffsetDateTime,
    /// Which of that moment.
    pub id: Uuid,
}

impl Place {
    /// Reads what [`Place`] displays; none for anything else.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (microseconds, id) = text.split_once('.')?;
        let nanoseconds = microseconds.parse::<i64>().ok().map(i128::from)?.checked_mul(1000)?;
        let at = OffsetDateTime::from_unix_timestamp_nanos(nanoseconds).ok()?;
        Some(Self { id: Uuid::try_parse(id).ok()?, ..Self::before(at)? })
    }

    /// The place before everything of that moment; none for moments that no list has, which the database may not know
    /// either.
    #[must_use]
    pub fn before(at: OffsetDateTime) -> Option<Self> {
        let at = at.checked_to_offset(UtcOffset::UTC)?;
        (1970..9999).contains(&at.year()).then_some(Self { at, id: Uuid::nil() })
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.at.unix_timestamp_nanos() / 1000, self.id.simple())
    }
}

impl Serialize for Place {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_read_as_it_was_written_and_nothing_else_is() {
        let at = OffsetDateTime::from_unix_timestamp_nanos(1_795_252_418_123_456_000).unwrap();
        let place = Place { at, id: Uuid::from_u128(7) };
        assert_eq!(Place::parse(&place.to_string()), Some(place));
        for text in ["", ".", "1", "1.", ".x", "x.00000000000000000000000000000007", "9223372036854775807.7", "1.é"] {
            assert_eq!(Place::parse(text), None, "{text}");
        }
        for microseconds in ["9223372036854775807", "-210866803200000001", "-1", "253370764800000000"] {
            assert_eq!(Place::parse(&format!("{microseconds}.00000000000000000000000000000007")), None);
        }
    }
}
