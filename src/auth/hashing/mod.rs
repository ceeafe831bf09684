//! Bounds how many passwords are hashed at once, so that a flood of logins leaves refresh and me fast.
//!
//! `comparing` says what is computed for a password and what that means, `workers` computes it, `queue` says whose turn it is
//! and who is turned away, `concurrency` bounds how much one account does at once.

mod comparing;
mod concurrency;
mod queue;
mod workers;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::available_parallelism;
use std::time::Duration;

use tokio::sync::{Semaphore, oneshot};

use super::Error;
use crate::domain::password::{Comparing, Other, Password, PasswordHash, Salt};
use crate::domain::throttle::{Trier, network};
use crate::figures::Figures;
use crate::traces;
pub use comparing::Comparison;
use comparing::{Found, Today};
use concurrency::ConcurrencyLimiter;
pub(super) use concurrency::{Holder, Permit};
pub(super) use queue::Flow;
use queue::Full;
use workers::{Begin, Step, Workers, yield_to_others};

/// Hashes under way on all cores but one (at least one), several on each, with a bounded queue in front.
pub struct Hashing {
    cost: u32,
    max_wait: Duration,
    workers: Arc<Workers>,
    /// How many sign-ins of one account are under way.
    pub(super) accounts: ConcurrencyLimiter,
    /// Comparisons that are no bcrypt, each with a core to itself.
    others: Arc<Semaphore>,
}

/// How much longer than was promised a job waits before it is given up: the machine may have become slower since.
const SLACK: Duration = Duration::from_secs(10);
const BROKE_DOWN: &str = "hashing passwords broke down";

/// A slot in the queue. It is given back when its first hash begins, or when this is dropped.
pub struct QueueSlot {
    workers: Arc<Workers>,
    flow: Flow,
    /// Whether it is still there, for the first hash.
    reserved: AtomicBool,
}

impl Drop for QueueSlot {
    fn drop(&mut self) {
        if self.reserved.swap(false, Ordering::Relaxed) {
            self.workers.release(self.flow);
        }
    }
}

impl From<Full> for Error {
    fn from(Full { retry_after }: Full) -> Self {
        Self::Overloaded(retry_after)
    }
}

impl Hashing {
    /// A pool for hashes at `cost`, before which a newcomer waits for `max_wait` at most.
    #[must_use]
    pub fn new(cost: u32, max_wait: Duration) -> Self {
        let cores = available_parallelism().map_or(1, |cores| cores.get().saturating_sub(1).max(1));
        let workers = Arc::new(Workers::new(cores, cost, max_wait));
        let accounts = ConcurrencyLimiter::new(max_wait);
        Self { cost, max_wait, workers, accounts, others: Arc::new(Semaphore::new(cores)) }
    }

    /// Enters what is measured of the queue.
    pub fn enter_figures(&self, figures: &mut Figures) {
        self.workers.enter_figures(figures);
    }

    /// Which flow a sign-in belongs to: whoever has a live session of the account shares the account's turns, strangers share
    /// those of their network.
    pub(super) fn flow(account: Option<uuid::Uuid>, trier: Trier) -> Flow {
        match (account, trier) {
            (Some(account), Trier::Device(_) | Trier::Neighbour(_)) => Flow::Account(account),
            (_, Trier::Stranger(address) | Trier::Neighbour(address)) => Flow::Network(network(address)),
            (None, Trier::Device(session)) => Flow::Account(session),
        }
    }

    /// Whether there is room in the queue. It costs nothing, so it is asked before a try is taken from the limits.
    ///
    /// # Errors
    /// [`Error::Overloaded`] when a newcomer would wait too long.
    pub(super) fn check_room(&self, flow: Flow) -> Result<(), Error> {
        Ok(self.workers.check(flow)?)
    }

    /// Takes a slot in the queue.
    ///
    /// # Errors
    /// [`Error::Overloaded`] when a newcomer would wait too long.
    pub(super) fn queue(&self, flow: Flow) -> Result<QueueSlot, Error> {
        self.workers.reserve(flow)?;
        Ok(QueueSlot { workers: Arc::clone(&self.workers), flow, reserved: AtomicBool::new(true) })
    }

    /// Hashes a new password.
    ///
    /// # Errors
    /// [`Error::Overloaded`] when the slot went to a newcomer, or the wait was far longer than it looked;
    /// [`Error::Internal`] when the system has no random bytes, or hashing this or what is hashed beside it broke down.
    pub async fn hash(&self, slot: &QueueSlot, password: Password) -> Result<PasswordHash, Error> {
        let salt = Salt::random().map_err(Error::internal)?;
        let today = Today { cost: self.cost, salt };
        self.answer(slot, |reply| Some(comparing::hash(&password, today, move |hash| _ = reply.send(hash)))).await
    }

    /// Compares a claimed password with a stored hash. A wrong one takes the work of one hash at today's cost, whether
    /// there is a stored hash or not, and whatever scheme and cost it was made with, unless that was dearer.
    ///
    /// # Errors
    /// As [`Hashing::hash`].
    pub async fn compare(
        &self,
        slot: &QueueSlot,
        password: Password,
        stored: Option<&PasswordHash>,
    ) -> Result<Comparison, Error> {
        let salt = Salt::random().map_err(Error::internal)?;
        let comparing = stored.map_or(Comparing::Bcrypt(Vec::new()), |stored| password.comparing(stored));
        let (attempts, found) = match comparing {
            Comparing::Other(other) => (Vec::new(), self.compare_other(&password, other).await?),
            Comparing::Bcrypt(attempts) => (attempts, Found::Nothing { spent: 0 }),
        };
        let today = Today { cost: self.cost, salt };
        self.answer(slot, |reply| comparing::compare(password, attempts, found, today, reply)).await
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
    async fn answer<T>(
        &self,
        slot: &QueueSlot,
        job: impl FnOnce(oneshot::Sender<T>) -> Option<Step>,
    ) -> Result<T, Error> {
        let (reply, answer) = oneshot::channel();
        if let Some(step) = job(reply) {
            let waiting = traces::part("wait for a core");
            self.begin(slot, step).await?;
            waiting.done();
        }
        let hashing = traces::part("hash a password");
        let outcome = answer.await.map_err(|_gone| Error::internal(BROKE_DOWN));
        hashing.came_to(&outcome, |_panicked| "panic".into());
        outcome
    }

    /// Waits until a thread has taken a job.
    async fn begin(&self, slot: &QueueSlot, step: Step) -> Result<(), Error> {
        let reserved = slot.reserved.swap(false, Ordering::Relaxed);
        let begun = self.workers.enqueue(slot.flow, reserved, step);
        let longest = self.max_wait + SLACK;
        let overloaded = || Error::Overloaded(self.max_wait / 2);
        match tokio::time::timeout(longest, begun).await {
            Ok(Ok(Begin::Now)) => Ok(()),
            Ok(Ok(Begin::Shed)) => Err(overloaded()),
            Ok(Err(_gone)) => Err(Error::internal(BROKE_DOWN)),
            Err(_elapsed) => Err(overloaded()),
        }
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
        let hashing = Hashing::new(4, Duration::from_secs(10));
        let slot = || hashing.queue(Flow::Network(network([192, 0, 2, 1].into()))).unwrap();
        let slots = (slot(), slot());
        let (broken, beside) = tokio::join!(
            hashing.answer(&slots.0, |_reply: oneshot::Sender<()>| Some(step(Box::new(|_| panic!("a bug"))))),
            hashing.answer(&slots.1, |reply| Some(step(Box::new(move |_| {
                _ = reply.send(());
                None
            })))),
        );
        assert!(matches!(broken, Err(Error::Internal(_))), "{broken:?}");
        // Where there are more cores it was hashed on another.
        assert!(matches!(beside, Ok(()) | Err(Error::Internal(_))), "{beside:?}");

        let slot = slot();
        let hash = hashing.hash(&slot, Password::claimed("right")).await.unwrap();
        assert!(matches!(hashing.compare(&slot, Password::claimed("right"), Some(&hash)).await, Ok(Comparison::Right)));
    }
}
