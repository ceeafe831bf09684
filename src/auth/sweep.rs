//! Sweeping: sessions and events that nobody will ask for again are removed, at a pace that others do not feel.

use std::time::{Duration, Instant};

use serde::Serialize;
use utoipa::ToSchema;

use super::Error;
use crate::domain::session::SessionPolicy;
use crate::store::{Store, deleted_users, events, sessions, throttles, turns, verifications, walk};

/// Rows of other tables in one step.
const ROWS: i64 = 1_000;

/// What is old enough to go.
#[derive(Debug, Clone, Copy)]
pub struct Sweep {
    /// When sessions die, and how long they are kept then.
    pub sessions: SessionPolicy,
    /// How long events are kept.
    pub events_kept: Duration,
}

/// How many rows are gone.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct Removed {
    /// Of sessions.
    pub sessions: i64,
    /// Of events.
    pub events: i64,
    /// Whether nothing was left that is old enough.
    pub complete: bool,
}

impl Sweep {
    /// Sweeps if it is time, so that of many processes one does it; none if it is not.
    ///
    /// # Errors
    /// [`Error::DatabaseUnavailable`]; what is left goes with the next sweep.
    pub async fn in_turn(&self, store: &Store, every: Duration) -> Result<Option<Removed>, Error> {
        if !store.run(async |client| turns::take(client, "sweep", every).await).await? {
            return Ok(None);
        }
        self.run(store, |_| {}).await.map(Some)
    }

    /// Sweeps now, and tells after each step how far it is. Several at once share the work.
    ///
    /// # Errors
    /// [`Error::DatabaseUnavailable`]; what was removed until then is.
    pub async fn run(&self, store: &Store, tell: impl FnMut(Removed)) -> Result<Removed, Error> {
        self.run_for(Duration::MAX, store, tell).await
    }

    /// As [`Sweep::run`], for about so long; what is left then goes with the next sweep.
    ///
    /// # Errors
    /// As [`Sweep::run`].
    pub async fn run_for(
        &self,
        limit: Duration,
        store: &Store,
        mut tell: impl FnMut(Removed),
    ) -> Result<Removed, Error> {
        let started = Instant::now();
        let mut removed = Removed::default();
        // Small tables first: the walk through the sessions may take all the time there is.
        while rested(store.run(async |client| throttles::sweep(client, ROWS).await)).await? == ROWS
            && started.elapsed() < limit
        {}
        while rested(store.run(async |client| verifications::sweep(client, ROWS).await)).await? == ROWS
            && started.elapsed() < limit
        {}
        // Longer than an access token can live.
        let kept = self.sessions.kept_after_end;
        while rested(store.run(async |client| deleted_users::sweep(client, kept, ROWS).await)).await? == ROWS
            && started.elapsed() < limit
        {}
        let mut next = Some(store.run(async |client| walk::begin(client).await).await?);
        while let Some(from) = next.filter(|_| started.elapsed() < limit) {
            let step = async |client: &mut _| sessions::sweep(client, from, &self.sessions).await;
            let swept = rested(Box::pin(store.run(step))).await?;
            removed.sessions += swept.removed;
            next = swept.next;
            tell(removed);
        }
        let mut last = ROWS;
        while last == ROWS && started.elapsed() < limit {
            let step = async |client: &mut _| events::sweep(client, self.events_kept, ROWS).await;
            last = rested(store.run(step)).await?;
            removed.events += last;
            tell(removed);
        }
        removed.complete = next.is_none() && last < ROWS;
        Ok(removed)
    }
}

/// Does a step and rests for as long as it took, so that sweeping takes at most half of one connection's time.
async fn rested<T, E>(step: impl Future<Output = Result<T, E>>) -> Result<T, E> {
    let started = Instant::now();
    let done = step.await;
    tokio::time::sleep(started.elapsed()).await;
    done
}
