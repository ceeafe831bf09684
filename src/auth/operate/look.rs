//! Looking at accounts.

use std::time::{Duration, Instant};

use uuid::Uuid;

use crate::auth::Error;
use crate::auth::sessions::MOST_ENDED;
use crate::domain::event::RecordedEvent;
use crate::domain::place::Place;
use crate::domain::session::{ListedSession, SessionPolicy};
use crate::domain::user::{Handle, User};
use crate::domain::user_filter::UserFilter;
use crate::store::users::Listed;
use crate::store::{Store, events, sessions, users};

/// Part of all accounts, newest first.
pub struct Directory {
    /// The accounts.
    pub users: Vec<User>,
    /// Where the next part begins; none at the end.
    pub next: Option<Place>,
}

/// An account with what an operator needs to help its owner.
pub struct Details {
    /// The account.
    pub user: User,
    /// Its sessions, as its owner sees them.
    pub sessions: Vec<ListedSession>,
    /// What happened to it last, newest first.
    pub events: Vec<RecordedEvent>,
}

impl Details {
    /// How many of the sessions are alive.
    #[must_use]
    pub fn live_sessions(&self) -> usize {
        self.sessions.iter().filter(|session| session.ended_at.is_none()).count()
    }
}

/// As many events as fit on a screen.
const EVENTS: i64 = 20;
/// Rows that one statement of a search looks at: a few hundredths of a second.
const LOOKED_AT: i64 = 20_000;
/// A search gives what it has found by then.
const LOOKED_FOR: Duration = Duration::from_secs(2);

/// The account that an operator names.
///
/// # Errors
/// [`Error::DatabaseUnavailable`].
pub async fn find(store: &Store, handle: &Handle) -> Result<Option<User>, Error> {
    let find = async |client: &mut _| match handle {
        Handle::Id(id) => users::find(client, *id).await,
        Handle::Email(email) => users::find_by_email(client, email.as_str()).await,
    };
    Ok(store.run(find).await?)
}

/// The accounts that pass a filter, at most `limit`; with a place, those before it.
///
/// A search through very many gives fewer, or none, and goes on from `next`.
///
/// # Errors
/// [`Error::DatabaseUnavailable`].
pub async fn list(store: &Store, filter: &UserFilter, before: Option<Place>, limit: u32) -> Result<Directory, Error> {
    let started = Instant::now();
    let limit = i64::from(limit);
    // One more than asked, to know whether there are more.
    let looked_at = if filter.is_empty() { limit + 1 } else { LOOKED_AT };
    let mut directory = Directory { users: Vec::new(), next: before };
    loop {
        let missing = limit + 1 - i64::try_from(directory.users.len()).unwrap_or(limit);
        let before = directory.next;
        let part = store.run(async |client| users::list(client, filter, before, missing, looked_at).await);
        let Listed { users, next } = part.await?;
        let is_enough = i64::try_from(users.len()).is_ok_and(|found| found >= missing);
        directory.users.extend(users);
        directory.next = next;
        if is_enough {
            directory.users.pop();
            directory.next = directory.users.last().map(|user| Place { at: user.created_at, id: user.id });
            return Ok(directory);
        }
        if directory.next.is_none() || started.elapsed() > LOOKED_FOR {
            return Ok(directory);
        }
    }
}

/// All about one account; none if there is no such account.
///
/// # Errors
/// [`Error::DatabaseUnavailable`].
pub async fn look(store: &Store, user_id: Uuid, policy: &SessionPolicy) -> Result<Option<Details>, Error> {
    let looking = store.run(async |client| {
        let Some(user) = users::find(client, user_id).await? else { return Ok(None) };
        let sessions = sessions::list(client, user_id, policy, MOST_ENDED).await?;
        let events = events::list(client, user_id, None, EVENTS).await?;
        Ok(Some(Details { user, sessions, events }))
    });
    Ok(looking.await?)
}
