//! Events: what happened to an account, for its owner, for operators, and for the log.

use uuid::Uuid;

use super::{Auth, Error};
use crate::domain::access_token::Claims;
use crate::domain::event::{Event, Kind, RecordedEvent};
use crate::domain::place::Place;
use crate::domain::session::{EndedBy, Sender};
use crate::store::events;
pub(super) use crate::telemetry::tell;

/// Part of an account's events, newest first.
pub struct Trail {
    /// The events.
    pub events: Vec<RecordedEvent>,
    /// Where the next part begins; none at the end.
    pub next: Option<Place>,
}

impl Trail {
    /// The first `limit` events of a list that would have one more if there are more, as their owner may see them.
    pub(super) fn of(events: Vec<RecordedEvent>, limit: i64) -> Self {
        let mut events: Vec<_> = events.into_iter().map(RecordedEvent::for_owner).collect();
        let more = i64::try_from(events.len()).is_ok_and(|found| found > limit);
        if more {
            events.pop();
        }
        let next = events.last().filter(|_| more).map(RecordedEvent::place);
        Self { events, next }
    }
}

impl Auth {
    /// The caller's own events, at most `limit`; with a place, those before it.
    ///
    /// # Errors
    /// [`Error::AccessTokenInvalid`] when the caller's session or account is not alive, [`Error::DatabaseUnavailable`].
    pub async fn events(&self, claims: &Claims, before: Option<Place>, limit: u32) -> Result<Trail, Error> {
        let limit = i64::from(limit);
        // One more than asked, to know whether there are more.
        let policy = &self.sessions;
        let listing = async |client: &mut _| events::list_own(client, claims, policy, before, limit + 1).await;
        let listed = self.store.run(listing).await?.ok_or(Error::AccessTokenInvalid)?;
        Ok(Trail::of(listed, limit))
    }

    /// Records an event that nothing else in the database goes with.
    pub(super) async fn record(&self, event: Event, sender: &Sender) -> Result<(), Error> {
        self.store.run(async |client| events::insert(client, &event, sender).await).await?;
        tell(&event, sender);
        Ok(())
    }
}

/// As [`tell`], for sessions that ended together.
pub(super) fn tell_ended(ended_by: EndedBy, user_id: Uuid, sessions: &[Uuid], sender: &Sender) {
    for session in sessions {
        tell(&Event::of_session(Kind::SessionEnded(ended_by), user_id, *session), sender);
    }
}
