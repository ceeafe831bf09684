//! A copy of everything that is kept about the caller, to take along or to look at.

use super::events::tell;
use super::{Auth, Error, Trail};
use crate::domain::access_token::Claims;
use crate::domain::event::{Event, Kind};
use crate::domain::session::{ListedSession, Sender};
use crate::domain::throttle;
use crate::domain::user::User;
use crate::store::{events, sessions, users};

/// As many sessions that are over, and as many events, as one copy holds.
const MOST: i64 = 10_000;

/// What is kept about somebody.
pub struct Export {
    /// The account.
    pub user: User,
    /// Its sessions, newest login first.
    pub sessions: Vec<ListedSession>,
    /// The newest of its events, and where the others begin.
    pub trail: Trail,
}

impl Auth {
    /// A copy of the caller's account, sessions and events.
    ///
    /// # Errors
    /// [`Error::AccessTokenInvalid`] when the caller's session or account is not alive, [`Error::RateLimited`],
    /// [`Error::DatabaseUnavailable`].
    pub async fn export(&self, claims: &Claims, sender: &Sender) -> Result<Export, Error> {
        self.take(&[throttle::of_export(claims.sub)], sender).await?;
        let event = Event::of_session(Kind::DataExported, claims.sub, claims.sid);
        let copying = self.store.transaction(async |transaction| {
            if !self.lock_live(transaction, claims).await? {
                return Ok(None);
            }
            let Some(user) = users::find(transaction, claims.sub).await? else { return Ok(None) };
            let sessions = sessions::list(transaction, claims.sub, &self.sessions, MOST).await?;
            let events = events::list(transaction, claims.sub, None, MOST + 1).await?;
            events::insert(transaction, &event, sender).await?;
            Ok(Some((user, sessions, events)))
        });
        let (user, sessions, events) = copying.await?.ok_or(Error::AccessTokenInvalid)?;
        tell(&event, sender);
        Ok(Export { user, sessions, trail: Trail::of(events, MOST) })
    }
}
