//! Connections: how many may be open, and how long one may keep this process waiting.
//!
//! The server below bounds only the first head of a connection, and serves whoever came first. Here a connection waits for
//! its client until the head of a request has come, as long as a body is read, and from the answer on. Whoever makes us wait too long is cut off, and when
//! there are too many, whoever has made us wait the longest: slow clients then make room for those who have something to
//! say, however many they are.

use std::any::Any;
use std::cell::Cell;
use std::collections::BTreeMap;
use std::os::fd::{AsFd as _, OwnedFd};
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use actix_web::dev::Extensions;
use actix_web::rt::net::TcpStream;
use actix_web::{HttpMessage as _, HttpRequest};
use rustix::net::{Shutdown, shutdown};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::figures::Figures;

/// How long the first head of a connection may take.
pub const HEAD: Duration = Duration::from_secs(5);
/// How long a connection is kept for the next request: longer than proxies keep theirs (a minute is usual), so that it is
/// they who close it, and never in the moment of the next request.
pub const KEEP_ALIVE: Duration = Duration::from_secs(75);
/// The longest wait: until the last moment to begin a request, and for its head.
const PATIENCE: Duration = KEEP_ALIVE.saturating_add(HEAD);
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The open connections of this process.
#[derive(Clone)]
pub struct Connections {
    line: Arc<Mutex<Line>>,
    limit: usize,
}

/// Those that wait for their clients.
#[derive(Default)]
struct Line {
    /// All that are open, those that have requests to be answered too.
    open: usize,
    /// Who stands in it, the longest first, and since when.
    waiting: BTreeMap<u64, (Instant, Arc<Socket>)>,
    /// Its last number; they begin at 1.
    last: u64,
    /// Cut off because there were too many, since that was last told.
    pushed_out: usize,
    /// All that were ever opened.
    opened: u64,
    /// Open ones whose first request has not come.
    unheard: usize,
}

/// A connection's own end, to cut it off by.
struct Socket {
    file: OwnedFd,
    is_cut: AtomicBool,
}

impl Line {
    fn cut(&mut self, socket: &Socket) {
        if !socket.is_cut.swap(true, Ordering::Relaxed) {
            self.open -= 1;
            // It may be gone already.
            let _gone = shutdown(&socket.file, Shutdown::Both);
        }
    }
}

impl Connections {
    /// At most `limit`, or as many as the process may have files for beside `others`; what it may have is raised as far as
    /// that goes.
    #[must_use]
    pub fn new(limit: usize, others: usize) -> Self {
        // Each is two files: the server's, and one to cut it off by.
        let room = usize::try_from(files()).unwrap_or(usize::MAX).saturating_sub(others) / 2;
        if room < limit {
            tracing::warn!(
                limit,
                room,
                "server.max_connections is above what the limit on open files (ulimit -n) leaves"
            );
        }
        Self { line: Arc::default(), limit: limit.min(room).max(1) }
    }

    /// How many may be open.
    #[must_use]
    pub fn limit(&self) -> usize {
        self.limit
    }

    /// How many were ever opened, and how many of the open ones have not brought their first request.
    #[must_use]
    pub fn opened_and_unheard(&self) -> (u64, usize) {
        let line = locked(&self.line);
        (line.opened, line.unheard)
    }

    /// Enters how many are open.
    pub fn enter_figures(&self, figures: &mut Figures) {
        let line = Arc::clone(&self.line);
        figures.enter_level("http_connections", "Connections of clients that are open.", move || locked(&line).open);
    }

    /// Takes a new connection in, at the cost of the one that has been silent the longest if there are too many.
    pub fn open(&self, stream: &dyn Any, connection_data: &mut Extensions) {
        let Some(stream) = stream.downcast_ref::<TcpStream>() else { return };
        match stream.as_fd().try_clone_to_owned() {
            Ok(file) => _ = connection_data.insert(Rc::new(self.admit(file))),
            // No file is left.
            Err(_) => _ = shutdown(stream, Shutdown::Both),
        }
    }

    fn admit(&self, file: OwnedFd) -> Connection {
        let socket = Arc::new(Socket { file, is_cut: AtomicBool::new(false) });
        let line = Arc::clone(&self.line);
        let connection = Connection { line, socket, turn: Cell::new(0), is_unheard: Cell::new(true) };
        let mut line = locked(&self.line);
        line.open += 1;
        line.opened += 1;
        line.unheard += 1;
        if line.open > self.limit {
            line.pushed_out += 1;
            match line.waiting.pop_first() {
                Some((_, (_, longest))) => line.cut(&longest),
                // All others are being answered.
                None => line.cut(&connection.socket),
            }
        }
        drop(line);
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
        let mut silent = 0;
        while let Some(longest) = line.waiting.first_entry()
            && now.duration_since(longest.get().0) > PATIENCE
        {
            let (_since, socket) = longest.remove();
            line.cut(&socket);
            silent += 1;
        }
        silent
    }
}

/// One connection, for as long as the server keeps it.
struct Connection {
    line: Arc<Mutex<Line>>,
    socket: Arc<Socket>,
    /// Its last number in the line; 0 before the first.
    turn: Cell<u64>,
    /// Whether its first request has not come.
    is_unheard: Cell<bool>,
}

impl Connection {
    /// Waits for its client from now on.
    fn wait(&self) {
        let mut line = locked(&self.line);
        line.waiting.remove(&self.turn.get());
        if !self.socket.is_cut.load(Ordering::Relaxed) {
            line.last += 1;
            self.turn.set(line.last);
            line.waiting.insert(self.turn.get(), (Instant::now(), Arc::clone(&self.socket)));
        }
    }

    /// Has a request to answer, until what this gives is dropped.
    fn answering(self: &Rc<Self>) -> Answering {
        let mut line = locked(&self.line);
        line.waiting.remove(&self.turn.get());
        line.unheard -= usize::from(self.is_unheard.take());
        Answering(Rc::clone(self))
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let mut line = locked(&self.line);
        line.waiting.remove(&self.turn.get());
        line.unheard -= usize::from(self.is_unheard.take());
        if !self.socket.is_cut.load(Ordering::Relaxed) {
            line.open -= 1;
        }
    }
}

/// A request that is being answered: its connection is not cut off.
struct Answering(Rc<Connection>);

impl Drop for Answering {
    fn drop(&mut self) {
        self.0.wait();
    }
}

/// The request's connection has something to answer, until the request is dropped.
pub(super) fn begin_to_answer(request: &HttpRequest) {
    if let Some(connection) = request.conn_data::<Rc<Connection>>() {
        let answering = connection.answering();
        request.extensions_mut().insert(answering);
    }
}

/// The request's connection waits for its client, who has announced a body.
pub(super) fn wait_for_client(request: &HttpRequest) {
    let answering = request.extensions_mut().remove::<Answering>();
    drop(answering);
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
        let connections = Connections::new(10, 0);
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
        let connections = Connections::new(3, 0);
        let (busy, busy_one) = admit(&connections);
        let (came_first, its) = admit(&connections);
        let (came_next, cut_one) = admit(&connections);
        let _answering = busy_one.answering();
        drop(its.answering());

        let (newest, newest_one) = admit(&connections);
        assert_eq!([&busy, &came_first, &came_next, &newest].map(is_cut_off), [false, false, true, false]);

        drop((cut_one, newest_one));
        let (another, _its) = admit(&connections);
        assert_eq!([&busy, &came_first, &another].map(is_cut_off), [false; 3], "there are three again");
    }

    #[test]
    fn connection_is_unheard_until_its_first_request_or_its_end() {
        let connections = Connections::new(10, 0);
        let (_client, its) = admit(&connections);
        let (_other_client, other) = admit(&connections);
        assert_eq!(connections.opened_and_unheard(), (2, 2));
        for _ in 0..2 {
            drop(its.answering());
            assert_eq!(connections.opened_and_unheard(), (2, 1));
        }
        drop(other);
        drop(its);
        assert_eq!(connections.opened_and_unheard(), (2, 0));
    }

    #[test]
    fn a_newcomer_is_cut_off_where_all_others_are_being_answered() {
        let connections = Connections::new(2, 0);
        let clients = [admit(&connections), admit(&connections)];
        let answering = clients.each_ref().map(|(_, its)| its.answering());
        let (newcomer, _its) = admit(&connections);
        assert!(is_cut_off(&newcomer));
        drop(answering);
        assert_eq!(clients.each_ref().map(|(client, _)| is_cut_off(client)), [false; 2]);
        let (_another, _its) = admit(&connections);
        assert_eq!(clients.each_ref().map(|(client, _)| is_cut_off(client)).iter().filter(|cut| **cut).count(), 1);
    }
}
