//! Bounds the large answers that are being written: each keeps a page of rows or a whole list in memory while its client reads.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use uuid::Uuid;

use super::Error;

/// Large answers of one account at a time: a few tabs, or a copy of everything beside them.
const PER_ACCOUNT: usize = 4;
/// Large answers of all accounts at a time.
const MAX: usize = 64;
/// When to come back: most clients have read theirs by then.
const RETRY_AFTER: Duration = Duration::from_secs(2);

/// The large answers that are being written in this process.
#[derive(Clone, Default)]
pub struct LargeAnswers(Arc<Mutex<Accounts>>);

#[derive(Default)]
struct Accounts {
    by_account: HashMap<Uuid, usize>,
    total: usize,
}

/// A large answer that is being written, for as long as this lives.
pub struct LargeAnswer {
    answers: LargeAnswers,
    account: Uuid,
}

impl LargeAnswers {
    /// Lets an answer to `account` begin.
    ///
    /// # Errors
    /// [`Error::RateLimited`] when the account reads too many already, [`Error::Overloaded`] when all together do.
    pub fn begin(&self, account: Uuid) -> Result<LargeAnswer, Error> {
        let mut accounts = self.locked();
        if accounts.by_account.get(&account).is_some_and(|reading| *reading >= PER_ACCOUNT) {
            return Err(Error::RateLimited(RETRY_AFTER));
        }
        if accounts.total >= MAX {
            return Err(Error::Overloaded(RETRY_AFTER));
        }
        accounts.total += 1;
        *accounts.by_account.entry(account).or_insert(0) += 1;
        drop(accounts);
        Ok(LargeAnswer { answers: self.clone(), account })
    }

    fn locked(&self) -> MutexGuard<'_, Accounts> {
        // Nothing panics while it is held.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for LargeAnswer {
    fn drop(&mut self) {
        let mut accounts = self.answers.locked();
        accounts.total -= 1;
        if let Entry::Occupied(mut reading) = accounts.by_account.entry(self.account) {
            *reading.get_mut() -= 1;
            if *reading.get() == 0 {
                reading.remove();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_answers_are_bounded_by_account_and_in_all_and_leave_nothing_behind() {
        let answers = LargeAnswers::default();
        let account = Uuid::from_u128;
        let of_one: Vec<_> = (0..PER_ACCOUNT).map(|_| answers.begin(account(0)).unwrap_or_else(|_| panic!())).collect();
        assert!(matches!(answers.begin(account(0)), Err(Error::RateLimited(_))));
        let of_others: Vec<_> = (1..).map_while(|number| answers.begin(account(number)).ok()).collect();
        assert_eq!(of_one.len() + of_others.len(), MAX);
        assert!(matches!(answers.begin(account(1_000)), Err(Error::Overloaded(_))));
        drop((of_one, of_others));
        assert!(answers.locked().by_account.is_empty() && answers.locked().total == 0);
    }
}
