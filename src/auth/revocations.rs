//! What was revoked lately, for APIs that verify access tokens offline.

use std::time::Duration;

use time::OffsetDateTime;
use uuid::Uuid;

use super::{Auth, Error};
use crate::domain::client::Scope;
use crate::domain::client_token::Bearer;
use crate::domain::place::Place;
use crate::domain::revocation::{Cursor, Revocation};
use crate::store::revocations::{Listed, Range};
use crate::store::{self, revocations};

/// As many as one answer holds; whoever is behind asks again at once.
const MOST: i64 = 2_000;
/// For reading a part. Gateways wait for it.
pub(super) const READ_LIMIT: Duration = Duration::from_secs(1);
/// How often a program gets the whole list again.
const REPEAT_AFTER: Duration = Duration::from_secs(30);
/// Each part of a long list delays the next repetition by this much, so that repetitions cost one part a second at most.
const LATER_FOR_EACH_PART: Duration = Duration::from_secs(1);

/// Part of the revocations.
pub struct RevocationList {
    /// The revocations, oldest first.
    pub revocations: Vec<Revocation>,
    /// What to ask for next time.
    pub next: Cursor,
    /// Whether there are more already.
    pub more: bool,
    /// How long a revocation matters.
    pub retention: Duration,
    /// The database's clock.
    pub now: OffsetDateTime,
}

impl Auth {
    /// The revocations after a moment, or all that can still matter, for programs with the scope and administrators.
    ///
    /// # Errors
    /// [`Error::InsufficientScope`], [`Error::AccessTokenInvalid`] for a program that was removed and an administrator who
    /// is signed out, [`Error::DatabaseUnavailable`].
    pub async fn revocations(&self, bearer: &Bearer, after: Option<Cursor>) -> Result<RevocationList, Error> {
        self.store.run(async |client| self.permit(client, bearer, Scope::RevocationsRead).await).await??;
        Ok(self.list_revocations(after, REPEAT_AFTER).await?)
    }

    /// The revocations behind a cursor. A reader that goes on from `next` gets the whole list again every `repeat_after`, and so
    /// hears of revocations whose commits became visible late.
    pub(super) async fn list_revocations(
        &self,
        after: Option<Cursor>,
        repeat_after: Duration,
    ) -> Result<RevocationList, store::Error> {
        let range = Range { after, retention: self.gate.retention(), limit: MOST };
        let listing = self.store.run_within(READ_LIMIT, async |client| revocations::list(client, range).await);
        let Listed { revocations, now, is_reread } = listing.await?;
        let more = i64::try_from(revocations.len()).is_ok_and(|found| found == MOST);
        let reread_at = after.and_then(|cursor| cursor.reread_at).filter(|_| !is_reread).unwrap_or(now + repeat_after);
        let later = if more { LATER_FOR_EACH_PART } else { Duration::ZERO };
        // A session that ended a moment ago may not be committed yet. So, once it is at the end, a reader goes on a little
        // earlier than that, and is told some of it again.
        let settled = Place { at: now - 2 * self.store.call_limit(), id: Uuid::nil() };
        let place = revocations.last().filter(|_| more).map_or(settled, Revocation::place);
        let next = Cursor { place, reread_at: Some(reread_at + later) };
        Ok(RevocationList { revocations, next, more, retention: range.retention, now })
    }
}
