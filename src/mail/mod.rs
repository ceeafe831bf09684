//! Mail: what is queued in the database is written and handed to a mail server, here and nowhere else.
//!
//! `outbox` says when, `writing` what, `smtp` and `folder` how. Requests only queue.

mod folder;
mod outbox;
mod smtp;
mod writing;

use std::path::PathBuf;
use std::sync::Arc;

use lettre::address::Envelope;
use tokio::sync::Notify;

use crate::config::{self, MailServer};
use crate::figures::{Counts, Figures};
use crate::store::Store;
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
        Ok(Self { store, carrier, writer: Writer::new(settings), wake, counts: Counts::default() })
    }

    /// Enters what is counted of mails.
    pub fn enter_figures(&self, figures: &mut Figures) {
        figures.enter("mails", "Mails by kind, and what an attempt to send one came to.", self.counts.clone());
    }

    fn count(&self, kind: &'static str, outcome: &'static str) {
        self.counts.get_or_create(&[("kind", kind.into()), ("outcome", outcome.into())]).inc();
    }
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
