//! Traces for OpenTelemetry: what a request or a mail took, part by part, told to a collector.
//!
//! `caller` reads the trace that a caller is in, `part` follows what is done, `queue` and `collector` bring it away. Nothing
//! is global: who begins traces has a [`Tracer`], and what is done within one finds it by its task.

mod caller;
mod collector;
mod part;
mod queue;

use std::borrow::Cow;

use opentelemetry::trace::{
    Link, Span as _, SpanBuilder, Status, TraceContextExt as _, Tracer as _, TracerProvider as _,
};
use opentelemetry::{Context, InstrumentationScope};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{Sampler, SdkTracer, SdkTracerProvider, Span};
use uuid::Uuid;

use crate::config;
pub use caller::Caller;
pub use collector::{Exporting, SetupError};
pub use opentelemetry::KeyValue;
pub use opentelemetry::trace::SpanKind;
use part::{HERE, Here};
pub use part::{Part, call, part};

/// Begins traces.
#[derive(Debug, Clone)]
pub struct Tracer(SdkTracer);

/// Something that was asked of this process, or that it does by itself, from its beginning to when this is dropped.
pub struct Trace {
    span: Span,
    here: Option<Here>,
}

/// Sets tracing up as the settings ask, and starts to bring away what is told.
///
/// # Errors
/// [`SetupError`].
pub fn start(settings: &config::Traces) -> Result<(Tracer, Exporting), SetupError> {
    let own = [
        ("service.name", settings.service_name.clone()),
        ("service.version", env!("CARGO_PKG_VERSION").to_owned()),
        ("service.instance.id", Uuid::new_v4().to_string()),
    ];
    let own = own.map(|(name, value)| KeyValue::new(name, value));
    let said = settings.resource.iter().map(|(name, value)| KeyValue::new(name.clone(), value.clone()));
    // What is said later counts.
    let resource = Resource::builder_empty().with_attributes(own.into_iter().chain(said)).build();
    let (queue, exporting) = collector::start(settings, &resource)?;
    let provider = SdkTracerProvider::builder()
        .with_sampler(Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(settings.sample_ratio))))
        .with_resource(resource)
        .with_span_processor(queue)
        .build();
    let scope = InstrumentationScope::builder("claviger").with_version(env!("CARGO_PKG_VERSION")).build();
    Ok((Tracer(provider.tracer_with_scope(scope)), exporting))
}

impl Tracer {
    /// Something begins: in the caller's trace if the caller may say so, else in one of its own, which remembers the caller's.
    #[must_use]
    pub fn begin(&self, name: impl Into<Cow<'static, str>>, kind: SpanKind, caller: Caller) -> Trace {
        let mut builder = SpanBuilder::from_name(name).with_kind(kind);
        let parent = match caller {
            Caller::Nobody => Context::new(),
            Caller::Trusted(parent) => Context::new().with_remote_span_context(parent),
            Caller::Stranger(named) => {
                builder = builder.with_links(vec![Link::with_context(named)]);
                Context::new()
            }
        };
        let span = self.0.build_with_context(builder, &parent);
        let here = span.is_recording().then(|| Here {
            tracer: self.0.clone(),
            context: Context::new().with_remote_span_context(span.span_context().clone()),
        });
        Trace { span, here }
    }
}

impl Trace {
    /// Does something whose parts belong to this.
    pub async fn of<T>(here: Option<&Self>, work: impl Future<Output = T>) -> T {
        HERE.scope(here.and_then(|trace| trace.here.clone()), work).await
    }

    /// The trace's id, in hexadecimal.
    #[must_use]
    pub fn trace_id(&self) -> String {
        self.span.span_context().trace_id().to_string()
    }

    /// The id of this in it.
    #[must_use]
    pub fn span_id(&self) -> String {
        self.span.span_context().span_id().to_string()
    }

    /// `traceparent` (W3C Trace Context) for who goes on in this trace.
    #[must_use]
    pub fn traceparent(&self) -> String {
        let context = self.span.span_context();
        format!("00-{}-{}-{:02x}", context.trace_id(), context.span_id(), context.trace_flags())
    }

    /// `tracestate`; empty where nobody said anything.
    #[must_use]
    pub fn tracestate(&self) -> String {
        self.span.span_context().trace_state().header()
    }

    /// What is known of it now. Not asked for if nobody will be told.
    pub fn tell(&mut self, name: impl FnOnce() -> String, attributes: impl FnOnce() -> Vec<KeyValue>) {
        if self.span.is_recording() {
            self.span.update_name(name());
            self.span.set_attributes(attributes());
        }
    }

    /// It did not do what it is for.
    pub fn failed(&mut self, kind: impl Into<Cow<'static, str>>) {
        fail(&mut self.span, kind);
    }
}

/// An error by its kind, never by its text, in which anything can be.
fn fail(span: &mut Span, kind: impl Into<Cow<'static, str>>) {
    span.set_attribute(KeyValue::new("error.type", kind.into()));
    span.set_status(Status::error(""));
}
