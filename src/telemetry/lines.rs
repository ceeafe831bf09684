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
    static GATHERED: RefCell<Gathered> =
        const { RefCell::new(Gathered { lines: Vec::new(), writer: None, write: to_standard_error }) };
}

/// This thread's lines that are not written yet.
struct Gathered {
    lines: Vec<u8>,
    /// Whoever writes them at the end of this turn; without, nothing is gathered.
    writer: Option<Waker>,
    write: fn(&[u8]) -> io::Result<()>,
}

impl Gathered {
    fn add(&mut self, line: &[u8]) -> io::Result<()> {
        let Some(writer) = &self.writer else { return (self.write)(line) };
        let mut outcome = Ok(());
        if self.lines.is_empty() {
            writer.wake_by_ref();
        } else if self.lines.len() + line.len() > AT_ONCE {
            outcome = self.empty();
        }
        self.lines.extend_from_slice(line);
        outcome
    }

    fn empty(&mut self) -> io::Result<()> {
        let outcome = if self.lines.is_empty() { Ok(()) } else { (self.write)(&self.lines) };
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
            drop(gathered.empty());
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
            gathered.empty()
        };
        drop(GATHERED.try_with(end));
    }
}

fn to_standard_error(mut lines: &[u8]) -> io::Result<()> {
    while !lines.is_empty() {
        match rustix::io::write(io::stderr(), lines) {
            Ok(count) => lines = lines.get(count..).unwrap_or_default(),
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
                Self::AtOnce => gathered.empty(),
            }
        };
        // At the end of a thread.
        GATHERED.try_with(take).unwrap_or_else(|_gone| to_standard_error(line))?;
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use tokio::task::{LocalSet, spawn_local, yield_now};
    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;

    thread_local! {
        static WRITTEN: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
    }

    fn note(lines: &[u8]) -> io::Result<()> {
        let lines = String::from_utf8(lines.to_vec()).map_err(io::Error::other)?;
        WRITTEN.with_borrow_mut(|written| written.push(lines));
        Ok(())
    }

    /// What each write had, as lines of the level and what was said, while `work` said it.
    async fn written(work: impl AsyncFnOnce()) -> Vec<String> {
        GATHERED.with_borrow_mut(|gathered| gathered.write = note);
        let layer =
            tracing_subscriber::fmt::layer().with_writer(Lines).without_time().with_target(false).with_ansi(false);
        let _logging = tracing::subscriber::set_default(tracing_subscriber::registry().with(layer));
        LocalSet::new().run_until(work()).await;
        WRITTEN.take().iter().map(|lines| lines.trim_start().replace("\n ", "\n")).collect()
    }

    #[tokio::test]
    async fn a_thread_that_does_not_gather_writes_each_line() {
        let written = written(async || {
            tracing::info!("one");
            tracing::warn!("two");
        });
        assert_eq!(written.await, ["INFO one\n", "WARN two\n"]);
    }

    #[tokio::test]
    async fn lines_of_one_turn_are_written_together_and_a_warning_at_once() {
        let written = written(async || {
            let gathering = spawn_local(gather());
            yield_now().await;
            let others = ["one", "two"].map(|text| spawn_local(async move { tracing::info!("{text}") }));
            for other in others {
                other.await.unwrap();
            }
            yield_now().await;
            tracing::info!("three");
            tracing::warn!("four");
            tracing::info!("five");
            yield_now().await;
            tracing::info!("six");
            gathering.abort();
            yield_now().await;
            tracing::info!("seven");
        });
        let expected = ["INFO one\nINFO two\n", "INFO three\nWARN four\n", "INFO five\n", "INFO six\n", "INFO seven\n"];
        assert_eq!(written.await, expected);
    }

    #[tokio::test]
    async fn no_more_is_written_at_once_than_a_pipe_keeps_together() {
        let written = written(async || {
            let _gathering = spawn_local(gather());
            yield_now().await;
            let text = "x".repeat(AT_ONCE / 3);
            (0..5).for_each(|_| tracing::info!("{text}"));
            yield_now().await;
        });
        let lines: Vec<usize> = written.await.iter().map(|written| written.lines().count()).collect();
        assert_eq!(lines, [2, 2, 1]);
    }
}
