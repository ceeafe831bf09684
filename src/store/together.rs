//! Those who come while others are at the database go there together, next: one statement, one commit, one way there and back
//! for all of them. Who comes when nobody is there waits for nobody.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::oneshot::error::RecvError;
use tokio::sync::{Semaphore, oneshot};

use super::{Connection, Error, Statements, Store, query_one};
use crate::telemetry::chain;
use crate::traces;

/// How many go at most. Each waits for what is done for all, and is lost with them when the connection is.
const MOST: usize = 32;

/// How long somebody waits for those before. Then it goes alone: they wait for a lock, or the database has stopped.
const PATIENCE: Duration = Duration::from_millis(250);

/// Where they meet.
pub(super) struct Together<T, R> {
    line: Mutex<VecDeque<Waiting<T, R>>>,
    turn: Semaphore,
    numbers: AtomicU64,
}

/// What came of one of a group; none where it has to go alone.
pub(super) type Outcome<R> = Option<Result<R, Error>>;

struct Waiting<T, R> {
    number: u64,
    it: T,
    tell: oneshot::Sender<Outcome<R>>,
}

impl<T, R> Default for Together<T, R> {
    fn default() -> Self {
        Self { line: Mutex::default(), turn: Semaphore::new(1), numbers: AtomicU64::new(0) }
    }
}

impl<T, R> Together<T, R> {
    /// What comes of `it`. One of a group does the `work` for all of it, which says what comes of each, in their order.
    async fn go(&self, it: T, work: impl AsyncFnOnce(&[T]) -> Vec<Outcome<R>>) -> Outcome<R> {
        let number = self.numbers.fetch_add(1, Ordering::Relaxed);
        let (tell, mut told) = oneshot::channel();
        self.line().push_back(Waiting { number, it, tell });
        let turn = match self.turn.try_acquire() {
            Ok(turn) => Some(turn),
            Err(_taken) => {
                let _waiting = traces::part("wait for others at the database");
                tokio::select! {
                    biased;
                    told = &mut told => return outcome(told),
                    turn = tokio::time::timeout(PATIENCE, self.turn.acquire()) => turn.ok().and_then(Result::ok),
                }
            }
        };
        let Some(turn) = turn else {
            return if self.leave(number).is_some() { None } else { outcome(told.await) };
        };
        // Those whose requests have come already are to be in it.
        tokio::task::yield_now().await;
        let Some(group) = self.group(number) else {
            // Others have taken it with them.
            drop(turn);
            return outcome(told.await);
        };
        let (its, tells): (Vec<T>, Vec<_>) = group.into_iter().map(|waiting| (waiting.it, waiting.tell)).unzip();
        let outcomes = work(&its).await;
        drop(turn);
        for (tell, outcome) in tells.into_iter().zip(outcomes) {
            drop(tell.send(outcome));
        }
        outcome(told.await)
    }

    /// Those who go now: the one of that number, if it still waits, and others who do.
    fn group(&self, number: u64) -> Option<Vec<Waiting<T, R>>> {
        let first = self.leave(number)?;
        let mut line = self.line();
        let others = line.len().min(MOST - 1);
        let others = line.drain(..others).filter(|waiting| !waiting.tell.is_closed());
        Some([first].into_iter().chain(others).collect())
    }

    fn leave(&self, number: u64) -> Option<Waiting<T, R>> {
        let mut line = self.line();
        let place = line.iter().position(|waiting| waiting.number == number)?;
        line.remove(place)
    }

    fn line(&self) -> MutexGuard<'_, VecDeque<Waiting<T, R>>> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What it was told, or that nobody knows what was done for it.
fn outcome<R>(told: Result<Outcome<R>, RecvError>) -> Outcome<R> {
    told.unwrap_or_else(|_dropped| Some(Err(Error::unavailable("those who went together were given up"))))
}

impl Store {
    /// Does `alone` for it or, where others come meanwhile, `all` for the whole group; and `alone` after all for those of whom
    /// `all` says nothing, and when it fails for a reason that may lie in one of them. What fails for one alone, it says of that one.
    ///
    /// # Errors
    /// As [`Store::run`].
    pub(super) async fn together<T, R>(
        &self,
        meeting: &Together<T, R>,
        it: T,
        alone: impl AsyncFn(&mut Connection) -> Result<R, Error>,
        all: impl AsyncFnOnce(&Connection, &[T]) -> Result<Vec<Outcome<R>>, Error>,
    ) -> Result<R, Error> {
        if *self.spread.known() == Some(true) {
            return self.run(alone).await;
        }
        let started = Instant::now();
        let work =
            async |group: &[T]| {
                if let [_] = group {
                    return vec![Some(self.run(&alone).await)];
                }
                let none = || group.iter().map(|_| None).collect();
                let outcomes = self.run(async |connection| {
                    if self.spread.find(connection).await? { Ok(none()) } else { all(connection, group).await }
                });
                match outcomes.await {
                    Ok(outcomes) => outcomes,
                    Err(error @ Error::Unavailable(_)) => {
                        group.iter().map(|_| Some(Err(Error::unavailable(chain(&error))))).collect()
                    }
                    Err(error) => {
                        tracing::debug!(error = chain(&error), "what is done for a group failed");
                        *self.spread.known() = None;
                        group.iter().map(|_| None).collect()
                    }
                }
            };
        if let Some(outcome) = meeting.go(it, work).await {
            return outcome;
        }
        let limit = self.get_limit + self.call_limit;
        self.run_within(limit.saturating_sub(started.elapsed()), alone).await
    }
}

/// Whether tables are distributed over places, by user: then no statement is about several users. Nothing while nobody has
/// asked.
#[derive(Default)]
pub(super) struct Spread(Mutex<Option<bool>>);

impl Spread {
    fn known(&self) -> MutexGuard<'_, Option<bool>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn find(&self, client: &impl Statements) -> Result<bool, Error> {
        if let Some(known) = *self.known() {
            return Ok(known);
        }
        let sql = "select exists (select from pg_extension where extname = 'citus') as spread";
        let spread = query_one(client, sql, &[]).await?.try_get("spread")?;
        *self.known() = Some(spread);
        Ok(spread)
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

    /// A meeting of those who ask for ten times as much; 0 comes to nothing.
    #[derive(Clone, Default)]
    struct Tenfold {
        meeting: Rc<Together<usize, usize>>,
        /// Who went with whom.
        groups: Rc<RefCell<Vec<Vec<usize>>>>,
        /// Whether the work waits until it is let go.
        held: Option<Rc<Notify>>,
    }

    impl Tenfold {
        async fn go(self, it: usize) -> Option<usize> {
            let work = async |group: &[usize]| {
                self.groups.borrow_mut().push(group.to_vec());
                if let Some(held) = &self.held {
                    held.notified().await;
                }
                group.iter().map(|it| (*it != 0).then_some(Ok(it * 10))).collect()
            };
            self.meeting.go(it, work).await.map(Result::unwrap)
        }

        /// Somebody who is at it until he is let go.
        async fn begin(&self, it: usize) -> (Rc<Notify>, JoinHandle<Option<usize>>) {
            let held = Rc::new(Notify::new());
            let going = spawn_local(Self { held: Some(Rc::clone(&held)), ..self.clone() }.go(it));
            while self.groups.borrow().is_empty() {
                yield_now().await;
            }
            (held, going)
        }
    }

    #[tokio::test]
    async fn who_comes_when_nobody_is_there_goes_alone() {
        let all = Tenfold::default();
        assert_eq!((all.clone().go(1).await, all.clone().go(2).await), (Some(10), Some(20)));
        assert_eq!(*all.groups.borrow(), [[1], [2]]);
    }

    #[tokio::test]
    async fn those_who_come_meanwhile_go_together_and_each_is_told_of_itself() {
        LocalSet::new()
            .run_until(async {
                let all = Tenfold::default();
                let (held, first) = all.begin(1).await;
                let others: Vec<_> = (0..MOST + 2).map(|it| spawn_local(all.clone().go(it))).collect();
                yield_now().await;
                held.notify_one();

                assert_eq!(first.await.unwrap(), Some(10));
                for (it, other) in others.into_iter().enumerate() {
                    assert_eq!(other.await.unwrap(), (it != 0).then_some(it * 10));
                }
                assert_eq!(*all.groups.borrow(), [vec![1], (0..MOST).collect(), vec![MOST, MOST + 1]]);
            })
            .await;
    }

    #[tokio::test]
    async fn who_has_waited_for_long_goes_alone_and_who_has_gone_is_left_out() {
        LocalSet::new()
            .run_until(async {
                let all = Tenfold::default();
                let (held, _first) = all.begin(1).await;
                drop(tokio::time::timeout(PATIENCE / 2, all.clone().go(2)).await);
                assert_eq!(all.clone().go(3).await, None);
                let next = spawn_local(all.clone().go(4));
                yield_now().await;
                held.notify_one();
                assert_eq!(next.await.unwrap(), Some(40));
                assert_eq!(*all.groups.borrow(), [[1], [4]]);
            })
            .await;
    }

    #[tokio::test]
    async fn those_whose_work_was_given_up_are_told_so_and_the_next_ones_go() {
        LocalSet::new()
            .run_until(async {
                let all = Tenfold::default();
                let (held, _first) = all.begin(1).await;
                let meeting = Rc::clone(&all.meeting);
                let leads = spawn_local(async move { meeting.go(2, async |_| pending().await).await.is_none() });
                let meeting = Rc::clone(&all.meeting);
                let follows = spawn_local(async move { meeting.go(3, async |_| pending().await).await });
                yield_now().await;
                held.notify_one();
                while !all.meeting.line().is_empty() {
                    yield_now().await;
                }
                leads.abort();
                let told = follows.await.unwrap();
                assert!(matches!(told, Some(Err(Error::Unavailable(_)))), "{told:?}");
                assert_eq!(all.go(4).await, Some(40));
            })
            .await;
    }
}
