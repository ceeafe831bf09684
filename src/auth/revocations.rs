//! What was revoked lately, for APIs that verify access tokens offline.

use std::time::Duration;

use time::OffsetDateTime;
use uuid::Uuid;

use super::{Auth, Error};
use crate::domain::access_token::Claims;
use crate::domain::place::Place;
use crate::domain::revocation::Revocation;
use crate::domain::user::Role;
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
    /// The revocations after a moment, or all that can still matter, for a caller whose role is `service` or `admin`.
    ///
    /// # Errors
    /// [`Error::Forbidden`], [`Error::DatabaseUnavailable`].
    pub async fn revocations(&self, claims: &Claims, after: Option<Place>) -> Result<RevocationList, Error> {
        match claims.role {
            Role::Admin | Role::Service => Ok(self.list_revocations(after).await?),
            Role::User => Err(Error::Forbidden),
        }
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
