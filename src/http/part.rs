//! Which part of a long list a query asks for.

use crate::domain::field::FieldError;
use crate::domain::place::Place;

const DEFAULT_LIMIT: u32 = 50;
const MOST: u32 = 200;

/// Part of a list that is sorted by time, newest first.
#[derive(Debug, Clone, Copy)]
pub(super) struct Part {
    /// Where it begins; none for the newest.
    pub(super) before: Option<Place>,
    /// How many.
    pub(super) limit: u32,
}

impl Part {
    /// Reads `before` and `limit` of a query.
    ///
    /// # Errors
    /// What is wrong with them.
    pub(super) fn parse(before: Option<&str>, limit: Option<&str>) -> Result<Self, Vec<FieldError>> {
        let limit = limit.map_or(Some(DEFAULT_LIMIT), |text| text.parse().ok());
        let before = before.map(|text| Place::parse(text).ok_or(())).transpose();
        match (before, limit.filter(|limit| (1..=MOST).contains(limit))) {
            (Ok(before), Some(limit)) => Ok(Self { before, limit }),
            (before, limit) => {
                let bad_limit = FieldError::new("limit", "out_of_range", format!("must be from 1 to {MOST}"));
                let bad_before = FieldError::new("before", "invalid_place", "must be next of an earlier answer");
                let problems = [limit.is_none().then_some(bad_limit), before.is_err().then_some(bad_before)];
                Err(problems.into_iter().flatten().collect())
            }
        }
    }
}
