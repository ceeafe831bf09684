//! Tabs of one real browser share the cookie and refresh at the same time by plain `fetch`, without any client library.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{Browser, Gate, Nginx, PASSWORD, TestApp, free_port, skipped};

const APP: &str = "app.example.test";
const AUTH: &str = "auth.example.test";
const TABS: usize = 6;
const STORMS: i64 = 20;

/// Tabs that do not start together start within this time of each other, in milliseconds.
const STAGGER: usize = 200;

const SERVERS: &str = r#"
server {
    listen 127.0.0.1:PORT ssl;
    server_name auth.example.test;
    location / {
        proxy_pass http://CLAVIGER;
        proxy_set_header Host $http_host;
    }
}
server {
    listen 127.0.0.1:PORT ssl;
    server_name app.example.test;
    default_type text/html;
    return 200 "<!doctype html><title>app</title>";
}
"#;

const POST: &str = r#"
    const post = async (path, body) => {
        const headers = {"content-type": "application/json"};
        const init = {method: "POST", credentials: "include", headers, body: JSON.stringify(body)};
        const answer = await fetch(args.auth + "/api/auth/" + path, init);
        return {status: answer.status, ...(await answer.json())};
    };
"#;

const REGISTER: &str =
    r#"return post("register", {email: "ada@example.com", password: args.password, token_transport: "cookie"});"#;

/// Refreshes when a storm begins, after the tab's own delay. A worker measures it: timers of hidden pages run once a second.
const AWAIT_STORM: &str = r#"
    const source = "onmessage = ({data}) => data ? setTimeout(postMessage, data, 0) : postMessage(0)";
    const timer = new Worker(URL.createObjectURL(new Blob([source])));
    timer.onmessage = () => window.result = post("refresh", {}).catch(String);
    new BroadcastChannel("storm").onmessage = ({data}) => timer.postMessage(data[args.tab]);
"#;

const STORM: &str = r#"new BroadcastChannel("storm").postMessage(args.delays);"#;

const RESULT: &str = r"
    while (!window.result) await new Promise(later => setTimeout(later, 10));
    const {status, code} = await window.result;
    window.result = null;
    return {status, code};
";

struct Tabs {
    browser: Browser,
    handles: Vec<Value>,
    app: TestApp,
    gate: Gate,
    auth: String,
    _nginx: Nginx,
}

impl Tabs {
    /// Signs a user in and opens the tabs.
    async fn open() -> Option<Self> {
        if Nginx::program().is_none() || Browser::programs().is_none() {
            skipped("NGINX AND CHROMIUM", "apt-get install nginx chromium chromium-driver");
            return None;
        }
        let port = free_port();
        let [page, auth] = [APP, AUTH].map(|host| format!("https://{host}:{port}"));
        let settings = [("CLAVIGER__CORS__ALLOWED_ORIGINS", &*page), ("CLAVIGER__SERVER__PUBLIC_URL", &*auth)];
        let app = TestApp::start_with(&settings).await;
        let gate = Gate::to(app.address).await;
        let servers = SERVERS.replace("PORT", &port.to_string()).replace("CLAVIGER", &gate.address.to_string());
        let nginx = Nginx::start_with_tls(&[APP, AUTH], &servers).await;
        let browser = Browser::start().await;
        let mut tabs = Self { browser, handles: Vec::new(), app, gate, auth, _nginx: nginx };
        tabs.browser.goto(&page).await;
        assert_eq!(tabs.run(&format!("{POST}{REGISTER}"), json!({})).await["status"], 201);
        for tab in 0..TABS {
            let handle = tabs.browser.open_tab().await;
            tabs.handles.push(handle);
            tabs.browser.goto(&page).await;
            tabs.run(&format!("{POST}{AWAIT_STORM}"), json!({ "tab": tab })).await;
        }
        Some(tabs)
    }

    async fn run(&self, script: &str, mut args: Value) -> Value {
        args["auth"] = json!(self.auth);
        args["password"] = json!(PASSWORD);
        self.browser.run(script, args).await
    }

    /// All tabs refresh, each after its delay in milliseconds. Gives what each heard.
    async fn storm(&self, delays: &[usize]) -> Vec<Value> {
        self.run(STORM, json!({ "delays": delays })).await;
        let mut results = Vec::new();
        for tab in &self.handles {
            self.browser.switch_to(tab).await;
            results.push(self.run(RESULT, json!({})).await);
        }
        results
    }

    /// Twenty storms, each after the grace window of the last rotation.
    async fn storms_keep_the_session(&self, delays: impl Fn(usize) -> Vec<usize>) {
        for storm in 1..=STORMS {
            self.app.database.close_grace_windows().await;
            let results = self.storm(&delays(storm as usize)).await;
            assert_eq!(results, vec![json!({"status": 200, "code": null}); TABS], "storm {storm}");
            let sessions = self.app.database.rows("select generation, ended_at is null from sessions").await;
            let [session] = &sessions[..] else { panic!("{} sessions", sessions.len()) };
            assert_eq!((session.get::<_, i64>(0), session.get::<_, bool>(1)), (storm, true), "one rotation a storm");
        }
        // All inside one window: no rotation.
        for storm in 1..=3 {
            let results = self.storm(&delays(storm)).await;
            assert_eq!(results, vec![json!({"status": 200, "code": null}); TABS], "inside the window");
        }
        assert_eq!(self.app.database.number("select generation from sessions where ended_at is null").await, STORMS);
    }
}

#[tokio::test]
async fn tabs_that_refresh_at_the_same_moment_keep_their_session() {
    let Some(tabs) = Tabs::open().await else { return };
    tabs.storms_keep_the_session(|_storm| vec![0; TABS]).await;
}

#[tokio::test]
async fn tabs_that_refresh_within_200_ms_keep_their_session() {
    let Some(tabs) = Tabs::open().await else { return };
    // Other delays in each storm, spread over the whole time.
    tabs.storms_keep_the_session(|storm| (0..TABS).map(|tab| (tab * storm * 37) % (STAGGER + 1)).collect()).await;
}

#[tokio::test]
async fn tabs_whose_answers_overtake_each_other_keep_their_session() {
    let Some(tabs) = Tabs::open().await else { return };
    tabs.gate.jitter(Duration::from_millis(150));
    tabs.storms_keep_the_session(|storm| (0..TABS).map(|tab| (tab * storm * 37) % (STAGGER + 1)).collect()).await;
}
