//! Bounds how much one account does at once. The rest of it waits here, in order, and holds neither a slot of the queue nor a
//! try of the limits: many right logins at the same moment would otherwise look like many failures.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use uuid::Uuid;

use crate::auth::Error;

/// Whose sign-ins count together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(in crate::auth) enum Holder {
    /// All known devices of an account.
    Account(Uuid),
    /// Strangers of one network who try one address, by the key of their limit.
    Attempted([u8; 32]),
}

/// Sign-ins of one holder that are under way at once: enough for the lanes of several cores, fewer than the free tries.
const AT_ONCE: usize = 16;
/// Sign-ins of one holder that are under way or wait, far more than anybody needs.
const MAX_PER_HOLDER: usize = 128;
/// Sign-ins of all holders that are under way or wait: each holds a request in memory.
const MAX: usize = 2_048;

/// The sign-ins that are under way, by holder.
pub(in crate::auth) struct ConcurrencyLimiter {
    holders: Arc<Mutex<Holders>>,
    patience: Duration,
}

#[derive(Default)]
struct Holders {
    by_holder: HashMap<Holder, (Arc<Semaphore>, usize)>,
    total: usize,
}

/// A sign-in that is under way, or waits.
pub(in crate::auth) struct Permit {
    _admitted: Admitted,
    turn: Option<OwnedSemaphorePermit>,
    semaphore: Arc<Semaphore>,
    patience: Duration,
}

struct Admitted {
    holders: Arc<Mutex<Holders>>,
    holder: Holder,
}

impl ConcurrencyLimiter {
    /// Nobody waits for longer than `patience`.
    pub(super) fn new(patience: Duration) -> Self {
        Self { holders: Arc::default(), patience }
    }

    /// Lets a sign-in in; it goes on once [`Permit::wait`] is done, at once unless many of the holder are under way.
    ///
    /// # Errors
    /// [`Error::Overloaded`] when too many wait already.
    pub(in crate::auth) fn admit(&self, holder: Holder) -> Result<Permit, Error> {
        let mut holders = locked(&self.holders);
        let overloaded = || Error::Overloaded(self.patience / 2);
        if holders.total >= MAX {
            return Err(overloaded());
        }
        let of_holder = holders.by_holder.entry(holder).or_insert_with(|| (Arc::new(Semaphore::new(AT_ONCE)), 0));
        if of_holder.1 >= MAX_PER_HOLDER {
            return Err(overloaded());
        }
        of_holder.1 += 1;
        let semaphore = Arc::clone(&of_holder.0);
        holders.total += 1;
        drop(holders);
        let turn = Arc::clone(&semaphore).try_acquire_owned().ok();
        let admitted = Admitted { holders: Arc::clone(&self.holders), holder };
        Ok(Permit { _admitted: admitted, turn, semaphore, patience: self.patience })
    }
}

impl Permit {
    /// Whether it has to wait.
    pub(in crate::auth) fn must_wait(&self) -> bool {
        self.turn.is_none()
    }

    /// Waits for its turn.
    ///
    /// # Errors
    /// [`Error::Overloaded`] when that takes too long.
    pub(in crate::auth) async fn wait(&mut self) -> Result<(), Error> {
        if self.turn.is_none() {
            let waiting = tokio::time::timeout(self.patience, Arc::clone(&self.semaphore).acquire_owned()).await;
            let turn = waiting.map_err(|_elapsed| Error::Overloaded(self.patience / 2))?;
            self.turn = Some(turn.map_err(Error::internal)?);
        }
        Ok(())
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        let mut holders = locked(&self.holders);
        holders.total -= 1;
        if let Entry::Occupied(mut of_holder) = holders.by_holder.entry(self.holder) {
            of_holder.get_mut().1 -= 1;
            if of_holder.get().1 == 0 {
                of_holder.remove();
            }
        }
    }
}

fn locked(holders: &Mutex<Holders>) -> MutexGuard<'_, Holders> {
    // Nothing panics while it is held.
    holders.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_account_waits_for_itself_and_for_nobody_else() {
        let limiter = ConcurrencyLimiter::new(Duration::from_secs(10));
        let [ada, bob] = [1, 2].map(|number| Holder::Account(Uuid::from_u128(number)));
        let mut under_way: Vec<_> = (0..AT_ONCE).map(|_| limiter.admit(ada).unwrap()).collect();
        let mut next = limiter.admit(ada).unwrap();
        assert!(under_way.iter().all(|permit| !permit.must_wait()) && next.must_wait());
        assert!(!limiter.admit(bob).unwrap().must_wait());
        drop(under_way.pop());
        next.wait().await.unwrap();
        assert!(!next.must_wait());
    }

    #[tokio::test]
    async fn a_wait_that_takes_too_long_is_overloaded() {
        let limiter = ConcurrencyLimiter::new(Duration::from_millis(1));
        let ada = Holder::Account(Uuid::nil());
        let _under_way: Vec<_> = (0..AT_ONCE).map(|_| limiter.admit(ada).unwrap()).collect();
        assert!(matches!(limiter.admit(ada).unwrap().wait().await, Err(Error::Overloaded(_))));
    }

    #[test]
    fn waiting_sign_ins_are_bounded_and_leave_nothing_behind() {
        let limiter = ConcurrencyLimiter::new(Duration::from_secs(10));
        let account = |number| Holder::Account(Uuid::from_u128(number));
        let one: Vec<_> = (0..=MAX_PER_HOLDER).map_while(|_| limiter.admit(account(0)).ok()).collect();
        assert_eq!(one.len(), MAX_PER_HOLDER);
        let all: Vec<_> = (1..).map_while(|number| limiter.admit(account(number)).ok()).collect();
        assert_eq!(one.len() + all.len(), MAX);
        drop((one, all));
        assert!(locked(&limiter.holders).by_holder.is_empty() && locked(&limiter.holders).total == 0);
    }
}
