//! Brings what was traced to a collector, by OTLP over HTTP in protobuf, beside everything else: no request waits for it.

use std::time::{Duration, Instant};

use actix_web::web::Bytes;
use opentelemetry_proto::tonic::collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse};
use opentelemetry_proto::transform::common::tonic::ResourceAttributesWithSchema;
use opentelemetry_proto::transform::trace::tonic::group_spans_by_resource_and_scope;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SpanData;
use prost::Message as _;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::redirect::Policy;
use reqwest::{Certificate, Client, StatusCode};
use secrecy::ExposeSecret as _;
use tokio::sync::mpsc::{Receiver, channel};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use super::queue::{PLACES, Queue};
use crate::config;
use crate::figures::{Counts, Figures, counts_of};
use crate::telemetry::chain;

/// Spans that are brought at once.
const MOST_AT_ONCE: usize = 512;
/// How long a span waits for others.
const WAIT: Duration = Duration::from_secs(1);
const CONNECT_LIMIT: Duration = Duration::from_secs(3);
const SEND_LIMIT: Duration = Duration::from_secs(10);
/// Between two tries to bring the same, twice as long after each.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// How long a collector may be away before what it should have got is given up.
const GIVEN_UP_AFTER: Duration = Duration::from_mins(1);
/// How long the process waits at its end for what is left.
const LAST_SPANS: Duration = Duration::from_secs(3);
/// What a collector may say.
const MOST_BYTES: usize = 64 * 1024;

/// Traces cannot be sent from this machine as the settings ask.
#[derive(Debug, thiserror::Error)]
#[error("traces cannot be sent")]
pub struct SetupError(#[from] reqwest::Error);

/// Bringing away what is traced. Dropped, it goes on with what is left.
pub struct Exporting {
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
    counts: Counts<1>,
}

/// Why a collector has not got what was brought.
#[derive(Debug, thiserror::Error)]
enum Untaken {
    #[error("the collector cannot be reached")]
    Unreachable(#[from] reqwest::Error),
    #[error("the collector answered with status {0}")]
    Status(StatusCode),
    /// It has taken some, and says that this many it will never take.
    #[error("the collector refused {0} spans")]
    Refused(u64),
}

/// Spans, as they are brought.
struct Parcel {
    spans: u64,
    body: Bytes,
}

struct Collector {
    http: Client,
    endpoint: String,
    resource: ResourceAttributesWithSchema,
    counts: Counts<1>,
    /// What is on the way.
    parcel: Option<Parcel>,
    /// Whether the log has been told that it takes nothing.
    is_told: bool,
}

pub(super) fn start(settings: &config::Traces, resource: &Resource) -> Result<(Queue, Exporting), SetupError> {
    let headers = settings.headers.iter().filter_map(|(name, value)| {
        let mut value = HeaderValue::from_str(value.expose_secret()).ok()?;
        value.set_sensitive(true);
        Some((name.clone(), value))
    });
    // A redirect is an error: the headers would go along. Nor is there a proxy that our settings do not have.
    let http = Client::builder().redirect(Policy::none()).no_proxy().default_headers(headers.collect::<HeaderMap>());
    let http = http.connect_timeout(CONNECT_LIMIT).timeout(SEND_LIMIT);
    let http = http.user_agent(concat!("claviger/", env!("CARGO_PKG_VERSION")));
    let http = match &settings.authorities {
        Some(pem) => http.tls_certs_only(Certificate::from_pem_bundle(pem.as_bytes())?),
        None => http,
    };
    let counts = counts_of("outcome", &["sent", "dropped", "failed"]);
    let collector = Collector {
        http: http.build()?,
        endpoint: settings.endpoint.clone(),
        resource: resource.into(),
        counts: counts.clone(),
        parcel: None,
        is_told: false,
    };
    let (sender, spans) = channel(PLACES);
    let (stop, stopped) = oneshot::channel();
    let task = tokio::spawn(collector.run(spans, stopped));
    Ok((Queue { sender, counts: counts.clone() }, Exporting { stop, task, counts }))
}

impl Exporting {
    /// Enters what is counted of spans.
    pub fn enter_figures(&self, figures: &mut Figures) {
        let help = "Spans of traces, by what became of them on the way to the collector.";
        figures.enter("spans", help, self.counts.clone());
    }

    /// Brings away what is left, for a bounded time.
    pub async fn end(mut self) {
        drop(self.stop);
        if timeout(LAST_SPANS, &mut self.task).await.is_err() {
            self.task.abort();
            tracing::warn!("the last spans were not brought to the collector in time");
        }
    }
}

impl Collector {
    async fn run(mut self, mut spans: Receiver<SpanData>, mut stopped: oneshot::Receiver<()>) {
        let mut batch = Vec::new();
        loop {
            tokio::select! {
                () = collect(&mut spans, &mut batch) => {}
                _ = &mut stopped => break,
            }
            if batch.is_empty() {
                break; // There is nobody left who traces anything.
            }
            self.pack(&mut batch);
            tokio::select! {
                () = self.bring() => {}
                _ = &mut stopped => break,
            }
        }
        spans.close();
        self.bring_once().await;
        while !batch.is_empty() || spans.recv_many(&mut batch, MOST_AT_ONCE).await > 0 {
            self.pack(&mut batch);
            self.bring_once().await;
        }
    }

    fn pack(&mut self, batch: &mut Vec<SpanData>) {
        let spans = u64::try_from(batch.len()).unwrap_or(u64::MAX);
        let resource_spans = group_spans_by_resource_and_scope(std::mem::take(batch), &self.resource);
        let body = ExportTraceServiceRequest { resource_spans }.encode_to_vec().into();
        self.parcel = Some(Parcel { spans, body });
    }

    /// Tries until the collector has it, or says that it never will, or was away for long.
    async fn bring(&mut self) {
        let (started, mut pause) = (Instant::now(), FIRST_PAUSE);
        while let Some(parcel) = &self.parcel {
            let outcome = self.hand_over(parcel).await;
            let may_change = outcome.as_ref().is_err_and(Untaken::may_change) && started.elapsed() < GIVEN_UP_AFTER;
            if !may_change {
                return self.settle(&outcome);
            }
            self.tell(&outcome);
            sleep(pause).await;
            pause *= 2;
        }
    }

    async fn bring_once(&mut self) {
        if let Some(parcel) = &self.parcel {
            let outcome = self.hand_over(parcel).await;
            self.settle(&outcome);
        }
    }

    async fn hand_over(&self, parcel: &Parcel) -> Result<(), Untaken> {
        let request = self.http.post(&self.endpoint).header(CONTENT_TYPE, "application/x-protobuf");
        let mut answer = request.body(parcel.body.clone()).send().await?;
        if !answer.status().is_success() {
            return Err(Untaken::Status(answer.status()));
        }
        let mut said = Vec::new();
        while let Some(chunk) = answer.chunk().await? {
            if said.len() + chunk.len() > MOST_BYTES {
                return Ok(());
            }
            said.extend_from_slice(&chunk);
        }
        let partial = ExportTraceServiceResponse::decode(said.as_slice()).ok().and_then(|said| said.partial_success);
        let refused = partial.map_or(0, |partial| u64::try_from(partial.rejected_spans).unwrap_or_default());
        if refused > 0 { Err(Untaken::Refused(refused)) } else { Ok(()) }
    }

    /// Counts what became of a parcel, and is done with it.
    fn settle(&mut self, outcome: &Result<(), Untaken>) {
        let all = self.parcel.take().map_or(0, |parcel| parcel.spans);
        let failed = match outcome {
            Ok(()) => 0,
            Err(Untaken::Refused(refused)) => all.min(*refused),
            Err(Untaken::Unreachable(_) | Untaken::Status(_)) => all,
        };
        for (outcome, number) in [("sent", all - failed), ("failed", failed)] {
            self.counts.get_or_create(&[("outcome", outcome.into())]).inc_by(number);
        }
        self.tell(outcome);
    }

    /// Once when it begins to fail, and once when that is over.
    fn tell(&mut self, outcome: &Result<(), Untaken>) {
        match outcome {
            Err(untaken) if !self.is_told => {
                tracing::warn!(
                    error = chain(untaken),
                    endpoint = self.endpoint,
                    "traces are not taken; requests go on without"
                );
            }
            Ok(()) if self.is_told => tracing::info!("traces are taken again"),
            Ok(()) | Err(_) => {}
        }
        self.is_told = outcome.is_err();
    }
}

/// Waits for a span, and then a moment for others, which mostly are of the same traces.
async fn collect(spans: &mut Receiver<SpanData>, batch: &mut Vec<SpanData>) {
    if spans.recv_many(batch, MOST_AT_ONCE).await == 0 {
        return;
    }
    let more = async { while batch.len() < MOST_AT_ONCE && spans.recv_many(batch, MOST_AT_ONCE).await > 0 {} };
    // As many as came until then.
    timeout(WAIT, more).await.unwrap_or_default();
}

impl Untaken {
    /// The answers that the protocol says to repeat after.
    fn may_change(&self) -> bool {
        match self {
            Self::Unreachable(_) => true,
            Self::Status(status) => matches!(status.as_u16(), 429 | 502..=504),
            Self::Refused(_) => false,
        }
    }
}
