//! An application with @sidebase/nuxt-auth and its local provider: a server that writes pages, and a real browser.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use reqwest::header::{COOKIE, SET_COOKIE};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::sync::OnceCell;
use tokio::task::JoinHandle;

use super::{JITTER, block, bursts, folder, generation};
use crate::support::{Browser, Gate, NODE, PASSWORD, TestApp, expired, find_node, free_port, skipped, wait_until};

/// Once for all tests.
static BUILT: OnceCell<()> = OnceCell::const_new();

const SIGNED_IN: &str = "authenticated ada@example.com";

const SIGN_IN: &str = r#"
    await auth.signIn({email: "ada@example.com", password: args.password}, {redirect: false});
    return auth.token.value.replace("Bearer ", "");
"#;

/// Fifty calls at once with an access token that has expired. What they find is in `window.found` some time later.
const CALL: &str = r#"
    setToken(args.expired);
    const calls = Array.from({length: 50}, () => api(args.auth + "/api/auth/me").then(({email}) => email, String));
    Promise.all(calls).then(found => window.found = found);
"#;

/// The application, its service and its database.
struct Nuxt {
    process: Child,
    url: String,
    gate: Gate,
    app: TestApp,
}

impl Nuxt {
    async fn start() -> Option<Self> {
        let Some(node) = find_node() else {
            skipped(NODE, "apt-get install nodejs npm && make packages");
            return None;
        };
        BUILT.get_or_init(async || build(&node)).await;
        let port = free_port();
        let url = format!("http://127.0.0.1:{port}");
        let app = TestApp::start_with(&[("CLAVIGER__CORS__ALLOWED_ORIGINS", &url)]).await;
        app.register("ada@example.com").await;
        app.database.execute("delete from sessions").await;
        let gate = Gate::to(app.address).await;
        let process = Command::new(node)
            .arg(".output/server/index.mjs")
            .current_dir(folder().join("nuxt"))
            .envs([("HOST", "127.0.0.1"), ("PORT", &port.to_string())])
            .env("AUTH_ORIGIN", format!("http://{}/api/auth", gate.address))
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let nuxt = Self { process, url, gate, app };
        wait_until("Nuxt listens", async || TcpStream::connect(("127.0.0.1", port)).await.is_ok()).await;
        Some(nuxt)
    }

    /// Loads the page, and gives what it says.
    async fn load(&self, browser: &Browser) -> Value {
        browser.goto(&self.url).await;
        wait_until("the page is alive", async || browser.run("return !!window.auth", json!({})).await == true).await;
        browser.run("return document.querySelector('output').textContent", json!({})).await
    }
}

impl Drop for Nuxt {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

fn build(node: &Path) {
    let mut nuxt = Command::new(node);
    nuxt.args(["node_modules/nuxt/bin/nuxt.mjs", "build"]).env("NUXT_TELEMETRY_DISABLED", "1");
    let output = nuxt.current_dir(folder().join("nuxt")).output().unwrap();
    let said = [output.stdout, output.stderr].map(|said| String::from_utf8_lossy(&said).into_owned()).concat();
    assert!(output.status.success(), "{said}");
}

#[test]
fn the_application_has_what_the_document_has() {
    for file in ["nuxt.config.ts", "app/composables/useApi.ts"] {
        let own = std::fs::read_to_string(folder().join("nuxt").join(file)).unwrap();
        assert_eq!(own, block(&format!("// {file}")));
    }
}

#[tokio::test]
async fn concurrent_calls_of_a_page_with_nuxt_auth_keep_the_session() {
    if Browser::programs().is_none() {
        return skipped("CHROMIUM", "apt-get install chromium chromium-driver");
    }
    let Some(nuxt) = Nuxt::start().await else { return };
    let browser = Browser::start().await;
    assert_eq!(nuxt.load(&browser).await, "unauthenticated ");
    let token = browser.run(SIGN_IN, json!({ "password": PASSWORD })).await;
    let expired = expired(token.as_str().unwrap());
    assert_eq!(nuxt.load(&browser).await, SIGNED_IN);
    assert_eq!(generation(&nuxt.app).await, 1);

    let call = json!({"expired": expired, "auth": format!("http://{}", nuxt.gate.address)});
    let answered = async || {
        wait_until("all calls are answered", async || browser.run("return !!window.found", json!({})).await == true)
            .await;
        let found = browser.run("const found = window.found; window.found = null; return found", json!({})).await;
        assert_eq!(found, json!(vec!["ada@example.com"; 50]));
    };
    for generation_before in 1..=2 {
        nuxt.app.database.close_grace_windows().await;
        let refresh_token = browser.run("return refreshToken()", json!({})).await;
        nuxt.gate.close();
        browser.run(CALL, call.clone()).await;
        wait_until("refreshes have come", async || nuxt.gate.tokens().len() > 1).await;
        nuxt.gate.open();
        answered().await;
        assert_eq!(nuxt.gate.tokens()[..2], vec![refresh_token.as_str().unwrap(); 2]);
        assert_eq!(generation(&nuxt.app).await, generation_before + 1);
    }

    // In any order: some calls refresh with the successor while others' refreshes with the parent are on their way.
    nuxt.gate.jitter(JITTER);
    for burst in 1..=bursts() {
        nuxt.app.database.close_grace_windows().await;
        browser.run(CALL, call.clone()).await;
        answered().await;
        assert_eq!(generation(&nuxt.app).await, 3 + burst, "burst {burst}");
    }
    nuxt.gate.jitter(Duration::ZERO);

    nuxt.app.database.close_grace_windows().await;
    assert_eq!(nuxt.load(&browser).await, SIGNED_IN);
    assert_eq!(generation(&nuxt.app).await, 4 + bursts());
    browser.run("await auth.signOut({redirect: false})", json!({})).await;
    let ended = "select count(*) from sessions where ended_by = 'logout'";
    assert_eq!(nuxt.app.database.number(ended).await, 1);
    assert_eq!(nuxt.load(&browser).await, "unauthenticated ");
}

/// Loads the page with these cookies. Gives the page, and the refresh token in the cookie that comes with it.
async fn page(url: String, cookies: String) -> (String, String) {
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let answer = http.get(url).header(COOKIE, cookies).send().await.unwrap();
    let cookies = answer.headers().get_all(SET_COOKIE).iter().map(|cookie| cookie.to_str().unwrap().to_owned());
    let token =
        cookies.filter_map(|cookie| Some(cookie.strip_prefix("auth.refresh-token=")?.split_once(';')?.0.to_owned()));
    let token = token.collect::<Vec<_>>().join(" ");
    (answer.text().await.unwrap(), token)
}

#[tokio::test]
async fn concurrent_page_loads_with_nuxt_auth_keep_the_session() {
    let Some(nuxt) = Nuxt::start().await else { return };
    let account = nuxt.app.login("ada@example.com").await;
    let cookies = |token: &str| format!("auth.token={}; auth.refresh-token={token}", expired(&account.access_token));
    let load_all = |token: &str| {
        let loads = std::iter::repeat_with(|| tokio::spawn(page(nuxt.url.clone(), cookies(token))));
        loads.take(50).collect::<Vec<_>>()
    };
    let tokens_of = async |loads: Vec<JoinHandle<(String, String)>>| {
        let mut tokens = Vec::new();
        for load in loads {
            let (page, token) = load.await.unwrap();
            assert!(page.contains(SIGNED_IN), "{page}");
            tokens.push(token);
        }
        tokens
    };

    nuxt.gate.close();
    let loads = load_all(&account.refresh_token);
    wait_until("all refreshes have come", async || nuxt.gate.tokens().len() == 50).await;
    nuxt.gate.open();
    let mut tokens = tokens_of(loads).await;
    assert_eq!(tokens, vec![tokens[0].clone(); 50]);
    assert_eq!(generation(&nuxt.app).await, 1);

    // Some loads send the successor while others' refreshes with the parent are on their way.
    nuxt.gate.jitter(JITTER);
    for burst in 1..=bursts() {
        nuxt.app.database.close_grace_windows().await;
        let parent = tokens[0].clone();
        let loads = load_all(&parent);
        wait_until("the session has rotated", async || generation(&nuxt.app).await == 1 + burst).await;
        let successor = successor_of(&nuxt.app, &parent).await;
        let later = load_all(&successor);
        tokens = tokens_of(loads).await;
        assert_eq!(tokens, vec![successor; 50], "burst {burst}");
        // A cookie that stays the same is not set again.
        assert_eq!(tokens_of(later).await, vec![""; 50], "burst {burst}");
        assert_eq!(generation(&nuxt.app).await, 1 + burst, "burst {burst}");
    }
}

/// The successor of a token that has been rotated inside the grace window.
async fn successor_of(app: &TestApp, parent: &str) -> String {
    app.anonymous().refresh(parent).await.text("refresh_token").to_owned()
}
