//! Callers in closed and open loop.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use hdrhistogram::Histogram;
use tokio::task::LocalSet;
use tokio::time::{Instant, sleep_until};

use super::http::Connection;
use super::users::{Call, Users};

/// What became of the requests of one round.
pub(crate) struct Round {
    /// Microseconds.
    pub(crate) times: Histogram<u64>,
    pub(crate) took: Duration,
    pub(crate) failures: BTreeMap<String, u32>,
}

impl Round {
    fn new() -> Self {
        let times = Histogram::new_with_bounds(1, 60_000_000, 3).unwrap();
        Self { times, took: Duration::ZERO, failures: BTreeMap::new() }
    }

    /// Requests in a second.
    pub(crate) fn rate(&self) -> f64 {
        self.times.len() as f64 / self.took.as_secs_f64()
    }

    /// Milliseconds below which so many percent are.
    pub(crate) fn percentile(&self, percent: f64) -> f64 {
        self.times.value_at_percentile(percent) as f64 / 1_000.0
    }

    pub(crate) fn add(&mut self, other: &Self) {
        self.times.add(&other.times).unwrap();
        self.took += other.took;
        for (failure, times) in &other.failures {
            *self.failures.entry(failure.clone()).or_default() += times;
        }
    }
}

/// As many callers as connections, each asking again as soon as it has its answer.
pub(crate) async fn closed(server: SocketAddr, users: &Rc<Users>, call: Call, callers: u32, length: Duration) -> Round {
    let ends = Instant::now() + length;
    let next = move || (Instant::now() < ends).then(Instant::now);
    run(server, users, call, callers, next).await
}

/// So many requests a second, whether the ones before have been answered or not. Each time counts from when its request was
/// due, so that one that had to wait for a caller waits in the figures too.
pub(crate) async fn open(server: SocketAddr, users: &Rc<Users>, call: Call, rate: u32, length: Duration) -> Round {
    let (start, step) = (Instant::now() + Duration::from_millis(50), Duration::from_secs(1) / rate);
    let total = u32::try_from(length.as_nanos() / step.as_nanos()).unwrap();
    let asked = Rc::new(RefCell::new(0));
    let next = move || {
        let number = asked.replace_with(|number| *number + 1);
        (number < total).then(|| start + step * number)
    };
    run(server, users, call, (rate / 10).max(16), next).await
}

/// Callers who ask `next` when their next request is due.
async fn run(
    server: SocketAddr,
    users: &Rc<Users>,
    call: Call,
    callers: u32,
    next: impl Fn() -> Option<Instant> + Clone + 'static,
) -> Round {
    let round = Rc::new(RefCell::new(Round::new()));
    let everybody = LocalSet::new();
    let started = Instant::now();
    for _ in 0..callers {
        let (users, round, next) = (Rc::clone(users), Rc::clone(&round), next.clone());
        everybody.spawn_local(async move {
            let mut connection = Connection::open(server).await.expect("the server takes connections");
            while let Some(due) = next() {
                // Who was free in time counts from when the timer let it go, who was not from when it should have gone.
                let was_free = due > Instant::now();
                if was_free {
                    sleep_until(due).await;
                }
                let from = if was_free { Instant::now() } else { due };
                let request = users.ask(call);
                let outcome = match connection.call(&request.bytes).await {
                    Ok(answer) => users.take(&request, &answer),
                    Err(error) => Err(format!("{call:?}: {error}")),
                };
                let Err(failure) = outcome else {
                    let took = u64::try_from(from.elapsed().as_micros()).unwrap();
                    round.borrow_mut().times.saturating_record(took);
                    continue;
                };
                *round.borrow_mut().failures.entry(failure).or_default() += 1;
                connection = Connection::open(server).await.expect("the server takes connections");
            }
        });
    }
    everybody.await;
    let mut round = Rc::into_inner(round).expect("everybody has gone").into_inner();
    round.took = started.elapsed();
    round
}
