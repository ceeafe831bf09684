//! The document of the API says what there is. That each answer is as it says, `support::contract` sees in all tests.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use claviger::http::error::Code;
use reqwest::header::HeaderMap;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::contract::{document, resolved, validator};
use crate::support::{Browser, NODE, TestApp, find_node, skipped, wait_until};

/// What is served beside the API.
const PAGES: [&str; 2] = ["/docs", "/docs/{file}"];

fn paths() -> impl Iterator<Item = (&'static String, &'static Value)> {
    document()["paths"].as_object().unwrap().iter()
}

/// Every call: its method, its path and what the document says.
fn calls() -> impl Iterator<Item = (&'static String, &'static String, &'static Value)> {
    paths().flat_map(|(path, calls)| calls.as_object().unwrap().iter().map(move |(method, call)| (method, path, call)))
}

#[tokio::test]
async fn the_document_has_every_call_that_is_answered_and_no_other() {
    let app = TestApp::start().await;
    for (path, calls) in paths() {
        let path = path.replace("{id}", &uuid::Uuid::nil().to_string());
        for method in ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "TRACE"] {
            let url = format!("http://{}{path}", app.address);
            let request = app.anonymous().http.request(method.parse().unwrap(), url).json(&json!({}));
            let answer = request.send().await.unwrap();
            let is_there = answer.status() != 405;
            assert_eq!(is_there, calls.get(method.to_lowercase()).is_some(), "{method} {path}");
            assert!(is_there || answer.headers().contains_key("allow"), "{method} {path}");
        }
    }
}

#[test]
fn every_route_is_in_the_document() {
    let table = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/http/mod.rs")).unwrap();
    let texts = table.split("\"/").skip(1).map(|rest| format!("/{}", rest.split('"').next().unwrap()));
    let routes: BTreeSet<String> = texts.collect();
    let described = paths().map(|(path, _)| path.clone()).chain(PAGES.map(str::to_owned)).collect();
    assert_eq!(routes, described);
}

#[test]
fn every_call_is_in_the_prose_too() {
    let api = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/api.md")).unwrap();
    for (path, calls) in paths() {
        let methods = calls.as_object().unwrap().keys().filter(|method| *method != "head");
        let rows = |method: &String| api.contains(&format!("`{} {path}`", method.to_uppercase()));
        assert!(methods.into_iter().all(rows) || api.contains(&format!(", `{path}`")), "{path}");
    }
}

#[test]
fn the_document_names_every_code_and_each_has_an_example() {
    let codes = |answers: &'static Value| {
        let schemas = answers.as_object().unwrap().values().map(|answer| {
            &resolved(answer)["content"]["application/problem+json"]["schema"]["allOf"][1]["properties"]["code"]["enum"]
        });
        let names = schemas.filter_map(Value::as_array).flatten();
        names.map(|name| name.as_str().unwrap()).collect::<BTreeSet<_>>()
    };
    let mut named: BTreeSet<&str> = calls().flat_map(|(_, _, call)| codes(&call["responses"])).collect();
    assert!(named.insert("method_not_allowed"), "it is of what is no call");
    assert_eq!(named, Code::ALL.into_iter().map(|code| code.describe().0).collect());
    let examples = document()["components"]["examples"].as_object().unwrap();
    assert_eq!(examples.len(), Code::ALL.len());
}

#[test]
fn every_call_has_a_name_of_its_own_and_words() {
    let names: BTreeSet<&str> = calls().map(|(_, _, call)| call["operationId"].as_str().unwrap()).collect();
    assert_eq!(names.len(), calls().count());
    for (method, path, call) in calls() {
        let has_words = call["summary"].as_str().is_some_and(|words| !words.is_empty());
        let good =
            call["responses"].as_object().unwrap().keys().filter(|status| status.starts_with(['2', '3'])).count();
        assert!(has_words && good >= 1, "{method} {path}");
    }
}

/// Every media type with a schema, below a place in the document.
fn contents(value: &'static Value, found: &mut Vec<(&'static Value, Vec<&'static Value>)>) {
    if let (Some(schema), examples) = (value.get("schema"), value.get("examples").and_then(Value::as_object)) {
        let named = examples.into_iter().flat_map(serde_json::Map::values).map(|example| &resolved(example)["value"]);
        found.push((schema, named.chain(value.get("example")).collect()));
    }
    match value {
        Value::Object(members) => members.values().for_each(|value| contents(value, found)),
        Value::Array(items) => items.iter().for_each(|value| contents(value, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[test]
fn every_example_is_as_its_schema_says() {
    let mut found = Vec::new();
    contents(&document()["paths"], &mut found);
    contents(&document()["components"]["responses"], &mut found);
    let mut examples = 0;
    for (schema, of_it) in found {
        let validator = validator(schema, true);
        for example in of_it {
            let problems: Vec<String> = validator.iter_errors(example).map(|problem| problem.to_string()).collect();
            assert!(problems.is_empty(), "{problems:?}\n{example:#}");
            examples += 1;
        }
    }
    assert!(examples > 60, "{examples}");
}

#[test]
fn a_validator_of_others_finds_nothing() {
    let checker = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/npm/openapi.mjs");
    let Some(node) = find_node().filter(|_| checker.with_file_name("node_modules").is_dir()) else {
        return skipped(NODE, "apt-get install nodejs npm, then make packages");
    };
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("openapi.json");
    std::fs::write(&file, document().to_string()).unwrap();
    let output = Command::new(node).arg(checker).arg(&file).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

#[test]
fn the_command_prints_what_is_served() {
    let output = Command::new(env!("CARGO_BIN_EXE_claviger")).arg("openapi").env_clear().output().unwrap();
    assert_eq!(serde_json::from_slice::<Value>(&output.stdout).unwrap(), *document());
}

#[tokio::test]
async fn who_has_the_document_is_not_sent_it_again() {
    let app = TestApp::start().await;
    let caller = app.anonymous();
    let ask = async |tag: &str| {
        let request = caller.request(Method::GET, "/openapi.json").header("if-none-match", tag);
        caller.send(request).await
    };
    let first = caller.get("/openapi.json").await;
    assert_eq!(&first.body, document());
    assert_eq!(first.header("content-security-policy"), "default-src 'none'; frame-ancestors 'none'");
    let tag = first.header("etag");
    for known in [tag, &format!("W/{tag}"), &format!("\"other\", {tag}"), "*"] {
        assert_eq!(ask(known).await.status, StatusCode::NOT_MODIFIED, "{known}");
    }
    assert_eq!(ask("\"other\"").await.status, StatusCode::OK);
}

#[tokio::test]
async fn the_page_has_only_files_of_its_own_and_says_so() {
    let app = TestApp::start().await;
    let get =
        async |path: &str| app.anonymous().http.get(format!("http://{}{path}", app.address)).send().await.unwrap();
    let page = get("/docs").await;
    let policy = |headers: &HeaderMap| headers["content-security-policy"].to_str().unwrap().to_owned();
    assert!(!policy(page.headers()).contains("unsafe") && policy(page.headers()).starts_with("default-src 'none'"));
    let html = page.text().await.unwrap();
    let links = ["src=\"", "href=\""].into_iter().flat_map(|start| html.split(start).skip(1));
    let links: Vec<&str> = links.map(|rest| rest.split('"').next().unwrap()).collect();
    assert_eq!(links.len(), 5);
    for link in links {
        let file = get(&format!("/{link}")).await;
        assert_eq!(file.status(), StatusCode::OK, "{link}");
        assert!(file.headers().contains_key("etag") && !file.bytes().await.unwrap().is_empty(), "{link}");
    }
    for path in ["/docs/index.html", "/docs/oauth2-redirect.html", "/docs/..%2fopenapi.json", "/docs/"] {
        assert_eq!(get(path).await.status(), StatusCode::NOT_FOUND, "{path}");
    }
    let request = app.anonymous().http.delete(format!("http://{}/docs", app.address));
    assert_eq!(request.send().await.unwrap().status(), StatusCode::METHOD_NOT_ALLOWED);
}

/// Opens a call in the page, tries it there, and gives the status that the page shows.
const TRY: &str = "
    const shown = async selector => {
        for (;;) {
            const found = document.querySelector(`#operations-Service-health ${selector}`);
            if (found) return found;
            await new Promise(requestAnimationFrame);
        }
    };
    (await shown('.opblock-summary-control')).click();
    (await shown('.try-out__btn')).click();
    (await shown('.execute')).click();
    return (await shown('.live-responses-table tbody .response-col_status')).textContent.trim();
";

/// What the page's policy has refused, from the beginning.
const REFUSED: &str = "
    return await new Promise(tell => {
        const observer = new ReportingObserver(tell, { buffered: true, types: ['csp-violation'] });
        observer.observe();
        requestAnimationFrame(() => requestAnimationFrame(() => tell(observer.takeRecords())));
    }).then(reports => reports.map(report => report.body.blockedURL + ' ' + report.body.effectiveDirective));
";

#[tokio::test]
async fn the_page_shows_every_call_and_tries_it_and_asks_nobody_else() {
    if Browser::programs().is_none() {
        return skipped("Chromium and its driver", "apt-get install chromium chromium-driver");
    }
    let app = TestApp::start().await;
    let browser = Browser::start().await;
    browser.goto(&format!("http://{}/docs", app.address)).await;
    let count = "return document.querySelectorAll('.opblock').length;";
    wait_until("every call is shown", async || browser.run(count, Value::Null).await == calls().count()).await;

    assert_eq!(browser.run(TRY, Value::Null).await, "200");

    let asked = "return performance.getEntriesByType('resource').map(({ name }) => new URL(name).origin);";
    let asked = browser.run(asked, Value::Null).await;
    let asked: BTreeSet<&str> = asked.as_array().unwrap().iter().map(|origin| origin.as_str().unwrap()).collect();
    assert_eq!(asked, BTreeSet::from([&*format!("http://{}", app.address)]));
    assert_eq!(browser.run(REFUSED, Value::Null).await, json!([]));
}
