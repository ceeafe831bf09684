//! What is done within something that is traced, and how long it takes. Where nothing is traced, this costs a look at the task.

use std::borrow::Cow;

use opentelemetry::trace::{SpanBuilder, SpanKind, Tracer as _};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::trace::{SdkTracer, Span};

use super::fail;

tokio::task_local! {
    pub(super) static HERE: Option<Here>;
}

/// Where in which trace something is done.
#[derive(Clone)]
pub(super) struct Here {
    pub(super) tracer: SdkTracer,
    pub(super) context: Context,
}

/// A part of what is going on here. One that is dropped was given up before its end.
#[must_use]
pub struct Part(Option<Box<Span>>);

/// A part begins, if what it belongs to is traced.
pub fn part(name: &'static str) -> Part {
    begin(|| SpanBuilder::from_name(name).with_kind(SpanKind::Internal))
}

/// A call to somebody else begins: its name, and what is known of it. Not asked for if nobody will be told.
pub fn call(describe: impl FnOnce() -> (Cow<'static, str>, Vec<KeyValue>)) -> Part {
    begin(|| {
        let (name, attributes) = describe();
        SpanBuilder::from_name(name).with_kind(SpanKind::Client).with_attributes(attributes)
    })
}

fn begin(describe: impl FnOnce() -> SpanBuilder) -> Part {
    let span = HERE.try_with(|here| {
        let Here { tracer, context } = here.as_ref()?;
        // On the heap: everything that is awaited meanwhile would grow by it, traced or not.
        Some(Box::new(tracer.build_with_context(describe(), context)))
    });
    Part(span.ok().flatten())
}

impl Part {
    /// It came to its end.
    pub fn done(mut self) {
        drop(self.0.take());
    }

    /// It came to this: an error is told by its kind.
    pub fn came_to<T, E>(mut self, outcome: &Result<T, E>, kind: impl FnOnce(&E) -> Cow<'static, str>) {
        if let (Some(mut span), Err(error)) = (self.0.take(), outcome) {
            fail(&mut span, kind(error));
        }
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        if let Some(mut span) = self.0.take() {
            fail(&mut span, "given_up");
        }
    }
}
