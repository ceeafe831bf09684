//! A way between two programs that can be interrupted.

use std::net::SocketAddr;
use std::sync::Arc;

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
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    Open,
    /// Nothing passes, and nobody is told.
    Silent,
    /// Connections that there are end with a reset.
    Cut,
}

impl Proxy {
    pub(crate) async fn to(targets: Vec<SocketAddr>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let way = watch::Sender::new(Way::Open);
        let (targets, seen) = (Arc::<[SocketAddr]>::from(targets), way.subscribe());
        let task = tokio::spawn(async move {
            for first in 0.. {
                let (near, _) = listener.accept().await.unwrap();
                tokio::spawn(pass(near, Arc::clone(&targets), first, seen.clone()));
            }
        });
        Self { address, way, task }
    }

    pub(crate) fn make(&self, way: Way) {
        self.way.send_replace(way);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn pass(near: TcpStream, targets: Arc<[SocketAddr]>, first: usize, mut way: watch::Receiver<Way>) {
    drop(way.wait_for(|way| *way != Way::Silent).await);
    let Some(far) = connect(&targets, first).await else {
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
async fn connect(targets: &[SocketAddr], first: usize) -> Option<TcpStream> {
    for n in 0..targets.len() {
        if let Ok(stream) = TcpStream::connect(targets[(first + n) % targets.len()]).await {
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
