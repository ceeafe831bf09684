//! Logs: their format and the line each request gets.

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::FmtSpan;

use crate::config::{Log, LogFormat};

/// Starts logging to standard error: for people on a terminal, one JSON object a line elsewhere. Does nothing when
/// logging has been started before.
pub fn start(log: &Log) {
    // Chatty libraries first, so that the operator's own filter can turn them up again.
    let filter = EnvFilter::new(format!("actix_server=warn,refinery_core=warn,{}", log.level));
    let json = match log.format {
        LogFormat::Auto => !std::io::stderr().is_terminal(),
        LogFormat::Json => true,
        LogFormat::Pretty => false,
    };
    let builder =
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_span_events(FmtSpan::NONE);
    let started = if json {
        builder.json().flatten_event(true).with_current_span(true).with_span_list(false).try_init()
    } else {
        builder.with_ansi(std::io::stderr().is_terminal()).with_target(false).try_init()
    };
    drop(started);
}
