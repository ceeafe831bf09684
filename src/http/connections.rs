//! Connections: how many may be open, and how long one may keep this process waiting.
//!
//! The server below bounds only the first head of a connection, and serves whoever came first. Here a connection waits for
//! its client until a request has come whole, and from the answer on. Whoever makes us wait too long is cut off, and when
//! there are too many, whoever has made us wait the longest: slow clients then make room for those who have something to
//! say, however many they are.

use std::any::Any;
use std::cell::Cell;
use std::collections::BTreeMap;
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use actix_web::dev::Extensions;
use actix_web::rt::net::TcpStream;
use rustix::net::{Shutdown, shutdown};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// How long the first head of a connection may take.
pub const HEAD: Duration = Duration::from_secs(5);
/// How long a connection is kept for the next request: longer than proxies keep theirs (a minute is usual), so that it is
/// they who close it, and never in the moment of the next request.
pub const KEEP_ALIVE: Duration = Duration::from_secs(75);
/// The longest wait: until the last moment to begin a request, and for its head.
const PATIENCE: Duration = KEEP_ALIVE.saturating_add(HEAD);
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Files that are no client's connection: the pool's, the log, the listener, those of the runtime.
const OTHER_FILES: u64 = 200;

/// The open connections of this process.
#[derive(Clone)]
pub struct Connections {
    line: Arc<Mutex<Line>>,
    limit: usize,
}

/// Those that wait for their clients.
#[derive(Default)]
struct Line {
    open: usize,
    /// Who stands in it, the longest first, and since when.
    waiting: BTreeMap<u64, (Instant, Arc<OwnedFd>)>,
    /// Its last number; they begin at 1.
    last: u64,
    /// Cut off because there were too many, since that was last told.
    pushed_out: usize,
}

impl Connections {
    /// At most `limit`, or as many as the process may have files for, which is raised as far as that goes.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        // Each is two files: the server's, and one to cut it off by.
        let room = usize::try_from(files().saturating_sub(OTHER_FILES) / 2).unwrap_or(usize::MAX).max(1);
        if room < limit {
            tracing::warn!(
                limit,
                room,
                "server.max_connections is above what the limit on open files (ulimit -n) leaves"
            );
        }
        Self { line: Arc::default(), limit: limit.min(room) }
    }

    /// How many may be open.
    #[must_use]
    pub fn limit(&self) -> usize {
        self.limit
    }

    /// Takes a new connection in, at the cost of the one that has been silent the longest if there are too many.
    pub fn open(&self, stream: &dyn Any, connection_data: &mut Extensions) {
        let Some(stream) = stream.downcast_ref::<TcpStream>() else { return };
        let Ok(socket) = stream.as_fd().try_clone_to_owned() else {
            // No file is left.
            cut(stream);
            return;
        };
        connection_data.insert(Rc::new(self.admit(socket)));
    }

    fn admit(&self, socket: OwnedFd) -> Connection {
        let mut line = locked(&self.line);
        line.open += 1;
        if line.open > self.limit
            && let Some((_, (_, longest))) = line.waiting.pop_first()
        {
            line.pushed_out += 1;
            cut(&longest);
        }
        drop(line);
        let connection = Connection { line: Arc::clone(&self.line), socket: Arc::new(socket), turn: Cell::new(0) };
        connection.wait();
        connection
    }

    /// Cuts off those that keep it waiting too long; never done.
    pub async fn watch(&self) -> std::convert::Infallible {
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            let silent = self.cut_silent(Instant::now());
            let pushed_out = std::mem::take(&mut locked(&self.line).pushed_out);
            if silent > 0 {
                tracing::debug!(silent, "connections were cut off, as no request came");
            }
            if pushed_out > 0 {
                tracing::warn!(
                    pushed_out,
                    limit = self.limit,
                    "too many connections; those that kept silent the longest were cut off"
                );
            }
        }
    }

    fn cut_silent(&self, now: Instant) -> usize {
        let mut line = locked(&self.line);
        let silent = line.waiting.iter().take_while(|(_, (since, _))| now.duration_since(*since) > PATIENCE);
        let silent: Vec<u64> = silent.map(|(turn, _)| *turn).collect();
        for turn in &silent {
            if let Some((_, socket)) = line.waiting.remove(turn) {
                cut(&socket);
            }
        }
        silent.len()
    }
}

/// One connection, for as long as the server keeps it.
pub(super) struct Connection {
    line: Arc<Mutex<Line>>,
    socket: Arc<OwnedFd>,
    /// Its last number in the line; 0 before the first.
    turn: Cell<u64>,
}

impl Connection {
    /// Waits for its client from now on.
    pub(super) fn wait(&self) {
        let mut line = locked(&self.line);
        line.waiting.remove(&self.turn.get());
        line.last += 1;
        self.turn.set(line.last);
        line.waiting.insert(self.turn.get(), (Instant::now(), Arc::clone(&self.socket)));
    }

    /// Has a request to answer, until what this gives is dropped.
    pub(super) fn answering(self: &Rc<Self>) -> Answering {
        locked(&self.line).waiting.remove(&self.turn.get());
        Answering(Rc::clone(self))
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let mut line = locked(&self.line);
        line.waiting.remove(&self.turn.get());
        line.open -= 1;
    }
}

/// A request that has come whole and is being answered: its connection is not cut off.
pub(super) struct Answering(Rc<Connection>);

impl Drop for Answering {
    fn drop(&mut self) {
        self.0.wait();
    }
}

fn cut(socket: impl AsFd) {
    // It may be gone already.
    let _gone = shutdown(socket, Shutdown::Both);
}

fn locked(line: &Mutex<Line>) -> MutexGuard<'_, Line> {
    line.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How many files this process may have open, after asking for all it can get.
fn files() -> u64 {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    match setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
        Ok(()) => maximum.unwrap_or(u64::MAX),
        Err(_) => current.unwrap_or(u64::MAX),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;
    use std::os::unix::net::UnixStream;

    use super::*;

    fn admit(connections: &Connections) -> (UnixStream, Rc<Connection>) {
        let (client, server) = UnixStream::pair().unwrap();
        client.set_nonblocking(true).unwrap();
        (client, Rc::new(connections.admit(server.into())))
    }

    fn is_cut_off(mut client: &UnixStream) -> bool {
        matches!(client.read(&mut [0]), Ok(0))
    }

    #[test]
    fn a_head_on_a_kept_connection_is_not_waited_for_for_ever() {
        let connections = Connections::new(10);
        let (silent, _its) = admit(&connections);
        let (answered, its) = admit(&connections);
        let (busy, busy_one) = admit(&connections);
        let _answering = busy_one.answering();
        drop(its.answering());

        let now = Instant::now();
        assert_eq!(connections.cut_silent(now + KEEP_ALIVE), 0);
        assert_eq!(connections.cut_silent(now + PATIENCE + LOOK_EVERY), 2);
        assert_eq!([silent, answered, busy].map(|client| is_cut_off(&client)), [true, true, false]);
    }

    #[test]
    fn whoever_kept_silent_the_longest_makes_room() {
        let connections = Connections::new(3);
        let (busy, busy_one) = admit(&connections);
        let (came_first, its) = admit(&connections);
        let (came_next, _its) = admit(&connections);
        let answering = busy_one.answering();
        drop(its.answering());

        let (newest, newest_one) = admit(&connections);
        assert_eq!([&busy, &came_first, &came_next, &newest].map(is_cut_off), [false, false, true, false]);

        drop((newest_one, answering));
        let (_another, _its) = admit(&connections);
        assert!(is_cut_off(&came_first), "the cut-off one is still open, so there are four");
        assert!(!is_cut_off(&busy));
    }
}
