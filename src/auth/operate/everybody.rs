//! What is done to all accounts at once.

use tokio::task::JoinSet;
use uuid::Uuid;

use super::end_sessions;
use crate::auth::Error;
use crate::domain::session::SessionPolicy;
use crate::store::{Store, sessions};

/// Accounts in one step.
const STEP: i64 = 1_000;
/// How many are worked on at once: enough to keep the database's disk busy, and few beside the connections of servers.
const AT_ONCE: usize = 4;

/// How many sessions ended, and of how many accounts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct EverybodyOut {
    /// Sessions.
    pub sessions: usize,
    /// Accounts that had some.
    pub accounts: usize,
}

/// Ends all sessions of all accounts, each account in a transaction of its own, as [`end_sessions`] does, and tells after each
/// step how far it is. Who signs in meanwhile stays signed in; whoever is interrupted starts again.
///
/// # Errors
/// [`Error::DatabaseUnavailable`]; what ended until then has ended.
pub async fn end_everybodys_sessions(
    store: &Store,
    policy: &SessionPolicy,
    mut tell: impl FnMut(EverybodyOut),
) -> Result<EverybodyOut, Error> {
    let mut out = EverybodyOut::default();
    let mut after = Uuid::nil();
    loop {
        let step = store.run(async |client| sessions::list_signed_in(client, after, STEP).await).await?;
        let Some(last) = step.last() else { return Ok(out) };
        after = *last;
        let mut work = JoinSet::new();
        for part in step.chunks(step.len().div_ceil(AT_ONCE)) {
            work.spawn(end_sessions_of(store.clone(), part.to_vec(), *policy));
        }
        for part in work.join_all().await {
            let EverybodyOut { sessions, accounts } = part?;
            out.sessions += sessions;
            out.accounts += accounts;
        }
        tell(out);
    }
}

async fn end_sessions_of(store: Store, accounts: Vec<Uuid>, policy: SessionPolicy) -> Result<EverybodyOut, Error> {
    let mut out = EverybodyOut::default();
    for account in accounts {
        let ended = end_sessions(&store, account, &policy).await?.map_or(0, |changed| changed.ended());
        out.sessions += ended;
        out.accounts += usize::from(ended > 0);
    }
    Ok(out)
}
