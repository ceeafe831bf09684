//! What happens around every request: its id, its log line, the form of its errors, and that it runs to its end.

use std::any::Any;
use std::future::poll_fn;
use std::net::IpAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::time::Instant;

use actix_cors::CorsError;
use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::error::{ErrorInternalServerError, InternalError};
use actix_web::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, REFERRER_POLICY,
    STRICT_TRANSPORT_SECURITY, USER_AGENT, X_CONTENT_TYPE_OPTIONS,
};
use actix_web::http::{ConnectionType, StatusCode};
use actix_web::middleware::Next;
use actix_web::{Error, HttpMessage as _, rt, web};
use tracing::Instrument as _;
use uuid::Uuid;

use super::error::{ApiError, Code};
use super::traced::Answered;
use super::{Surroundings, connections, traced};
use crate::domain::session::Sender;
use crate::telemetry::chain;
use crate::traces::Trace;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Set when the process has been asked to stop: answers then close their connections.
#[derive(Debug, Clone, Default)]
pub struct ShuttingDown(Arc<AtomicBool>);

impl ShuttingDown {
    /// From now on.
    pub fn begin(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    pub(super) fn has_begun(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// The outermost middleware.
///
/// # Errors
/// When a handler panicked; the error is a complete answer.
pub async fn around(
    outside: web::Data<Surroundings>,
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let request_id = request_id(&request);
    let method = request.method().clone();
    let trace = traced::begin(&outside, &request);
    let (trace_id, span_id) = (trace.as_ref().map(Trace::trace_id), trace.as_ref().map(Trace::span_id));
    let span = tracing::info_span!("request", request_id, %method, trace_id, span_id);
    let started = Instant::now();
    let user_agent = request.headers().get(USER_AGENT).map(HeaderValue::as_bytes);
    let client = request.peer_addr().map(|peer| outside.proxies.client(peer.ip(), request.headers()));
    let sender = Sender::new(client, user_agent, &request_id);
    request.extensions_mut().insert(sender);
    connections::begin_to_answer(request.request());
    let answering = next.call(request);
    let surroundings = outside.clone();
    // A task of its own: when the client goes away the server drops the request, and a use case must not stop half-way
    // with its statement still running on a connection that the next caller gets. So all that is told and counted of the
    // request is told in there.
    let work = async move {
        let outcome = caught(Trace::of(trace.as_ref(), answering)).await;
        let marks = Marks { request_id: &request_id, https: surroundings.https, trace: trace.as_ref() };
        let outcome = match outcome {
            Ok(outcome) => marks.finish(outcome),
            Err(panic) => Err(marks.broken_down(&*panic)),
        };
        let (route, status) = match &outcome {
            Ok(answer) => (answer.request().match_pattern().unwrap_or_default(), answer.status()),
            Err(error) => (String::new(), error.as_response_error().status_code()),
        };
        log(&route, status, client, started);
        surroundings.measures.answered(&method, &route, status, started);
        if let Some(mut trace) = trace {
            let https = surroundings.https;
            let answered = Answered { method: &method, route: &route, status, https, request_id: &request_id };
            answered.tell(&mut trace);
        }
        outcome
    };
    let mut answer = rt::spawn(work.instrument(span)).await.map_err(ErrorInternalServerError)??;
    if outside.shutting_down.has_begun() {
        // By the response's head: the server leaves out a header of that name.
        answer.response_mut().head_mut().set_connection_type(ConnectionType::Close);
    }
    Ok(answer)
}

/// What comes of it, or of a panic in it.
async fn caught<T>(work: impl Future<Output = T>) -> std::thread::Result<T> {
    let mut work = pin!(work);
    // Nothing of it is used again after a panic.
    poll_fn(|context| match catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(context))) {
        Ok(progress) => progress.map(Ok),
        Err(panic) => Poll::Ready(Err(panic)),
    })
    .await
}

/// The caller's id for the request if it is one that can stand in a log, else a new one.
fn request_id(request: &ServiceRequest) -> String {
    let given = request.headers().get(&REQUEST_ID).and_then(|value| value.to_str().ok());
    let good = |id: &&str| {
        (1..=64).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
    };
    given.filter(good).map_or_else(|| Uuid::new_v4().to_string(), str::to_owned)
}

/// What every answer to a request says.
struct Marks<'a> {
    request_id: &'a str,
    https: bool,
    trace: Option<&'a Trace>,
}

impl Marks<'_> {
    fn finish(
        &self,
        outcome: Result<ServiceResponse<impl MessageBody + 'static>, Error>,
    ) -> Result<ServiceResponse<BoxBody>, Error> {
        let mut answer = outcome?.map_into_boxed_body();
        if answer.status().is_client_error() || answer.status().is_server_error() {
            answer = into_problem(answer, self.request_id);
        }
        self.put(answer.headers_mut());
        Ok(answer)
    }

    /// The complete answer to a request whose handler panicked.
    fn broken_down(&self, panic: &(dyn Any + Send)) -> Error {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no words");
        tracing::error!(error = text, "a request panicked");
        let mut response = ApiError::of(Code::Internal).respond(self.request_id);
        self.put(response.headers_mut());
        InternalError::from_response("a request panicked", response).into()
    }

    fn put(&self, headers: &mut HeaderMap) {
        if let Ok(value) = HeaderValue::from_str(self.request_id) {
            headers.insert(REQUEST_ID, value);
        }
        if let Some(trace) = self.trace {
            traced::mark(trace, headers);
        }
        let mut always = |name, value| headers.insert(name, HeaderValue::from_static(value));
        // Nothing in an answer is to be guessed at, or told to the next page.
        always(REFERRER_POLICY, "no-referrer");
        always(X_CONTENT_TYPE_OPTIONS, "nosniff");
        if self.https {
            always(STRICT_TRANSPORT_SECURITY, "max-age=63072000");
        }
        // Pages, and what is kept, say these two for themselves.
        let mut unless_said = |name, value| {
            if !headers.contains_key(&name) {
                headers.insert(name, HeaderValue::from_static(value));
            }
        };
        // Answers are about one person at one moment, and many carry tokens (RFC 6749 section 5.1).
        unless_said(CACHE_CONTROL, "no-store");
        // They are data: nothing in them is to be run, or shown in a frame.
        unless_said(CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'");
    }
}

/// The access log. The route, not the path: whatever a client puts into a URL stays out of the log.
fn log(route: &str, status: StatusCode, client: Option<IpAddr>, started: Instant) {
    let status = status.as_u16();
    let milliseconds = started.elapsed().as_secs_f64() * 1000.0;
    let ip_address = client.map(|client| client.to_string());
    if route.starts_with("/health") {
        tracing::debug!(route, status, milliseconds, ip_address, "answered");
    } else {
        tracing::info!(route, status, milliseconds, ip_address, "answered");
    }
}

/// Errors of ours carry their own story; those of the framework are told by their status.
fn into_problem(answer: ServiceResponse<BoxBody>, request_id: &str) -> ServiceResponse<BoxBody> {
    let error = answer.response().error();
    let theirs = match error.and_then(|error| error.as_error()) {
        Some(CorsError::OriginNotAllowed) => Code::OriginNotAllowed,
        _ => Code::of_status(answer.status()),
    };
    let theirs = ApiError::of(theirs);
    let error = error.and_then(|error| error.as_error::<ApiError>()).unwrap_or(&theirs);
    let (code, status, _) = error.code().describe();
    let mut problem = error.respond(request_id);
    for (name, value) in answer.headers().iter().filter(|(name, _)| *name != CONTENT_TYPE) {
        // What was added on the way: `Allow`, and what lets a page of another origin read the problem.
        problem.headers_mut().insert(name.clone(), value.clone());
    }
    let cause = match (error.cause(), answer.response().error()) {
        (Some(cause), _) => chain(cause),
        (None, Some(framework)) => framework.to_string(),
        (None, None) => code.to_owned(),
    };
    match status {
        StatusCode::INTERNAL_SERVER_ERROR => tracing::error!(code, error = cause, "a request failed"),
        StatusCode::SERVICE_UNAVAILABLE => tracing::warn!(code, error = cause, "a request was turned away"),
        _ => tracing::debug!(code, error = cause, "a request was refused"),
    }
    answer.into_response(problem)
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::rc::Rc;
    use std::sync::Mutex;
    use std::time::Duration;

    use actix_web::middleware::from_fn;
    use actix_web::test::{TestRequest, init_service};
    use actix_web::web::get;
    use actix_web::{App, HttpResponse};
    use tokio::sync::Notify;

    use super::*;
    use crate::domain::cookie_name::CookieName;
    use crate::figures::Figures;
    use crate::http::Measures;
    use crate::http::browser::{Browsers, RefreshCookie};
    use crate::http::client_address::Proxies;

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

    #[actix_web::test]
    async fn a_panic_is_told_and_counted_when_its_caller_has_gone() {
        let written = Written::default();
        let writer = written.clone();
        let lines = tracing_subscriber::fmt().with_writer(move || writer.clone()).with_ansi(false).finish();
        let _logging = tracing::subscriber::set_default(lines);
        let (measures, mut figures) = (Measures::default(), Figures::default());
        measures.enter_figures(&mut figures);
        let cookie = RefreshCookie::new(&CookieName::parse("refresh_token").unwrap(), true);
        let outside = web::Data::new(Surroundings {
            proxies: Proxies::new(Vec::new(), "x-forwarded-for"),
            browsers: Browsers::new(Vec::new(), "", cookie),
            https: false,
            shutting_down: ShuttingDown::default(),
            measures,
            tracer: None,
        });
        let (begun, gone) = (Rc::new(Notify::new()), Rc::new(Notify::new()));
        let (begins, go) = (Rc::clone(&begun), Rc::clone(&gone));
        let handler = move || {
            let (begins, go) = (Rc::clone(&begins), Rc::clone(&go));
            async move {
                begins.notify_one();
                go.notified().await;
                drop(begins);
                assert!(Rc::strong_count(&go) == 0, "a bug");
                HttpResponse::Ok().finish()
            }
        };
        let app = App::new().app_data(outside).wrap(from_fn(around)).route("/", get().to(handler));
        let service = init_service(app).await;

        let request = TestRequest::get().insert_header(("x-request-id", "r1")).to_request();
        tokio::select! {
            _ = actix_web::dev::Service::call(&service, request) => panic!("it waits"),
            () = begun.notified() => {}
        }
        gone.notify_one();

        let counted = async {
            while !figures.text().unwrap().contains("claviger_internal_errors_total 1\n") {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_mins(1), counted).await.unwrap();
        let written = String::from_utf8(written.0.lock().unwrap().clone()).unwrap();
        assert!(written.contains("a request panicked error=\"a bug\"") && written.contains("r1"), "{written}");
    }
}
