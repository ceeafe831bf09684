//! Mail: what is queued in the database is written and handed to a mail server, here and nowhere else.
//!
//! `outbox` says when, `writing` what, `smtp` and `folder` how. Requests only queue.

mod folder;
mod outbox;
mod smtp;
mod writing;

use std::borrow::Cow;
use std::path::PathBuf;
use std::sync::Arc;

use lettre::address::Envelope;
use tokio::sync::Notify;

use crate::config::{self, MailServer};
use crate::domain::mail::MailKind;
use crate::figures::{Counts, Figures, Labels};
use crate::store::Store;
use crate::traces::Tracer;
pub use outbox::Running;
use smtp::{Line, Smtp};
use writing::Writer;

/// Sends what is queued. Each process has one, and they share the work.
pub struct Outbox {
    store: Store,
    carrier: Carrier,
    writer: Writer,
    wake: Arc<Notify>,
    /// What became of mails, of which kind.
    counts: Counts<2>,
    tracer: Option<Tracer>,
}

/// What an attempt to send a mail came to.
#[derive(Clone, Copy)]
enum Outcome {
    Sent,
    /// There was nobody to send it to any more.
    Dropped,
    PutOff,
    GivenUp,
}

/// Mails cannot be sent from this machine as the settings ask.
#[derive(Debug, thiserror::Error)]
#[error("TLS to the mail server cannot be set up")]
pub struct SetupError(#[from] lettre::transport::smtp::Error);

/// Why a mail did not leave.
#[derive(Debug, thiserror::Error)]
enum Undelivered {
    /// It may the next time: nobody answered, or with a 4xx, or our settings or our database are to blame.
    #[error("{0}")]
    Later(&'static str, #[source] Cause),
    /// Nobody will take it.
    #[error("{0}")]
    Never(&'static str, #[source] Cause),
}

impl Undelivered {
    /// In one word, for traces.
    fn kind(&self) -> Cow<'static, str> {
        match self {
            Self::Later(..) => "later".into(),
            Self::Never(..) => "never".into(),
        }
    }
}

type Cause = Box<dyn std::error::Error + Send + Sync>;

/// How mails leave.
enum Carrier {
    Smtp(Smtp),
    Folder(PathBuf),
}

/// A way that is open.
enum Way<'a> {
    Line(Box<Line<'a>>),
    Folder(&'a PathBuf),
}

impl Outbox {
    /// Prepares sending. `wake` is notified when this process has queued a mail.
    ///
    /// # Errors
    /// [`SetupError`].
    pub fn new(store: Store, settings: config::Mail, wake: Arc<Notify>) -> Result<Self, SetupError> {
        let carrier = match &settings.server {
            MailServer::Smtp(server) => Carrier::Smtp(Smtp::new(server, &settings)?),
            MailServer::Folder(folder) => Carrier::Folder(folder.clone()),
        };
        Ok(Self { store, carrier, writer: Writer::new(settings), wake, counts: counts(), tracer: None })
    }

    /// Tells a collector how mails are sent.
    #[must_use]
    pub fn traced(self, tracer: Option<Tracer>) -> Self {
        Self { tracer, ..self }
    }

    /// Enters what is counted of mails.
    pub fn enter_figures(&self, figures: &mut Figures) {
        figures.enter("mails", "Mails by kind, and what an attempt to send one came to.", self.counts.clone());
    }

    fn count(&self, kind: MailKind, outcome: Outcome) {
        self.counts.get_or_create(&labels(kind, outcome)).inc();
    }
}

impl Outcome {
    const ALL: [Self; 4] = [Self::Sent, Self::Dropped, Self::PutOff, Self::GivenUp];

    fn as_str(self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::Dropped => "dropped",
            Self::PutOff => "put_off",
            Self::GivenUp => "given_up",
        }
    }
}

fn labels(kind: MailKind, outcome: Outcome) -> Labels<2> {
    [("kind", kind.as_str().into()), ("outcome", outcome.as_str().into())]
}

/// None yet, of every kind: of what is not there, the first one is not seen as an increase.
fn counts() -> Counts<2> {
    let counts = Counts::default();
    for (kind, outcome) in MailKind::ALL.into_iter().flat_map(|kind| Outcome::ALL.map(|outcome| (kind, outcome))) {
        drop(counts.get_or_create(&labels(kind, outcome)));
    }
    counts
}

impl Carrier {
    /// Opens the way. Done before anything is written, so that no token is made for a mail that cannot leave.
    async fn open(&self) -> Result<Way<'_>, Undelivered> {
        match self {
            Self::Smtp(smtp) => Ok(Way::Line(Box::new(smtp.line().await?))),
            Self::Folder(folder) => Ok(Way::Folder(folder)),
        }
    }
}

impl Way<'_> {
    async fn send(self, envelope: &Envelope, name: &str, mail: Vec<u8>) -> Result<(), Undelivered> {
        match self {
            Self::Line(line) => line.send(envelope, &mail).await,
            Self::Folder(folder) => folder::put(folder, name, mail).await,
        }
    }

    fn close(self) {
        match self {
            Self::Line(line) => line.keep(),
            Self::Folder(_) => {}
        }
    }
}
