//! Export: a copy of everything that is kept about the caller, read page by page.

use uuid::Uuid;

use super::events::tell;
use super::{Auth, Error, LargeAnswer, Trail};
use crate::domain::access_token::Claims;
use crate::domain::event::{Event, Kind, RecordedEvent};
use crate::domain::place::Place;
use crate::domain::session::{ListedSession, Sender};
use crate::domain::throttle;
use crate::domain::user::User;
use crate::store::{events, sessions, users};

/// Sessions, and events, that one copy holds at most.
const MOST: usize = 10_000;
/// Rows that are in memory at a time.
const PAGE: usize = 200;

/// A copy of everything that is kept about somebody. It keeps one page of rows in memory and no connection between them.
pub struct Export {
    /// The account.
    pub user: User,
    auth: Auth,
    /// The next page of events; the first is read before the export is an event itself.
    trail: Option<Trail>,
    events_left: usize,
    /// The oldest session so far; none after the last.
    before: Option<Uuid>,
    sessions_left: usize,
    _answer: LargeAnswer,
}

impl Auth {
    /// A copy of the caller's account, sessions and events.
    ///
    /// # Errors
    /// [`Error::AccessTokenInvalid`] when the caller's session or account is not alive, [`Error::RateLimited`],
    /// [`Error::Overloaded`], [`Error::DatabaseUnavailable`].
    pub async fn export(&self, claims: &Claims, sender: &Sender) -> Result<Export, Error> {
        let answer = self.large_answers.begin(claims.sub)?;
        self.take(&[throttle::of_export(claims.sub)], sender).await?;
        let event = Event::of_session(Kind::DataExported, claims.sub, claims.sid);
        let copying = self.store.transaction(async |transaction| {
            if !self.lock_live(transaction, claims).await? {
                return Ok(None);
            }
            let Some(user) = users::find(transaction, claims.sub).await? else { return Ok(None) };
            let events = events::list(transaction, claims.sub, None, rows(PAGE) + 1).await?;
            events::insert(transaction, &event, sender).await?;
            Ok(Some((user, events)))
        });
        let (user, events) = copying.await?.ok_or(Error::AccessTokenInvalid)?;
        tell(&event, sender);
        Ok(Export {
            user,
            auth: self.clone(),
            trail: Some(Trail::of(events, rows(PAGE))),
            events_left: MOST,
            before: Some(Uuid::max()),
            sessions_left: MOST,
            _answer: answer,
        })
    }
}

impl Export {
    /// The next page of sessions, newest login first; empty after the last.
    ///
    /// # Errors
    /// [`Error::DatabaseUnavailable`].
    pub async fn next_sessions(&mut self) -> Result<Vec<ListedSession>, Error> {
        let Some(before) = self.before else { return Ok(Vec::new()) };
        let Auth { store, sessions: policy, .. } = &self.auth;
        let limit = PAGE.min(self.sessions_left);
        let listing =
            store.run(async |client| sessions::list_page(client, self.user.id, policy, before, rows(limit)).await);
        let page = listing.await?;
        self.sessions_left -= page.len().min(self.sessions_left);
        self.before = page.last().map(|session| session.id).filter(|_| self.sessions_left > 0);
        Ok(page)
    }

    /// The next page of events, newest first; empty after the last.
    ///
    /// # Errors
    /// [`Error::DatabaseUnavailable`].
    pub async fn next_events(&mut self) -> Result<Vec<RecordedEvent>, Error> {
        let trail = match self.trail.take() {
            Some(Trail { events, next }) if !events.is_empty() => Trail { events, next },
            Some(Trail { next: Some(before), .. }) if self.events_left > 0 => {
                let limit = rows(PAGE.min(self.events_left));
                let listing = async |client: &mut _| events::list(client, self.user.id, Some(before), limit + 1).await;
                Trail::of(self.auth.store.run(listing).await?, limit)
            }
            end => {
                self.trail = end;
                return Ok(Vec::new());
            }
        };
        self.events_left -= trail.events.len().min(self.events_left);
        self.trail = Some(Trail { events: Vec::new(), next: trail.next });
        Ok(trail.events)
    }

    /// Where the events go on that the copy has not.
    #[must_use]
    pub fn events_next(&self) -> Option<Place> {
        self.trail.as_ref().and_then(|trail| trail.next)
    }
}

fn rows(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
