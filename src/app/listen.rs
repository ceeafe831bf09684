//! The sockets that clients connect to, and how they are closed without losing a connection.
//!
//! actix-server drops three kinds of connections when it stops: in the listen queue, on their way to a worker, and before their
//! first request has come. So this module first keeps new connections out, and waits until no such connection is left.

use std::io;
use std::net::{SocketAddr, TcpListener, ToSocketAddrs};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use actix_web::rt;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::sync::{mpsc, oneshot};

use super::AppError;
use crate::http::connections::Connections;

/// Connections that may wait to be accepted, as far as the system allows.
const BACKLOG: i32 = 1024;
/// How long a stop waits for first requests. A client sends its own at once; a browser may connect long before it asks.
const SETTLE_LIMIT: Duration = Duration::from_secs(2);
const TICK: Duration = Duration::from_millis(10);
/// Ticks without news: a connection may be between the listen queue and its worker during one.
const QUIET_TICKS: u32 = 3;

/// Duplicates of the sockets that the server accepts from.
pub(super) struct Listeners(Vec<TcpListener>);

impl Listeners {
    /// Listens on every address that the host has, or on those that can be had.
    ///
    /// # Errors
    /// [`AppError::Listen`].
    pub(super) fn bind(host: &str, port: u16) -> Result<Self, AppError> {
        let failed = |error| AppError::Listen(format!("{host} port {port}"), error);
        let mut last = io::ErrorKind::AddrNotAvailable.into();
        let mut listeners = Vec::new();
        for address in (host, port).to_socket_addrs().map_err(failed)? {
            match listen(address) {
                Ok(listener) => listeners.push(listener),
                Err(error) => last = error,
            }
        }
        if listeners.is_empty() { Err(failed(last)) } else { Ok(Self(listeners)) }
    }

    /// The sockets, for the server, and the first one's address.
    ///
    /// # Errors
    /// [`AppError::Serve`].
    pub(super) fn duplicates(&self) -> Result<(Vec<TcpListener>, SocketAddr), AppError> {
        let address =
            self.0.first().map_or_else(|| Err(io::ErrorKind::AddrNotAvailable.into()), TcpListener::local_addr);
        let duplicates = self.0.iter().map(TcpListener::try_clone).collect::<Result<_, _>>();
        Ok((duplicates.map_err(AppError::Serve)?, address.map_err(AppError::Serve)?))
    }

    /// Keeps new connections out, and waits until each open one has brought its first request, for [`SETTLE_LIMIT`] at most.
    pub(super) async fn settle(&self, connections: &Connections, workers: &Workers) {
        self.keep_newcomers_out();
        let settling = async {
            let mut before = None;
            let mut quiet = 0;
            while quiet < QUIET_TICKS {
                tokio::time::sleep(TICK).await;
                workers.reach().await;
                let (opened, unheard) = connections.opened_and_unheard();
                let is_quiet = before == Some(opened) && unheard == 0 && !self.have_waiting();
                quiet = if is_quiet { quiet + 1 } else { 0 };
                before = Some(opened);
            }
        };
        if tokio::time::timeout(SETTLE_LIMIT, settling).await.is_err() {
            let (_opened, unheard) = connections.opened_and_unheard();
            tracing::debug!(unheard, "connections without a request are closed");
        }
    }

    /// Whether a connection waits in a listen queue.
    fn have_waiting(&self) -> bool {
        let mut sockets: Vec<_> = self.0.iter().map(|listener| PollFd::new(listener, PollFlags::IN)).collect();
        poll(&mut sockets, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).is_ok_and(|ready| ready > 0)
    }

    /// Has the kernel drop each packet that opens a connection (SYN without ACK). Handshakes that have begun go on. The client
    /// repeats its SYN after a second, and is refused then, as the socket is closed.
    #[cfg(target_os = "linux")]
    fn keep_newcomers_out(&self) {
        use socket2::{SockFilter, SockRef};

        // Classic BPF, on the TCP header: load the byte of flags, keep SYN and ACK, drop the packet if that is SYN.
        let filter = [
            SockFilter::new(0x30, 0, 0, 13),
            SockFilter::new(0x54, 0, 0, 0x12),
            SockFilter::new(0x15, 0, 1, 0x02),
            SockFilter::new(0x06, 0, 0, 0),
            SockFilter::new(0x06, 0, 0, u32::MAX),
        ];
        for listener in &self.0 {
            if let Err(error) = SockRef::from(listener).attach_filter(&filter) {
                tracing::debug!(%error, "new connections cannot be kept out; one in the last moment may be reset");
            }
        }
    }

    /// Other systems have no such filter: a connection in the last moment may be reset.
    #[cfg(not(target_os = "linux"))]
    fn keep_newcomers_out(&self) {}
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// The threads that serve.
#[derive(Clone, Default)]
pub(super) struct Workers(Arc<Mutex<Vec<mpsc::UnboundedSender<oneshot::Sender<()>>>>>);

impl Workers {
    /// Registers the calling thread.
    pub(super) fn join(&self) {
        let (calls, mut called) = mpsc::unbounded_channel::<oneshot::Sender<()>>();
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(calls);
        rt::spawn(async move {
            while let Some(reply) = called.recv().await {
                let _nobody_waits = reply.send(());
            }
        });
    }

    /// Resolves when each thread has run the tasks that were ready before this call. A thread runs its tasks in the order in which
    /// they were woken.
    async fn reach(&self) {
        let calls = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let replies = calls.iter().map(|calls| {
            let (reply, replied) = oneshot::channel();
            drop(calls.send(reply));
            replied
        });
        for replied in replies.collect::<Vec<_>>() {
            // A thread that has died has no task left.
            let _died = replied.await;
        }
    }
}
