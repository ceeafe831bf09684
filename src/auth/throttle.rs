//! Limits on tries, kept by all processes together in the database.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};

use super::{Auth, Error};
use crate::domain::session::Sender;
use crate::domain::throttle::Limit;
use crate::store::throttles;

/// Lets in as many at once as take half of the database's connections: the rest is for those who have tokens. Those it
/// keeps waiting hold no place in the queue of passwords, so whoever is refused by limits keeps nobody out of that.
pub struct Turnstile {
    inside: Semaphore,
    patience: Duration,
}

impl Turnstile {
    /// For a pool of `connections`, each of which is waited for no longer than `patience`.
    #[must_use]
    pub fn new(connections: usize, patience: Duration) -> Self {
        Self { inside: Semaphore::new((connections / 2).max(1)), patience }
    }

    /// Waits its turn. To be kept until the database has been asked.
    ///
    /// # Errors
    /// [`Error::Overloaded`] when that takes too long.
    pub(super) async fn pass(&self) -> Result<SemaphorePermit<'_>, Error> {
        let passed = tokio::time::timeout(self.patience, self.inside.acquire()).await;
        passed.map_err(|_elapsed| Error::Overloaded)?.map_err(Error::internal)
    }
}

impl Auth {
    /// Takes a try before the work is done.
    ///
    /// # Errors
    /// [`Error::RateLimited`] with the time to wait, [`Error::DatabaseUnavailable`].
    pub(super) async fn take(&self, limits: &[Limit], sender: &Sender) -> Result<(), Error> {
        if !self.throttling {
            return Ok(());
        }
        let Some(wait) = self.store.run(async |client| throttles::take(client, limits).await).await? else {
            return Ok(());
        };
        let ip_address = sender.ip_address.map(|address| address.to_string());
        tracing::warn!(ip_address, seconds = wait.as_secs(), "too many tries; held back");
        Err(Error::RateLimited(wait))
    }
}

/// The address that tries are counted by; without one, all count as one.
pub(super) fn counted(sender: &Sender) -> IpAddr {
    sender.ip_address.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED))
}
