//! What was traced waits here to be brought away: for so many, and nobody waits for it.

use std::time::Duration;

use opentelemetry::Context;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{Span, SpanData, SpanProcessor};
use tokio::sync::mpsc::Sender;

use crate::figures::{Counts, count};

/// What waits at most: a few seconds of a busy process, and a few megabytes.
pub(super) const PLACES: usize = 8192;

/// The end of the queue.
#[derive(Debug)]
pub(super) struct Queue {
    pub(super) sender: Sender<SpanData>,
    pub(super) counts: Counts<1>,
}

impl SpanProcessor for Queue {
    fn on_start(&self, _span: &mut Span, _context: &Context) {}

    fn on_end(&self, span: SpanData) {
        if self.sender.try_send(span).is_err() {
            count(&self.counts, "outcome", "dropped");
        }
    }

    /// Done by who empties it.
    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _limit: Duration) -> OTelSdkResult {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use opentelemetry::trace::{Tracer as _, TracerProvider as _};
    use opentelemetry_sdk::trace::SdkTracerProvider;
    use tokio::sync::mpsc::channel;

    use super::*;
    use crate::figures::counts_of;

    #[test]
    fn what_finds_no_place_is_dropped_and_counted_and_nobody_waits() {
        let (sender, mut waiting) = channel(2);
        let counts = counts_of("outcome", &["dropped"]);
        let queue = Queue { sender, counts: counts.clone() };
        let provider = SdkTracerProvider::builder().with_span_processor(queue).build();
        let tracer = provider.tracer("test");
        for name in ["a", "b", "c", "d", "e"] {
            drop(tracer.start(name));
        }
        let dropped = || counts.get_or_create(&[("outcome", "dropped".into())]).get();
        assert_eq!((waiting.len(), dropped()), (2, 3));
        assert_eq!(waiting.try_recv().unwrap().name, "a");
        drop(tracer.start("f"));
        assert_eq!((waiting.len(), dropped()), (2, 3), "there is a place again");
        drop(waiting);
        drop(tracer.start("g"));
        assert_eq!(dropped(), 4, "and when nobody brings them away any more");
    }
}
