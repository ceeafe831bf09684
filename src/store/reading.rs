//! A connection that several who only read share for as long as one of them is at it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use super::{Connection, Error, Lent, has_ended, in_time, nothing_lent};

/// How many share one. Each waits for those before it, so that a slow one keeps few.
const MOST: usize = 8;

/// How long new ones may come to it. Then it goes back to the pool, which asks how old it is, and they go on with another.
const AT_LONGEST: Duration = Duration::from_secs(1);

/// Where those who come find the one that is read on at this moment.
#[derive(Default)]
pub(super) struct Sharing(Mutex<Weak<Shared>>);

struct Shared {
    lent: Lent,
    since: Instant,
    /// Whether a statement may still be running that nobody waits for any more.
    is_spoilt: AtomicBool,
}

impl Drop for Shared {
    fn drop(&mut self) {
        if !*self.is_spoilt.get_mut() {
            drop(self.lent.0.take());
        }
    }
}

/// A place on it. Unless its statement has come to an end when it is left, nobody else comes to that connection.
pub(super) struct Place {
    shared: Arc<Shared>,
    has_ended: bool,
}

impl Drop for Place {
    fn drop(&mut self) {
        if !self.has_ended {
            self.shared.is_spoilt.store(true, Ordering::Relaxed);
        }
    }
}

impl Sharing {
    /// A place, if a connection is read on that has one.
    pub(super) fn join(&self) -> Option<Place> {
        let shared = self.current().upgrade()?;
        let is_dead = shared.lent.0.as_ref().is_none_or(|connection| connection.client.is_closed());
        // One of them is this.
        let is_full = Arc::strong_count(&shared) > MOST;
        let is_over = shared.since.elapsed() > AT_LONGEST || shared.is_spoilt.load(Ordering::Relaxed);
        (!is_dead && !is_full && !is_over).then(|| Place::on(shared))
    }

    fn current(&self) -> MutexGuard<'_, Weak<Shared>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// The first on another connection, which the next ones share.
    pub(super) fn begin(connection: Connection, sharing: Option<&Sharing>) -> Self {
        let shared =
            Arc::new(Shared { lent: Lent(Some(connection)), since: Instant::now(), is_spoilt: AtomicBool::default() });
        if let Some(sharing) = sharing {
            *sharing.current() = Arc::downgrade(&shared);
        }
        Self::on(shared)
    }

    fn on(shared: Arc<Shared>) -> Self {
        Self { shared, has_ended: false }
    }

    /// As long as the statement takes, but no longer than `limit`.
    pub(super) async fn lend<T>(
        mut self,
        limit: Duration,
        work: impl AsyncFnOnce(&Connection) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let Some(connection) = &self.shared.lent.0 else { return Err(nothing_lent()) };
        let outcome = in_time(tokio::time::timeout(limit, work(connection)).await);
        self.has_ended = has_ended(&outcome);
        outcome
    }
}
