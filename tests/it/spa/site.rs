//! The application with all that it talks to, and somebody who looks at it.

use std::fs;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::built;
use crate::support::{self, Anonymous, Browser, Nginx, PASSWORD, TestApp, free_port, wait_until};

const APP: &str = "app.example.test";
const AUTH: &str = "auth.example.test";
const API: &str = "api.example.test";

const SERVERS: &str = r#"
log_format calls "$host $request_method $uri $status";
types { text/html html; text/javascript js; text/css css; image/svg+xml svg; }
server {
    listen 127.0.0.1:PORT ssl;
    server_name app.example.test;
    root FOLDER/dist;
    location / { try_files $uri /index.html; }
}
server {
    listen 127.0.0.1:PORT ssl;
    access_log calls.log calls;
    server_name auth.example.test;
    if (-f FOLDER/auth.example.test-is-away) { return 502; }
    location / { proxy_pass http://CLAVIGER; proxy_set_header Host $http_host; }
}
server {
    listen 127.0.0.1:PORT ssl;
    access_log calls.log calls;
    server_name api.example.test;
    if (-f FOLDER/api.example.test-is-away) { return 502; }
    location / { proxy_pass http://DOCUMENTS; proxy_set_header Host $http_host; }
}
"#;

/// Runs in every page of the first tab before its own scripts. Takes down each heading that is drawn, and whether a password was asked
/// for; swaps tokens on their way out, as if the one that a page holds had expired.
const WATCH: &str = r#"
    window.drawn = [];
    new MutationObserver(() => {
        const now = (document.querySelector("h1")?.textContent ?? "")
            + (document.querySelector("[type=password]") ? " (password)" : "");
        if (now && now !== drawn.at(-1)) drawn.push(now);
    }).observe(document, {childList: true, subtree: true, characterData: true});
    const fetch = window.fetch;
    window.fetch = (input, init) => {
        const token = init?.headers?.get?.("authorization")?.replace("Bearer ", "");
        if (token) window.shown = token;
        if (token && window.swap?.[token]) init.headers.set("authorization", "Bearer " + swap[token]);
        return fetch(input, init);
    };
"#;

/// Looks every moment, in the page itself, whether a condition is true; for a second, so that a page may go away meanwhile.
const WATCH_FOR: &str = "
    const until = performance.now() + 1000;
    const text = () => document.body.innerText.replace(/\\s+/g, ' ');
    const is_so = () => CONDITION;
    while (!is_so() && performance.now() < until) await new Promise((later) => setTimeout(later, 30));
    return is_so() || text();";

pub(super) struct Site {
    pub(super) browser: Browser,
    pub(super) app: TestApp,
    /// The resource server, called past the browser.
    pub(super) api: Anonymous,
    nginx: Nginx,
    port: u16,
    folder: TempDir,
}

impl Site {
    pub(super) async fn start() -> Option<Self> {
        if !built::can_be_built() {
            return None;
        }
        let (port, folder) = (free_port(), tempfile::tempdir().unwrap());
        built::copy_to(&folder.path().join("dist"), port);
        let [page, public] = [APP, AUTH].map(|host| format!("https://{host}:{port}"));
        let settings = [("CLAVIGER__CORS__ALLOWED_ORIGINS", &*page), ("CLAVIGER__SERVER__PUBLIC_URL", &*public)];
        let app = TestApp::start_with(&settings).await;
        let api = resource_server(&app, &page).await;
        let servers = SERVERS
            .replace("PORT", &port.to_string())
            .replace("FOLDER", folder.path().to_str().unwrap())
            .replace("CLAVIGER", &app.address.to_string())
            .replace("DOCUMENTS", api.base.trim_start_matches("http://"));
        let nginx = Nginx::start_with_tls(&[APP, AUTH, API], &servers).await;
        let browser = Browser::start().await;
        browser.devtools("Page.addScriptToEvaluateOnNewDocument", json!({ "source": WATCH })).await;
        Some(Self { browser, app, api, nginx, port, folder })
    }

    /// Loads a page, as if its address were typed.
    pub(super) async fn visit(&self, path: &str) {
        self.browser.goto(&format!("https://{APP}:{}{path}", self.port)).await;
    }

    pub(super) async fn run(&self, script: &str, args: Value) -> Value {
        self.browser.run(script, args).await
    }

    /// Waits until this expression is true in the page; if it never is, says what can be read there.
    async fn until(&self, condition: &str, args: Value) {
        let (script, started) = (WATCH_FOR.replace("CONDITION", condition), Instant::now());
        loop {
            let found = self.run(&script, args.clone()).await;
            if found == true {
                return;
            }
            assert!(started.elapsed() < Duration::from_mins(1), "waited in vain for {condition} of {args} in {found}");
        }
    }

    /// Waits until the page says this, with one space between words wherever they are.
    pub(super) async fn says(&self, what: &str) {
        self.until("text().includes(args)", json!(what)).await;
    }

    pub(super) async fn says_not(&self, what: &str) {
        self.until("!text().includes(args)", json!(what)).await;
    }

    /// Waits for a page by its heading, which is in the title too.
    pub(super) async fn arrives_at(&self, heading: &str) {
        let arrived = "document.querySelector('h1')?.textContent === args && document.title === `${args} · Tally`";
        self.until(arrived, json!(heading)).await;
    }

    /// The headings of the page since it was loaded, in the order in which they were drawn.
    pub(super) async fn drawn(&self) -> Value {
        self.run("return drawn", json!({})).await
    }

    /// Clicks on the link or button whose name begins so.
    pub(super) async fn click(&self, name: &str) {
        self.click_on("main a, main button, header nav a", name).await;
    }

    /// Opens the menu of the user and chooses from it.
    pub(super) async fn choose(&self, name: &str) {
        self.open_menu().await;
        self.click_on("[role=menuitem]", name).await;
    }

    pub(super) async fn open_menu(&self) {
        self.click_on("[aria-haspopup=menu]", "").await;
    }

    /// Clicks on the first of these elements whose text begins so, as soon as there is one.
    async fn click_on(&self, selector: &str, name: &str) {
        let aim = "(() => {
            document.querySelector('[data-aim]')?.removeAttribute('data-aim');
            const found = [...document.querySelectorAll(args[0])].find((element) => element.innerText.trim().startsWith(args[1]));
            found?.setAttribute('data-aim', '');
            return !!found;
        })()";
        self.until(aim, json!([selector, name])).await;
        self.browser.click("[data-aim]").await;
    }

    /// Types into fields by their names, in place of what was there.
    pub(super) async fn fill(&self, fields: &[(&str, &str)]) {
        for (name, text) in fields {
            let field = format!("[name={name}]");
            self.until("!!document.querySelector(args)", json!(field)).await;
            self.run("document.querySelector(args).select()", json!(field)).await;
            self.browser.type_into(&field, text).await;
        }
    }

    /// Sends the form of the page.
    pub(super) async fn submit(&self) {
        self.browser.click("form [type=submit]").await;
    }

    /// Fills in the form for new users, wherever the link to it is.
    pub(super) async fn register(&self, email: &str) {
        self.click("Register").await;
        self.fill(&[("email", email), ("password", PASSWORD), ("confirmation", PASSWORD)]).await;
        self.submit().await;
    }

    pub(super) async fn sign_in(&self, email: &str) {
        self.fill(&[("email", email), ("password", PASSWORD)]).await;
        self.submit().await;
    }

    /// Analyses a text in the name of whoever has the token. Gives the id of the document.
    pub(super) async fn document(&self, access_token: &str, title: &str) -> String {
        let request = self.api.request(reqwest::Method::POST, "/documents").bearer_auth(access_token);
        let answer = self.api.send(request.json(&json!({"title": title, "text": "Some words."}))).await;
        assert_eq!(answer.status, 201, "{answer:?}");
        answer.text("id").to_owned()
    }

    /// How many calls such as `"DELETE /documents/"` were answered with this status.
    pub(super) fn calls(&self, call: &str, status: u16) -> usize {
        let (call, status) = (format!(" {call}"), format!(" {status}"));
        self.nginx.read("calls.log").lines().filter(|line| line.contains(&call) && line.ends_with(&status)).count()
    }

    /// How many refreshes there were.
    pub(super) fn refreshes(&self) -> usize {
        self.calls("POST /api/auth/refresh", 200)
    }

    /// Whether the service answers nobody but a proxy's page, from now on.
    pub(super) fn service_is_away(&self, away: bool) {
        self.is_away(AUTH, away);
    }

    pub(super) fn api_is_away(&self, away: bool) {
        self.is_away(API, away);
    }

    fn is_away(&self, host: &str, away: bool) {
        let file = self.folder.path().join(format!("{host}-is-away"));
        if away { fs::write(file, "").unwrap() } else { fs::remove_file(file).unwrap() }
    }
}

/// The resource server over a test's service, for this page, after it has heard which sessions ended.
pub(super) async fn resource_server(app: &TestApp, page: &str) -> Anonymous {
    let variables = [("ALLOWED_ORIGINS", page)];
    let api = support::resource_server(&app.anonymous().base, &app.database, &variables).await;
    wait_until("the API has heard", async || api.get("/health").await.body["revocations_age"].is_u64()).await;
    api
}
