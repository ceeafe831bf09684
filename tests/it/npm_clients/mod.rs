//! HTTP clients of npm, unmodified, with the code of docs/how-to/http-clients.md.
//!
//! `CLIENT_BURSTS=100` plays that many bursts with each client.

mod nuxt_auth;

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{Gate, NODE, TestApp, expired, find_node, skipped, wait_until};

const AUTH: &str = "https://auth.example.com";
const SHARED: &str = "tokens.js";
const ALL_CALLS: &str = r#"{"ada@example.com":50}"#;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/npm")
}

/// The block of code of the document that has this line.
fn block(line: &str) -> String {
    let document = folder().join("../../docs/how-to/http-clients.md");
    let document = std::fs::read_to_string(document).unwrap();
    let mut blocks = document.split("```").skip(1).step_by(2).filter_map(|block| Some(block.split_once('\n')?.1));
    blocks
        .find(|block| block.lines().any(|own| own == line))
        .unwrap_or_else(|| panic!("no block has {line}"))
        .to_owned()
}

/// A client of the document, in a process of its own, which is killed when dropped.
struct Client {
    process: Child,
    input: ChildStdin,
    answers: Arc<Mutex<Vec<Value>>>,
}

impl Client {
    /// The code of the document that begins with `import`, but for where the service is.
    /// `me` is what makes one call.
    fn start(import: &str, me: &str, service: &str, tokens: &Value) -> Option<Self> {
        let Some(node) = find_node() else {
            skipped(NODE, "apt-get install nodejs npm && make packages");
            return None;
        };
        let shared = block(&format!("// {SHARED}")).replace(AUTH, service);
        let own = block(import);
        let own = own.lines().filter(|line| !line.ends_with(&format!("from \"./{SHARED}\";"))).collect::<Vec<_>>();
        let rounds = format!("import {{ rounds }} from './rounds.mjs'; await rounds(tokens, {me});");
        let mut process = Command::new(node)
            .args(["--input-type=module", "--eval", &[&shared, &*own.join("\n"), &rounds].join("\n")])
            .current_dir(folder())
            .env("TOKENS", tokens.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let answers = Arc::<Mutex<Vec<Value>>>::default();
        let (input, output, writer) = (process.stdin.take().unwrap(), process.stdout.take().unwrap(), answers.clone());
        std::thread::spawn(move || {
            let lines = BufReader::new(output).lines().map_while(Result::ok);
            lines.for_each(|line| writer.lock().unwrap().push(serde_json::from_str(&line).expect(&line)));
        });
        Some(Self { process, input, answers })
    }

    /// Makes fifty calls at once with an access token that has expired.
    fn call(&mut self, expired: &str) {
        writeln!(self.input, "{expired}").unwrap();
    }

    /// Who was found by the calls, and the tokens afterwards.
    async fn answer(&mut self) -> Value {
        wait_until("the client answers", async || {
            assert!(self.process.try_wait().unwrap().is_none(), "the client ended");
            !self.answers.lock().unwrap().is_empty()
        })
        .await;
        self.answers.lock().unwrap().remove(0)
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

/// How many bursts each client makes.
fn bursts() -> i64 {
    claviger::config::environment()
        .remove("CLIENT_BURSTS")
        .map_or(3, |count| count.parse().expect("CLIENT_BURSTS is a number"))
}

/// So long at most a burst's requests, and its answers, are delayed: longer than a refresh takes, so they overtake each other.
const JITTER: Duration = Duration::from_millis(40);

/// The rotations of the only session; fails if it has ended, or is not the only one.
async fn generation(app: &TestApp) -> i64 {
    assert_eq!(app.database.number("select count(*) from sessions").await, 1);
    app.database.number("select generation from sessions where ended_at is null").await
}

/// Plays bursts of fifty calls with an expired access token. In the first two, `refreshes` refreshes present one token.
async fn bursts_keep_the_session(import: &str, me: &str, refreshes: usize) {
    let app = TestApp::start().await;
    let account = app.register("ada@example.com").await;
    let expired = expired(&account.access_token);
    let gate = Gate::to(app.address).await;
    let tokens = json!({"refresh_token": account.refresh_token});
    let Some(mut client) = Client::start(import, me, &format!("http://{}", gate.address), &tokens) else { return };

    // All refreshes at the same moment. Calls that fail later may refresh with the successor.
    gate.close();
    client.call(&expired);
    wait_until("all refreshes have come", async || gate.tokens().len() >= refreshes).await;
    gate.open();
    let first = client.answer().await;
    assert_eq!(first["counts"].to_string(), ALL_CALLS);
    assert_eq!(gate.tokens()[..refreshes], vec![account.refresh_token.clone(); refreshes]);
    assert_eq!(generation(&app).await, 1);

    // One refresh, and twenty seconds later the others, whose token is the parent by then.
    app.database.close_grace_windows().await;
    gate.close();
    client.call(&expired);
    wait_until("all refreshes have come", async || gate.tokens().len() >= refreshes).await;
    gate.let_through(1);
    wait_until("the first is done", async || generation(&app).await == 2).await;
    app.database.execute("update sessions set rotated_at = rotated_at - interval '20 seconds'").await;
    gate.open();
    let second = client.answer().await;
    assert_eq!(second["counts"].to_string(), ALL_CALLS);
    assert_eq!(gate.tokens()[..refreshes], vec![first["refresh_token"].as_str().unwrap(); refreshes]);
    assert_eq!(generation(&app).await, 2);

    // In any order: some calls refresh with the successor while others' refreshes with the parent are on their way.
    gate.jitter(JITTER);
    for burst in 1..=bursts() {
        app.database.close_grace_windows().await;
        client.call(&expired);
        let answer = client.answer().await;
        assert_eq!(answer["counts"].to_string(), ALL_CALLS, "burst {burst}");
        assert_eq!(generation(&app).await, 2 + burst);
        let anonymous = app.anonymous();
        assert_eq!(anonymous.me(answer["access_token"].as_str().unwrap()).await.status, 200);
        let renewed = anonymous.refresh(answer["refresh_token"].as_str().unwrap()).await;
        assert_eq!(renewed.text("refresh_token"), answer["refresh_token"], "the client holds the current token");
    }
}

#[tokio::test]
async fn concurrent_calls_by_ky_keep_the_session() {
    bursts_keep_the_session(r#"import ky from "ky";"#, "me", 50).await;
}

#[tokio::test]
async fn concurrent_calls_by_ofetch_keep_the_session() {
    bursts_keep_the_session(r#"import { ofetch } from "ofetch";"#, "me", 50).await;
}

#[tokio::test]
async fn concurrent_calls_by_wretch_keep_the_session() {
    bursts_keep_the_session(r#"import wretch from "wretch";"#, "me", 50).await;
}

#[tokio::test]
async fn concurrent_calls_by_openapi_fetch_keep_the_session() {
    bursts_keep_the_session(r#"import createClient from "openapi-fetch";"#, "me", 50).await;
}

#[tokio::test]
async fn concurrent_calls_by_axios_auth_refresh_keep_the_session() {
    bursts_keep_the_session(r#"import { createAuthRefresh } from "axios-auth-refresh";"#, "me", 1).await;
}

#[tokio::test]
async fn concurrent_calls_by_instances_with_axios_auth_refresh_keep_the_session() {
    let me = "async () => (await createApi().get('/api/auth/me')).data";
    bursts_keep_the_session(r#"import { createAuthRefresh } from "axios-auth-refresh";"#, me, 50).await;
}
