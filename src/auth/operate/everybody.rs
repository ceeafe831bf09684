//! What is done to all accounts at once.

use std::time::Duration;

use tokio::task::JoinSet;
use uuid::Uuid;

use super::end_sessions;
use crate::auth::Error;
use crate::domain::session::SessionPolicy;
use crate::store::{self, Store, sessions};
use crate::telemetry::chain;

/// Accounts in one step.
const STEP: i64 = 1_000;
/// How many are worked on at once: enough to keep the database's disk busy, and few beside the connections of servers.
const AT_ONCE: usize = 4;
/// Seconds before what failed is tried again: half a minute in all, in which a database restarts, or its standby takes over.
const PAUSES: [u64; 5] = [1, 2, 4, 8, 15];

/// How many sessions ended, and of how many accounts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct EverybodyOut {
    /// Sessions.
    pub sessions: usize,
    /// Accounts that had some.
    pub accounts: usize,
}

/// Ends all sessions of all accounts, each account in a transaction of its own, as [`end_sessions`] does, and tells after each
/// step how far it is. Who signs in meanwhile stays signed in. What a fault of the database stops is tried again for half a
/// minute, and the log says so; whoever is interrupted starts again.
///
/// # Errors
/// [`Error::DatabaseUnavailable`]; what ended until then has ended, and was told.
pub async fn end_everybodys_sessions(
    store: &Store,
    policy: &SessionPolicy,
    mut tell: impl FnMut(EverybodyOut),
) -> Result<EverybodyOut, Error> {
    let mut out = EverybodyOut::default();
    let mut after = Uuid::nil();
    loop {
        let mut patience = Patience::with(&PAUSES);
        let step = loop {
            match store.run(async |client| sessions::list_signed_in(client, after, STEP).await).await {
                Ok(step) => break step,
                Err(error) => patience.take(error.into()).await?,
            }
        };
        let Some(last) = step.last() else { return Ok(out) };
        after = *last;
        let mut work = JoinSet::new();
        for part in step.chunks(step.len().div_ceil(AT_ONCE)) {
            work.spawn(end_sessions_of(store.clone(), part.to_vec(), *policy));
        }
        let mut outcome = Ok(());
        for (EverybodyOut { sessions, accounts }, of_part) in work.join_all().await {
            out.sessions += sessions;
            out.accounts += accounts;
            outcome = outcome.and(of_part);
        }
        tell(out);
        outcome?;
    }
}

/// How many ended, also if it went no further.
async fn end_sessions_of(
    store: Store,
    accounts: Vec<Uuid>,
    policy: SessionPolicy,
) -> (EverybodyOut, Result<(), Error>) {
    let mut out = EverybodyOut::default();
    for account in accounts {
        let mut patience = Patience::with(&PAUSES);
        let changed = loop {
            match end_sessions(&store, account, &policy).await {
                Ok(changed) => break changed,
                Err(error) => match patience.take(error).await {
                    Ok(()) => {}
                    Err(error) => return (out, Err(error)),
                },
            }
        };
        // What was committed without an answer is not counted: another try found nothing to end.
        let ended = changed.map_or(0, |changed| changed.ended());
        out.sessions += ended;
        out.accounts += usize::from(ended > 0);
    }
    (out, Ok(()))
}

/// With a database that is away for a moment.
struct Patience(std::slice::Iter<'static, u64>);

impl Patience {
    fn with(pauses: &'static [u64]) -> Self {
        Self(pauses.iter())
    }

    /// Pauses, if that may help; gives the error back if not.
    async fn take(&mut self, error: Error) -> Result<(), Error> {
        let passes =
            matches!(error, Error::DatabaseUnavailable(store::Error::Unavailable(_) | store::Error::ReadOnly(_)));
        let Some(seconds) = self.0.next().filter(|_| passes) else { return Err(error) };
        tracing::warn!(error = chain(&error), seconds, "the database failed; trying again");
        tokio::time::sleep(Duration::from_secs(*seconds)).await;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_fault_that_passes_is_waited_for_one_that_stays_is_not_nor_is_a_bug() {
        let away = || Error::DatabaseUnavailable(store::Error::Unavailable("gone".into()));
        let mut patience = Patience::with(&[0, 0]);
        assert!(patience.take(Error::internal("a bug")).await.is_err());
        let mut patience = Patience::with(&[0, 0]);
        let took = [patience.take(away()).await, patience.take(away()).await, patience.take(away()).await];
        assert_eq!(took.map(|took| took.is_ok()), [true, true, false]);
    }
}
