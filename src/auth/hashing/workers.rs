//! Threads that hash: one for each core it may take, several passwords on each ([`bcrypt_lanes`]).

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use bcrypt_lanes::{Input, LANES, Lanes};
use tokio::sync::oneshot;

use super::queue::{Bounds, FairQueue, Flow, Full};
use crate::domain::password::{Key, Password, Salt};
use crate::figures::{Figures, Histogram, durations, observe};

/// Rounds between two looks at the queue: about a millisecond.
const SLICE: u32 = 12;

/// Rounds of the cheapest hash: what is shorter makes up for missing work, and says little about time.
const LEAST_MEASURED: u32 = 16;

/// One bcrypt, which begins a job or goes on with it. Nobody waits for it in here: the last step sends the answer.
pub(super) struct Step {
    pub(super) key: Key,
    pub(super) salt: Salt,
    pub(super) rounds: u32,
    /// Gives the next one, if there is one. It keeps its lane, so that how many steps somebody takes is not told by how full
    /// the queue is.
    pub(super) then: Then,
}

/// What is made of a bcrypt's output.
pub(super) type Then = Box<dyn FnOnce([u8; 24]) -> Option<Step> + Send>;

/// The threads, which end with this.
pub(super) struct Workers {
    shared: Arc<Shared>,
    cores: usize,
    cost: u32,
    max_wait: Duration,
}

/// What the threads share.
struct Shared {
    queue: Mutex<Queue>,
    news: Condvar,
    running: Arc<AtomicUsize>,
    /// A moving average of how long one round takes, in nanoseconds on the wall: with all lanes taken, and whatever else the
    /// machine does.
    round_nanos: AtomicU64,
    /// For a lane.
    waits: Histogram,
}

struct Waiting {
    since: Instant,
    begins: oneshot::Sender<Begin>,
    step: Step,
}

/// What becomes of a job that waits.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Begin {
    /// A thread has taken it.
    Now,
    /// It gave way to a newcomer.
    Shed,
}

#[derive(Default)]
struct Queue {
    jobs: FairQueue<Waiting>,
    /// Threads with nothing to do.
    idle: usize,
    closed: bool,
}

/// A job in its lane.
struct Lane {
    then: Then,
    rounds: u32,
    started: Instant,
    running: Running,
}

impl Workers {
    /// Threads for hashes at `cost`, for which a newcomer may wait for `max_wait`.
    pub(super) fn new(cores: usize, cost: u32, max_wait: Duration) -> Self {
        let shared = Arc::new(Shared {
            queue: Mutex::default(),
            news: Condvar::new(),
            running: Arc::default(),
            round_nanos: AtomicU64::new(calibrate()),
            waits: durations(),
        });
        for _ in 0..cores {
            let shared = Arc::clone(&shared);
            let work = move || {
                yield_to_others();
                // A job that panics has no answer, and neither have those beside it.
                while catch_unwind(AssertUnwindSafe(|| shared.work())).is_err() {
                    tracing::error!("hashing panicked");
                }
            };
            // Named for those who look at the process. Without a thread all hashing breaks down, which each caller is told.
            if let Err(error) = thread::Builder::new().name("hashing".to_owned()).spawn(work) {
                tracing::error!(%error, "a hashing thread did not start");
            }
        }
        Self { shared, cores, cost, max_wait }
    }

    /// Reserves a slot of the queue, which [`Workers::enqueue`] fills or [`Workers::release`] gives back.
    ///
    /// # Errors
    /// [`Full`].
    pub(super) fn reserve(&self, flow: Flow) -> Result<(), Full> {
        let shed = self.shared.queue().jobs.reserve(flow, self.bounds())?;
        // Its caller may have gone.
        _ = shed.map(|waiting| waiting.begins.send(Begin::Shed));
        Ok(())
    }

    /// Whether [`Workers::reserve`] would find a slot now.
    ///
    /// # Errors
    /// [`Full`].
    pub(super) fn check(&self, flow: Flow) -> Result<(), Full> {
        self.shared.queue().jobs.check(flow, self.bounds())
    }

    /// Gives back a slot that was not used.
    pub(super) fn release(&self, flow: Flow) {
        self.shared.queue().jobs.release(flow);
    }

    /// Puts a job into the queue, into a slot that was reserved or, for who had one before, into another. What it gives is done
    /// when the job begins or is shed; a job whose caller has dropped that is skipped.
    pub(super) fn enqueue(&self, flow: Flow, reserved: bool, step: Step) -> oneshot::Receiver<Begin> {
        let (begins, begun) = oneshot::channel();
        let mut queue = self.shared.queue();
        if !reserved {
            queue.jobs.readmit(flow);
        }
        queue.jobs.push(flow, Waiting { since: Instant::now(), begins, step });
        drop(queue);
        self.shared.news.notify_one();
        begun
    }

    /// Counts something else that is hashed, for as long as what it gives lives.
    pub(super) fn also(&self) -> Running {
        Running::new(&self.shared.running)
    }

    fn bounds(&self) -> Bounds {
        let round = Duration::from_nanos(self.shared.round_nanos.load(Ordering::Relaxed));
        let hash_time = round.saturating_mul(1 << self.cost);
        Bounds { lanes: self.cores * LANES, hash_time, max_wait: self.max_wait }
    }

    pub(super) fn enter_figures(&self, figures: &mut Figures) {
        let shared = Arc::clone(&self.shared);
        let depths = move || {
            let (known, strangers) = shared.queue().jobs.slots();
            [("stranger", strangers), ("known", known)]
        };
        figures.enter_levels(
            ("password_queue_depth", "Sign-ins that wait in the queue of passwords, without those being hashed."),
            "line",
            depths,
        );
        let running = Arc::clone(&self.shared.running);
        figures.enter_level("password_hashes_running", "Passwords that are being hashed at this moment.", move || {
            running.load(Ordering::Relaxed)
        });
        figures.enter("password_wait_seconds", "How long a password waited for a core.", self.shared.waits.clone());
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        self.shared.queue().closed = true;
        self.shared.news.notify_all();
    }
}

/// How long a round takes with all lanes taken: right for the first burst, before anything was measured. The best of three, as
/// the start of a process is a busy moment.
fn calibrate() -> u64 {
    const ROUNDS: u32 = 8;
    let once = || {
        let mut lanes = Lanes::default();
        let (key, salt) = (Password::claimed("").key(), Salt::default());
        for _ in 0..LANES {
            _ = lanes.start(Input { rounds: ROUNDS, salt: salt.as_bytes(), key: key.as_bytes() }, ());
        }
        let started = Instant::now();
        lanes.advance(ROUNDS);
        started.elapsed()
    };
    nanos_of_round([once(), once(), once()].into_iter().min().unwrap_or_default(), ROUNDS)
}

fn nanos_of_round(took: Duration, rounds: u32) -> u64 {
    u64::try_from(took.as_nanos() / u128::from(rounds.max(1))).unwrap_or(u64::MAX).max(1)
}

impl Shared {
    /// Computes until there is nothing more to come.
    fn work(&self) {
        let mut lanes = Lanes::default();
        loop {
            while lanes.len() < LANES
                && let Some(step) = self.next(lanes.is_empty())
            {
                self.start(&mut lanes, step);
            }
            if lanes.is_empty() {
                return;
            }
            for (Lane { then, rounds, started, running }, output) in lanes.advance(SLICE) {
                if rounds >= LEAST_MEASURED {
                    self.measure(nanos_of_round(started.elapsed(), rounds));
                }
                // Whoever has the answer finds that it does not run any more.
                drop(running);
                if let Some(step) = then(output) {
                    self.start(&mut lanes, step);
                }
            }
        }
    }

    /// The next job. Whoever has `nothing` to do waits for one; nobody else takes one that such a thread will.
    fn next(&self, nothing: bool) -> Option<Step> {
        let mut queue = self.queue();
        loop {
            while nothing && queue.jobs.len() == 0 && !queue.closed {
                queue.idle += 1;
                queue = self.news.wait(queue).unwrap_or_else(PoisonError::into_inner);
                queue.idle -= 1;
            }
            if !nothing && queue.jobs.len() <= queue.idle {
                return None;
            }
            let Some(Waiting { since, begins, step }) = queue.jobs.pop() else {
                if queue.closed || !nothing {
                    return None;
                }
                continue;
            };
            observe(&self.waits, since.elapsed());
            // Nobody waits for the answer of a job whose caller gave up.
            if begins.send(Begin::Now).is_ok() {
                return Some(step);
            }
        }
    }

    fn start(&self, lanes: &mut Lanes<Lane>, step: Step) {
        let Step { key, salt, rounds, then } = step;
        let input = Input { rounds, salt: salt.as_bytes(), key: key.as_bytes() };
        let lane = Lane { then, rounds, started: Instant::now(), running: Running::new(&self.running) };
        // There is room: whatever goes on has left its own lane.
        _ = lanes.start(input, lane);
    }

    /// Takes a measurement into the average. One of a process that was frozen counts as four times the average at most.
    fn measure(&self, nanos: u64) {
        let average = self.round_nanos.load(Ordering::Relaxed);
        let nanos = nanos.min(average.saturating_mul(4));
        let average = (average.saturating_mul(7).saturating_add(nanos)) / 8;
        self.round_nanos.store(average.max(1), Ordering::Relaxed);
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        // Nothing panics while it is held.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Counts a job for as long as it lives.
pub(super) struct Running(Arc<AtomicUsize>);

impl Running {
    fn new(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(count))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Lets the threads that answer requests, and a database on this machine, go before this one. Only Linux counts this by
/// thread; elsewhere it would slow them all.
pub(super) fn yield_to_others() {
    #[cfg(target_os = "linux")]
    let _where_it_may_not = rustix::process::setpriority_process(None, 10);
}
