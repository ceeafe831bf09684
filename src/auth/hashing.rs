//! Bounds how many passwords are hashed at once, so that a flood of logins leaves refresh and me fast.

use std::sync::Arc;
use std::thread::available_parallelism;
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::Error;
use crate::domain::password::{Password, PasswordHash};
use crate::domain::throttle::Trier;
use crate::figures::{Figures, Histogram, durations, observe};

/// A pool of one core less than there are (at least one), with a bounded queue in front.
pub struct Hashing {
    cost: u32,
    /// Hashes running or waiting, and those about to be, unless limits refuse them.
    places: Arc<Semaphore>,
    /// As many more, for those who are no strangers.
    kept_places: Arc<Semaphore>,
    /// Hashes running.
    cores: Arc<Semaphore>,
    sizes: Sizes,
    /// For a core.
    waits: Histogram,
}

/// How many there are in all.
#[derive(Clone, Copy)]
struct Sizes {
    places: usize,
    cores: usize,
}

/// A place in the queue, kept as long as this lives.
#[derive(Debug)]
pub struct Place {
    _permit: OwnedSemaphorePermit,
}

/// The outcome of comparing a password with a stored hash.
#[derive(Debug)]
pub enum Comparison {
    /// They do not belong together, or there was no stored hash.
    Wrong,
    /// They do.
    Right,
    /// They do, but the stored hash was made at a lower cost, or by another system; this one is as it is today.
    Weak(PasswordHash),
}

impl Hashing {
    /// A pool for hashes at `cost`, where `queue` may wait.
    #[must_use]
    pub fn new(cost: u32, queue: usize) -> Self {
        let cores = available_parallelism().map_or(1, |cores| cores.get().saturating_sub(1).max(1));
        let semaphore = |permits| Arc::new(Semaphore::new(permits));
        let places = cores + queue;
        Self {
            cost,
            places: semaphore(places),
            kept_places: semaphore(places),
            cores: semaphore(cores),
            sizes: Sizes { places, cores },
            waits: durations(),
        }
    }

    /// Enters what is measured of the queue.
    pub fn enter_figures(&self, figures: &mut Figures) {
        let Sizes { places, cores } = self.sizes;
        let (strangers, others) = (Arc::clone(&self.places), Arc::clone(&self.kept_places));
        let depths = move || {
            let taken = |semaphore: &Semaphore| places.saturating_sub(semaphore.available_permits());
            [("stranger", taken(&strangers)), ("known", taken(&others))]
        };
        figures.enter_levels(
            ("password_queue_depth", "Sign-ins that have a place in the queue of passwords, those being hashed too."),
            "line",
            depths,
        );
        let running = Arc::clone(&self.cores);
        figures.enter_level("password_hashes_running", "Passwords that are being hashed at this moment.", move || {
            cores.saturating_sub(running.available_permits())
        });
        figures.enter("password_wait_seconds", "How long a password waited for a core.", self.waits.clone());
    }

    /// Takes a place in the queue.
    ///
    /// Whoever has a live session of the account has places of their own, which strangers cannot fill.
    ///
    /// # Errors
    /// [`Error::Overloaded`] when the queue is full.
    pub fn queue(&self, trier: Trier) -> Result<Place, Error> {
        let places = match trier {
            Trier::Device(_) | Trier::Neighbour(_) => &self.kept_places,
            Trier::Stranger(_) => &self.places,
        };
        Arc::clone(places)
            .try_acquire_owned()
            .map(|permit| Place { _permit: permit })
            .map_err(|_full| Error::Overloaded)
    }

    /// Hashes a new password.
    ///
    /// # Errors
    /// [`Error::Internal`] when the system has no random bytes.
    pub async fn hash(&self, _place: &Place, password: Password) -> Result<PasswordHash, Error> {
        let cost = self.cost;
        self.run(move || password.hash(cost)).await?.map_err(Error::internal)
    }

    /// Compares a claimed password with a stored hash. A wrong one takes the work of one hash at today's cost, whether
    /// there is a stored hash or not, and whatever scheme and cost it was made with, unless that was dearer.
    ///
    /// # Errors
    /// [`Error::Internal`] when the system has no random bytes.
    pub async fn compare(
        &self,
        _place: &Place,
        password: Password,
        stored: Option<&PasswordHash>,
    ) -> Result<Comparison, Error> {
        let cost = self.cost;
        let stored = stored.cloned();
        let compare = move || {
            let started = worked();
            match stored {
                Some(stored) if password.verify(&stored) => match stored.cost() {
                    Some(made_at) if made_at >= cost => Ok(Comparison::Right),
                    _ => password.hash(cost).map(Comparison::Weak),
                },
                Some(stored) if stored.is_foreign() => {
                    spend_rest(&password, started, cost);
                    Ok(Comparison::Wrong)
                }
                stored => {
                    spend(&password, stored.and_then(|stored| stored.cost()), cost);
                    // Two for a password that another system's hash would be compared with in two forms.
                    (1..password.forms()).for_each(|_| spend(&password, None, cost));
                    Ok(Comparison::Wrong)
                }
            }
        };
        self.run(compare).await?.map_err(Error::internal)
    }

    async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, Error> {
        let started = Instant::now();
        let core = Arc::clone(&self.cores).acquire_owned().await.map_err(Error::internal)?;
        observe(&self.waits, started.elapsed());
        let work = move || {
            // Held by the work itself: a caller who goes away does not make room for more than the cores can do.
            let _held = core;
            yield_to_others();
            work()
        };
        tokio::task::spawn_blocking(work).await.map_err(Error::internal)
    }
}

/// Lets the threads that answer requests, and a database on this machine, go before this one. Only Linux counts this by
/// thread; elsewhere it would slow them all.
fn yield_to_others() {
    #[cfg(target_os = "linux")]
    let _where_it_may_not = rustix::process::setpriority_process(None, 10);
}

/// The work that is missing to one hash at `cost` after one at `spent`: each step of cost doubles it, so the hashes at
/// `spent`, `spent` + 1 … `cost` - 1 and the one already made are together just that.
fn spend(password: &Password, spent: Option<u32>, cost: u32) {
    match spent {
        Some(spent) => (spent..cost).for_each(|cost| _ = password.verify(&PasswordHash::decoy(cost))),
        None => _ = password.verify(&PasswordHash::decoy(cost)),
    }
}

/// The work that is missing to one hash at `cost` after that which began at `started`, to within a cheapest hash.
///
/// What other systems' hashes cost is known only by time, and how fast this machine is at just this moment, too: a cheap
/// decoy tells that. Then follow decoys of falling cost, each half of the one before, as long as there is time for them.
fn spend_rest(password: &Password, started: Duration, cost: u32) {
    /// A 64th of the whole: long enough to be measured, short enough to be part of the rest.
    const STEPS: u32 = 6;
    const CHEAPEST: u32 = 4;
    // What comes before the first round and after the last takes about as long as one.
    let rounds = |cost: u32| 1.0 + f64::from(cost).exp2();
    let timed = |cost| {
        let before = worked();
        _ = password.verify(&PasswordHash::decoy(cost));
        worked().saturating_sub(before)
    };
    let mut gauge = cost.saturating_sub(STEPS).max(CHEAPEST);
    let mut took = timed(gauge);
    for lower in (CHEAPEST..=cost).rev() {
        let takes = |at| took.mul_f64(rounds(at) / rounds(gauge));
        if worked() + takes(lower) <= started + takes(cost) * password.forms() {
            let lower_took = timed(lower);
            if lower > gauge {
                // The longer, the better it tells.
                (gauge, took) = (lower, lower_took);
            }
        }
    }
}

/// How long this thread has worked. Not by the clock on the wall, which runs on while others have the core.
fn worked() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    time.try_into().unwrap_or_default()
}
