//! Runs the calls of one key one after another, and equal calls that wait at the same time as one.
//!
//! A row lock would serialise them too, but each waiting call would hold a connection of the pool.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;

type Queue<K, C, R> = VecDeque<Waiting<K, C, R>>;
type Queues<K, C, R> = HashMap<K, Queue<K, C, R>>;
/// The right to run, or the wait for it.
type Entered<K, C, R> = Result<Flight<K, C, R>, oneshot::Receiver<Reply<K, C, R>>>;

/// The calls in flight, by key.
pub(super) struct SingleFlight<K: Copy + Eq + Hash, C, R> {
    /// A key is present while one of its calls is in flight; its queue holds the calls that wait.
    queues: Mutex<Queues<K, C, R>>,
}

struct Waiting<K: Copy + Eq + Hash, C, R> {
    call: C,
    reply: oneshot::Sender<Reply<K, C, R>>,
}

enum Reply<K: Copy + Eq + Hash, C, R> {
    /// The call is next.
    Run(Flight<K, C, R>),
    /// An equal call ran meanwhile.
    Done(R),
}

/// The right to run a call of the key. Dropping it passes the right on.
struct Flight<K: Copy + Eq + Hash, C, R> {
    calls: Arc<SingleFlight<K, C, R>>,
    key: K,
}

impl<K: Copy + Eq + Hash, C, R> Default for SingleFlight<K, C, R> {
    fn default() -> Self {
        Self { queues: Mutex::default() }
    }
}

impl<K: Copy + Eq + Hash, C: Copy + Eq, R> SingleFlight<K, C, R> {
    /// Runs `work` after the calls of the same key that came before. Calls equal to one that starts share its work, as far as
    /// `follow` derives their outcome from its outcome. None after `limit`, or if the shared work was cancelled.
    pub(super) async fn run(
        self: &Arc<Self>,
        (key, call): (K, C),
        limit: Duration,
        work: impl AsyncFnOnce() -> R,
        follow: impl Fn(&R) -> Option<R>,
    ) -> Option<R> {
        let flight = match self.enter(key, call) {
            Ok(flight) => flight,
            Err(waiting) => match tokio::time::timeout(limit, waiting).await.ok()?.ok()? {
                Reply::Run(flight) => flight,
                Reply::Done(outcome) => return Some(outcome),
            },
        };
        // Only calls that came before the work begins: a later call must see what was committed before it came.
        let equal = flight.take_equal(call);
        let outcome = work().await;
        let mut again = VecDeque::new();
        for waiting in equal {
            match follow(&outcome) {
                Some(outcome) => drop(waiting.reply.send(Reply::Done(outcome))),
                None => again.push_back(waiting),
            }
        }
        flight.put_back(again);
        Some(outcome)
    }

    fn enter(self: &Arc<Self>, key: K, call: C) -> Entered<K, C, R> {
        let mut queues = self.queues();
        let Some(queue) = queues.get_mut(&key) else {
            queues.insert(key, VecDeque::new());
            return Ok(Flight { calls: Arc::clone(self), key });
        };
        let (reply, waiting) = oneshot::channel();
        queue.push_back(Waiting { call, reply });
        Err(waiting)
    }
}

impl<K: Copy + Eq + Hash, C, R> SingleFlight<K, C, R> {
    fn queues(&self) -> MutexGuard<'_, Queues<K, C, R>> {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Copy + Eq + Hash, C: Copy + Eq, R> Flight<K, C, R> {
    fn take_equal(&self, call: C) -> Queue<K, C, R> {
        let mut queues = self.calls.queues();
        let Some(queue) = queues.get_mut(&self.key).filter(|queue| !queue.is_empty()) else { return VecDeque::new() };
        let (equal, others) = std::mem::take(queue).into_iter().partition(|waiting| waiting.call == call);
        *queue = others;
        equal
    }

    fn put_back(&self, mut first: Queue<K, C, R>) {
        if let Some(queue) = self.calls.queues().get_mut(&self.key) {
            first.append(queue);
            *queue = first;
        }
    }
}

impl<K: Copy + Eq + Hash, C, R> Drop for Flight<K, C, R> {
    fn drop(&mut self) {
        let next = {
            let mut queues = self.calls.queues();
            let next = queues.get_mut(&self.key).and_then(|queue| {
                // Callers that have gone are skipped.
                while queue.front().is_some_and(|waiting| waiting.reply.is_closed()) {
                    queue.pop_front();
                }
                queue.pop_front()
            });
            if next.is_none() {
                queues.remove(&self.key);
            }
            next
        };
        if let Some(next) = next {
            // A caller that goes at this moment drops the new flight, which passes the right on again.
            drop(next.reply.send(Reply::Run(Flight { calls: Arc::clone(&self.calls), key: self.key })));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::rc::Rc;

    use tokio::sync::Notify;
    use tokio::task::{JoinHandle, LocalSet, spawn_local, yield_now};

    use super::*;

    const LIMIT: Duration = Duration::from_mins(1);

    #[derive(Clone, Default)]
    struct Calls {
        flights: Arc<SingleFlight<u8, char, String>>,
        /// The calls that ran, in order.
        ran: Rc<RefCell<Vec<char>>>,
        /// Each lets one call finish.
        finish: Rc<Notify>,
    }

    impl Calls {
        fn start(&self, key: u8, call: char) -> JoinHandle<Option<String>> {
            let calls = self.clone();
            spawn_local(async move {
                let work = async || {
                    calls.ran.borrow_mut().push(call);
                    calls.finish.notified().await;
                    call.to_string()
                };
                let follow = |outcome: &String| (outcome != "x").then(|| format!("as {outcome}"));
                calls.flights.run((key, call), LIMIT, work, follow).await
            })
        }

        async fn until_ran(&self, ran: &str) {
            while self.ran.borrow().iter().collect::<String>() != ran {
                yield_now().await;
            }
        }
    }

    #[tokio::test]
    async fn equal_waiting_calls_run_once_and_others_of_the_key_one_after_another() {
        LocalSet::new()
            .run_until(async {
                let calls = Calls::default();
                let first = calls.start(1, 'a');
                calls.until_ran("a").await;
                let waiting = ['a', 'b', 'a', 'b'].map(|call| calls.start(1, call));
                let elsewhere = calls.start(2, 'a');
                calls.until_ran("aa").await;
                for ran in ["aaa", "aaab"] {
                    calls.finish.notify_one();
                    if ran == "aaa" {
                        calls.finish.notify_one();
                    }
                    calls.until_ran(ran).await;
                }
                calls.finish.notify_one();
                assert_eq!(first.await.unwrap().unwrap(), "a");
                assert_eq!(elsewhere.await.unwrap().unwrap(), "a");
                let mut outcomes = Vec::new();
                for call in waiting {
                    outcomes.push(call.await.unwrap().unwrap());
                }
                assert_eq!(outcomes, ["a", "b", "as a", "as b"]);
                assert!(calls.flights.queues().is_empty());
            })
            .await;
    }

    #[tokio::test]
    async fn call_without_a_derived_outcome_runs_itself() {
        LocalSet::new()
            .run_until(async {
                let calls = Calls::default();
                let first = calls.start(1, 'a');
                calls.until_ran("a").await;
                let equal = ['x', 'x'].map(|call| calls.start(1, call));
                yield_now().await;
                for ran in ["ax", "axx"] {
                    calls.finish.notify_one();
                    calls.until_ran(ran).await;
                }
                calls.finish.notify_one();
                assert_eq!(first.await.unwrap().unwrap(), "a");
                for call in equal {
                    assert_eq!(call.await.unwrap().unwrap(), "x");
                }
            })
            .await;
    }

    #[tokio::test]
    async fn cancelled_call_passes_the_right_on_and_fails_its_followers() {
        LocalSet::new()
            .run_until(async {
                let calls = Calls::default();
                let first = calls.start(1, 'a');
                calls.until_ran("a").await;
                let [leader, gone, follower, next] = ['b', 'c', 'b', 'd'].map(|call| calls.start(1, call));
                yield_now().await;
                calls.finish.notify_one();
                calls.until_ran("ab").await;
                gone.abort();
                leader.abort();
                assert_eq!(follower.await.unwrap(), None);
                calls.until_ran("abd").await;
                calls.finish.notify_one();
                assert_eq!((first.await.unwrap().unwrap(), next.await.unwrap().unwrap()), ("a".into(), "d".into()));
                assert!(calls.flights.queues().is_empty());
            })
            .await;
    }
}
