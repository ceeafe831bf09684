//! Log lines on their way to standard error.
//!
//! There is no lock in this process: the kernel keeps what is written at once apart, and threads that serve requests do not wait
//! for each other. Such a thread writes the lines of all requests that it is at in one turn together, before it answers them: a
//! system call for each would take a tenth of the time of a request that needs no database.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io::{self, Write};
use std::task::{Poll, Waker};

use tracing::{Level, Metadata};
use tracing_subscriber::fmt::MakeWriter;

/// What a pipe takes as a whole, whoever else writes to it (`PIPE_BUF` of Linux).
const AT_ONCE: usize = 4096;

thread_local! {
    static GATHERED: RefCell<Gathered> = const { RefCell::new(Gathered { lines: Vec::new(), writer: None }) };
}

/// This thread's lines that are not written yet.
struct Gathered {
    lines: Vec<u8>,
    /// Whoever writes them at the end of this turn; without, nothing is gathered.
    writer: Option<Waker>,
}

impl Gathered {
    fn add(&mut self, line: &[u8]) -> io::Result<()> {
        let Some(writer) = &self.writer else { return written(line) };
        if self.lines.is_empty() {
            writer.wake_by_ref();
        } else if self.lines.len() + line.len() > AT_ONCE {
            self.write()?;
        }
        self.lines.extend_from_slice(line);
        Ok(())
    }

    fn write(&mut self) -> io::Result<()> {
        let outcome = written(&self.lines);
        self.lines.clear();
        outcome
    }
}

/// Has this thread gather its lines from now on, for as long as this is polled on it: when other tasks that were ready have had
/// their turn.
pub async fn gather() {
    let _ending = Ending;
    poll_fn(|context| {
        GATHERED.with_borrow_mut(|gathered| {
            // Nobody is there to be told that nobody can be told.
            drop(gathered.write());
            gathered.writer = Some(context.waker().clone());
        });
        Poll::<()>::Pending
    })
    .await;
}

/// Ends the gathering of a thread.
struct Ending;

impl Drop for Ending {
    fn drop(&mut self) {
        let end = |gathered: &RefCell<Gathered>| {
            let mut gathered = gathered.borrow_mut();
            gathered.writer = None;
            gathered.write()
        };
        drop(GATHERED.try_with(end));
    }
}

fn written(mut lines: &[u8]) -> io::Result<()> {
    while !lines.is_empty() {
        match rustix::io::write(io::stderr(), lines) {
            Ok(count) => lines = &lines[count..],
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// What lines are given to.
pub(super) struct Lines;

/// How soon one is written.
pub(super) enum Line {
    Gathered,
    /// What may be the last that is heard of this process.
    AtOnce,
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Line;

    fn make_writer(&'a self) -> Line {
        Line::AtOnce
    }

    fn make_writer_for(&'a self, about: &Metadata<'_>) -> Line {
        if *about.level() <= Level::WARN { Line::AtOnce } else { Line::Gathered }
    }
}

impl Write for Line {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let take = |gathered: &RefCell<Gathered>| {
            let mut gathered = gathered.borrow_mut();
            gathered.add(line)?;
            match self {
                Self::Gathered => Ok(()),
                Self::AtOnce => gathered.write(),
            }
        };
        // At the end of a thread.
        GATHERED.try_with(take).unwrap_or_else(|_gone| written(line))?;
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
