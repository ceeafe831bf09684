//! The queue in the database is worked off: claimed, sent, removed or put off.
//!
//! A mail is claimed for a time by moving its hour forward in one short statement, and nothing is held in the database while
//! the mail server is talked to. A process that dies leaves its claims to the others, who then send those mails again:
//! between a server's "taken" and the removal of the row lies a moment in which a mail can be sent twice, with one and
//! the same Message-ID, and never one in which it can be lost.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::timeout;
use tracing::{Instrument as _, Span};

use super::smtp::SEND_LIMIT;
use super::{Outbox, Outcome, Undelivered};
use crate::domain::mail::QueuedMail;
use crate::store::{self, mails};
use crate::telemetry::chain;
use crate::traces::{self, Caller, SpanKind, Trace};

/// Mails that one process sends at once. Servers refuse a client that comes with more than a few connections.
const LANES: usize = 4;
/// How long a claim holds: longer than a connection, a mail and the statements around them take when all are slow.
const CLAIM: Duration = Duration::from_mins(2);
/// How often to look when nothing is known to be due: for mails that other processes queued and then died.
const LOOK_EVERY: Duration = Duration::from_secs(30);
/// How long to wait for a database that is away.
const DATABASE_PAUSE: Duration = Duration::from_secs(5);
/// The longest pause between attempts.
const LONGEST_PAUSE: Duration = Duration::from_mins(5);
/// When a mail is given up.
const GIVEN_UP_AFTER: Duration = Duration::from_hours(24);
/// How long mails in flight may take when the process ends.
const LAST_MAILS: Duration = Duration::from_secs(10);

/// An outbox at work. Dropped, it stops at once.
pub struct Running {
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Outbox {
    /// Starts to send. To be done when the schema is there.
    #[must_use]
    pub fn start(self) -> Running {
        let (stop, stopped) = oneshot::channel();
        Running { stop, task: tokio::spawn(Arc::new(self).run(stopped)) }
    }

    async fn run(self: Arc<Self>, mut stopped: oneshot::Receiver<()>) {
        let mut sending = JoinSet::new();
        loop {
            let pause = match self.claim(&mut sending).await {
                Ok(pause) => pause,
                Err(error) => {
                    tracing::warn!(error = chain(&error), "the queue of mails cannot be read; they wait");
                    DATABASE_PAUSE
                }
            };
            let has_room = sending.len() < LANES;
            tokio::select! {
                _ = &mut stopped => break,
                Some(done) = sending.join_next() => report(done),
                () = self.wake.notified(), if has_room => {}
                () = tokio::time::sleep(pause), if has_room => {}
            }
        }
        let finishing = async {
            while let Some(done) = sending.join_next().await {
                report(done);
            }
        };
        if timeout(LAST_MAILS, finishing).await.is_err() {
            tracing::warn!("mails in flight were cut off; they are sent again after {} s", CLAIM.as_secs());
        }
    }

    /// Begins to send as many as there is room for, and says when to look again.
    async fn claim(self: &Arc<Self>, sending: &mut JoinSet<()>) -> Result<Duration, store::Error> {
        let room = LANES.saturating_sub(sending.len());
        if room == 0 {
            return Ok(LOOK_EVERY);
        }
        // Before the claim, so that it ends here no later than there.
        let until = Instant::now() + CLAIM;
        let limit = i64::try_from(room).unwrap_or(1);
        let claimed = self.store.run(async |client| mails::claim(client, limit, CLAIM).await).await?;
        let is_all = claimed.len() < room;
        for mail in claimed {
            sending.spawn(Arc::clone(self).deliver(mail, until));
        }
        if !is_all {
            return Ok(Duration::ZERO);
        }
        let next = self.store.run(async |client| mails::find_pause(client).await).await?;
        Ok(next.map_or(LOOK_EVERY, |next| next.min(LOOK_EVERY)))
    }

    /// In a trace of its own: the request that queued it may have been another process's, and is over.
    async fn deliver(self: Arc<Self>, mail: QueuedMail, until: Instant) {
        let name = format!("send {}", mail.kind.as_str());
        let trace = self.tracer.as_ref().map(|tracer| tracer.begin(name, SpanKind::Internal, Caller::Nobody));
        let span = trace.as_ref().map_or_else(Span::none, |trace| {
            tracing::info_span!("mail", trace_id = trace.trace_id(), span_id = trace.span_id())
        });
        let kind = mail.kind;
        let outcome = Trace::of(trace.as_ref(), Box::pin(self.work_off(mail, until))).instrument(span).await;
        self.count(kind, outcome);
        if let (Some(mut trace), Outcome::PutOff | Outcome::GivenUp) = (trace, outcome) {
            trace.failed(outcome.as_str());
        }
    }

    async fn work_off(&self, mail: QueuedMail, until: Instant) -> Outcome {
        let (id, kind) = (mail.id, mail.kind.as_str());
        match self.send(&mail, until).await {
            Ok(sent) => {
                let outcome = if sent { Outcome::Sent } else { Outcome::Dropped };
                // Again and again, as every other outcome means to send it twice.
                while let Err(error) = self.store.run(async |client| mails::delete(client, id).await).await {
                    if Instant::now() > until {
                        tracing::error!(mail = %id, kind, error = chain(&error), "a mail was sent, and cannot be removed");
                        return outcome;
                    }
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
                tracing::info!(mail = %id, kind, attempts = mail.attempts, sent, "a mail is done");
                outcome
            }
            Err(Undelivered::Never(what, cause)) => {
                tracing::error!(mail = %id, kind, error = chain(&*cause), "{what}; the mail is given up");
                let removed = self.store.run(async |client| mails::delete(client, id).await).await;
                removed
                    .unwrap_or_else(|error| tracing::warn!(mail = %id, error = chain(&error), "it cannot be removed"));
                Outcome::GivenUp
            }
            Err(Undelivered::Later(what, cause)) => {
                let put_off = async |client: &mut _| mails::put_off(client, id, LONGEST_PAUSE, GIVEN_UP_AFTER).await;
                let (error, attempts) = (chain(&*cause), mail.attempts);
                match self.store.run(put_off).await {
                    Ok(Some(pause)) => {
                        tracing::warn!(mail = %id, kind, error, attempts, retry_in_ms = pause.as_millis(), "{what}; the mail waits");
                        Outcome::PutOff
                    }
                    Ok(None) => {
                        tracing::error!(mail = %id, kind, error, attempts, "{what}; the mail is given up, as it is a day old");
                        Outcome::GivenUp
                    }
                    Err(database) => {
                        tracing::warn!(mail = %id, kind, error, attempts, database = chain(&database), "{what}; the mail waits until its claim ends");
                        Outcome::PutOff
                    }
                }
            }
        }
    }

    /// Sends a mail; says whether there was somebody to send it to.
    async fn send(&self, mail: &QueuedMail, until: Instant) -> Result<bool, Undelivered> {
        let opening = traces::call(|| ("open the way to the mail server".into(), Vec::new()));
        let way = self.carrier.open().await;
        opening.came_to(&way, Undelivered::kind);
        let way = way?;
        let Some(written) = self.writer.write(&self.store, mail).await? else {
            way.close();
            return Ok(false);
        };
        if Instant::now() + SEND_LIMIT > until {
            return Err(Undelivered::Later("preparing took too long", "others may try it by now".into()));
        }
        let handing_over = traces::call(|| ("hand the mail over".into(), Vec::new()));
        let sent = way.send(&written.envelope, &mail.id.to_string(), written.bytes).await;
        handing_over.came_to(&sent, Undelivered::kind);
        sent.map(|()| true)
    }
}

impl Running {
    /// Stops to claim, and lets mails in flight finish for a bounded time.
    pub async fn end(self) {
        drop(self.stop);
        if let Err(error) = self.task.await {
            tracing::error!(error = chain(&error), "sending mail broke down");
        }
    }
}

fn report(done: Result<(), tokio::task::JoinError>) {
    if let Err(error) = done {
        tracing::error!(error = chain(&error), "sending a mail broke down; it is sent again when its claim ends");
    }
}
