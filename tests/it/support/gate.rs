//! A proxy that holds refreshes until a test releases them, records their tokens, and can delay and reorder everything.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use uuid::Uuid;

use super::lossy::read_request;

/// Between a client and a service. It is open at first.
pub(crate) struct Gate {
    pub(crate) address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    /// One for each refresh that may go on.
    passes: Semaphore,
    /// Of each refresh that came since the gate was closed or opened.
    tokens: Mutex<Vec<String>>,
    /// The longest delay of a request, and of an answer, in milliseconds.
    jitter: AtomicU64,
}

/// As good as any number.
const ALL: usize = 1_000_000;

impl Gate {
    pub(crate) async fn to(service: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared =
            Arc::new(Shared { passes: Semaphore::new(ALL), tokens: Mutex::default(), jitter: AtomicU64::default() });
        let gate = Arc::clone(&shared);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                // A connection that breaks is the business of those at its ends.
                let gate = Arc::clone(&gate);
                tokio::spawn(async move { pass(stream, service, &gate).await });
            }
        });
        Self { address, shared }
    }

    /// Refreshes wait from now on.
    pub(crate) fn close(&self) {
        self.shared.passes.forget_permits(self.shared.passes.available_permits());
        self.shared.tokens.lock().unwrap().clear();
    }

    /// So many of those that wait, or will come, go on.
    pub(crate) fn let_through(&self, count: usize) {
        self.shared.passes.add_permits(count);
    }

    pub(crate) fn open(&self) {
        self.let_through(ALL);
    }

    /// Delays every request, and every answer, by a random time of up to `most`. So they overtake each other.
    pub(crate) fn jitter(&self, most: Duration) {
        self.shared.jitter.store(u64::try_from(most.as_millis()).unwrap(), Ordering::SeqCst);
    }

    /// The refresh tokens that came since the gate was closed, in their order.
    pub(crate) fn tokens(&self) -> Vec<String> {
        self.shared.tokens.lock().unwrap().clone()
    }
}

impl Shared {
    async fn delay(&self) {
        let most = self.jitter.load(Ordering::SeqCst);
        if most > 0 {
            let random = Uuid::new_v4().as_u64_pair().0;
            tokio::time::sleep(Duration::from_millis(random % (most + 1))).await;
        }
    }
}

async fn pass(mut caller: TcpStream, service: SocketAddr, gate: &Shared) -> std::io::Result<()> {
    let (head, body) = read_request(&mut caller).await?;
    if head.starts_with("POST /api/auth/refresh ") {
        let body: Value = serde_json::from_slice(&body)?;
        gate.tokens.lock().unwrap().push(body["refresh_token"].as_str().unwrap_or_default().to_owned());
        gate.passes.acquire().await.unwrap().forget();
    }
    gate.delay().await;
    // One request for each connection, so that the end of the answer is the end of the stream.
    let lines = head.lines().filter(|line| !line.is_empty() && !line.to_lowercase().starts_with("connection:"));
    let head = lines.chain(["connection: close", "", ""]).collect::<Vec<_>>().join("\r\n");
    let mut to_service = TcpStream::connect(service).await?;
    to_service.write_all(&[head.as_bytes(), &body].concat()).await?;
    let mut answer = Vec::new();
    to_service.read_to_end(&mut answer).await?;
    gate.delay().await;
    caller.write_all(&answer).await
}
