//! Limits on tries, kept by all processes together in the database.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use super::hashing::{Flow, Holder, QueueSlot};
use super::{Auth, Error};
use crate::domain::session::Sender;
use crate::domain::throttle::Limit;
use crate::store::throttles;

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
        Err(self.held_back(wait, sender))
    }

    /// Tells the log that limits refused a caller, and counts it.
    pub(super) fn held_back(&self, wait: Duration, sender: &Sender) -> Error {
        let ip_address = sender.ip_address.map(|address| address.to_string());
        tracing::warn!(ip_address, seconds = wait.as_secs(), "too many tries; held back");
        self.counts.throttled.inc();
        Error::RateLimited(wait)
    }

    /// Takes a try, and then a slot of the queue of passwords: a try that limits refuse fills no queue, and one that finds the
    /// queue full is no failure.
    ///
    /// # Errors
    /// As [`Auth::take`], and [`Error::Overloaded`].
    pub(super) async fn take_slot(&self, flow: Flow, limits: &[Limit], sender: &Sender) -> Result<QueueSlot, Error> {
        self.hashing.check_room(flow)?;
        self.take(limits, sender).await?;
        self.unless_overloaded(self.hashing.queue(flow), limits).await
    }

    /// Gives the try back of a password that was not hashed because the queue was full.
    ///
    /// # Errors
    /// That of `outcome`, and [`Error::DatabaseUnavailable`].
    pub(super) async fn unless_overloaded<T>(&self, outcome: Result<T, Error>, limits: &[Limit]) -> Result<T, Error> {
        if matches!(outcome, Err(Error::Overloaded(_))) {
            self.give_back_try(limits).await?;
        }
        outcome
    }

    /// Gives back one try that was neither a failure nor a success that forgives the failures before it.
    ///
    /// # Errors
    /// [`Error::DatabaseUnavailable`].
    pub(super) async fn give_back_try(&self, limits: &[Limit]) -> Result<(), Error> {
        if !self.throttling {
            return Ok(());
        }
        let limits: Vec<_> = limits.iter().map(|limit| Limit { in_a_row: false, ..*limit }).collect();
        Ok(self.store.run(async |client| throttles::give_back(client, &limits).await).await?)
    }
}

/// Whose sign-ins are bounded together: all of an account's known devices, or one network's tries of one address.
pub(super) fn holder(flow: Flow, limits: &[Limit]) -> Holder {
    match flow {
        Flow::Account(user_id) => Holder::Account(user_id),
        Flow::Network(_) => Holder::Attempted(limits.first().map_or([0; 32], |limit| limit.key)),
    }
}

/// The address that tries are counted by; without one, all count as one.
pub(super) fn counted(sender: &Sender) -> IpAddr {
    sender.ip_address.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED))
}
