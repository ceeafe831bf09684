//! Clients that break the protocol are no errors of the service. The HTTP library logs each of them as one.

use std::fmt::{self, Write as _};

use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

/// The library's module that reads requests. At `trace` it tells of the same clients, for who looks for one.
const READER: &str = "actix_http::h1::dispatcher";
/// Its message for a request that it could not read, and for a connection that broke. Its own faults read otherwise.
const MESSAGES: [&str; 2] = ["stream error: request parse error", "stream error: I/O error"];

/// Keeps these lines out of the log.
pub(super) struct ProtocolErrors;

impl<S: Subscriber> Layer<S> for ProtocolErrors {
    fn event_enabled(&self, event: &Event<'_>, _context: Context<'_, S>) -> bool {
        if event.metadata().target() != READER {
            return true;
        }
        let mut message = Message::default();
        event.record(&mut message);
        !MESSAGES.iter().any(|start| message.0.starts_with(start))
    }
}

#[derive(Default)]
struct Message(String);

impl Visit for Message {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            // A `String` takes everything.
            let _written = write!(self.0, "{value:?}");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use tracing_subscriber::fmt;
    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;

    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn broken_requests_are_left_out_and_faults_of_the_library_are_not() {
        let written = Written::default();
        let writer = written.clone();
        let lines = fmt::layer().with_writer(move || writer.clone()).with_ansi(false);
        tracing::subscriber::with_default(tracing_subscriber::registry().with(lines).with(ProtocolErrors), || {
            tracing::error!(target: READER, "stream error: {}", "request parse error: invalid Header provided");
            tracing::error!(target: READER, "stream error: {}", "I/O error: reset");
            tracing::error!(target: READER, "stream error: {}", "internal error");
            tracing::error!(target: "claviger", "stream error: {}", "request parse error: ours");
        });

        let written = String::from_utf8(written.0.lock().unwrap().clone()).unwrap();
        let ends: Vec<&str> = written.lines().filter_map(|line| line.split("stream error: ").nth(1)).collect();
        assert_eq!(ends, ["internal error", "request parse error: ours"]);
    }
}
