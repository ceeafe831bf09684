//! Traces, as a collector gets them.

use std::time::{Duration, Instant};

use reqwest::Method;
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::{Answer, Collector, Manner, PASSWORD, ServerProcess, TestApp, TestDatabase, Told, wait_until};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const SPAN: &str = "b7ad6b7169203331";
const BEHIND_A_PROXY: (&str, &str) = ("CLAVIGER__SERVER__TRUSTED_PROXIES", "127.0.0.1");
const NEVER: (&str, &str) = ("CLAVIGER__TRACES__SAMPLE_RATIO", "0");
const METRICS: (&str, &str) = ("CLAVIGER__METRICS__ADDRESS", "127.0.0.1:0");
const SERVER: i32 = 2;
const CLIENT: i32 = 3;

async fn start(collector: &Collector, more: &[(&str, &str)]) -> TestApp {
    let endpoint = collector.endpoint();
    TestApp::start_with(&[&[("OTEL_EXPORTER_OTLP_ENDPOINT", &*endpoint)], more].concat()).await
}

/// A request in a trace.
async fn post(app: &TestApp, path: &str, traceparent: &str, body: Value) -> Answer {
    let caller = app.anonymous();
    let request = caller.request(Method::POST, path).header("traceparent", traceparent).header("tracestate", "a=1,b=2");
    caller.send(request.json(&body)).await
}

async fn login(app: &TestApp, traceparent: &str) -> Answer {
    post(app, "/api/auth/login", traceparent, json!({"email": "ada@example.com", "password": PASSWORD})).await
}

/// Trace, span and flags of the answer's `traceparent`.
#[track_caller]
fn place(answer: &Answer) -> (String, String, String) {
    let mut fields = answer.header("traceparent").split('-').map(str::to_owned).skip(1);
    let mut next = || fields.next().unwrap_or_else(|| panic!("{answer:?}"));
    (next(), next(), next())
}

async fn figure(app: &TestApp, outcome: &str) -> u64 {
    let figures = reqwest::get(format!("http://{}/metrics", app.metrics.unwrap())).await.unwrap().text().await.unwrap();
    let name = format!("claviger_spans_total{{outcome=\"{outcome}\"}} ");
    figures.lines().find_map(|line| line.strip_prefix(&name)).unwrap().parse().unwrap()
}

#[tokio::test]
async fn a_login_and_a_refresh_go_on_in_the_trace_of_a_trusted_caller_part_by_part() {
    let collector = Collector::start();
    let more = [
        BEHIND_A_PROXY,
        NEVER,
        ("OTEL_EXPORTER_OTLP_HEADERS", "api-key=a%2Cb"),
        ("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test"),
    ];
    let app = start(&collector, &more).await;
    app.register("ada@example.com").await;
    let traceparent = format!("00-{TRACE}-{SPAN}-01");

    let signed_in = login(&app, &traceparent).await;
    let refreshed =
        post(&app, "/api/auth/refresh", &traceparent, json!({"refresh_token": signed_in.text("refresh_token")})).await;

    assert_eq!((signed_in.status.as_u16(), refreshed.status.as_u16()), (200, 200));
    let login = collector.span(TRACE, "POST /api/auth/login").await;
    let refresh = collector.span(TRACE, "POST /api/auth/refresh").await;
    for (span, answer) in [(&login, &signed_in), (&refresh, &refreshed)] {
        assert_eq!(
            (span.parent.as_str(), span.kind, span.is_error, span.state.as_str()),
            (SPAN, SERVER, false, "a=1,b=2")
        );
        assert_eq!(place(answer), (TRACE.to_owned(), span.span_id.clone(), "01".to_owned()));
        assert_eq!(answer.header("tracestate"), "a=1,b=2");
    }
    let expected = [
        ("claviger.request_id", refreshed.header("x-request-id")),
        ("http.request.method", "POST"),
        ("http.response.status_code", "200"),
        ("http.route", "/api/auth/refresh"),
        ("url.path", "/api/auth/refresh"),
        ("url.scheme", "http"),
    ];
    assert_eq!(refresh.attributes, expected.map(|(name, value)| (name.to_owned(), value.to_owned())).into());
    assert_eq!(collector.parts(&refresh), ["wait for a database connection", "SELECT refresh_one"]);
    let parts = collector.parts(&login);
    for part in [
        "wait for a database connection",
        "SELECT users",
        "wait for a core",
        "hash a password",
        "BEGIN",
        "UPDATE sessions",
        "COMMIT",
    ] {
        assert!(parts.contains(&part.to_owned()), "{part} is not in {parts:?}");
    }

    let statement = collector.spans().into_iter().find(|span| span.name == "SELECT refresh_one").unwrap();
    assert_eq!((statement.kind, statement.attributes["db.system.name"].as_str()), (CLIENT, "postgresql"));
    assert_eq!(statement.attributes["db.query.summary"], "SELECT refresh_one");
    assert_eq!(statement.attributes["db.namespace"], app.database.name);
    assert!(statement.nanoseconds > 0 && statement.nanoseconds < refresh.nanoseconds, "{statement:?} {refresh:?}");
    let resource = &refresh.resource;
    let said = ["service.name", "service.version", "deployment.environment.name"].map(|name| resource[name].as_str());
    assert_eq!(said, ["claviger", env!("CARGO_PKG_VERSION"), "test"]);
    assert!(!resource["service.instance.id"].is_empty());
    assert!(
        collector.heads().iter().all(|head| head.starts_with("POST /v1/traces ") && head.contains("api-key: a,b\r\n"))
    );
    assert!(collector.spans().iter().all(|span| span.trace_id == TRACE), "the others are not told");
}

#[tokio::test]
async fn nothing_that_is_secret_or_somebodys_is_in_a_trace() {
    let collector = Collector::start();
    let app = start(&collector, &[]).await;
    let mut ada = app.register("ada@example.com").await;
    let before = ada.refresh_token.clone();
    ada.refresh().await;
    ada.caller.login("ada@example.com", "a wrong password").await.assert_problem(401, "invalid_credentials");
    ada.caller.get("/ada@example.com?token=in-the-query").await.assert_problem(404, "not_found");
    ada.me().await;
    let session = format!("/api/auth/sessions/{}", ada.session_id);
    let ended = ada.call(Method::DELETE, &session, Value::Null).await;
    let (trace, ..) = place(&ended);

    collector.span(&trace, "DELETE /api/auth/sessions/{id}").await;
    wait_until("what was not found is told", async || collector.spans().iter().any(|span| span.name == "GET")).await;
    let bytes = String::from_utf8_lossy(&collector.bytes()).into_owned();
    let secrets = [&before, &ada.refresh_token, &ada.access_token, "ada@example.com", "a wrong password", PASSWORD];
    for secret in secrets.into_iter().chain(["in-the-query", &ada.session_id, &ada.user_id().to_string(), "127.0.0.1"])
    {
        assert!(!bytes.contains(secret), "{secret} was told");
    }
}

#[tokio::test]
async fn who_decides_against_it_is_not_told_and_still_in_the_trace() {
    let collector = Collector::start();
    let app = start(&collector, &[BEHIND_A_PROXY]).await;
    app.register("ada@example.com").await;

    let answer = login(&app, &format!("00-{TRACE}-{SPAN}-00")).await;
    let after = login(&app, "").await;

    let (trace, _, flags) = place(&answer);
    assert_eq!((trace.as_str(), flags.as_str()), (TRACE, "00"));
    let (trace, _, flags) = place(&after);
    assert_eq!(flags, "01");
    collector.span(&trace, "POST /api/auth/login").await;
    assert!(collector.spans().iter().all(|span| span.trace_id != TRACE), "what came before would be here");
}

#[tokio::test]
async fn what_is_no_traceparent_is_no_error_and_begins_a_trace() {
    let collector = Collector::start();
    let app = start(&collector, &[BEHIND_A_PROXY]).await;
    app.register("ada@example.com").await;
    for bad in
        ["", "00", "nonsense", &format!("ff-{TRACE}-{SPAN}-01"), &format!("00-{TRACE}-{SPAN}-01-x"), &"0".repeat(4000)]
    {
        let answer = login(&app, bad).await;
        assert_eq!(answer.status, 200, "{bad}");
        let (trace, ..) = place(&answer);
        assert_ne!(trace, TRACE);
        assert_eq!(collector.span(&trace, "POST /api/auth/login").await.parent, "", "{bad}");
    }
}

#[tokio::test]
async fn strangers_decide_nothing_and_are_remembered() {
    let collector = Collector::start();
    let traceparent = format!("00-{TRACE}-{SPAN}-01");
    let app = start(&collector, &[NEVER]).await;
    app.register("ada@example.com").await;
    let (trace, _, flags) = place(&login(&app, &traceparent).await);
    assert_eq!((trace != TRACE, flags.as_str()), (true, "00"));
    drop(app);
    assert!(collector.spans().is_empty(), "all was told when it ended");

    let app = start(&collector, &[]).await;
    app.register("ada@example.com").await;
    let (trace, ..) = place(&login(&app, &traceparent).await);
    let span = collector.span(&trace, "POST /api/auth/login").await;
    assert_eq!((span.parent.as_str(), span.state.as_str()), ("", ""));
    assert_eq!(span.links, [(TRACE.to_owned(), SPAN.to_owned())]);
}

#[tokio::test]
async fn only_what_the_service_fails_at_is_an_error() {
    let collector = Collector::start();
    let app = start(&collector, &[]).await;
    app.register("ada@example.com").await;
    let refused = app.anonymous().refresh("rt1_made-up").await;
    app.database.execute("alter table sessions rename to gone").await;
    let failed = app.anonymous().login("ada@example.com", PASSWORD).await;
    failed.assert_problem(503, "database_unavailable");

    let span = collector.span(&place(&refused).0, "POST /api/auth/refresh").await;
    assert_eq!((span.is_error, span.attributes["http.response.status_code"].as_str()), (false, "401"));
    let span = collector.span(&place(&failed).0, "POST /api/auth/login").await;
    assert_eq!((span.is_error, span.attributes["error.type"].as_str()), (true, "503"));
    let is_failed = |part: &Told| {
        part.trace_id == span.trace_id && part.attributes.get("error.type").is_some_and(|kind| kind == "42P01")
    };
    assert!(collector.spans().iter().any(|part| is_failed(part) && part.is_error));
}

#[tokio::test]
async fn a_mail_is_a_trace_of_its_own() {
    let (collector, mails) = (Collector::start(), tempfile::tempdir().unwrap());
    let url = format!("file:{}", mails.path().display());
    let link = "https://app.example.com/{token}";
    let mail = [
        ("CLAVIGER__MAIL__URL", &*url),
        ("CLAVIGER__MAIL__FROM", "shop@example.com"),
        ("CLAVIGER__MAIL__VERIFY_LINK", link),
        ("CLAVIGER__MAIL__RESET_LINK", link),
    ];
    let app = start(&collector, &mail).await;
    app.register("ada@example.com").await;

    wait_until("a mail is told", async || collector.spans().iter().any(|span| span.name == "send verify_email")).await;

    let span = collector.spans().into_iter().find(|span| span.name == "send verify_email").unwrap();
    assert_eq!((span.parent.as_str(), span.is_error), ("", false));
    let parts = collector.parts(&span);
    for part in ["open the way to the mail server", "hand the mail over", "DELETE mails"] {
        assert!(parts.contains(&part.to_owned()), "{part} is not in {parts:?}");
    }
    assert!(!String::from_utf8_lossy(&collector.bytes()).contains("ada@example.com"));
}

#[tokio::test]
async fn logs_and_traces_name_each_other_and_probes_are_in_none() {
    let (collector, database) = (Collector::start(), TestDatabase::migrated().await);
    let server = ServerProcess::ready(&database.url, &[("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.endpoint())]).await;
    let caller = server.anonymous();
    assert_eq!(caller.get("/health/ready").await.header("traceparent"), "");
    let answer = caller.me("nonsense").await;
    let (trace, span, _) = place(&answer);

    assert_eq!(collector.span(&trace, "GET /api/auth/me").await.span_id, span);
    let lines: Vec<Value> = server.log().lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let line = lines.iter().find(|line| line["message"] == "answered" && line["route"] == "/api/auth/me").unwrap();
    assert_eq!((&line["span"]["trace_id"], &line["span"]["span_id"]), (&json!(trace), &json!(span)));
    assert_eq!(line["span"]["request_id"], answer.header("x-request-id"));
    assert!(collector.spans().iter().all(|span| !span.name.contains("health")));
}

#[tokio::test]
async fn where_nothing_is_traced_answers_and_logs_say_nothing_of_it() {
    let database = TestDatabase::migrated().await;
    let server = ServerProcess::ready(&database.url, &[]).await;
    let caller = server.anonymous();
    let traceparent = format!("00-{TRACE}-{SPAN}-01");
    let request = caller.request(Method::GET, "/api/auth/me").header("traceparent", traceparent);
    let answer = caller.send(request).await;
    assert_eq!((answer.header("traceparent"), answer.header("tracestate")), ("", ""));
    wait_until("it is logged", async || server.log().contains("answered")).await;
    assert!(!server.log().contains("trace_id"), "{}", server.log());
}

#[tokio::test]
async fn a_collector_that_is_away_costs_no_request_one_line_in_the_log_and_no_end() {
    let database = TestDatabase::migrated().await;
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let silent = Collector::start();
    silent.be(Manner::Silent);
    for (endpoint, is_told) in [(format!("http://{nobody}"), true), (silent.endpoint(), false)] {
        let mut server = ServerProcess::ready(&database.url, &[("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint)]).await;
        let caller = server.anonymous();
        for _ in 0..5 {
            caller.me("nonsense").await.assert_problem(401, "access_token_invalid");
        }
        let warnings = |server: &ServerProcess| server.log().matches("traces are not taken").count();
        if is_told {
            wait_until("the log has it", async || warnings(&server) > 0).await;
        } else {
            wait_until("it is asked", async || !silent.heads().is_empty()).await;
        }

        let asked = Instant::now();
        server.signal(Signal::TERM);
        assert_eq!(server.exit_code().await, Some(0));

        assert!(asked.elapsed() < Duration::from_secs(8), "{:?}", asked.elapsed());
        assert!(warnings(&server) <= 1, "{}", server.log());
    }
}

#[tokio::test]
async fn what_a_collector_could_not_take_comes_when_it_can_and_all_is_counted() {
    let collector = Collector::start();
    collector.be(Manner::Refusing(503));
    let app = start(&collector, &[METRICS]).await;
    assert_eq!([figure(&app, "sent").await, figure(&app, "failed").await, figure(&app, "dropped").await], [0, 0, 0]);
    let (trace, ..) = place(&app.anonymous().me("nonsense").await);
    wait_until("it was tried", async || !collector.heads().is_empty()).await;
    assert!(collector.spans().is_empty());

    collector.be(Manner::Willing);
    collector.span(&trace, "GET /api/auth/me").await;
    wait_until("it is counted", async || figure(&app, "sent").await == 1).await;

    collector.be(Manner::Choosy);
    app.anonymous().me("nonsense").await;
    wait_until("what it refused is counted", async || figure(&app, "failed").await == 1).await;
    collector.be(Manner::Refusing(401));
    app.anonymous().me("nonsense").await;
    wait_until("what it will never take is not tried again", async || figure(&app, "failed").await == 2).await;
    assert_eq!((figure(&app, "sent").await, figure(&app, "dropped").await), (1, 0));
}

#[tokio::test]
async fn a_collector_is_known_by_its_certificate() {
    let collector = Collector::with_tls();
    let database = TestDatabase::migrated().await;
    let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", &*collector.endpoint());
    let stranger = ServerProcess::ready(&database.url, &[endpoint]).await;
    stranger.anonymous().me("nonsense").await;
    wait_until("it is not trusted", async || stranger.log().contains("traces are not taken")).await;
    assert!(collector.heads().is_empty());

    let ca_file = collector.ca_file();
    let server = ServerProcess::ready(&database.url, &[endpoint, ("CLAVIGER__TRACES__CA_FILE", &ca_file)]).await;
    let (trace, ..) = place(&server.anonymous().me("nonsense").await);
    collector.span(&trace, "GET /api/auth/me").await;
}
