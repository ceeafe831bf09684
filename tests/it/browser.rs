//! Cookie mode in a real browser: what a page of an allowed origin can do, and what every other page cannot.

use serde_json::{Value, json};

use crate::support::{Browser, Nginx, PASSWORD, TestApp, free_port, skipped, wait_until};

const APP: &str = "app.example.test";
const AUTH: &str = "auth.example.test";
/// To `SameSite` it is the same site, so the cookie goes with its requests. Only its origin is not allowed.
const NEIGHBOUR: &str = "evil.example.test";
const STRANGER: &str = "evil.other.test";
/// Its origin is allowed, but it is another site.
const PARTNER: &str = "app.other.test";

const SERVERS: &str = r#"
map $http_cookie $cookie { default without; "~__Host-refresh_token=." with; }
log_format calls "$request_method $uri $status $cookie cookie from $http_origin";
server {
    listen 127.0.0.1:PORT ssl;
    server_name auth.example.test;
    access_log calls.log calls;
    location / {
        proxy_pass http://CLAVIGER;
        proxy_set_header Host $http_host;
    }
}
server {
    listen 127.0.0.1:PORT ssl;
    server_name app.example.test evil.example.test evil.other.test app.other.test;
    default_type text/html;
    return 200 "<!doctype html><title>app</title>";
}
"#;

/// As our own pages call, and read the answer. With `no-cors` it arrives from anywhere and is not read: the browser
/// takes away the type, which would need a preflight.
const CALL: &str = r#"
    const headers = args.body ? {"content-type": "application/json"} : {};
    if (args.bearer) headers.authorization = "Bearer " + args.bearer;
    const {url, method, mode} = args;
    const body = args.body && JSON.stringify(args.body);
    const answer = await fetch(url, {method, mode, credentials: "include", headers, body});
    const text = await answer.text();
    return {status: answer.status, text, body: text && JSON.parse(text), readable_cookies: document.cookie};
"#;

/// A form whose plain text is JSON, but for a line end after it. Without a referrer its origin is `null`.
const SUBMIT: &str = r#"
    document.head.innerHTML = `<meta name="referrer" content="${args.referrer}">`;
    const form = document.createElement("form");
    Object.assign(form, {method: "post", enctype: "text/plain", action: args.url});
    const [name, value] = JSON.stringify({...args.body, rest: "="}).split("=");
    form.append(Object.assign(document.createElement("input"), {type: "hidden", name, value}));
    document.body.append(form);
    form.submit();
"#;

const SHOW: &str = r#"
    const image = Object.assign(new Image(), {src: args.url});
    return new Promise(tell => Object.assign(image, {onload: () => tell("shown"), onerror: () => tell("not shown")}));
"#;

/// A service, its app and two attackers, and the browser of somebody who visits all of them.
struct Web {
    browser: Browser,
    nginx: Nginx,
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
        let [app, partner, public] = [APP, PARTNER, AUTH].map(|host| format!("https://{host}:{port}"));
        let allowed = format!("{app},{partner}");
        let settings = [("CLAVIGER__CORS__ALLOWED_ORIGINS", &*allowed), ("CLAVIGER__SERVER__PUBLIC_URL", &*public)];
        let app = TestApp::start_with(&settings).await;
        let servers = SERVERS.replace("PORT", &port.to_string()).replace("CLAVIGER", &app.address.to_string());
        let nginx = Nginx::start_with_tls(&[APP, AUTH, NEIGHBOUR, STRANGER, PARTNER], &servers).await;
        Some(Self { browser: Browser::start().await, nginx, app, port })
    }

    fn origin(&self, host: &str) -> String {
        format!("https://{host}:{}", self.port)
    }

    async fn visit(&self, host: &str, path: &str) {
        self.browser.goto(&format!("{}{path}", self.origin(host))).await;
    }

    /// Runs one of the scripts above in the page that is open.
    async fn run(&self, script: &str, method: &str, path: &str, mut args: Value) -> Value {
        args["method"] = json!(method);
        args["url"] = json!(format!("{}{path}", self.origin(AUTH)));
        self.browser.run(script, args).await
    }

    /// A call of the app itself. Whichever it is, no script gets hold of a refresh token by it.
    async fn call(&self, method: &str, path: &str, args: Value) -> (u64, Value) {
        let answer = self.run(CALL, method, path, args).await;
        let text = answer["text"].as_str().unwrap_or_else(|| panic!("{answer}"));
        let cookie = self.cookie().await.map(|cookie| cookie["value"].as_str().unwrap().to_owned());
        assert!(!text.contains("\"refresh_token\"") && cookie.is_none_or(|cookie| !text.contains(&cookie)), "{text}");
        assert_eq!(answer["readable_cookies"], "");
        (answer["status"].as_u64().unwrap(), answer["body"].clone())
    }

    async fn post(&self, path: &str, body: Value) -> (u64, Value) {
        self.call("POST", path, json!({ "body": body })).await
    }

    async fn register(&self) {
        self.visit(APP, "/").await;
        let (status, body) = self.post("/api/auth/register", cookie_wanted("ada@example.com")).await;
        assert_eq!((status, &body["user"]["email"]), (201, &json!("ada@example.com")), "{body}");
    }

    async fn log_out(&self) {
        self.visit(APP, "/").await;
        assert_eq!(self.post("/api/auth/refresh", json!({})).await.0, 200);
        assert_eq!(self.post("/api/auth/logout", json!({})).await.0, 204);
        assert_eq!(self.cookie().await, None);
        let (status, body) = self.post("/api/auth/refresh", json!({})).await;
        assert_eq!((status, &body["code"]), (401, &json!("refresh_token_missing")));
    }

    /// The one cookie in the browser, if there is one.
    async fn cookie(&self) -> Option<Value> {
        let mut cookies = self.browser.cookies().await;
        assert!(cookies.len() < 2, "{cookies:?}");
        cookies.pop()
    }

    /// All that an attack could change: the cookie, and every row.
    async fn state(&self) -> (Value, String) {
        let rows = "select jsonb_build_object('sessions', (select jsonb_agg(s order by id) from sessions s),
                                              'users', (select jsonb_agg(u order by id) from users u))::text";
        (self.cookie().await.expect("the cookie is there"), self.app.database.rows(rows).await[0].get(0))
    }

    /// Runs a script on a page of `host`, waits until its request is answered, and fails if that changed anything.
    /// Gives the script's result and the rest of the request's line in the log: status, cookie and origin.
    async fn attack(&self, host: &str, script: &str, call: &str, args: Value) -> (Value, String) {
        self.visit(host, "/").await;
        let (before, earlier) = (self.state().await, self.nginx.read("calls.log").lines().count());
        let (method, path) = call.split_once(' ').unwrap();
        // All that arrives of JSON is the question whether it may be sent.
        let asks_first = script == CALL && method == "POST" && args["mode"].is_null();
        let call = if asks_first { format!("OPTIONS {path} ") } else { format!("{call} ") };
        let answered = || {
            let log = self.nginx.read("calls.log");
            log.lines().skip(earlier).find_map(|line| Some(line.strip_prefix(&call)?.to_owned()))
        };
        let result = self.run(script, method, path, args).await;
        wait_until("the request is answered", async || answered().is_some()).await;
        let line = answered().unwrap();
        let leaves = script == SUBMIT && !line.starts_with("204");
        wait_until("the answer is shown", async || !leaves || self.browser.url().await.ends_with(path)).await;
        assert_eq!(self.state().await, before, "{host}: {call}{line}");
        (result, line)
    }
}

fn cookie_wanted(email: &str) -> Value {
    json!({"email": email, "password": PASSWORD, "token_transport": "cookie"})
}

#[tokio::test]
async fn a_page_of_an_allowed_origin_stays_signed_in_by_a_cookie_that_no_script_can_read() {
    let Some(web) = Web::start().await else { return };
    web.register().await;
    let first = web.cookie().await.unwrap();
    let is = ["name", "domain", "path", "sameSite", "httpOnly", "secure"].map(|field| first[field].clone());
    assert_eq!(json!(is), json!(["__Host-refresh_token", AUTH, "/", "Strict", true, true]));

    web.visit(AUTH, "/health").await;
    let own_page = web.browser.run("return [location.hostname, document.cookie]", json!({})).await;
    assert_eq!(own_page, json!([AUTH, ""]));

    web.visit(APP, "/").await;
    let (status, tokens) = web.post("/api/auth/refresh", json!({})).await;
    assert_eq!(status, 200, "{tokens}");
    assert_ne!(web.cookie().await.unwrap()["value"], first["value"]);
    let (status, me) = web.call("GET", "/api/auth/me", json!({"bearer": tokens["access_token"]})).await;
    assert_eq!((status, &me["email"]), (200, &json!("ada@example.com")));
    let (status, refused) = web.call("GET", "/api/auth/me", json!({"bearer": "x.y.z"})).await;
    assert_eq!((status, &refused["code"]), (401, &json!("access_token_invalid")));

    web.log_out().await;
    let (status, _) = web.post("/api/auth/login", cookie_wanted("ada@example.com")).await;
    assert_eq!((status, web.cookie().await.is_some()), (200, true));
    web.log_out().await;
}

#[tokio::test]
async fn bare_fetch_of_an_allowed_page_refreshes_and_logs_out() {
    let Some(web) = Web::start().await else { return };
    web.register().await;
    let first = web.cookie().await.unwrap();
    let (status, tokens) = web.call("POST", "/api/auth/refresh", json!({})).await;
    assert_eq!(status, 200, "{tokens}");
    assert_ne!(web.cookie().await.unwrap()["value"], first["value"]);
    assert_eq!(web.call("POST", "/api/auth/logout", json!({})).await.0, 204);
    assert_eq!(web.cookie().await, None);
    assert_eq!(web.app.database.number("select count(*) from sessions where ended_at is null").await, 0);
}

#[tokio::test]
async fn page_of_another_site_is_told_that_its_cookie_would_be_lost() {
    let Some(web) = Web::start().await else { return };
    web.app.register("ada@example.com").await;
    web.visit(PARTNER, "/").await;
    let (status, refused) = web.post("/api/auth/login", cookie_wanted("ada@example.com")).await;
    assert_eq!((status, &refused["code"]), (403, &json!("origin_not_allowed")), "{refused}");
    assert!(refused["detail"].as_str().unwrap().contains("another site"), "{refused}");
    let (status, missing) = web.call("POST", "/api/auth/refresh", json!({})).await;
    assert_eq!((status, &missing["code"]), (401, &json!("refresh_token_missing")), "{missing}");
    assert!(missing["detail"].as_str().unwrap().contains("another site"), "{missing}");
    assert_eq!(web.app.database.number("select count(*) from sessions").await, 1);
}

/// Tries every way a page has to send a request elsewhere, on every call. Gives the logged lines of those POSTs that
/// needed no preflight.
async fn attack_from(web: &Web, host: &str) -> Vec<(String, String)> {
    web.app.register("mallory@example.com").await;
    web.register().await;
    let (origin, mut posts) = (web.origin(host), Vec::new());
    for (path, body) in [
        ("/api/auth/refresh", json!({})),
        ("/api/auth/logout", json!({})),
        ("/api/auth/login", cookie_wanted("mallory@example.com")),
        ("/api/auth/register", cookie_wanted("mallet@example.com")),
    ] {
        let call = format!("POST {path}");
        let (read, _) = web.attack(host, CALL, &call, json!({ "body": body })).await;
        assert_eq!(read["error"], "TypeError: Failed to fetch", "{host}: {call}");
        for (script, args, from) in [
            (CALL, json!({"body": body, "mode": "no-cors"}), &*origin),
            (CALL, json!({"mode": "no-cors"}), &*origin),
            (SUBMIT, json!({"body": body, "referrer": "origin"}), &*origin),
            (SUBMIT, json!({"body": body, "referrer": "no-referrer"}), "null"),
        ] {
            let (_, line) = web.attack(host, script, &call, args).await;
            assert!(line.ends_with(&format!(" from {from}")), "{call} {line}");
            posts.push((call.clone(), line));
        }
    }
    for path in ["register", "login", "refresh", "logout", "logout-all", "me", "check", "sessions"] {
        let call = format!("GET /api/auth/{path}");
        let (read, _) = web.attack(host, CALL, &call, json!({})).await;
        assert_eq!(read["error"], "TypeError: Failed to fetch", "{host}: {call}");
        for (script, args) in [(CALL, json!({"mode": "no-cors"})), (SHOW, json!({}))] {
            let (_, line) = web.attack(host, script, &call, args).await;
            assert!(line.starts_with('4'), "{host}: {call} {line}");
        }
    }
    posts
}

#[tokio::test]
async fn a_page_that_is_sent_the_cookie_but_is_not_allowed_gets_and_changes_nothing() {
    let Some(web) = Web::start().await else { return };
    for (call, line) in attack_from(&web, NEIGHBOUR).await {
        // What does not use the cookie can be refused for its body before that asks for one.
        let uses_it = call.ends_with("/refresh") || call.ends_with("/logout");
        assert!(
            line.starts_with(if uses_it { "403" } else { "4" }) && line.contains(" with cookie from "),
            "{call} {line}"
        );
    }
    web.log_out().await;
}

#[tokio::test]
async fn a_page_of_another_site_gets_and_changes_nothing() {
    let Some(web) = Web::start().await else { return };
    for (call, line) in attack_from(&web, STRANGER).await {
        let refused = line.starts_with('4') || call == "POST /api/auth/logout";
        assert!(refused && line.contains(" without cookie from "), "{call} {line}");
    }
    web.log_out().await;
}
