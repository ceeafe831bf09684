//! Limits on tries, kept by all processes together in the database.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use ipnet::IpNet;
use tokio::sync::{Semaphore, SemaphorePermit};

use super::{Auth, Error};
use crate::domain::session::Sender;
use crate::domain::throttle::{Limit, network};
use crate::store::throttles;

/// Where sign-ins wait for the database, which about half of its connections are for; the rest is for those who have access
/// tokens. Who waits here holds no place in the queue of passwords, so whoever is refused by limits keeps nobody out of that.
///
/// There are three lanes, none of which is filled by those in another. Of one network only so many wait in each at a time: the
/// lanes stay short, however fast somebody tries.
pub struct Turnstile {
    strangers: Semaphore,
    devices: Semaphore,
    programs: Semaphore,
    /// How many of each network wait or are inside.
    crowds: Mutex<HashMap<Crowd, usize>>,
    patience: Duration,
}

type Crowd = (Lane, IpNet);

/// Who waits together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Lane {
    /// Anybody who signs in.
    Strangers,
    /// Those who show a genuine refresh token, of whatever session.
    Devices,
    /// Those who show the id and the secret of a program, right or wrong.
    Programs,
}

/// More than an office or a class has of people who sign in within the same few milliseconds.
const CROWD: usize = 64;

impl Turnstile {
    /// For a pool of `connections`, each of which is waited for no longer than `patience`.
    #[must_use]
    pub fn new(connections: usize, patience: Duration) -> Self {
        // All lanes together leave one to those who have access tokens, where there are four or more.
        let strangers = (connections / 2).min(connections.saturating_sub(4)).max(1);
        let (strangers, devices) = (Semaphore::new(strangers), Semaphore::new(strangers.div_ceil(2)));
        // There are few, they ask once in minutes, and what they ask takes a millisecond.
        let programs = Semaphore::new((connections / 10).max(1));
        Self { strangers, devices, programs, crowds: Mutex::default(), patience }
    }

    /// The same for another pool.
    pub(super) fn for_connections(&self, connections: usize) -> Self {
        Self::new(connections, self.patience)
    }

    /// Waits its turn. To be kept until the database has been asked.
    ///
    /// # Errors
    /// [`Error::Overloaded`] when too many of its network wait, or that takes too long.
    pub(super) async fn pass(&self, address: IpAddr, lane: Lane) -> Result<Passed<'_>, Error> {
        let one_of_crowd = self.join((lane, network(address))).ok_or(Error::Overloaded)?;
        let places = match lane {
            Lane::Strangers => &self.strangers,
            Lane::Devices => &self.devices,
            Lane::Programs => &self.programs,
        };
        let permit = tokio::time::timeout(self.patience, places.acquire()).await;
        let permit = permit.map_err(|_elapsed| Error::Overloaded)?.map_err(Error::internal)?;
        Ok(Passed { _permit: permit, _one_of_crowd: one_of_crowd })
    }

    fn join(&self, crowd: Crowd) -> Option<OneOfCrowd<'_>> {
        let mut crowds = self.crowds.lock().unwrap_or_else(PoisonError::into_inner);
        let count = crowds.entry(crowd).or_insert(0);
        if *count == CROWD {
            return None;
        }
        *count += 1;
        Some(OneOfCrowd { crowds: &self.crowds, crowd })
    }
}

/// Somebody whose turn it is.
pub(super) struct Passed<'a> {
    _permit: SemaphorePermit<'a>,
    _one_of_crowd: OneOfCrowd<'a>,
}

struct OneOfCrowd<'a> {
    crowds: &'a Mutex<HashMap<Crowd, usize>>,
    crowd: Crowd,
}

impl Drop for OneOfCrowd<'_> {
    fn drop(&mut self) {
        let mut crowds = self.crowds.lock().unwrap_or_else(PoisonError::into_inner);
        if let Entry::Occupied(mut count) = crowds.entry(self.crowd) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
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
        self.counts.throttled.inc();
        Err(Error::RateLimited(wait))
    }
}

/// The address that tries are counted by; without one, all count as one.
pub(super) fn counted(sender: &Sender) -> IpAddr {
    sender.ip_address.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_crowd_of_one_network_leaves_the_turnstile_to_others() {
        let turnstile = Turnstile::new(2 * CROWD + 4, Duration::from_millis(10));
        let [crowded, other] = ["192.0.2.1", "192.0.2.2"].map(|address| address.parse().unwrap());
        let mut crowd = Vec::new();
        for _ in 0..CROWD {
            crowd.push(turnstile.pass(crowded, Lane::Strangers).await.ok());
        }
        assert!(crowd.iter().all(Option::is_some));
        assert!(turnstile.pass(crowded, Lane::Strangers).await.is_err());
        let others =
            (turnstile.pass(other, Lane::Strangers).await.ok(), turnstile.pass(other, Lane::Strangers).await.ok());
        assert!(others.0.is_some() && others.1.is_some());
        assert!(
            turnstile.pass(other, Lane::Strangers).await.is_err(),
            "it is full, and waited for no longer than allowed"
        );
        for lane in [Lane::Devices, Lane::Programs] {
            assert!(
                turnstile.pass(crowded, lane).await.is_ok(),
                "{lane:?} are let in beside the crowd of their network"
            );
            assert!(turnstile.pass(other, lane).await.is_ok(), "{lane:?} do not wait behind strangers");
        }

        drop(crowd);
        assert!(turnstile.pass(crowded, Lane::Strangers).await.is_ok());
        drop(others);
        assert!(turnstile.crowds.lock().unwrap().is_empty(), "nobody is remembered who has left");
    }
}
