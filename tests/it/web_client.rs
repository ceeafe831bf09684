//! clients/web in a real browser, against the real service, with what networks, clocks and thieves do.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::support::{
    Browser, LossyProxy, NODE, Nginx, PASSWORD, TestApp, expired, find_node, free_port, skipped, wait_until,
};

const APP: &str = "app.example.test";
const AUTH: &str = "auth.example.test";
const API: &str = "api.example.test";
const STRANGER: &str = "stranger.other.test";

const SERVERS: &str = r#"
log_format calls "$host $request_method $uri $status authorization=$http_authorization";
types { text/javascript js; }
server {
    listen 127.0.0.1:PORT ssl;
    access_log calls.log calls;
    server_name auth.example.test;
    location / {
        proxy_pass http://CLAVIGER;
        proxy_set_header Host $http_host;
    }
}
server {
    listen 127.0.0.1:PORT ssl;
    access_log calls.log calls;
    server_name app.example.test;
    location /claviger/ { alias SOURCES/; }
    location / {
        default_type text/html;
        return 200 "<!doctype html><title>app</title><output></output>";
    }
}
server {
    listen 127.0.0.1:PORT ssl;
    access_log calls.log calls;
    server_name api.example.test stranger.other.test;
    add_header Access-Control-Allow-Origin * always;
    add_header Access-Control-Allow-Headers authorization always;
    location /moved { if ($request_method = GET) { return 307 https://stranger.other.test:PORT/taken; } return 204; }
    location / { return 204; }
}
"#;

/// Makes the client of the page that is open, which says what it knows for people to read.
const START: &str = r#"
    for (const name of args.without ?? []) Object.defineProperty(navigator, name, {value: undefined});
    if (args.clock) {
        const right = Date.now.bind(Date);
        Date = class extends Date { constructor(...time) { super(...(time.length ? time : [right() + args.clock])); } };
        Date.now = () => right() + args.clock;
    }
    const {createClient} = await import("/claviger/claviger.js");
    window.client = createClient({baseUrl: args.auth, storage: args.storage, apis: args.apis});
    const say = ({status, user, reason}) => document.querySelector("output").textContent =
        reason ? `${status}: ${reason.code} (${reason.ended_by})` : `${status} ${user?.email ?? ""}`;
    client.onChange(say);
    say(client.state);
    return client.state;
"#;

const REGISTER: &str =
    "await client.ready(); return client.register({email: 'ada@example.com', password: args.password})";
const REFRESH: &str = "await client.refresh(); return client.state";
const SAID: &str = "return document.querySelector('output').textContent";

/// Calls of one page at once. Gives how often each status came.
const CALLS: &str = r#"
    const call = () => client.fetch(args.auth + "/api/auth/me").then(({status}) => status, error => String(error));
    const answers = await Promise.all(Array.from({length: args.count}, call));
    return answers.reduce((counts, answer) => ({...counts, [answer]: (counts[answer] ?? 0) + 1}), {});
"#;

struct Web {
    browser: Browser,
    nginx: Nginx,
    proxy: LossyProxy,
    app: TestApp,
    port: u16,
}

impl Web {
    async fn start() -> Option<Self> {
        if Nginx::program().is_none() || Browser::programs().is_none() {
            skipped("NGINX AND CHROMIUM", "apt-get install nginx chromium chromium-driver");
            return None;
        }
        let port = free_port();
        let [allowed, public] = [APP, AUTH].map(|host| format!("https://{host}:{port}"));
        let settings = [("CLAVIGER__CORS__ALLOWED_ORIGINS", &*allowed), ("CLAVIGER__SERVER__PUBLIC_URL", &*public)];
        let app = TestApp::start_with(&settings).await;
        let proxy = LossyProxy::to(app.address).await;
        let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("clients/web/src");
        let servers = SERVERS
            .replace("PORT", &port.to_string())
            .replace("CLAVIGER", &proxy.address.to_string())
            .replace("SOURCES", sources.to_str().unwrap());
        let nginx = Nginx::start_with_tls(&[APP, AUTH, API, STRANGER], &servers).await;
        Some(Self { browser: Browser::start().await, nginx, proxy, app, port })
    }

    fn origin(&self, host: &str) -> String {
        format!("https://{host}:{}", self.port)
    }

    async fn run(&self, script: &str, mut args: Value) -> Value {
        args["auth"] = json!(self.origin(AUTH));
        args["password"] = json!(PASSWORD);
        self.browser.run(script, args).await
    }

    /// Loads the page, which gives the state that it begins with.
    async fn load(&self, args: Value) -> Value {
        self.browser.goto(&self.origin(APP)).await;
        self.run(START, args).await
    }

    /// The page of a new user.
    async fn register(&self, args: Value) {
        self.load(args).await;
        let user = self.run(REGISTER, json!({})).await;
        assert_eq!(user["email"], "ada@example.com", "{user}");
    }

    /// What so many calls at once give.
    async fn calls(&self, count: usize) -> Value {
        self.run(CALLS, json!({ "count": count })).await
    }

    /// In storage, the access token of the page gives way to one that has expired, as after a long sleep.
    async fn expire(&self) {
        let record = self.run("return JSON.parse(localStorage.claviger)", json!({})).await;
        let expired = expired(record["access_token"].as_str().unwrap());
        let store = "localStorage.claviger = JSON.stringify({...JSON.parse(localStorage.claviger), access_token: args.expired})";
        self.run(store, json!({ "expired": expired })).await;
    }

    /// How many requests to refresh have arrived.
    fn refreshes(&self) -> usize {
        self.nginx.read("calls.log").matches(" POST /api/auth/refresh ").count()
    }

    /// How often the only session has been refreshed; fails if it has ended, or is not the only one.
    async fn generation(&self) -> i64 {
        assert_eq!(self.app.database.number("select count(*) from sessions").await, 1);
        self.app.database.number("select generation from sessions where ended_at is null").await
    }

    async fn an_hour_passes(&self) {
        let sql = "update sessions set rotated_at = rotated_at - interval '1 hour', created_at = created_at - interval '1 hour'";
        self.app.database.execute(sql).await;
    }
}

fn with(storage: &str) -> Value {
    json!({ "storage": storage })
}

#[tokio::test]
async fn a_hundred_calls_with_an_expired_token_are_one_refresh() {
    let Some(web) = Web::start().await else { return };
    web.register(with("localStorage")).await;
    web.expire().await;
    let state = web.load(with("localStorage")).await;
    assert_eq!(state["user"]["email"], "ada@example.com");

    assert_eq!(web.calls(100).await, json!({"200": 100}));

    assert_eq!((web.refreshes(), web.generation().await), (1, 1));
    let log = web.nginx.read("calls.log");
    assert_eq!(log.matches(" GET /api/auth/me 401 ").count(), 100);
}

#[tokio::test]
async fn a_page_that_is_loaded_again_is_signed_in_by_its_cookie_with_one_refresh() {
    let Some(web) = Web::start().await else { return };
    web.register(with("cookie")).await;
    let stored = web.run("return JSON.stringify(localStorage)", json!({})).await.to_string();
    assert!(!stored.contains("rt1_") && !stored.contains("eyJ"), "{stored}");

    let before = web.refreshes();

    let state = web.load(with("cookie")).await;
    assert_eq!(state["status"], "unknown");

    assert_eq!(web.calls(100).await, json!({"200": 100}));
    assert_eq!((web.refreshes(), web.generation().await), (before + 1, 1));
    assert_eq!(web.run(SAID, json!({})).await, "signed-in ada@example.com");

    web.run("return client.logout()", json!({})).await;
    web.load(with("cookie")).await;
    assert_eq!(web.run("return client.ready()", json!({})).await["status"], "signed-out");
    assert!(web.browser.cookies().await.is_empty());
}

/// Ten tabs call at the same moment, again and again, each time with a token that has expired or without any.
async fn ten_tabs_at_once(args: Value) {
    let Some(web) = Web::start().await else { return };
    web.register(args.clone()).await;
    let by_cookie = args["storage"] == "cookie";
    let mut tabs = Vec::new();
    for _ in 0..10 {
        tabs.push(web.browser.open_tab().await);
    }
    let go = format!(
        "const go = async () => {{ {} {CALLS} }};
         new BroadcastChannel('go').onmessage = () => window.result = go();",
        START.replace("return client.state;", "")
    );
    for round in 1..=3 {
        web.app.database.close_grace_windows().await;
        if !by_cookie {
            web.browser.switch_to(&tabs[0]).await;
            web.load(args.clone()).await;
            web.expire().await;
        }
        for tab in &tabs {
            web.browser.switch_to(tab).await;
            web.browser.goto(&web.origin(APP)).await;
            let mut args = args.clone();
            args["count"] = json!(10);
            web.run(&go, args).await;
        }
        web.run("new BroadcastChannel('go').postMessage(1)", json!({})).await;
        for tab in &tabs {
            web.browser.switch_to(tab).await;
            let result = "while (!window.result) await new Promise(later => setTimeout(later, 10)); return result";
            assert_eq!(web.run(result, json!({})).await, json!({"200": 10}), "round {round}");
            let state = web.run("return client.state", json!({})).await;
            assert_eq!((&state["status"], &state["user"]["email"]), (&json!("signed-in"), &json!("ada@example.com")));
        }
        let generation = web.generation().await;
        assert!(by_cookie || generation == round, "{generation} after {round} rounds");
    }
}

#[tokio::test]
async fn ten_tabs_of_one_origin_at_once_all_stay_signed_in_in_one_session() {
    ten_tabs_at_once(with("localStorage")).await;
}

#[tokio::test]
async fn ten_tabs_without_locks_all_stay_signed_in_in_one_session() {
    ten_tabs_at_once(json!({"storage": "localStorage", "without": ["locks"]})).await;
}

#[tokio::test]
async fn ten_tabs_with_one_cookie_all_stay_signed_in_in_one_session() {
    ten_tabs_at_once(with("cookie")).await;
}

/// The answer to a refresh is lost, and the page goes away. An hour later it is opened again.
async fn a_page_that_lost_an_answer(storage: &str) {
    let Some(web) = Web::start().await else { return };
    web.register(with(storage)).await;
    web.proxy.lose(true);
    web.run("client.refresh().catch(() => {})", json!({})).await;
    wait_until("an answer is lost", async || web.proxy.lost() > 0).await;
    web.browser.goto("about:blank").await;
    web.proxy.lose(false);
    web.an_hour_passes().await;

    web.load(with(storage)).await;

    assert_eq!(web.calls(10).await, json!({"200": 10}));
    let state = web.run("return client.ready()", json!({})).await;
    assert_eq!(state["status"], "signed-in", "{state}");
    // The successor of the first answer, which was repeated, and not another one.
    assert_eq!(web.generation().await, 1);
    assert_eq!(web.run(REFRESH, json!({})).await["status"], "signed-in");
    assert_eq!(web.generation().await, 2);
}

#[tokio::test]
async fn page_that_refreshes_inside_the_grace_window_keeps_its_refresh_token() {
    let Some(web) = Web::start().await else { return };
    web.register(with("localStorage")).await;
    let token = "return JSON.parse(localStorage.claviger).refresh_token";
    assert_eq!(web.run(REFRESH, json!({})).await["status"], "signed-in");
    let first = web.run(token, json!({})).await;

    for _ in 0..3 {
        web.expire().await;
        assert_eq!(web.load(with("localStorage")).await["status"], "signed-in");
        assert_eq!(web.calls(10).await, json!({"200": 10}));
    }

    assert_eq!(web.run(token, json!({})).await, first);
    assert_eq!((web.refreshes(), web.generation().await), (4, 1));
    web.app.database.close_grace_windows().await;
    assert_eq!(web.run(REFRESH, json!({})).await["status"], "signed-in");
    assert_ne!(web.run(token, json!({})).await, first);
}

#[tokio::test]
async fn an_answer_that_was_lost_is_asked_for_an_hour_later_and_nobody_is_signed_out() {
    a_page_that_lost_an_answer("localStorage").await;
}

#[tokio::test]
async fn an_answer_with_a_cookie_that_was_lost_is_asked_for_an_hour_later_and_nobody_is_signed_out() {
    a_page_that_lost_an_answer("cookie").await;
}

#[tokio::test]
async fn a_page_whose_answers_are_all_lost_stays_signed_in_and_goes_on_when_it_wakes_up() {
    let Some(web) = Web::start().await else { return };
    web.register(with("localStorage")).await;
    web.proxy.lose(true);
    let failed = web.run("return client.refresh().catch(({name, status}) => [name, status])", json!({})).await;
    assert_eq!((&failed[0], web.proxy.lost()), (&json!("ClavigerError"), 4), "{failed}");
    assert_eq!(web.run(SAID, json!({})).await, "signed-in ada@example.com");
    web.proxy.lose(false);
    web.an_hour_passes().await;

    web.run("dispatchEvent(new Event('online'))", json!({})).await;

    wait_until("the page has refreshed", async || web.refreshes() == 5).await;
    assert_eq!(web.calls(10).await, json!({"200": 10}));
    assert_eq!((web.refreshes(), web.generation().await), (5, 1));
}

#[tokio::test]
async fn a_page_says_why_it_was_signed_out_when_a_stolen_token_was_replayed() {
    let Some(web) = Web::start().await else { return };
    web.register(with("localStorage")).await;
    let stolen = web.run("return JSON.parse(localStorage.claviger).refresh_token", json!({})).await;
    for _ in 0..2 {
        assert_eq!(web.run(REFRESH, json!({})).await["status"], "signed-in");
        web.app.database.close_grace_windows().await;
    }
    web.app.anonymous().refresh(stolen.as_str().unwrap()).await.assert_problem(401, "refresh_token_replayed");

    web.run(REFRESH, json!({})).await;

    let why = "signed-out: session_ended (replayed)";
    assert_eq!(web.run(SAID, json!({})).await, why);
    web.load(with("localStorage")).await;
    assert_eq!(web.run(SAID, json!({})).await, why);
}

/// The device's clock is wrong in a page that is woken up again and again, and right in the next.
async fn a_device_whose_clock_is_wrong_by(hours: i64) {
    let Some(web) = Web::start().await else { return };
    web.register(json!({"storage": "localStorage", "clock": hours * 3_600_000})).await;
    let wrong = "return Math.round((new Date() - performance.timeOrigin - performance.now()) / 3600000)";
    assert_eq!(web.run(wrong, json!({})).await, hours);
    for _ in 0..20 {
        web.run("for (const event of ['focus', 'online', 'pageshow']) dispatchEvent(new Event(event))", json!({}))
            .await;
        assert_eq!(web.calls(5).await, json!({"200": 5}));
    }
    assert_eq!(web.refreshes(), 0);

    for clock in [0, -hours * 3_600_000, 0] {
        let before = web.refreshes();
        web.load(json!({"storage": "localStorage", "clock": clock})).await;
        for _ in 0..10 {
            web.run("dispatchEvent(new Event('focus'))", json!({})).await;
            assert_eq!(web.calls(5).await, json!({"200": 5}));
        }
        assert!(web.refreshes() <= before + 1, "{} refreshes", web.refreshes() - before);
    }
    assert_eq!(web.run(SAID, json!({})).await, "signed-in ada@example.com");
}

#[tokio::test]
async fn a_device_whose_clock_is_an_hour_ahead_makes_no_storm_of_refreshes() {
    a_device_whose_clock_is_wrong_by(1).await;
}

#[tokio::test]
async fn a_device_whose_clock_is_an_hour_behind_makes_no_storm_of_refreshes() {
    a_device_whose_clock_is_wrong_by(-1).await;
}

#[tokio::test]
async fn a_page_shows_its_token_to_nobody_who_was_not_named_also_not_by_a_redirect() {
    let Some(web) = Web::start().await else { return };
    web.register(json!({"storage": "memory", "apis": [web.origin(API)]})).await;
    let fetched = async |host: &str, path: &str, init: Value| {
        let fetch = "return client.fetch(args.url, args.init).then(({status}) => status)";
        web.run(fetch, json!({"url": format!("{}{path}", web.origin(host)), "init": init})).await
    };

    assert_eq!(fetched(API, "/orders", json!({})).await, 204);
    assert_eq!(fetched(STRANGER, "/asked", json!({})).await, 204);
    assert_eq!(fetched(API, "/moved", json!({})).await, json!({"error": "TypeError: Failed to fetch"}));
    assert_eq!(fetched(API, "/moved", json!({"redirect": "follow"})).await, 204);

    let log = web.nginx.read("calls.log");
    let shown = |call: &str| {
        let lines = log.lines().filter(|line| line.contains(call));
        lines.map(|line| line.contains("authorization=Bearer eyJ")).collect::<Vec<_>>()
    };
    assert_eq!(shown("api.example.test GET /orders"), [true], "{log}");
    assert_eq!(shown("api.example.test GET /moved"), [true, true], "{log}");
    assert_eq!(shown("stranger.other.test GET /asked"), [false], "{log}");
    assert_eq!(shown("stranger.other.test GET /taken"), [false], "{log}");
}

#[test]
fn the_tests_of_the_web_client_pass() {
    let Some(node) = find_node() else {
        return skipped(NODE, "apt-get install nodejs npm && npm ci --prefix clients/web");
    };
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("clients/web");
    let output = Command::new(node).args(["--test", "--test-reporter=tap"]).current_dir(folder).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    let passed = said.lines().find_map(|line| line.strip_prefix("# pass ")?.parse::<u32>().ok());
    assert!(passed > Some(90), "{said}");
}
