//! What clients met, and what it says about an outage.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// How one request went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// An answer that is not 503.
    Answered,
    /// The same, to a refresh that succeeded.
    Refreshed,
    /// A 503 as documented.
    Unavailable,
    /// No connection, or one that ended before the answer.
    NoAnswer,
    /// The client itself went away.
    Dropped,
}

impl Outcome {
    fn is_failure(self) -> bool {
        matches!(self, Self::Unavailable | Self::NoAnswer)
    }
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Event {
    pub(crate) client: usize,
    pub(crate) sent: Instant,
    pub(crate) ended: Instant,
    pub(crate) outcome: Outcome,
}

#[derive(Default)]
pub(crate) struct Record {
    events: Mutex<Vec<Event>>,
    wrong: Mutex<Vec<String>>,
}

/// For so long nothing may fail before an outage counts as over.
const QUIET: Duration = Duration::from_secs(1);

impl Record {
    pub(crate) fn push(&self, event: Event) {
        self.events.lock().unwrap().push(event);
    }

    /// Notes something that must not be.
    pub(crate) fn wrong(&self, what: String) {
        let mut wrong = self.wrong.lock().unwrap();
        if wrong.len() < 5 {
            eprintln!("  WRONG: {what}");
        }
        wrong.push(what);
    }

    pub(crate) fn count_wrong(&self) -> usize {
        self.wrong.lock().unwrap().len()
    }

    /// How many requests were under way between two moments, and how many of those failed.
    pub(crate) fn between(&self, begun: Instant, lifted: Instant) -> (usize, usize) {
        let events = self.events.lock().unwrap();
        let during = events.iter().filter(|event| event.ended >= begun && event.sent <= lifted);
        let outcomes: Vec<Outcome> = during.map(|event| event.outcome).collect();
        (outcomes.len(), outcomes.iter().filter(|outcome| outcome.is_failure()).count())
    }

    /// How long after `lifted` it was until each of the clients had refreshed with a request that it sent since, and
    /// nothing failed any more; none as long as that is not so, or has not been so for a second.
    pub(crate) fn recovery(&self, lifted: Instant, clients: usize) -> Option<Duration> {
        let events = self.events.lock().unwrap();
        let mut refreshed: HashMap<usize, Instant> = HashMap::new();
        let mut over = lifted;
        for event in events.iter().filter(|event| event.ended >= lifted) {
            if event.outcome == Outcome::Refreshed && event.sent >= lifted {
                refreshed.entry(event.client).or_insert(event.ended);
            } else if event.outcome.is_failure() {
                over = over.max(event.ended);
            }
        }
        let last = refreshed.values().max().copied().filter(|_| refreshed.len() == clients)?;
        let over = over.max(last);
        (over.elapsed() >= QUIET).then(|| over - lifted)
    }

    /// Waits for the end of the outage, at most for `limit`.
    pub(crate) async fn recovered(&self, lifted: Instant, clients: usize, limit: Duration) -> Option<Duration> {
        while lifted.elapsed() < limit + QUIET {
            if let Some(recovery) = self.recovery(lifted, clients) {
                return Some(recovery).filter(|recovery| *recovery <= limit);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        None
    }
}
