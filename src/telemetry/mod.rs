//! Logs: their format, and how errors and security events are told in them.

mod json;
mod lines;
mod protocol_errors;

use std::error::Error;
use std::io::{self, IsTerminal as _};

use tracing::Level;
use tracing_subscriber::filter::{LevelFilter, filter_fn};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer as _, fmt};
use uuid::Uuid;

use crate::config::{Log, LogFormat};
use crate::domain::event::Event;
use crate::domain::session::Sender;
pub use lines::gather;
use protocol_errors::ProtocolErrors;

/// Starts logging to standard error: for people on a terminal, one JSON object a line elsewhere. Does nothing when
/// logging has been started before.
pub fn start(log: &Log) {
    // Chatty libraries first, so that the operator's own filter can turn them up again.
    let filter = EnvFilter::new(format!("actix_server=warn,refinery_core=warn,{}", log.level));
    // Whatever that filter says: the driver logs the parameters of statements, password hashes among them. It knows how far
    // that filter goes: without a limit, everything that libraries could tell would be weighed again and again.
    let harmless = filter_fn(|event| *event.level() <= Level::INFO || !event.target().starts_with("tokio_postgres"))
        .with_max_level_hint(filter.max_level_hint().unwrap_or(LevelFilter::TRACE));
    let json = match log.format {
        LogFormat::Auto => !io::stderr().is_terminal(),
        LogFormat::Json => true,
        LogFormat::Pretty => false,
    };
    let lines = fmt::layer().with_writer(lines::Lines);
    let lines = if json {
        lines.fmt_fields(json::Fields).event_format(json::Line).boxed()
    } else {
        lines.with_ansi(io::stderr().is_terminal()).with_target(false).boxed()
    };
    // For all there is, as there is but this: filters of one layer keep books of what they let through.
    drop(tracing_subscriber::registry().with(lines).with(filter).with(harmless).with(ProtocolErrors).try_init());
}

/// Tells the log of a security event that the database has recorded.
pub fn tell(event: &Event, sender: &Sender) {
    let Event { kind, user_id, session_id } = *event;
    let text = |id: Option<Uuid>| id.map(|id| id.to_string());
    tracing::info!(
        kind = kind.as_str(),
        outcome = kind.outcome().as_str(),
        reason = kind.reason(),
        user_id = text(user_id),
        session_id = text(session_id),
        ip_address = sender.ip_address.map(|address| address.to_string()),
        user_agent = sender.user_agent,
        actor_id = text(sender.actor_id),
        "security event",
    );
}

/// An error and its causes in one sentence, for the operator.
#[must_use]
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
