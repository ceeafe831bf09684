//! What takes traces: as much of OTLP over HTTP as a collector has, and the faults that real ones have.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};

use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value::Value};
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message as _;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::mail_server::acceptor;
use super::wait_until;

/// How it behaves, until told otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Manner {
    /// Takes what comes.
    Willing,
    /// Takes all but one of what comes.
    Choosy,
    /// Answers with this status, and takes nothing.
    Refusing(u16),
    /// Takes a request and says nothing.
    Silent,
}

/// A span as it came.
#[derive(Debug, Clone)]
pub(crate) struct Told {
    pub(crate) trace_id: String,
    pub(crate) span_id: String,
    /// Empty at the beginning of a trace.
    pub(crate) parent: String,
    pub(crate) name: String,
    pub(crate) kind: i32,
    pub(crate) attributes: BTreeMap<String, String>,
    pub(crate) resource: BTreeMap<String, String>,
    pub(crate) is_error: bool,
    pub(crate) state: String,
    /// Trace and span of each.
    pub(crate) links: Vec<(String, String)>,
    pub(crate) nanoseconds: u64,
}

#[derive(Default)]
struct State {
    manner: Option<Manner>,
    heads: Vec<String>,
    bodies: Vec<Vec<u8>>,
    spans: Vec<Told>,
}

pub(crate) struct Collector {
    port: u16,
    /// The authority that its certificate is from, where it has one.
    authority: Option<tempfile::NamedTempFile>,
    state: Arc<Mutex<State>>,
}

impl Collector {
    pub(crate) fn start() -> Self {
        Self::listening(false)
    }

    /// That speaks TLS, with a certificate of an authority that no system knows.
    pub(crate) fn with_tls() -> Self {
        Self::listening(true)
    }

    fn listening(by_tls: bool) -> Self {
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        listener.set_nonblocking(true).unwrap();
        let port = listener.local_addr().unwrap().port();
        let (acceptor, authority) = by_tls.then(acceptor).unzip();
        let state = Arc::<Mutex<State>>::default();
        let shared = Arc::clone(&state);
        let serving = async move {
            let listener = TcpListener::from_std(listener).unwrap();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (state, acceptor) = (Arc::clone(&shared), acceptor.clone());
                tokio::spawn(async move {
                    match acceptor {
                        None => serve(stream, state).await,
                        Some(acceptor) => match acceptor.accept(stream).await {
                            Ok(stream) => serve(stream, state).await,
                            Err(_distrusted) => None,
                        },
                    }
                });
            }
        };
        std::thread::spawn(move || {
            tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(serving);
        });
        Self { port, authority, state }
    }

    pub(crate) fn endpoint(&self) -> String {
        let scheme = if self.authority.is_some() { "https" } else { "http" };
        format!("{scheme}://localhost:{}", self.port)
    }

    pub(crate) fn ca_file(&self) -> String {
        self.authority.as_ref().map_or_else(String::new, |file| file.path().display().to_string())
    }

    pub(crate) fn be(&self, manner: Manner) {
        self.state.lock().unwrap().manner = Some(manner);
    }

    /// The first lines of every request, whatever came of it.
    pub(crate) fn heads(&self) -> Vec<String> {
        self.state.lock().unwrap().heads.clone()
    }

    /// Everything that it was sent, as bytes.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.state.lock().unwrap().bodies.concat()
    }

    /// What it has taken.
    pub(crate) fn spans(&self) -> Vec<Told> {
        self.state.lock().unwrap().spans.clone()
    }

    /// Waits for the span of a request of that trace by its name.
    pub(crate) async fn span(&self, trace_id: &str, name: &str) -> Told {
        let find = || self.spans().into_iter().find(|span| span.trace_id == trace_id && span.name == name);
        wait_until(&format!("{name} of {trace_id} is told"), async || find().is_some()).await;
        find().unwrap()
    }

    /// The names of what was done within a span, in the order in which it ended.
    pub(crate) fn parts(&self, of: &Told) -> Vec<String> {
        let spans = self.spans().into_iter();
        let parts = spans.filter(|span| span.trace_id == of.trace_id && span.parent == of.span_id);
        parts.map(|span| span.name).collect()
    }
}

async fn serve(mut stream: impl AsyncRead + AsyncWrite + Unpin, state: Arc<Mutex<State>>) -> Option<()> {
    loop {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.ok()?);
        }
        let head = String::from_utf8(head).unwrap();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap().parse().unwrap();
        let mut body = vec![0; length];
        stream.read_exact(&mut body).await.ok()?;
        let (status, said) = {
            let mut state = state.lock().unwrap();
            state.heads.push(head);
            let manner = state.manner.unwrap_or(Manner::Willing);
            let partial = ExportTracePartialSuccess { rejected_spans: 1, error_message: String::new() };
            let mut answer = ExportTraceServiceResponse { partial_success: None };
            let status = match manner {
                Manner::Willing => 200,
                Manner::Choosy => {
                    answer.partial_success = Some(partial);
                    200
                }
                Manner::Refusing(status) => status,
                Manner::Silent => 0,
            };
            if status == 200 {
                state.spans.extend(read(&body));
            }
            state.bodies.push(body);
            (status, answer.encode_to_vec())
        };
        if status == 0 {
            std::future::pending::<()>().await;
        }
        let head = format!(
            "HTTP/1.1 {status} X\r\ncontent-type: application/x-protobuf\r\ncontent-length: {}\r\n\r\n",
            said.len()
        );
        stream.write_all(&[head.as_bytes(), &said].concat()).await.ok()?;
    }
}

fn read(body: &[u8]) -> Vec<Told> {
    let mut told = Vec::new();
    for group in ExportTraceServiceRequest::decode(body).unwrap().resource_spans {
        let resource = texts(&group.resource.unwrap().attributes);
        let spans = group.scope_spans.into_iter().flat_map(|scope| scope.spans);
        told.extend(spans.map(|span| told_of(span, &resource)));
    }
    told
}

fn told_of(span: Span, resource: &BTreeMap<String, String>) -> Told {
    Told {
        trace_id: hex(&span.trace_id),
        span_id: hex(&span.span_id),
        parent: hex(&span.parent_span_id),
        name: span.name,
        kind: span.kind,
        attributes: texts(&span.attributes),
        resource: resource.clone(),
        is_error: span.status.unwrap().code == 2,
        state: span.trace_state,
        links: span.links.iter().map(|link| (hex(&link.trace_id), hex(&link.span_id))).collect(),
        nanoseconds: span.end_time_unix_nano - span.start_time_unix_nano,
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn texts(attributes: &[KeyValue]) -> BTreeMap<String, String> {
    let text = |value: &Value| {
        if let Value::StringValue(text) = value {
            return text.clone();
        }
        if let Value::IntValue(number) = value { number.to_string() } else { format!("{value:?}") }
    };
    let text = |attribute: &KeyValue| text(attribute.value.as_ref().unwrap().value.as_ref().unwrap());
    attributes.iter().map(|attribute| (attribute.key.clone(), text(attribute))).collect()
}
