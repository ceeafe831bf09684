//! A way between two programs that can be interrupted.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Passes connections on to its targets in turn, or to the next one that accepts.
pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    way: watch::Sender<Way>,
    task: JoinHandle<()>,
    asking: Option<JoinHandle<()>>,
}

const ASK_EVERY: Duration = Duration::from_millis(100);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    Open,
    /// Nothing passes, and nobody is told.
    Silent,
    /// Connections that there are end with a reset.
    Cut,
}

impl Proxy {
    /// As balancers do, asks targets whether they are ready, and prefers those that are.
    pub(crate) async fn balancing(targets: Vec<SocketAddr>) -> Self {
        let ready: Arc<[AtomicBool]> = targets.iter().map(|_| AtomicBool::new(true)).collect();
        let (asked, found) = (targets.clone(), Arc::clone(&ready));
        let mut proxy = Self::passing(targets, ready).await;
        proxy.asking = Some(tokio::spawn(async move {
            loop {
                for (target, ready) in asked.iter().zip(found.iter()) {
                    ready.store(is_ready(*target).await, Ordering::Relaxed);
                }
                tokio::time::sleep(ASK_EVERY).await;
            }
        }));
        proxy
    }

    pub(crate) async fn to(targets: Vec<SocketAddr>) -> Self {
        let ready = targets.iter().map(|_| AtomicBool::new(true)).collect();
        Self::passing(targets, ready).await
    }

    async fn passing(targets: Vec<SocketAddr>, ready: Arc<[AtomicBool]>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let way = watch::Sender::new(Way::Open);
        let seen = way.subscribe();
        let task = tokio::spawn(async move {
            for first in 0.. {
                let (near, _) = listener.accept().await.unwrap();
                let count = targets.len();
                let mut order: Vec<usize> = (0..count).map(|n| (first + n) % count).collect();
                order.sort_by_key(|n| !ready[*n].load(Ordering::Relaxed));
                let order = order.into_iter().map(|n| targets[n]).collect();
                tokio::spawn(pass(near, order, seen.clone()));
            }
        });
        Self { address, way, task, asking: None }
    }

    pub(crate) fn make(&self, way: Way) {
        self.way.send_replace(way);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
        self.asking.take().map(|asking| asking.abort()).unwrap_or_default();
    }
}

async fn is_ready(target: SocketAddr) -> bool {
    let Ok(mut stream) = TcpStream::connect(target).await else { return false };
    let mut answer = Vec::new();
    let asked = stream.write_all(b"GET /health/ready HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await;
    asked.is_ok() && stream.read_to_end(&mut answer).await.is_ok() && answer.starts_with(b"HTTP/1.1 200")
}

async fn pass(near: TcpStream, targets: Vec<SocketAddr>, mut way: watch::Receiver<Way>) {
    drop(way.wait_for(|way| *way != Way::Silent).await);
    let Some(far) = connect(&targets).await else {
        drop(near.set_zero_linger());
        return;
    };
    // Cut from now on: what was cut before was another connection.
    let mut cut = way.clone();
    cut.mark_unchanged();
    let (near_in, near_out) = near.into_split();
    let (far_in, far_out) = far.into_split();
    let both = async { tokio::join!(copy(near_in, far_out, way.clone()), copy(far_in, near_out, way.clone())) };
    tokio::select! {
        _ = both => {}
        () = async { while cut.changed().await.is_ok() && *cut.borrow() != Way::Cut {} } => {}
    }
}

/// The next one only when the one before refuses, as a balancer may do without sending anything twice.
async fn connect(targets: &[SocketAddr]) -> Option<TcpStream> {
    for target in targets {
        if let Ok(stream) = TcpStream::connect(target).await {
            return Some(stream);
        }
    }
    None
}

async fn copy(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut way: watch::Receiver<Way>) {
    let mut bytes = vec![0; 16 * 1024];
    loop {
        let count = from.read(&mut bytes).await.unwrap_or_default();
        drop(way.wait_for(|way| *way != Way::Silent).await);
        if count == 0 || to.write_all(&bytes[..count]).await.is_err() {
            drop(to.shutdown().await);
            return;
        }
    }
}
