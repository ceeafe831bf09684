//! Batches concurrent calls per worker. While one query is in flight, later calls queue up and run as one statement. An idle
//! worker adds no latency.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::oneshot::error::RecvError;
use tokio::sync::{Semaphore, oneshot};

use super::{Connection, Error, Statements, Store, query_one};
use crate::telemetry::chain;
use crate::traces;

/// Calls in one batch. A lost connection fails all of them.
const MAX_BATCH: usize = 32;

/// A call that waits longer than this runs alone: the database has stopped, or is very slow.
const MAX_WAIT: Duration = Duration::from_millis(250);

/// The queue of one kind of call on one worker.
pub(super) struct Batcher<T, R> {
    queue: Mutex<VecDeque<Queued<T, R>>>,
    turn: Semaphore,
    numbers: AtomicU64,
}

/// The outcome of one call of a batch; none if the call has to run alone.
pub(super) type Outcome<R> = Option<Result<R, Error>>;

struct Queued<T, R> {
    number: u64,
    call: T,
    reply: oneshot::Sender<Outcome<R>>,
}

impl<T, R> Default for Batcher<T, R> {
    fn default() -> Self {
        Self { queue: Mutex::default(), turn: Semaphore::new(1), numbers: AtomicU64::new(0) }
    }
}

impl<T, R> Batcher<T, R> {
    /// Runs `call` in a batch. The call whose turn it is runs `work` for the whole batch; `work` gives the outcomes in order.
    async fn run(&self, call: T, work: impl AsyncFnOnce(&[T]) -> Vec<Outcome<R>>) -> Outcome<R> {
        let number = self.numbers.fetch_add(1, Ordering::Relaxed);
        let (reply, mut replied) = oneshot::channel();
        self.queue().push_back(Queued { number, call, reply });
        let turn = match self.turn.try_acquire() {
            Ok(turn) => Some(turn),
            Err(_taken) => {
                let _waiting = traces::part("db.batch.wait");
                tokio::select! {
                    biased;
                    replied = &mut replied => return outcome(replied),
                    turn = tokio::time::timeout(MAX_WAIT, self.turn.acquire()) => turn.ok().and_then(Result::ok),
                }
            }
        };
        let Some(turn) = turn else {
            return if self.remove(number).is_some() { None } else { outcome(replied.await) };
        };
        // Lets requests that have arrived already join the batch.
        tokio::task::yield_now().await;
        let Some(batch) = self.take_batch(number) else {
            // An earlier batch included this call.
            drop(turn);
            return outcome(replied.await);
        };
        let (calls, waiting): (Vec<T>, Vec<_>) = batch.into_iter().map(|queued| (queued.call, queued.reply)).unzip();
        let outcomes = work(&calls).await;
        drop(turn);
        for (reply, outcome) in waiting.into_iter().zip(outcomes) {
            drop(reply.send(outcome));
        }
        outcome(replied.await)
    }

    /// The next batch: the call of that number first, if it is still queued, then others.
    fn take_batch(&self, number: u64) -> Option<Vec<Queued<T, R>>> {
        let first = self.remove(number)?;
        let mut queue = self.queue();
        let others = queue.len().min(MAX_BATCH - 1);
        let others = queue.drain(..others).filter(|queued| !queued.reply.is_closed());
        Some([first].into_iter().chain(others).collect())
    }

    fn remove(&self, number: u64) -> Option<Queued<T, R>> {
        let mut queue = self.queue();
        let index = queue.iter().position(|queued| queued.number == number)?;
        queue.remove(index)
    }

    fn queue(&self) -> MutexGuard<'_, VecDeque<Queued<T, R>>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn outcome<R>(replied: Result<Outcome<R>, RecvError>) -> Outcome<R> {
    replied.unwrap_or_else(|_dropped| Some(Err(Error::unavailable("the batch was cancelled"))))
}

impl Store {
    /// Runs `call` in a batch with the calls that queue up meanwhile. `batch` must not wait for locks, as later calls wait for it.
    /// `single` runs after the batch for a call that `batch` gives no outcome for, or whose batch failed because of one of its
    /// calls. Distributed tables (Citus) are never batched.
    ///
    /// # Errors
    /// As [`Store::run`].
    pub(super) async fn batched<T, R>(
        &self,
        batcher: &Batcher<T, R>,
        deadline: Instant,
        call: T,
        single: impl AsyncFnOnce(&mut Connection) -> Result<R, Error>,
        batch: impl AsyncFnOnce(&Connection, &[T]) -> Result<Vec<Outcome<R>>, Error>,
    ) -> Result<R, Error> {
        let remaining = || deadline.saturating_duration_since(Instant::now());
        if *self.citus.known() == Some(true) {
            return self.run_within(remaining(), single).await;
        }
        let work = async |calls: &[T]| {
            let none = || calls.iter().map(|_| None).collect();
            let outcomes = self.run_within(remaining(), async |connection| {
                if calls.len() > 1 && self.citus.detect(connection).await? {
                    Ok(none())
                } else {
                    batch(connection, calls).await
                }
            });
            match outcomes.await {
                Ok(outcomes) => outcomes,
                Err(error @ Error::Bug(_)) => {
                    tracing::debug!(error = chain(&error), "a batch failed; its calls run alone");
                    *self.citus.known() = None;
                    none()
                }
                Err(error) if calls.len() == 1 => vec![Some(Err(error))],
                Err(error @ Error::Unavailable(_)) => {
                    calls.iter().map(|_| Some(Err(Error::unavailable(chain(&error))))).collect()
                }
                Err(_other) => none(),
            }
        };
        if let Some(outcome) = batcher.run(call, work).await {
            return outcome;
        }
        self.run_within(remaining(), single).await
    }

    /// The latest time at which a call that starts now is given up.
    pub(super) fn deadline(&self) -> Instant {
        Instant::now() + self.get_limit + self.call_limit
    }
}

/// Whether Citus distributes the tables by user, which excludes statements about several users. Unknown until a batch asks.
#[derive(Default)]
pub(super) struct CitusDetection(Mutex<Option<bool>>);

impl CitusDetection {
    fn known(&self) -> MutexGuard<'_, Option<bool>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn detect(&self, client: &impl Statements) -> Result<bool, Error> {
        if let Some(known) = *self.known() {
            return Ok(known);
        }
        let sql = "select exists (select from pg_extension where extname = 'citus') as is_citus";
        let is_citus = query_one(client, sql, &[]).await?.try_get("is_citus")?;
        *self.known() = Some(is_citus);
        Ok(is_citus)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::future::pending;
    use std::rc::Rc;

    use tokio::sync::Notify;
    use tokio::task::{JoinHandle, LocalSet, spawn_local, yield_now};

    use super::*;

    /// Batches calls that multiply by ten. A call of 0 has no outcome.
    #[derive(Clone, Default)]
    struct TimesTen {
        batcher: Rc<Batcher<usize, usize>>,
        batches: Rc<RefCell<Vec<Vec<usize>>>>,
        /// Holds the work until it is notified.
        held: Option<Rc<Notify>>,
    }

    impl TimesTen {
        async fn run(self, call: usize) -> Option<usize> {
            let work = async |calls: &[usize]| {
                self.batches.borrow_mut().push(calls.to_vec());
                if let Some(held) = &self.held {
                    held.notified().await;
                }
                calls.iter().map(|call| (*call != 0).then_some(Ok(call * 10))).collect()
            };
            self.batcher.run(call, work).await.map(Result::unwrap)
        }

        /// Starts a call whose work is held.
        async fn hold(&self, call: usize) -> (Rc<Notify>, JoinHandle<Option<usize>>) {
            let held = Rc::new(Notify::new());
            let running = spawn_local(Self { held: Some(Rc::clone(&held)), ..self.clone() }.run(call));
            while self.batches.borrow().is_empty() {
                yield_now().await;
            }
            (held, running)
        }
    }

    #[tokio::test]
    async fn idle_batcher_runs_each_call_alone() {
        let all = TimesTen::default();
        assert_eq!((all.clone().run(1).await, all.clone().run(2).await), (Some(10), Some(20)));
        assert_eq!(*all.batches.borrow(), [[1], [2]]);
    }

    #[tokio::test]
    async fn queued_calls_run_as_one_batch_with_an_outcome_each() {
        LocalSet::new()
            .run_until(async {
                let all = TimesTen::default();
                let (held, first) = all.hold(1).await;
                let others: Vec<_> = (0..MAX_BATCH + 2).map(|call| spawn_local(all.clone().run(call))).collect();
                yield_now().await;
                held.notify_one();

                assert_eq!(first.await.unwrap(), Some(10));
                for (call, other) in others.into_iter().enumerate() {
                    assert_eq!(other.await.unwrap(), (call != 0).then_some(call * 10));
                }
                assert_eq!(*all.batches.borrow(), [vec![1], (0..MAX_BATCH).collect(), vec![MAX_BATCH, MAX_BATCH + 1]]);
            })
            .await;
    }

    #[tokio::test]
    async fn batch_wait_times_out_to_single_call_and_cancelled_calls_are_skipped() {
        LocalSet::new()
            .run_until(async {
                let all = TimesTen::default();
                let (held, _first) = all.hold(1).await;
                drop(tokio::time::timeout(MAX_WAIT / 2, all.clone().run(2)).await);
                assert_eq!(all.clone().run(3).await, None);
                let next = spawn_local(all.clone().run(4));
                yield_now().await;
                held.notify_one();
                assert_eq!(next.await.unwrap(), Some(40));
                assert_eq!(*all.batches.borrow(), [[1], [4]]);
            })
            .await;
    }

    #[tokio::test]
    async fn cancelled_batch_fails_its_calls_and_the_next_batch_runs() {
        LocalSet::new()
            .run_until(async {
                let all = TimesTen::default();
                let (held, _first) = all.hold(1).await;
                let batcher = Rc::clone(&all.batcher);
                let leads = spawn_local(async move { batcher.run(2, async |_| pending().await).await.is_none() });
                let batcher = Rc::clone(&all.batcher);
                let follows = spawn_local(async move { batcher.run(3, async |_| pending().await).await });
                yield_now().await;
                held.notify_one();
                while !all.batcher.queue().is_empty() {
                    yield_now().await;
                }
                leads.abort();
                let followed = follows.await.unwrap();
                assert!(matches!(followed, Some(Err(Error::Unavailable(_)))), "{followed:?}");
                assert_eq!(all.run(4).await, Some(40));
            })
            .await;
    }
}
