//! The gateway's question: is this access token good? Answered from memory.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use tokio::sync::{Mutex, MutexGuard};

use super::revocations::READ_LIMIT;
use super::{Auth, Error};
use crate::domain::access_token::Claims;
use crate::domain::revocation::{Cursor, Revocations, retention};
use crate::telemetry::chain;

/// A list younger than this is used as it is.
const FRESH: Duration = Duration::from_secs(1);
/// An older one is used while a newer one is fetched beside; one older than this, after a pause without questions, is
/// fetched first.
const STALE: Duration = Duration::from_secs(3);
/// How often the whole list is read again, for revocations whose commits became visible late.
const REREAD_AFTER: Duration = Duration::from_secs(10);

/// What this process knows of revoked tokens. Fetched when gateways ask, so that a database that nobody uses can sleep.
pub struct Gate {
    retention: Duration,
    known: RwLock<Known>,
    fetching: Mutex<()>,
}

#[derive(Default)]
struct Known {
    revocations: Revocations,
    /// Where the next list begins.
    next: Option<Cursor>,
    /// When a list was last asked for, whether it came or not.
    asked_at: Option<Instant>,
}

impl Gate {
    /// A gate that knows nothing yet, for access tokens that live for `ttl` at most.
    #[must_use]
    pub fn new(ttl: Duration) -> Self {
        Self { retention: retention(ttl), known: RwLock::default(), fetching: Mutex::default() }
    }

    /// How long a revocation matters.
    #[must_use]
    pub fn retention(&self) -> Duration {
        self.retention
    }

    fn refuses(&self, claims: &Claims) -> bool {
        self.known.read().unwrap_or_else(PoisonError::into_inner).revocations.refuse(claims)
    }

    /// The age of the list; none if there never was one.
    fn age(&self) -> Option<Duration> {
        self.known.read().unwrap_or_else(PoisonError::into_inner).asked_at.map(|asked_at| asked_at.elapsed())
    }

    fn change(&self, change: impl FnOnce(&mut Known)) {
        change(&mut self.known.write().unwrap_or_else(PoisonError::into_inner));
    }
}

impl Auth {
    /// Refuses a token that was revoked, as far as this process has heard: it hears within seconds, and with a database
    /// that is away it goes by what it heard before.
    ///
    /// # Errors
    /// [`Error::AccessTokenInvalid`].
    pub async fn check(self: Arc<Self>, claims: &Claims) -> Result<(), Error> {
        match self.gate.age() {
            Some(age) if age < FRESH => {}
            Some(age) if age < STALE => {
                let auth = Arc::clone(&self);
                tokio::spawn(async move {
                    if let Ok(turn) = auth.gate.fetching.try_lock() {
                        auth.hear_of_revocations(turn).await;
                    }
                });
            }
            // Whoever comes while the first one fetches waits for it.
            Some(_) | None => {
                let turn = self.gate.fetching.lock().await;
                if self.gate.age().is_none_or(|age| age >= STALE) {
                    self.hear_of_revocations(turn).await;
                }
            }
        }
        if self.gate.refuses(claims) { Err(Error::AccessTokenInvalid) } else { Ok(()) }
    }

    async fn hear_of_revocations(&self, _turn: MutexGuard<'_, ()>) {
        let fetched = self.fetch_revocations().await;
        self.gate.change(|known| known.asked_at = Some(Instant::now()));
        // What is known has to do then: an outage must not close every gateway.
        if let Err(error) = fetched {
            tracing::warn!(error = chain(&error), "revoked tokens were not heard of");
        }
    }

    /// Part by part, but for no longer than a question can wait; what is left then comes with the next.
    async fn fetch_revocations(&self) -> Result<(), crate::store::Error> {
        let started = Instant::now();
        loop {
            let next = self.gate.known.read().unwrap_or_else(PoisonError::into_inner).next;
            let list = self.list_revocations(next, REREAD_AFTER).await?;
            self.gate.change(|known| {
                known.revocations.update(list.revocations, list.now, list.retention);
                known.next = Some(list.next);
            });
            if !list.more || started.elapsed() > READ_LIMIT {
                return Ok(());
            }
        }
    }
}
