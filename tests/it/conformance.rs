//! clients/conformance against the real service: clients that keep the contract pass, and each mistake is found.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::support::{TestApp, find_program, skipped};

/// What `sh` is to run in the folder of the kit, with the address of a service in `SERVICE`: its output and exit code.
async fn run(script: &str, app: &TestApp) -> Option<(String, i32)> {
    if find_program(&["node"], &[]).is_none() {
        skipped("NODE", "apt-get install nodejs");
        return None;
    }
    let mut sh = Command::new("sh");
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("clients/conformance");
    sh.args(["-euc", script]).current_dir(folder).env("SERVICE", format!("http://{}", app.address));
    let output = tokio::task::spawn_blocking(move || sh.output().unwrap()).await.unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    Some((format!("{said}{}", String::from_utf8_lossy(&output.stderr)), output.status.code().unwrap()))
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
const MISTAKES: [(&str, &str, &str); 27] = [
    ("waits-for-ever", "silent", "slow"),
    ("never-rests", "schedule", "lost"),
    ("sleeps-on", "schedule", "killed"),
    ("signs-out-on-any-failure", "bare-401 cut lost redirect", "concurrent portal"),
    ("signs-out-on-502", "errors pages", "lost"),
    ("signs-out-on-any-401", "bare-401 other-401", "ended"),
    ("signs-out-on-codes-without-401", "other-status", "other-401"),
    ("takes-any-200", "empty portal truncated", "ended"),
    ("parallel-without-a-key", "concurrent killed lost", "wakes"),
    ("fresh-key-for-each-try", "killed lost", "concurrent keys"),
    ("key-not-stored", "killed killed-again killed-early", "lost"),
    ("counts-its-keys", "keys", "concurrent"),
    ("stores-nothing", "killed-late restart", "lost"),
    ("storm", "schedule", "lost"),
    ("ignores-retry-after", "busy", "errors"),
    ("follows-redirects", "redirect", "portal"),
    ("refreshes-whatever-fails", "failing-calls", "concurrent"),
    ("refreshes-for-each-401", "late-401", "keys"),
    ("calls-until-it-works", "refused-calls", "concurrent"),
    ("refreshes-when-it-wakes", "wakes", "ended"),
    ("hears-no-end", "ended expired replayed thief unknown", "logout"),
    ("takes-late-answers", "login-meanwhile logout-meanwhile", "logout"),
    ("tells-nobody-of-a-logout", "logout", "logout-offline"),
    ("logs-out-only-with-a-network", "logout-offline", "logout"),
    ("token-in-the-url", "concurrent timeouts", "logout"),
    ("shows-its-refresh-token", "client-errors twice", "logout"),
    ("reads-once", "shared shared-sleep", "keys"),
];

#[tokio::test]
async fn each_mistake_of_a_client_is_found_by_the_case_that_is_about_it() {
    let app = strict().await;
    let waiting = RefCell::new(MISTAKES.iter());
    let next = || waiting.borrow_mut().next();
    let worker = async || {
        while let Some((mistake, finds, passes)) = next() {
            let only = format!("{finds} {passes}").replace(' ', ",");
            let script = format!(
                "node src/main.js --json --service $SERVICE --client 'node examples/naive.js {mistake}' --shared --only {only}"
            );
            let Some((said, code)) = run(&script, &app).await else { return };
            let report: Value = serde_json::from_str(&said).unwrap_or_else(|_| panic!("{mistake}: {said}"));
            assert_eq!(names(&report, "fail").join(" "), *finds, "{mistake}: {said}");
            assert_eq!((names(&report, "pass").join(" "), code), ((*passes).to_owned(), 1), "{mistake}: {said}");
        }
    };
    // Most of it is waiting.
    tokio::join!(worker(), worker(), worker(), worker(), worker(), worker());
}

#[tokio::test]
async fn the_web_client_stays_signed_in_exactly_when_it_should() {
    let app = strict().await;
    let script = "node src/main.js --json --service $SERVICE --client 'node examples/web.js'";
    let Some((said, code)) = run(script, &app).await else { return };
    let report: Value = serde_json::from_str(&said).unwrap_or_else(|_| panic!("{said}"));
    assert_eq!((names(&report, "fail"), code), (vec![], 0), "{said}");
    assert_eq!((names(&report, "pass").len(), &report["strict"]), (38, &true.into()));
    // The kit's account goes with the run.
    assert_eq!(app.database.number("select count(*) from users").await, 0);
}

#[tokio::test]
async fn keys_are_judged_also_where_the_service_repeats_refreshes_without_them() {
    let app = TestApp::start().await;
    let mut found = BTreeMap::new();
    for client in ["examples/plain.js", "examples/naive.js fresh-key-for-each-try"] {
        let script =
            format!("node src/main.js --json --service $SERVICE --client 'node {client}' --only lost,killed,ended");
        let Some((said, _)) = run(&script, &app).await else { return };
        let report: Value = serde_json::from_str(&said).unwrap_or_else(|_| panic!("{said}"));
        assert_eq!(report["strict"], false);
        found.insert(client, names(&report, "fail").join(" "));
    }
    assert_eq!(found["examples/plain.js"], "");
    assert_eq!(found["examples/naive.js fresh-key-for-each-try"], "killed lost");
}

#[tokio::test]
async fn the_commands_of_the_kits_readme_work_as_printed() {
    let app = strict().await;
    let readme = include_str!("../../clients/conformance/README.md");
    let blocks = readme.split("```sh\n").skip(1).map(|block| block.split("```").next().unwrap());
    let script = blocks.filter(|block| block.starts_with("node ")).collect::<String>();
    let Some((said, code)) = run(&script, &app).await else { return };
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("\n40 passed, 0 failed\n") && said.contains("\n2 passed, 0 failed\n"), "{said}");
}

#[tokio::test]
async fn a_kit_that_cannot_judge_says_so_with_another_exit_code() {
    let app = strict().await;
    for (arguments, why) in [
        ("--service http://127.0.0.1:1 --client true", "cannot be used"),
        ("--service $SERVICE", "Usage: "),
        ("--service $SERVICE --client true --only nothing", "there is no case nothing"),
        ("--service $SERVICE --client true --flag", "Unknown option"),
    ] {
        let Some((said, code)) = run(&format!("node src/main.js {arguments}"), &app).await else { return };
        assert!(code == 2 && said.contains(why), "{arguments}: {code} {said}");
    }
    let Some((said, code)) = run("node src/main.js --service $SERVICE --client 'exit 3' --only keys", &app).await
    else {
        return;
    };
    assert!(code == 1 && said.contains("login: the client ended"), "{said}");
}

#[tokio::test]
async fn the_tests_of_the_kit_pass() {
    let app = strict().await;
    let Some((said, code)) = run("node --test --test-reporter=tap", &app).await else { return };
    let passed = said.lines().find_map(|line| line.strip_prefix("# pass ")?.parse::<u32>().ok());
    assert!(code == 0 && passed > Some(10), "{said}");
}
