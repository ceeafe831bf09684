//! Admission of sign-ins to the database, which holds back floods before they cost a connection.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use ipnet::IpNet;
use tokio::sync::{Semaphore, SemaphorePermit};

use super::Error;
use crate::domain::throttle::network;

/// Bounds how many sign-ins ask the database at once: they get about half of its connections, calls with access tokens keep the
/// rest. A sign-in that waits here holds no slot in the queue of passwords, so one that limits refuse keeps nobody out of that.
///
/// There are three lanes, none of which is filled by another. Each network has a bounded number of sign-ins in a lane, so the
/// lanes stay short, however fast somebody tries.
pub struct AdmissionLimiter {
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

/// More sign-ins at the same moment than the limits of one network let through.
const CROWD: usize = 128;
/// When to come back after a wait for the database was too long.
const RETRY_AFTER: Duration = Duration::from_secs(2);

impl AdmissionLimiter {
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
        let one_of_crowd = self.join((lane, network(address))).ok_or(Error::Overloaded(RETRY_AFTER))?;
        let places = match lane {
            Lane::Strangers => &self.strangers,
            Lane::Devices => &self.devices,
            Lane::Programs => &self.programs,
        };
        let permit = tokio::time::timeout(self.patience, places.acquire()).await;
        let permit = permit.map_err(|_elapsed| Error::Overloaded(RETRY_AFTER))?.map_err(Error::internal)?;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_crowd_of_one_network_leaves_the_lanes_to_others() {
        let limiter = AdmissionLimiter::new(2 * CROWD + 4, Duration::from_millis(10));
        let [crowded, other] = ["192.0.2.1", "192.0.2.2"].map(|address| address.parse().unwrap());
        let mut crowd = Vec::new();
        for _ in 0..CROWD {
            crowd.push(limiter.pass(crowded, Lane::Strangers).await.ok());
        }
        assert!(crowd.iter().all(Option::is_some));
        assert!(limiter.pass(crowded, Lane::Strangers).await.is_err());
        let others = (limiter.pass(other, Lane::Strangers).await.ok(), limiter.pass(other, Lane::Strangers).await.ok());
        assert!(others.0.is_some() && others.1.is_some());
        assert!(
            limiter.pass(other, Lane::Strangers).await.is_err(),
            "it is full, and waited for no longer than allowed"
        );
        for lane in [Lane::Devices, Lane::Programs] {
            assert!(limiter.pass(crowded, lane).await.is_ok(), "{lane:?} are let in beside the crowd of their network");
            assert!(limiter.pass(other, lane).await.is_ok(), "{lane:?} do not wait behind strangers");
        }

        drop(crowd);
        assert!(limiter.pass(crowded, Lane::Strangers).await.is_ok());
        drop(others);
        assert!(limiter.crowds.lock().unwrap().is_empty(), "nobody is remembered who has left");
    }
}
