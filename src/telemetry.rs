//! Logs: their format, and how errors are told in them.

use std::error::Error;
use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;

use crate::config::{Log, LogFormat};

/// Starts logging to standard error: for people on a terminal, one JSON object a line elsewhere. Does nothing when
/// logging has been started before.
pub fn start(log: &Log) {
    // Chatty libraries first, so that the operator's own filter can turn them up again; the driver last, so that it
    // cannot: it logs the parameters of statements, password hashes among them.
    let filter = EnvFilter::new(format!("actix_server=warn,refinery_core=warn,{},tokio_postgres=info", log.level));
    let json = match log.format {
        LogFormat::Auto => !std::io::stderr().is_terminal(),
        LogFormat::Json => true,
        LogFormat::Pretty => false,
    };
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let started = if json {
        builder.json().flatten_event(true).with_current_span(true).with_span_list(false).try_init()
    } else {
        builder.with_ansi(std::io::stderr().is_terminal()).with_target(false).try_init()
    };
    drop(started);
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
