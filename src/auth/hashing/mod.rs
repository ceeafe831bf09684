//! Bounds how many passwords are hashed at once, so that a flood of logins leaves refresh and me fast.
//!
//! `comparing` says what is computed for a password and what that means, `workers` computes it.

mod comparing;
mod workers;

use std::sync::Arc;
use std::thread::available_parallelism;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use super::Error;
use crate::domain::password::{Comparing, Other, Password, PasswordHash, Salt};
use crate::domain::throttle::Trier;
use crate::figures::Figures;
use crate::traces;
pub use comparing::Comparison;
use comparing::{Found, Today};
use workers::{Step, Workers, yield_to_others};

/// Hashes under way on all cores but one (at least one), several on each, with a bounded queue in front.
pub struct Hashing {
    cost: u32,
    /// Hashes running or waiting, and those about to be, unless limits refuse them.
    places: Arc<Semaphore>,
    /// As many more, for those who are no strangers.
    kept_places: Arc<Semaphore>,
    /// How many of each there are.
    size: usize,
    workers: Workers,
    /// Comparisons that are no bcrypt, each with a core to itself.
    others: Arc<Semaphore>,
}

const BROKE_DOWN: &str = "hashing passwords broke down";

/// A place in the queue, kept as long as this lives.
#[derive(Debug)]
pub struct Place {
    _permit: OwnedSemaphorePermit,
}

impl Hashing {
    /// A pool for hashes at `cost`, where `queue` may wait.
    #[must_use]
    pub fn new(cost: u32, queue: usize) -> Self {
        let cores = available_parallelism().map_or(1, |cores| cores.get().saturating_sub(1).max(1));
        let workers = Workers::new(cores);
        let places = workers.at_once() + queue;
        let semaphore = |size| Arc::new(Semaphore::new(size));
        let (kept_places, others) = (semaphore(places), semaphore(cores));
        Self { cost, places: semaphore(places), kept_places, size: places, workers, others }
    }

    /// Enters what is measured of the queue.
    pub fn enter_figures(&self, figures: &mut Figures) {
        let (places, strangers, others) = (self.size, Arc::clone(&self.places), Arc::clone(&self.kept_places));
        let depths = move || {
            let taken = |semaphore: &Semaphore| places.saturating_sub(semaphore.available_permits());
            [("stranger", taken(&strangers)), ("known", taken(&others))]
        };
        figures.enter_levels(
            ("password_queue_depth", "Sign-ins that have a place in the queue of passwords, those being hashed too."),
            "line",
            depths,
        );
        self.workers.enter_figures(figures);
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
    /// [`Error::Internal`] when the system has no random bytes, or hashing this or what is hashed beside it broke down.
    pub async fn hash(&self, _place: &Place, password: Password) -> Result<PasswordHash, Error> {
        let salt = Salt::random().map_err(Error::internal)?;
        let today = Today { cost: self.cost, salt };
        self.answer(|reply| Some(comparing::hash(&password, today, move |hash| _ = reply.send(hash)))).await
    }

    /// Compares a claimed password with a stored hash. A wrong one takes the work of one hash at today's cost, whether
    /// there is a stored hash or not, and whatever scheme and cost it was made with, unless that was dearer.
    ///
    /// # Errors
    /// As [`Hashing::hash`].
    pub async fn compare(
        &self,
        _place: &Place,
        password: Password,
        stored: Option<&PasswordHash>,
    ) -> Result<Comparison, Error> {
        let salt = Salt::random().map_err(Error::internal)?;
        let comparing = stored.map_or(Comparing::Bcrypt(Vec::new()), |stored| password.comparing(stored));
        let (attempts, found) = match comparing {
            Comparing::Other(other) => (Vec::new(), self.compare_other(&password, other).await?),
            Comparing::Bcrypt(attempts) => (attempts, Found::Nothing { spent: 0 }),
        };
        self.answer(|reply| comparing::compare(password, attempts, found, Today { cost: self.cost, salt }, reply)).await
    }

    /// Compares with another system's hash that is no bcrypt.
    async fn compare_other(&self, password: &Password, other: Other) -> Result<Found, Error> {
        let core = Arc::clone(&self.others).acquire_owned().await.map_err(Error::internal)?;
        let (password, cost) = (password.clone(), self.cost);
        let running = self.workers.also();
        let work = move || {
            // Held by the work itself: a caller who goes away does not make room for more than the cores can do.
            let _held = (core, running);
            yield_to_others();
            comparing::compare_other(&password, &other, cost)
        };
        tokio::task::spawn_blocking(work).await.map_err(Error::internal)
    }

    /// Has a job done. One that panics is a bug, also for those beside it, whose work is lost: the operator must hear of it, and
    /// whoever is told to come again would meet it again.
    async fn answer<T>(&self, job: impl FnOnce(oneshot::Sender<T>) -> Option<Step>) -> Result<T, Error> {
        let (reply, answer) = oneshot::channel();
        if let Some(step) = job(reply) {
            let waiting = traces::part("wait for a core");
            self.workers.enqueue(step).await.map_err(|_gone| Error::internal(BROKE_DOWN))?;
            waiting.done();
        }
        let hashing = traces::part("hash a password");
        let outcome = answer.await.map_err(|_gone| Error::internal(BROKE_DOWN));
        hashing.came_to(&outcome, |_panicked| "panic".into());
        outcome
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Long enough for another to join it.
    const ROUNDS: u32 = 2_000;

    fn step(then: workers::Then) -> Step {
        Step { key: Password::claimed("right").key(), salt: Salt::default(), rounds: ROUNDS, then }
    }

    #[tokio::test]
    async fn a_bug_in_hashing_is_one_for_whoever_is_hashed_beside_it_and_for_nobody_after() {
        let hashing = Hashing::new(4, 4);
        let (broken, beside) = tokio::join!(
            hashing.answer(|_reply: oneshot::Sender<()>| Some(step(Box::new(|_| panic!("a bug"))))),
            hashing.answer(|reply| Some(step(Box::new(move |_| {
                _ = reply.send(());
                None
            })))),
        );
        assert!(matches!(broken, Err(Error::Internal(_))), "{broken:?}");
        // Where there are more cores it was hashed on another.
        assert!(matches!(beside, Ok(()) | Err(Error::Internal(_))), "{beside:?}");

        let place = hashing.queue(Trier::Stranger([192, 0, 2, 1].into())).unwrap();
        let hash = hashing.hash(&place, Password::claimed("right")).await.unwrap();
        assert!(matches!(
            hashing.compare(&place, Password::claimed("right"), Some(&hash)).await,
            Ok(Comparison::Right)
        ));
    }
}
