//! Figures for Prometheus, the dashboard that shows them, and the alerts.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use claviger::domain::mail::MailKind;
use reqwest::Method;
use serde_json::{Value, json};
use tempfile::TempDir;
use uuid::Uuid;

use crate::support::{Anonymous, TestApp, find_program, free_port, skipped, wait_until};

const LISTEN: (&str, &str) = ("CLAVIGER__METRICS__ADDRESS", "127.0.0.1:0");

fn read(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

/// What Prometheus would get.
async fn figures(app: &TestApp) -> String {
    let address = app.metrics.expect("figures have an address");
    let answer = reqwest::get(format!("http://{address}/metrics")).await.unwrap();
    assert_eq!(answer.headers()["content-type"], "text/plain; version=0.0.4; charset=utf-8");
    answer.text().await.unwrap()
}

/// The value of one line, by all that comes before it.
#[track_caller]
fn value(figures: &str, name: &str) -> u64 {
    let line = figures.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("there is no {name} in\n{figures}")).parse().unwrap()
}

/// The names of figures, without what histograms put behind them.
fn names(figures: &str) -> BTreeSet<String> {
    let types = figures.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    types.map(|line| line.split(' ').next().unwrap().to_owned()).collect()
}

/// A server with mail, where everything that is counted has happened.
async fn busy(mails: &TempDir) -> TestApp {
    let app = with_mail(mails).await;
    app.register("ada@example.com").await;
    traffic(&app).await;
    let is_sent = |line: &str| line.contains("outcome=\"sent\"}") && !line.ends_with(" 0");
    wait_until("a mail is sent", async || figures(&app).await.lines().any(is_sent)).await;
    app
}

async fn with_mail(mails: &TempDir) -> TestApp {
    let url = format!("file:{}", mails.path().display());
    let link = "https://app.example.com/{token}";
    let settings = [
        LISTEN,
        // Where nobody is.
        ("CLAVIGER__TRACES__ENDPOINT", "http://127.0.0.1:9"),
        ("CLAVIGER__THROTTLE__ENABLED", "false"),
        ("CLAVIGER__MAIL__URL", &*url),
        ("CLAVIGER__MAIL__FROM", "shop@example.com"),
        ("CLAVIGER__MAIL__VERIFY_LINK", link),
        ("CLAVIGER__MAIL__RESET_LINK", link),
    ];
    TestApp::start_with(&settings).await
}

async fn traffic(app: &TestApp) {
    let mut ada = app.login("ada@example.com").await;
    ada.refresh().await;
    ada.caller.login("ada@example.com", "a wrong password").await.assert_problem(401, "invalid_credentials");
    ada.caller.refresh("rt1_made-up").await.assert_problem(401, "refresh_token_invalid");
    assert_eq!(ada.caller.get("/nowhere").await.status, 404);
    // Somebody new, who gets a mail.
    app.register(&format!("{}@example.com", Uuid::new_v4())).await;
}

#[tokio::test]
async fn figures_tell_what_requests_logins_and_refreshes_came_to() {
    let app = TestApp::start_with(&[LISTEN]).await;
    let mut ada = app.register("ada@example.com").await;
    let parent = ada.refresh_token.clone();
    ada.refresh().await;
    ada.caller.refresh(&parent).await;
    ada.refresh().await;
    app.database.close_grace_windows().await;
    ada.refresh().await;
    ada.caller.refresh(&parent).await.assert_problem(401, "refresh_token_replayed");
    ada.caller.refresh(&parent).await.assert_problem(401, "session_ended");
    ada.caller.refresh("rt1_made-up").await.assert_problem(401, "refresh_token_invalid");
    app.login("ada@example.com").await;
    for _ in 0..2 {
        ada.caller.login("ada@example.com", "a wrong password").await.assert_problem(401, "invalid_credentials");
    }
    ada.caller.get("/someone@example.com").await.assert_problem(404, "not_found");
    ada.caller.send(ada.caller.request(Method::from_bytes(b"BREW").unwrap(), "/health")).await;

    let mut set_back = app.login("ada@example.com").await;
    set_back.refresh().await;
    app.database.execute("update sessions set generation = 0 where ended_at is null and generation = 1").await;
    set_back.caller.refresh(&set_back.refresh_token).await.assert_problem(401, "refresh_token_invalid");

    let figures = figures(&app).await;

    let verdicts = [
        ("rotate", 3),
        ("unchanged", 1),
        ("ahead", 1),
        ("repeat", 1),
        ("replay", 1),
        ("ended", 1),
        ("invalid", 1),
        ("failed", 0),
    ];
    for (verdict, count) in verdicts {
        let name = format!("claviger_refresh_total{{verdict=\"{verdict}\"}}");
        assert_eq!(value(&figures, &name), count, "{verdict}");
    }
    let operations = read("docs/operations.md");
    let row = operations.lines().find(|line| line.starts_with("| `claviger_refresh_total` ")).unwrap();
    let counted =
        figures.lines().filter_map(|line| line.strip_prefix("claviger_refresh_total{verdict=\"")?.split('"').next());
    for verdict in counted {
        assert!(row.contains(&format!("`{verdict}`")), "{verdict} is not documented");
    }
    for (outcome, count) in [("succeeded", 2), ("invalid_credentials", 2)] {
        let name = format!("claviger_login_total{{outcome=\"{outcome}\"}}");
        assert_eq!(value(&figures, &name), count, "{outcome}");
    }
    let requests = "claviger_http_request_duration_seconds_count";
    let refreshed = format!("{requests}{{method=\"POST\",route=\"/api/auth/refresh\",status=\"200\"}}");
    assert_eq!(value(&figures, &refreshed), 5);
    assert_eq!(value(&figures, &format!("{requests}{{method=\"GET\",route=\"none\",status=\"404\"}}")), 1);
    assert_eq!(value(&figures, &format!("{requests}{{method=\"other\",route=\"/health\",status=\"405\"}}")), 1);
    // One registration, and four logins.
    assert_eq!(value(&figures, "claviger_password_wait_seconds_count"), 5);
    assert_eq!(value(&figures, "claviger_password_hashes_running"), 0);
    assert!(value(&figures, "claviger_database_connections{state=\"idle\"}") >= 1);
    assert!(value(&figures, "claviger_http_connections") >= 1);
    assert!(!figures.contains("example.com"), "what strangers write is no label: {figures}");
}

#[tokio::test]
async fn tries_that_are_held_back_are_counted() {
    let app = TestApp::start_with(&[LISTEN]).await;
    let anonymous = app.anonymous();
    let mut held_back = 0;
    for _ in 0..60 {
        held_back += u64::from(anonymous.login("nobody@example.com", "a wrong password").await.status == 429);
    }
    assert!(held_back >= 9, "{held_back}");
    assert_eq!(value(&figures(&app).await, "claviger_throttled_total"), held_back);
}

#[tokio::test]
async fn mails_are_counted_from_0_so_that_the_first_one_is_seen_as_an_increase() {
    let mails = tempfile::tempdir().unwrap();
    let figures = figures(&with_mail(&mails).await).await;
    for kind in MailKind::ALL {
        for outcome in ["sent", "put_off", "given_up", "dropped"] {
            let name = format!("claviger_mails_total{{kind=\"{}\",outcome=\"{outcome}\"}}", kind.as_str());
            assert_eq!(value(&figures, &name), 0, "{name}");
        }
    }
}

#[tokio::test]
async fn figures_are_on_an_address_of_their_own_and_nothing_else_is() {
    let app = TestApp::start_with(&[LISTEN]).await;
    let address = app.metrics.unwrap();
    assert_ne!(address, app.address);
    app.anonymous().get("/metrics").await.assert_problem(404, "not_found");
    for (method, path, status) in [
        (Method::HEAD, "/metrics", 200),
        (Method::POST, "/metrics", 405),
        (Method::GET, "/", 404),
        (Method::GET, "/api/auth/me", 404),
        (Method::GET, "/health", 404),
    ] {
        let answer = reqwest::Client::new().request(method, format!("http://{address}{path}")).send().await.unwrap();
        assert_eq!(answer.status(), status, "{path}");
    }
    assert_eq!(TestApp::start().await.metrics, None, "there are none unless settings say so");
}

#[tokio::test]
async fn the_table_of_figures_is_complete_and_right() {
    let mails = tempfile::tempdir().unwrap();
    let operations = read("docs/operations.md");
    let rows = operations.lines().filter_map(|line| line.strip_prefix("| `claviger_"));
    let documented = rows.map(|row| format!("claviger_{}", row.split('`').next().unwrap())).collect();
    // In this format a counter's type is told under the name that its lines have.
    assert_eq!(names(&figures(&busy(&mails).await).await), documented);
}

#[tokio::test]
async fn every_query_of_the_dashboard_and_of_the_alerts_finds_data() {
    let Some(prometheus) = find_program(&["prometheus"], &[]) else {
        return skipped("PROMETHEUS", "apt-get install prometheus");
    };
    let mails = tempfile::tempdir().unwrap();
    let app = busy(&mails).await;
    let prometheus = Prometheus::start(&prometheus, &app).await;
    let dashboard: Value = serde_json::from_str(&read("deploy/grafana/claviger.json")).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let targets = panels.iter().flat_map(|panel| panel["targets"].as_array().unwrap());
    let shown = targets.map(|target| target["expr"].as_str().unwrap().replace("$__rate_interval", "3s"));
    let mut queries: Vec<String> = shown.collect();
    assert!(queries.len() > 20, "{}", queries.len());
    // Alerts compare; what they compare must be there.
    let alerts = read("deploy/prometheus/alerts.yaml");
    let named = alerts.split("claviger_").skip(1).map(|rest| {
        let end = rest.find(|c: char| !c.is_ascii_lowercase() && c != '_').unwrap();
        format!("claviger_{}", &rest[..end])
    });
    queries.extend(named.chain(["up{job=\"claviger\"}".to_owned()]).collect::<BTreeSet<_>>());

    for query in queries {
        wait_until(&format!("{query} finds data"), async || {
            traffic(&app).await;
            prometheus.finds(&query).await
        })
        .await;
    }
}

#[test]
fn each_alert_comes_when_it_should_and_has_its_runbook() {
    let alerts = read("deploy/prometheus/alerts.yaml");
    let (runbooks, cases) = (read("docs/incidents.md"), read("deploy/prometheus/alerts_test.yaml"));
    let names: Vec<&str> = alerts.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect();
    assert!(names.len() >= 9, "{names:?}");
    for name in names {
        assert!(runbooks.contains(&format!("\n### {name}\n")), "{name} has no runbook");
        assert!(alerts.contains(&format!("incidents.md#{}\n", name.to_lowercase())), "{name} does not lead to it");
        assert_eq!(cases.matches(&format!("alertname: {name}\n")).count(), 2, "{name} comes, and does not");
    }
    let Some(promtool) = find_program(&["promtool"], &[]) else {
        return skipped("PROMTOOL", "apt-get install prometheus");
    };
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/prometheus");
    let tested =
        Command::new(promtool).args(["test", "rules", "alerts_test.yaml"]).current_dir(folder).output().unwrap();
    assert!(tested.status.success(), "{}", String::from_utf8_lossy(&tested.stdout));
}

/// A real Prometheus that asks one server twice a second.
struct Prometheus {
    process: Child,
    caller: Anonymous,
    _folder: TempDir,
}

impl Prometheus {
    async fn start(program: &Path, app: &TestApp) -> Self {
        let (folder, port) = (tempfile::tempdir().unwrap(), free_port());
        let config = json!({
            "global": {"scrape_interval": "500ms", "scrape_timeout": "500ms"},
            "scrape_configs": [{"job_name": "claviger", "static_configs": [{"targets": [app.metrics.unwrap()]}]}],
        });
        fs::write(folder.path().join("prometheus.yml"), config.to_string()).unwrap();
        let process = Command::new(program)
            .args(["--config.file=prometheus.yml", "--storage.tsdb.path=data"])
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .current_dir(folder.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let caller = Anonymous::at(([127, 0, 0, 1], port).into());
        let prometheus = Self { process, caller, _folder: folder };
        wait_until("Prometheus is up", async || {
            let ready = prometheus.caller.request(Method::GET, "/-/ready").send().await;
            ready.is_ok_and(|answer| answer.status() == 200)
        })
        .await;
        prometheus
    }

    /// Whether there is a number now.
    async fn finds(&self, query: &str) -> bool {
        let request = self.caller.request(Method::GET, "/api/v1/query").query(&[("query", query)]);
        let answer = self.caller.send(request).await;
        assert_eq!(answer.body["status"], "success", "{query}: {answer:?}");
        let result = answer.body["data"]["result"].as_array().unwrap();
        result.iter().any(|series| series["value"][1].as_str().is_some_and(|value| value != "NaN"))
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}
