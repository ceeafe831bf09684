//! A real Chromium without a window, by way of its `WebDriver` server.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::find_program;

/// A browser with a profile of its own and one window. Every name leads it to this machine, and it trusts every
/// certificate.
pub(crate) struct Browser {
    http: reqwest::Client,
    session: String,
    _driver: Driver,
}

/// Keys that are no characters, as `WebDriver` writes them.
pub(crate) const TAB: char = '\u{e004}';
pub(crate) const ENTER: char = '\u{e007}';

/// What a machine must have to run one.
pub(crate) struct BrowserPrograms {
    driver: PathBuf,
    browser: PathBuf,
}

impl Browser {
    pub(crate) fn programs() -> Option<BrowserPrograms> {
        let browsers = ["google-chrome", "google-chrome-stable", "chromium", "chromium-browser"];
        let driver = find_program(&["chromedriver"], &["/usr/lib/chromium", "/usr/lib/chromium-browser"])?;
        Some(BrowserPrograms { driver, browser: find_program(&browsers, &[])? })
    }

    pub(crate) async fn start() -> Self {
        let programs = Self::programs().unwrap();
        let driver = Driver::start(&programs.driver);
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        let arguments = [
            "--headless=new",
            // Its sandbox does not work for root, nor in most containers. It sees no page but those of the tests.
            "--no-sandbox",
            "--disable-background-networking",
            "--disable-dev-shm-usage",
            "--host-resolver-rules=MAP * 127.0.0.1",
        ];
        let options = json!({"binary": programs.browser, "args": arguments});
        // Twenty browsers at once on two cores take their time.
        let timeouts = json!({"script": 120_000});
        let capabilities = json!({"acceptInsecureCerts": true, "timeouts": timeouts, "goog:chromeOptions": options});
        let sessions = format!("http://127.0.0.1:{}/session", driver.port);
        let body = json!({"capabilities": {"alwaysMatch": capabilities}});
        let opened = value_of(http.post(&sessions).json(&body)).await;
        let session = format!("{sessions}/{}", opened["sessionId"].as_str().unwrap());
        Self { http, session, _driver: driver }
    }

    /// Loads a page, as if its address were typed.
    pub(crate) async fn goto(&self, url: &str) {
        self.command("url", json!({ "url": url })).await;
    }

    /// Opens another tab, which has the say from now on. Gives its handle.
    pub(crate) async fn open_tab(&self) -> Value {
        let handle = self.command("window/new", json!({"type": "tab"})).await["handle"].clone();
        self.switch_to(&handle).await;
        handle
    }

    /// Gives the say to another tab.
    pub(crate) async fn switch_to(&self, tab: &Value) {
        self.command("window", json!({ "handle": tab })).await;
    }

    /// Where it is now, after whatever it is loading.
    pub(crate) async fn url(&self) -> String {
        let url = value_of(self.http.get(format!("{}/url", self.session))).await;
        url.as_str().unwrap().to_owned()
    }

    /// Runs the body of an async function in the page, with `args` as its only variable. Gives what it returns, or
    /// `{"error": …}` with what it throws.
    pub(crate) async fn run(&self, script: &str, args: Value) -> Value {
        let script = format!(
            "const [args, tell] = arguments;
             (async () => {{ {script} }})().then(tell, error => tell({{error: String(error)}}));"
        );
        self.command("execute/async", json!({"script": script, "args": [args]})).await
    }

    /// Clicks in the middle of the first element that matches, as with a mouse: fails if another one lies over it.
    pub(crate) async fn click(&self, selector: &str) {
        let element = self.element(selector).await;
        self.command(&format!("element/{element}/click"), json!({})).await;
    }

    /// Types into the first element that matches, after what is there.
    pub(crate) async fn type_into(&self, selector: &str, text: &str) {
        let element = self.element(selector).await;
        self.command(&format!("element/{element}/value"), json!({ "text": text })).await;
    }

    /// Presses the keys of a text one after the other, wherever the focus is. [`TAB`] and [`ENTER`] are keys.
    pub(crate) async fn press(&self, keys: &str) {
        let press = |key: char| [json!({"type": "keyDown", "value": key}), json!({"type": "keyUp", "value": key})];
        let keys = keys.chars().flat_map(press).collect::<Vec<_>>();
        self.command("actions", json!({"actions": [{"type": "key", "id": "keys", "actions": keys}]})).await;
    }

    async fn element(&self, selector: &str) -> String {
        let found = self.command("element", json!({"using": "css selector", "value": selector})).await;
        let (_, id) = found.as_object().unwrap().iter().next().unwrap();
        id.as_str().unwrap().to_owned()
    }

    /// From now on pages are shown `light` or `dark`, and so many CSS pixels wide.
    pub(crate) async fn appear(&self, scheme: &str, width: u32) {
        let features = [("prefers-color-scheme", scheme), ("prefers-reduced-motion", "reduce")];
        let features = features.map(|(name, value)| json!({"name": name, "value": value}));
        self.devtools("Emulation.setEmulatedMedia", json!({ "features": features })).await;
        let metrics = json!({"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": false});
        self.devtools("Emulation.setDeviceMetricsOverride", metrics).await;
    }

    /// Every cookie of every site, also those that no script can read, as the `DevTools` protocol describes them.
    pub(crate) async fn cookies(&self) -> Vec<Value> {
        self.devtools("Storage.getCookies", json!({})).await["cookies"].as_array().unwrap().clone()
    }

    /// A command of the `DevTools` protocol.
    pub(crate) async fn devtools(&self, name: &str, params: Value) -> Value {
        self.command("goog/cdp/execute", json!({"cmd": name, "params": params})).await
    }

    async fn command(&self, name: &str, body: Value) -> Value {
        value_of(self.http.post(format!("{}/{name}", self.session)).json(&body)).await
    }
}

async fn value_of(request: reqwest::RequestBuilder) -> Value {
    let answer: Value = request.send().await.unwrap().json().await.unwrap();
    let value = answer["value"].clone();
    assert!(value["stacktrace"].is_null(), "{}: {}", value["error"], value["message"]);
    value
}

/// The server that starts, commands and ends browsers, and the folder that all of them write to.
struct Driver {
    process: Child,
    port: u16,
    _folder: TempDir,
}

impl Driver {
    /// Tries again where two drivers at once chose the same port: the one that came second has ended by itself.
    fn start(program: &PathBuf) -> Self {
        let mut tries = std::iter::repeat_with(|| Self::try_start(program)).take(10);
        tries.find_map(|driver| driver).expect("chromedriver names its port")
    }

    fn try_start(program: &PathBuf) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let mut process = Command::new(program)
            .arg("--port=0")
            .env("HOME", folder.path())
            .env("TMPDIR", folder.path())
            .env_remove("XDG_CONFIG_HOME")
            .env_remove("XDG_CACHE_HOME")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines().map_while(Result::ok);
        let port =
            lines.find_map(|line| line.split_once("successfully on port ")?.1.trim_end_matches('.').parse().ok());
        let Some(port) = port else {
            drop(process.kill());
            drop(process.wait());
            return None;
        };
        // It goes on writing to this pipe, and must not find it closed.
        std::thread::spawn(move || lines.for_each(drop));
        Some(Self { process, port, _folder: folder })
    }

    /// Asks it to end its browsers and then itself: browsers survive a driver that is killed.
    fn shut_down(&self) -> std::io::Result<usize> {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port))?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        write!(stream, "GET /shutdown HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nConnection: close\r\n\r\n", self.port)?;
        stream.read_to_end(&mut Vec::new())
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        if self.shut_down().is_err() {
            drop(self.process.kill());
        }
        drop(self.process.wait());
    }
}
