//! A proxy that loses answers: what was asked is done, and whoever asked never hears of it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// Between nginx and a service: it expects a connection for each request, as nginx makes them.
pub(crate) struct LossyProxy {
    pub(crate) address: SocketAddr,
    losses: Arc<Losses>,
}

#[derive(Default)]
struct Losses {
    on: AtomicBool,
    count: AtomicUsize,
}

impl LossyProxy {
    pub(crate) async fn to(service: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, losses) = (listener.local_addr().unwrap(), Arc::<Losses>::default());
        let shared = Arc::clone(&losses);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                // A connection that breaks is the business of those at its ends.
                let losses = Arc::clone(&shared);
                tokio::spawn(async move { pass(stream, service, &losses).await });
            }
        });
        Self { address, losses }
    }

    /// Whether the answers to refreshes are lost from now on.
    pub(crate) fn lose(&self, on: bool) {
        self.losses.on.store(on, Ordering::SeqCst);
    }

    /// How many were.
    pub(crate) fn lost(&self) -> usize {
        self.losses.count.load(Ordering::SeqCst)
    }
}

async fn pass(mut caller: TcpStream, service: SocketAddr, losses: &Losses) -> std::io::Result<()> {
    let (head, body) = read_request(&mut caller).await?;
    let request = [head.as_bytes(), &body].concat();

    let mut to_service = TcpStream::connect(service).await?;
    to_service.write_all(&request).await?;
    let mut answer = Vec::new();
    to_service.read_to_end(&mut answer).await?;
    if losses.on.load(Ordering::SeqCst) && head.starts_with("POST /api/auth/refresh ") {
        losses.count.fetch_add(1, Ordering::SeqCst);
        return Ok(());
    }
    caller.write_all(&answer).await
}

/// The head of the next request, up to the empty line, and its body.
pub(super) async fn read_request(caller: &mut TcpStream) -> std::io::Result<(String, Vec<u8>)> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(caller.read_u8().await?);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let lines = head.to_lowercase();
    let length = lines.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    caller.read_exact(&mut body).await?;
    Ok((head, body))
}
