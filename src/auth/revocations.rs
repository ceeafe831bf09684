//! What was revoked lately, for APIs that verify access tokens offline.

use std::time::Duration;

use time::OffsetDateTime;
use uuid::Uuid;

use super::{Auth, Error};
use crate::domain::client::Scope;
use crate::domain::client_token::Bearer;
use crate::domain::place::Place;
use crate::domain::revocation::Revocation;
use crate::store::{self, revocations};

/// As many as one answer holds; whoever is behind asks again at once.
const MOST: i64 = 2_000;
/// For reading a part. Gateways wait for it.
pub(super) const READ_LIMIT: Duration = Duration::from_secs(1);

/// Part of the revocations.
pub struct RevocationList {
    /// The revocations, oldest first.
    pub revocations: Vec<Revocation>,
    /// What to ask for next time.
    pub next: Place,
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
    pub async fn revocations(&self, bearer: &Bearer, after: Option<Place>) -> Result<RevocationList, Error> {
        self.store.run(async |client| self.permit(client, bearer, Scope::RevocationsRead).await).await??;
        Ok(self.list_revocations(after).await?)
    }

    pub(super) async fn list_revocations(&self, after: Option<Place>) -> Result<RevocationList, store::Error> {
        let retention = self.gate.retention();
        let listing =
            self.store.run_within(READ_LIMIT, async |client| revocations::list(client, after, retention, MOST).await);
        let revocations::Listed { revocations, now } = listing.await?;
        let more = i64::try_from(revocations.len()).is_ok_and(|found| found == MOST);
        // A session that ended a moment ago may not be committed yet. So, once it is at the end, a reader goes on a little
        // earlier than that, and is told some of it again.
        let settled = Place { at: now - 2 * self.store.call_limit(), id: Uuid::nil() };
        let next = revocations.last().filter(|_| more).map_or(settled, Revocation::place);
        Ok(RevocationList { revocations, next, more, retention, now })
    }
}
