//! Numbers about a deployment, for administrators and operators.

use std::time::Duration;

use time::UtcOffset;

use super::Error;
use crate::domain::session::SessionPolicy;
use crate::domain::statistics::{Day, Statistics, UserCounts};
use crate::store::Store;
use crate::store::statistics::{self, Happened};
use crate::store::walk;

const DAYS: u64 = 30;
const DAY: Duration = Duration::from_hours(24);

/// Counts, in many short statements: a few seconds for a million accounts and five million events. What changes meanwhile may or
/// may not be counted.
///
/// # Errors
/// [`Error::DatabaseUnavailable`].
pub async fn statistics(store: &Store, policy: &SessionPolicy, events_kept: Duration) -> Result<Statistics, Error> {
    let now = store.run(async |client| statistics::get_time(client).await).await?.to_offset(UtcOffset::UTC);
    let mut users = UserCounts::default();
    let begin = store.run(async |client| walk::begin(client).await).await?;
    let mut next = Some(begin);
    while let Some(from) = next {
        let part = store.run(async |client| statistics::count_users(client, from).await).await?;
        users += part.counts;
        next = part.next;
    }
    let mut live_sessions = 0;
    let mut next = Some(begin);
    while let Some(from) = next {
        let part = store.run(async |client| statistics::count_live_sessions(client, from, policy).await).await?;
        live_sessions += part.counts;
        next = part.next;
    }
    let (mut new_users, mut logins, mut login_failures) = (Vec::new(), Vec::new(), Vec::new());
    let today = now.replace_time(time::Time::MIDNIGHT);
    // Of older days only a part is left.
    let days_kept = events_kept.as_secs() / DAY.as_secs();
    for ago in 0..DAYS {
        let day = today - DAY * u32::try_from(ago).unwrap_or_default();
        let date = day.date().to_string();
        let counted = store.run(async |client| statistics::count_between(client, day, DAY).await).await?;
        let Happened { new_users: made, logins: opened, login_failures: failed } = counted;
        new_users.push(Day { date: date.clone(), count: made });
        if ago < days_kept {
            logins.push(Day { date: date.clone(), count: opened });
            login_failures.push(Day { date, count: failed });
        }
    }
    Ok(Statistics { users, new_users, live_sessions, logins, login_failures, generated_at: now })
}
