//! Answers that are written while their clients read them, so that a client that does not read costs little memory.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use actix_web::body::{BodySize, MessageBody};
use actix_web::http::header::ContentType;
use actix_web::web::Bytes;
use actix_web::{HttpResponse, rt};
use serde::Serialize;
use tokio::sync::mpsc;
use tokio::time::Instant;
use uuid::Uuid;

use super::State;
use super::error::{ApiError, Code};
use crate::auth::{self, LargeAnswer};
use crate::telemetry::chain;

/// Bytes that are handed to the connection at a time. It keeps about twice as many of an answer that is not read.
const CHUNK: usize = 16 * 1024;
/// An answer that fits into what a connection keeps anyway is not bounded.
const LARGE: usize = 2 * CHUNK;
/// How long a client may take for one chunk, and for all of them.
const STALLED: Duration = Duration::from_secs(30);
const LONGEST: Duration = Duration::from_mins(5);

/// A body in chunks. Without its end it is an error, so no client takes part of an answer for the whole.
struct Chunks {
    receiver: mpsc::Receiver<Chunk>,
    size: BodySize,
    ended: bool,
}

enum Chunk {
    Part(Bytes),
    End,
}

/// The other end of a body.
pub(super) struct Writer {
    sender: mpsc::Sender<Chunk>,
    buffer: Vec<u8>,
    deadline: Instant,
}

/// Why an answer broke off.
#[derive(Debug)]
pub(super) enum BrokenOff {
    /// The client went away, or did not read.
    Unread,
    /// There is no more to read.
    Failed(Box<dyn std::error::Error + Send + Sync>),
}

impl fmt::Display for BrokenOff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unread => f.write_str("the client did not read the answer"),
            Self::Failed(cause) => write!(f, "the answer broke off: {}", chain(&**cause)),
        }
    }
}

impl std::error::Error for BrokenOff {}

impl From<auth::Error> for BrokenOff {
    fn from(error: auth::Error) -> Self {
        Self::Failed(error.into())
    }
}

impl MessageBody for Chunks {
    type Error = BrokenOff;

    fn size(&self) -> BodySize {
        self.size
    }

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, BrokenOff>>> {
        if self.ended {
            return Poll::Ready(None);
        }
        Poll::Ready(match ready!(self.receiver.poll_recv(context)) {
            Some(Chunk::Part(bytes)) => Some(Ok(bytes)),
            end => {
                self.ended = true;
                match end {
                    Some(_) => None,
                    None => Some(Err(BrokenOff::Unread)),
                }
            }
        })
    }
}

impl Writer {
    /// Writes bytes as they are.
    ///
    /// # Errors
    /// [`BrokenOff::Unread`].
    pub(super) async fn text(&mut self, text: &[u8]) -> Result<(), BrokenOff> {
        self.buffer.extend_from_slice(text);
        while self.buffer.len() >= CHUNK {
            let rest = self.buffer.split_off(CHUNK);
            let chunk = std::mem::replace(&mut self.buffer, rest);
            self.send(Chunk::Part(chunk.into())).await?;
        }
        Ok(())
    }

    /// Writes a value as JSON.
    ///
    /// # Errors
    /// [`BrokenOff`].
    pub(super) async fn json(&mut self, value: &impl Serialize) -> Result<(), BrokenOff> {
        let text = serde_json::to_vec(value).map_err(|error| BrokenOff::Failed(error.into()))?;
        self.text(&text).await
    }

    /// Ends the body: only then it is whole.
    ///
    /// # Errors
    /// [`BrokenOff::Unread`].
    pub(super) async fn end(mut self) -> Result<(), BrokenOff> {
        if !self.buffer.is_empty() {
            let rest = std::mem::take(&mut self.buffer);
            self.send(Chunk::Part(rest.into())).await?;
        }
        self.send(Chunk::End).await
    }

    async fn send(&self, chunk: Chunk) -> Result<(), BrokenOff> {
        let limit = self.deadline.min(Instant::now() + STALLED);
        let sent = tokio::time::timeout_at(limit, self.sender.send(chunk)).await;
        sent.map_err(|_elapsed| BrokenOff::Unread)?.map_err(|_closed| BrokenOff::Unread)
    }
}

/// A JSON answer that `write` writes on a task of its own, which ends when the client stalls or goes away.
pub(super) fn streamed<F: Future<Output = Result<(), BrokenOff>> + 'static>(
    size: BodySize,
    write: impl FnOnce(Writer) -> F + 'static,
) -> HttpResponse {
    let (sender, receiver) = mpsc::channel(1);
    let writer = Writer { sender, buffer: Vec::new(), deadline: Instant::now() + LONGEST };
    rt::spawn(async move {
        match write(writer).await {
            Ok(()) => {}
            Err(unread @ BrokenOff::Unread) => tracing::debug!(error = %unread, "a large answer broke off"),
            Err(failed @ BrokenOff::Failed(_)) => tracing::warn!(error = %failed, "a large answer broke off"),
        }
    });
    HttpResponse::Ok().content_type(ContentType::json()).body(Chunks { receiver, size, ended: false })
}

/// A JSON answer with a list, to `reader`. One that is large is written in chunks, and only so many are at a time.
///
/// # Errors
/// `rate_limited` and `overloaded` when too many large answers are being written.
pub(super) fn list(state: &State, reader: Uuid, body: &impl Serialize) -> Result<HttpResponse, ApiError> {
    let body = serde_json::to_vec(body).map_err(|_cannot_be| ApiError::of(Code::Internal))?;
    if body.len() <= LARGE {
        return Ok(HttpResponse::Ok().content_type(ContentType::json()).body(body));
    }
    let answer = state.large_answers.begin(reader)?;
    let size = BodySize::Sized(u64::try_from(body.len()).unwrap_or(u64::MAX));
    Ok(streamed(size, async move |writer| write_all(writer, body.into(), answer).await))
}

async fn write_all(writer: Writer, mut body: Bytes, _answer: LargeAnswer) -> Result<(), BrokenOff> {
    while !body.is_empty() {
        let chunk = body.split_to(CHUNK.min(body.len()));
        writer.send(Chunk::Part(chunk)).await?;
    }
    writer.end().await
}
