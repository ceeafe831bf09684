//! Threads that hash: one for each core it may take, several passwords on each ([`bcrypt_lanes`]).

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Instant;

use bcrypt_lanes::{Input, LANES, Lanes};
use tokio::sync::oneshot;

use crate::domain::password::{Key, Salt};
use crate::figures::{Figures, Histogram, durations, observe};

/// Rounds between two looks at the queue: about a millisecond.
const SLICE: u32 = 12;

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
    line: Arc<Line>,
    cores: usize,
}

/// What the threads share.
struct Line {
    queue: Mutex<Queue>,
    news: Condvar,
    running: Arc<AtomicUsize>,
    /// For a lane.
    waits: Histogram,
}

struct Waiting {
    since: Instant,
    begins: oneshot::Sender<()>,
    step: Step,
}

#[derive(Default)]
struct Queue {
    jobs: VecDeque<Waiting>,
    /// Threads with nothing to do.
    idle: usize,
    closed: bool,
}

impl Workers {
    pub(super) fn new(cores: usize) -> Self {
        let line = Arc::new(Line {
            queue: Mutex::default(),
            news: Condvar::new(),
            running: Arc::default(),
            waits: durations(),
        });
        for _ in 0..cores {
            let line = Arc::clone(&line);
            thread::spawn(move || {
                yield_to_others();
                // A job that panics has no answer, and neither have those beside it.
                while catch_unwind(AssertUnwindSafe(|| line.work())).is_err() {
                    tracing::error!("hashing panicked");
                }
            });
        }
        Self { line, cores }
    }

    /// How many passwords are hashed at once.
    pub(super) fn at_once(&self) -> usize {
        self.cores * LANES
    }

    /// Puts a job at the end of the queue; what it gives is done when the job is begun.
    pub(super) fn enqueue(&self, step: Step) -> oneshot::Receiver<()> {
        let (begins, begun) = oneshot::channel();
        self.line.queue().jobs.push_back(Waiting { since: Instant::now(), begins, step });
        self.line.news.notify_one();
        begun
    }

    /// Counts something else that is hashed, for as long as what it gives lives.
    pub(super) fn also(&self) -> Running {
        Running::new(&self.line.running)
    }

    pub(super) fn enter_figures(&self, figures: &mut Figures) {
        let running = Arc::clone(&self.line.running);
        figures.enter_level("password_hashes_running", "Passwords that are being hashed at this moment.", move || {
            running.load(Ordering::Relaxed)
        });
        figures.enter("password_wait_seconds", "How long a password waited for a core.", self.line.waits.clone());
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        self.line.queue().closed = true;
        self.line.news.notify_all();
    }
}

impl Line {
    /// Computes until there is nothing more to come.
    fn work(&self) {
        let mut lanes = Lanes::default();
        loop {
            while lanes.len() < LANES
                && let Some(step) = self.next(lanes.is_empty())
            {
                start(&mut lanes, step, Running::new(&self.running));
            }
            if lanes.is_empty() {
                return;
            }
            for ((then, running), output) in lanes.advance(SLICE) {
                // Whoever has the answer finds that it does not run any more.
                drop(running);
                if let Some(step) = then(output) {
                    start(&mut lanes, step, Running::new(&self.running));
                }
            }
        }
    }

    /// The next job. Whoever has `nothing` to do waits for one; nobody else takes one that such a thread will.
    fn next(&self, nothing: bool) -> Option<Step> {
        let mut queue = self.queue();
        while nothing && queue.jobs.is_empty() && !queue.closed {
            queue.idle += 1;
            queue = self.news.wait(queue).unwrap_or_else(PoisonError::into_inner);
            queue.idle -= 1;
        }
        if !nothing && queue.jobs.len() <= queue.idle {
            return None;
        }
        let Waiting { since, begins, step } = queue.jobs.pop_front()?;
        drop(queue);
        observe(&self.waits, since.elapsed());
        // Whoever has gone is not told.
        _ = begins.send(());
        Some(step)
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        // Nothing panics while it is held.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn start(lanes: &mut Lanes<(Then, Running)>, step: Step, running: Running) {
    let Step { key, salt, rounds, then } = step;
    let input = Input { rounds, salt: salt.as_bytes(), key: key.as_bytes() };
    // There is room: whatever goes on has left its own lane.
    _ = lanes.start(input, (then, running));
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
