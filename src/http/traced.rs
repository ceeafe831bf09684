//! A request as traces have it: by OpenTelemetry's conventions for servers, without anything that a client may have put into
//! its address, and without who it is.

use actix_web::dev::ServiceRequest;
use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue};
use actix_web::http::{Method, StatusCode};

use super::Surroundings;
use crate::traces::{Caller, KeyValue, SpanKind, Trace};

const PARENT: HeaderName = HeaderName::from_static("traceparent");
const STATE: HeaderName = HeaderName::from_static("tracestate");

/// The trace of a request, where requests are traced. Probes are not: they come every second and tell nothing.
pub(super) fn begin(outside: &Surroundings, request: &ServiceRequest) -> Option<Trace> {
    let tracer = outside.tracer.as_ref().filter(|_| !request.path().starts_with("/health"))?;
    let is_trusted = request.peer_addr().is_some_and(|peer| outside.proxies.trusts(peer.ip().to_canonical()));
    let lines = |name| request.headers().get_all(name).map(HeaderValue::as_bytes);
    let caller = Caller::read(lines(PARENT), lines(STATE), is_trusted);
    Some(tracer.begin(name(request.method()), SpanKind::Server, caller))
}

/// A request, and what became of it.
pub(super) struct Answered<'a> {
    pub(super) method: &'a Method,
    /// Empty for a path that is not there.
    pub(super) route: &'a str,
    pub(super) status: StatusCode,
    pub(super) https: bool,
    pub(super) request_id: &'a str,
}

impl Answered<'_> {
    /// Completes the trace.
    pub(super) fn tell(&self, trace: &mut Trace) {
        trace.tell(|| self.name(), || self.attributes());
        // What clients do wrong is no error of a server.
        if self.status.is_server_error() {
            trace.failed(self.status.as_str().to_owned());
        }
    }

    fn name(&self) -> String {
        let method = name(self.method);
        if self.route.is_empty() { method.to_owned() } else { format!("{method} {}", self.route) }
    }

    fn attributes(&self) -> Vec<KeyValue> {
        let method = name(self.method);
        let mut attributes = vec![
            KeyValue::new("http.request.method", if method == OTHER { "_OTHER" } else { method }),
            KeyValue::new("http.response.status_code", i64::from(self.status.as_u16())),
            KeyValue::new("url.scheme", if self.https { "https" } else { "http" }),
            KeyValue::new("claviger.request_id", self.request_id.to_owned()),
        ];
        if !self.route.is_empty() {
            attributes.push(KeyValue::new("http.route", self.route.to_owned()));
        }
        // Where it says no more than the route: ids, and what strangers make up, are nobody's business.
        if !self.route.is_empty() && !self.route.contains('{') {
            attributes.push(KeyValue::new("url.path", self.route.to_owned()));
        }
        attributes
    }
}

/// Says in an answer in which trace it was made, for who goes on in that: a gateway hands it to the API behind.
pub(super) fn mark(trace: &Trace, headers: &mut HeaderMap) {
    for (name, value) in [(PARENT, trace.traceparent()), (STATE, trace.tracestate())] {
        if let Some(value) = HeaderValue::from_str(&value).ok().filter(|value| !value.is_empty()) {
            headers.insert(name, value);
        }
    }
}

/// The conventions' name of a request by a method that is none of HTTP's.
const OTHER: &str = "HTTP";

fn name(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        Method::CONNECT => "CONNECT",
        Method::TRACE => "TRACE",
        _ => OTHER,
    }
}
