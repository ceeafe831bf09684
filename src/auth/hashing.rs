//! Bounds how many passwords are hashed at once, so that a flood of logins leaves refresh and me fast.

use std::sync::Arc;
use std::thread::available_parallelism;

use tokio::sync::Semaphore;

use super::Error;
use crate::domain::password::{Password, PasswordHash};

/// A pool of one core less than there are (at least one), with a bounded queue in front.
pub struct Hashing {
    cost: u32,
    /// Hashes running or waiting.
    places: Arc<Semaphore>,
    /// Hashes running.
    cores: Arc<Semaphore>,
    /// Stands in for the hash of an unknown user, so that looking takes as long.
    decoy: PasswordHash,
}

/// The outcome of comparing a password with a stored hash.
#[derive(Debug)]
pub enum Comparison {
    /// They do not belong together, or there was no stored hash.
    Wrong,
    /// They do.
    Right,
    /// They do, but the stored hash was made at a lower cost; this one at today's.
    Weak(PasswordHash),
}

impl Hashing {
    /// A pool for hashes at `cost`, where `queue` may wait.
    #[must_use]
    pub fn new(cost: u32, queue: usize) -> Self {
        let cores = available_parallelism().map_or(1, |cores| cores.get().saturating_sub(1).max(1));
        Self {
            cost,
            places: Arc::new(Semaphore::new(cores + queue)),
            cores: Arc::new(Semaphore::new(cores)),
            decoy: PasswordHash::decoy(cost),
        }
    }

    /// Hashes a new password.
    ///
    /// # Errors
    /// [`Error::Overloaded`] when the queue is full.
    pub async fn hash(&self, password: Password) -> Result<PasswordHash, Error> {
        let cost = self.cost;
        self.run(move || password.hash(cost)).await?.map_err(Error::internal)
    }

    /// Compares a claimed password with a stored hash, or with a decoy that takes as long and never matches.
    ///
    /// # Errors
    /// [`Error::Overloaded`] when the queue is full.
    pub async fn compare(&self, password: Password, stored: Option<&PasswordHash>) -> Result<Comparison, Error> {
        let cost = self.cost;
        let known = stored.is_some();
        let stored = stored.unwrap_or(&self.decoy).clone();
        let compare = move || {
            // The slow part first, and always.
            if !password.verify(&stored) || !known {
                Ok(Comparison::Wrong)
            } else if stored.is_weaker_than(cost) {
                password.hash(cost).map(Comparison::Weak)
            } else {
                Ok(Comparison::Right)
            }
        };
        self.run(compare).await?.map_err(Error::internal)
    }

    async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, Error> {
        let place = Arc::clone(&self.places).try_acquire_owned().map_err(|_full| Error::Overloaded)?;
        let core = Arc::clone(&self.cores).acquire_owned().await.map_err(Error::internal)?;
        let work = move || {
            // Held by the work itself: a caller who goes away does not make room for more than the cores can do.
            let _held = (place, core);
            work()
        };
        tokio::task::spawn_blocking(work).await.map_err(Error::internal)
    }
}
