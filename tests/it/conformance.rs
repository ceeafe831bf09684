//! clients/conformance against the real service: clients that keep the contract pass, and each mistake is found.

use std::cell::RefCell;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::support::{NODE, TestApp, find_node, skipped};

fn has_node() -> bool {
    let found = find_node().is_some();
    if !found {
        skipped(NODE, "apt-get install nodejs");
    }
    found
}

/// What `sh` is to run in the folder of the kit, with the address of a service in `SERVICE`: its output and exit code.
async fn run(script: &str, app: &TestApp) -> (String, i32) {
    let mut sh = Command::new("sh");
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("clients/conformance");
    sh.args(["-euc", script]).current_dir(folder).env("SERVICE", format!("http://{}", app.address));
    let output = tokio::task::spawn_blocking(move || sh.output().unwrap()).await.unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    (format!("{said}{}", String::from_utf8_lossy(&output.stderr)), output.status.code().unwrap())
}

/// What the kit says with these options, and its exit code.
async fn judged(options: &str, app: &TestApp) -> (Value, i32) {
    let (said, code) = run(&format!("node src/main.js --json --service $SERVICE {options}"), app).await;
    (serde_json::from_str(&said).unwrap_or_else(|_| panic!("{options}: {said}")), code)
}

/// The names of the cases that so ended, in alphabetical order.
fn names(report: &Value, verdict: &str) -> Vec<String> {
    let cases = report["cases"].as_array().unwrap().iter().filter(|case| case["verdict"] == verdict);
    let mut names: Vec<_> = cases.map(|case| case["name"].as_str().unwrap().to_owned()).collect();
    names.sort();
    names
}

/// A service that is strict: only a key lets a refresh be repeated, as an hour later.
async fn strict() -> TestApp {
    TestApp::start_with(&[("CLAVIGER__REFRESH_TOKEN__GRACE", "0s")]).await
}

/// Each client of `examples/naive.js`, the cases that find its mistake, and others that do not. Those that take long come first.
const MISTAKES: [(&str, &str, &str); 29] = [
    ("waits-for-ever", "silent", "slow"),
    ("never-rests", "schedule", "lost"),
    ("sleeps-on", "schedule", "killed"),
    ("signs-out-on-any-failure", "bare-401 cut lost redirect", "concurrent portal"),
    ("signs-out-on-502", "errors pages", "lost"),
    ("signs-out-on-any-401", "bare-401 other-401", "ended"),
    ("signs-out-on-codes-without-401", "other-status", "other-401"),
    ("takes-any-200", "empty portal truncated", "ended"),
    ("wants-another-refresh-token", "unchanged", "keys lost unchanged-late"),
    ("fresh-key-for-an-unchanged-token", "unchanged unchanged-late", "keys lost"),
    ("parallel-without-a-key", "concurrent killed lost", "wakes"),
    ("fresh-key-for-each-try", "killed lost", "concurrent keys"),
    ("key-not-stored", "killed killed-again killed-early shared", "lost"),
    ("counts-its-keys", "keys", "concurrent"),
    ("stores-nothing", "killed-late restart", "lost"),
    ("storm", "schedule", "lost"),
    ("ignores-retry-after", "busy", "errors"),
    ("follows-redirects", "redirect", "portal"),
    ("refreshes-whatever-fails", "failing-calls", "concurrent"),
    ("refreshes-for-each-401", "late-401", "keys"),
    ("calls-until-it-works", "refused-calls", "concurrent"),
    ("refreshes-when-it-wakes", "wakes", "ended"),
    ("hears-no-end", "ended expired", "logout"),
    ("takes-late-answers", "login-meanwhile logout-meanwhile", "logout"),
    ("tells-nobody-of-a-logout", "logout", "logout-offline"),
    ("logs-out-only-with-a-network", "logout-offline", "logout"),
    ("token-in-the-url", "concurrent timeouts", "logout"),
    ("shows-its-refresh-token", "client-errors twice", "logout"),
    ("reads-once", "shared-sleep", "keys"),
];

async fn each_mistake_is_found_by_the_cases_that_are_about_it(app: &TestApp) {
    let waiting = RefCell::new(MISTAKES.iter());
    let next = || waiting.borrow_mut().next();
    let worker = async || {
        while let Some((mistake, finds, passes)) = next() {
            let only = format!("{finds} {passes}").replace(' ', ",");
            let client = format!("--client 'node examples/naive.js {mistake}' --shared --only {only}");
            let (report, code) = judged(&client, app).await;
            assert_eq!(names(&report, "fail").join(" "), *finds, "{mistake}: {report:#}");
            assert_eq!((names(&report, "pass").join(" "), code), ((*passes).to_owned(), 1), "{mistake}: {report:#}");
        }
    };
    tokio::join!(worker(), worker(), worker(), worker(), worker(), worker(), worker());
}

async fn the_web_client_passes(app: &TestApp) {
    let (report, code) = judged("--client 'node examples/web.js'", app).await;
    assert_eq!((names(&report, "fail"), code), (vec![], 0), "{report:#}");
    assert_eq!((names(&report, "pass").len(), &report["strict"]), (40, &true.into()));
}

async fn the_commands_of_the_readme_work_as_printed(app: &TestApp) {
    let readme = include_str!("../../clients/conformance/README.md");
    let blocks = readme.split("```sh\n").skip(1).map(|block| block.split("```").next().unwrap());
    let script = blocks.filter(|block| block.starts_with("node ")).collect::<String>();
    let (said, code) = run(&script, app).await;
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("\n42 passed, 0 failed\n") && said.contains("\n2 passed, 0 failed\n"), "{said}");
}

/// At the same time, as most of it is waiting.
#[tokio::test]
async fn clients_that_keep_the_contract_pass_and_each_mistake_is_found() {
    if !has_node() {
        return;
    }
    let app = strict().await;
    tokio::join!(
        the_web_client_passes(&app),
        the_commands_of_the_readme_work_as_printed(&app),
        each_mistake_is_found_by_the_cases_that_are_about_it(&app),
    );
    // The account of a run goes with it.
    assert_eq!(app.database.number("select count(*) from users").await, 0);
}

#[tokio::test]
async fn keys_are_judged_also_where_the_service_repeats_refreshes_without_them() {
    if !has_node() {
        return;
    }
    let app = TestApp::start().await;
    for (client, finds) in [("plain.js", ""), ("naive.js fresh-key-for-each-try", "killed lost")] {
        let options = format!("--client 'node examples/{client}' --only lost,killed,ended");
        let (report, _) = judged(&options, &app).await;
        assert_eq!((names(&report, "fail").join(" "), &report["strict"]), (finds.to_owned(), &false.into()));
    }
}

#[tokio::test]
async fn a_kit_that_cannot_judge_says_so_with_another_exit_code() {
    if !has_node() {
        return;
    }
    let app = strict().await;
    for (arguments, why) in [
        ("--service http://127.0.0.1:1 --client true", "cannot be used"),
        ("--service $SERVICE", "Usage: "),
        ("--service $SERVICE --client true --only nothing", "there is no case nothing"),
        ("--service $SERVICE --client true --flag", "Unknown option"),
    ] {
        let (said, code) = run(&format!("node src/main.js {arguments}"), &app).await;
        assert!(code == 2 && said.contains(why), "{arguments}: {code} {said}");
    }
    let (said, code) = run("node src/main.js --service $SERVICE --client 'exit 3' --only keys", &app).await;
    assert!(code == 1 && said.contains("login: the client ended"), "{said}");
}

#[tokio::test]
async fn the_tests_of_the_kit_pass() {
    if !has_node() {
        return;
    }
    let app = strict().await;
    let (said, code) = run("node --test --test-reporter=tap", &app).await;
    let passed = said.lines().find_map(|line| line.strip_prefix("# pass ")?.parse::<u32>().ok());
    assert!(code == 0 && passed > Some(10), "{said}");
}
