//! What the documents promise is so.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use claviger::http::error::Code;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{TestApp, TestDatabase};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn documents() -> Vec<PathBuf> {
    let folders = [
        "",
        "docs",
        "docs/adr",
        "docs/how-to",
        "examples/gateways",
        "examples/resource-server",
        "examples/spa",
        "clients/conformance",
        "clients/rust",
        "clients/web",
    ]
    .map(|folder| root().join(folder));
    let entries = folders.into_iter().filter_map(|folder| std::fs::read_dir(folder).ok()).flatten();
    entries.map(|entry| entry.unwrap().path()).filter(|path| path.extension().is_some_and(|e| e == "md")).collect()
}

#[test]
fn the_table_of_error_codes_is_complete_and_right() {
    let api = read("docs/api.md");
    let rows = api.lines().filter_map(|line| {
        let mut cells = line.strip_prefix("| ")?.split(" | ");
        let status: u16 = cells.next()?.parse().ok()?;
        Some((status, cells.next()?.trim_matches('`').to_owned()))
    });
    let documented: BTreeSet<(u16, String)> = rows.collect();
    let known: BTreeSet<(u16, String)> = Code::ALL
        .into_iter()
        .map(|code| {
            let (name, status, _) = code.describe();
            (status.as_u16(), name.to_owned())
        })
        .collect();
    assert_eq!(documented, known);
}

#[test]
fn every_kind_of_event_and_every_code_of_a_field_is_documented() {
    let api = read("docs/api.md");
    let (events, fields) = (
        read("src/domain/event.rs"),
        [
            "domain/field",
            "auth/password_reset",
            "domain/user",
            "domain/email",
            "domain/password/mod",
            "http/browser",
            "http/body",
            "http/part",
            "domain/user_filter",
            "http/gateway",
        ],
    );
    let kinds =
        events.split("fn as_str").nth(1).unwrap().split("\n    }\n").next().unwrap().split('"').skip(1).step_by(2);
    let fields = fields.map(|file| read(&format!("src/{file}.rs"))).concat();
    let codes =
        fields.split("FieldError::new(").skip(1).filter_map(|call| call.split('"').nth(3)).collect::<BTreeSet<_>>();
    assert!(codes.len() >= 8, "{codes:?}");
    for word in kinds.chain(codes.into_iter().filter(|word| word.chars().all(|c| c.is_ascii_lowercase() || c == '_'))) {
        assert!(api.contains(&format!("`{word}`")), "docs/api.md does not have {word}");
    }
}

#[test]
fn every_promise_names_tests_that_exist() {
    let lifecycle = read("docs/token-lifecycle.md");
    let tests = ["rotation", "races", "histories", "forgery", "clock", "api/login", "api/sessions"]
        .map(|name| read(&format!("tests/it/{name}.rs")))
        .concat();
    let promises: Vec<&str> = lifecycle.lines().filter(|line| line.starts_with("| P")).collect();
    assert_eq!(promises.len(), 14);
    for promise in promises {
        let shown_by = promise.trim_end_matches(" |").rsplit("| ").next().unwrap();
        let names: Vec<&str> = shown_by.split('`').skip(1).step_by(2).collect();
        assert!(!names.is_empty(), "{promise}");
        let own = format!("{}_", promise.split(' ').nth(1).unwrap().to_lowercase());
        for name in names {
            assert!(name.starts_with(&own) && tests.contains(&format!("async fn {name}(")), "there is no test {name}");
        }
    }
}

/// Whether there is a test that cargo prints by this name: in `src`, if its module ends in `tests`, else here.
fn is_test(name: &str) -> bool {
    let (module, function) = name.rsplit_once("::").unwrap();
    let file =
        module.strip_suffix("::tests").map(|module| format!("src/{module}")).unwrap_or(format!("tests/it/{module}"));
    let file = file.replace("::", "/");
    let sources =
        [format!("{file}.rs"), format!("{file}/mod.rs")].map(|path| std::fs::read_to_string(root().join(path)));
    sources.into_iter().flatten().any(|source| {
        let before = source.split_once(&format!("fn {function}(")).map(|(before, _)| before.trim_end());
        let before = before.map(|before| before.strip_suffix("async").unwrap_or(before).trim_end());
        before.and_then(|before| before.lines().last()).is_some_and(|line| line.contains("test") && line.ends_with(']'))
    })
}

/// The cells of every line that begins a table's row with this.
fn rows<'a>(text: &'a str, beginning: &str) -> Vec<Vec<&'a str>> {
    let lines = text.lines().filter(|line| line.starts_with(beginning));
    lines.map(|line| line.trim_matches('|').split('|').map(str::trim).collect()).collect()
}

#[test]
fn every_test_that_the_threats_name_exists() {
    let security = read("docs/security.md");
    let names: Vec<&str> = security.split('`').skip(1).step_by(2).filter(|word| word.contains("::")).collect();
    assert!(names.len() > 80, "{}", names.len());
    for name in names {
        assert!(is_test(name), "there is no test {name}");
    }
    for row in rows(&security, "| ") {
        assert!(row.iter().all(|cell| !cell.is_empty()), "a cell is empty: {row:?}");
    }
}

#[test]
fn every_requirement_of_the_chapters_has_a_row_and_what_is_met_is_shown() {
    // How many each section has at levels 1 and 2; they are numbered without gaps.
    const SECTIONS: [(&str, usize); 15] = [
        ("6.1", 3),
        ("6.2", 12),
        ("6.3", 4),
        ("6.4", 4),
        ("6.5", 5),
        ("6.6", 3),
        ("6.8", 4),
        ("7.1", 3),
        ("7.2", 4),
        ("7.3", 2),
        ("7.4", 5),
        ("7.5", 2),
        ("7.6", 2),
        ("9.1", 3),
        ("9.2", 4),
    ];
    let security = read("docs/security.md");
    let table: Vec<Vec<&str>> = ["| 6.", "| 7.", "| 9."].map(|chapter| rows(&security, chapter)).concat();
    let numbers: Vec<String> = table.iter().map(|row| row[0].to_owned()).collect();
    let expected =
        SECTIONS.iter().flat_map(|(section, count)| (1..=*count).map(move |number| format!("{section}.{number}")));
    assert_eq!(numbers, expected.collect::<Vec<_>>());
    for row in table {
        let [number, level, _requirement, state, _place, shown_by] = row.as_slice() else { panic!("{row:?}") };
        assert!(["1", "2"].contains(level), "{number}");
        let shown: Vec<&str> = shown_by.split('`').skip(1).step_by(2).collect();
        match *state {
            "met" => assert!(!shown.is_empty(), "{number} is met, and nothing shows it"),
            "not met" | "does not apply" => assert_eq!(*shown_by, "-", "{number}"),
            other => panic!("{number} is {other}"),
        }
        for path in shown.iter().filter(|word| !word.contains("::")) {
            assert!(root().join(path).is_file(), "{number} names {path}");
        }
    }
}

#[test]
fn every_feature_of_a_replaced_system_is_shown_by_tests() {
    let migrating = read("docs/migrating.md");
    let systems: Vec<&str> = migrating.split("\n## ").skip(1).collect();
    assert_eq!(systems.len(), 5);
    for system in systems {
        let features = rows(system, "| ").into_iter().skip(1).collect::<Vec<_>>();
        assert!(features.len() > 10, "{system}");
        for feature in features {
            let [there, here, shown_by] = feature.as_slice() else { panic!("{feature:?}") };
            let names: Vec<&str> = shown_by.split('`').skip(1).step_by(2).collect();
            assert!(!there.is_empty() && !here.is_empty() && !names.is_empty(), "{feature:?}");
            for name in names {
                assert!(is_test(name), "{there}: there is no test {name}");
            }
        }
    }
}

#[tokio::test]
async fn every_call_and_command_that_documents_name_is_there() {
    // Without mail its calls are not there.
    let (mails, from, page) =
        (tempfile::tempdir().unwrap(), "Shop <shop@example.com>", "https://app.example.com/{token}");
    let settings = [
        ("CLAVIGER__MAIL__URL", &*format!("file:{}", mails.path().display())),
        ("CLAVIGER__MAIL__FROM", from),
        ("CLAVIGER__MAIL__VERIFY_LINK", page),
        ("CLAVIGER__MAIL__RESET_LINK", page),
    ];
    let app = TestApp::start_with(&settings).await;
    let (mut calls, mut commands) = (BTreeSet::new(), BTreeSet::new());
    for document in documents() {
        let text = std::fs::read_to_string(&document).unwrap();
        let moves = document.file_name().unwrap().to_str().unwrap().starts_with("move-from");
        for line in text.lines() {
            // In the first column is what the replaced system had.
            let line = if moves && line.starts_with('|') { line.splitn(3, '|').last().unwrap() } else { line };
            for word in line.split('`').skip(1).step_by(2) {
                match word.split(' ').next() {
                    // Those of the example of an API are not ours.
                    Some("GET" | "POST" | "PATCH" | "PUT" | "DELETE")
                        if word.contains(" /") && !word.contains(" /documents") =>
                    {
                        calls.insert(word.split(['?', ',']).next().unwrap().to_owned());
                    }
                    // Labels of derived keys end in a version.
                    Some("claviger") if !word.ends_with(" v1") => {
                        let words = word.split(' ').skip(1);
                        let is_name = |word: &&str| word.chars().all(|c| c.is_ascii_lowercase() || c == '-');
                        let names = words.take_while(|word| is_name(word) && !word.starts_with('-'));
                        commands.insert(names.collect::<Vec<_>>().join(" "));
                    }
                    _ => {}
                }
            }
        }
    }
    assert!(calls.len() > 15 && commands.len() > 10, "{calls:?} {commands:?}");
    for call in calls {
        let (method, path) = call.split_once(' ').unwrap();
        let path = path.replace("{id}", &Uuid::new_v4().to_string());
        let request = app.anonymous().request(method.parse().unwrap(), &path).json(&json!({}));
        let answer = app.anonymous().send(request).await;
        assert!(![404, 405].contains(&answer.status.as_u16()), "{call}: {answer:?}");
    }
    for command in commands {
        let mut claviger = Command::new(env!("CARGO_BIN_EXE_claviger"));
        let output = claviger.args(command.split_whitespace()).arg("--help").output().unwrap();
        assert!(output.status.success(), "claviger {command}");
    }
}

#[tokio::test]
async fn every_query_for_operators_runs() {
    let database = TestDatabase::private().await;
    let documents = ["incidents", "operations"].map(|name| read(&format!("docs/{name}.md"))).concat();
    let blocks: Vec<&str> = documents.split("```sql\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert!(blocks.len() >= 6, "{}", blocks.len());
    for block in blocks {
        let outcome = database.client().await.batch_execute(block).await;
        assert!(outcome.is_ok(), "{block}: {outcome:?}");
    }
}

#[test]
fn the_code_for_phones_is_that_of_the_examples() {
    let guide = read("docs/how-to/mobile.md");
    for (language, file) in [("kotlin", "examples/mobile/Session.kt"), ("swift", "examples/mobile/Session.swift")] {
        let block = guide.split(&format!("```{language}\n")).nth(1).unwrap().split("```").next().unwrap();
        assert!(block.lines().count() > 40 && read(file).contains(block), "{file} has not what the guide shows");
    }
}

#[test]
fn links_between_documents_lead_somewhere() {
    for document in documents() {
        let text = std::fs::read_to_string(&document).unwrap();
        for target in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let path = target.split('#').next().unwrap();
            if path.is_empty() || path.starts_with("http") {
                continue;
            }
            assert!(document.parent().unwrap().join(path).exists(), "{} links to {target}", document.display());
        }
    }
}

#[test]
fn every_setting_that_documents_name_exists() {
    let defaults: toml::Table = read("config/default.toml").parse().unwrap();
    let sections: Vec<&String> = defaults.keys().collect();
    for document in documents() {
        let text = std::fs::read_to_string(&document).unwrap();
        for word in text.split('`').skip(1).step_by(2) {
            let word = word.split([' ', '=']).next().unwrap();
            let Some((section, key)) = word.split_once('.') else { continue };
            let is_setting = sections.iter().any(|known| *known == section) && !key.ends_with("rs");
            assert!(!is_setting || defaults[section].get(key).is_some(), "{}: {word}", document.display());
        }
    }
}

#[tokio::test]
async fn the_commands_of_the_readme_work_as_printed() {
    let app = TestApp::start().await;
    let readme = read("README.md");
    let script = readme.split("```sh\n").find(|block| block.starts_with("API=")).unwrap().split("```").next().unwrap();
    let script = script.replace("http://127.0.0.1:8080", &format!("http://{}", app.address));

    let output = tokio::task::spawn_blocking(move || Command::new("sh").args(["-euc", &script]).output().unwrap());
    let output = output.await.unwrap();

    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    let (answers, last) = said.rsplit_once('}').unwrap();
    let answers = format!("{answers}}}");
    let answers: Vec<Value> =
        serde_json::Deserializer::from_str(&answers).into_iter().map(|answer| answer.expect(&said)).collect();
    let [registered, me, refreshed] = answers.as_slice() else { panic!("{said}") };
    assert_eq!(registered["user"]["email"], "ada@example.com");
    assert_eq!(me["email"], "ada@example.com");
    assert!(refreshed["refresh_token"].is_string());
    assert_eq!(last.trim(), "204");
}

#[test]
fn the_readme_fits_two_screens_and_its_make_targets_exist() {
    let readme = read("README.md");
    assert!(readme.lines().count() <= 90, "{} lines", readme.lines().count());
    let makefile = read("Makefile");
    for line in readme.lines().chain(read("CONTRIBUTING.md").lines()).filter_map(|line| line.strip_prefix("make ")) {
        let target = line.split_whitespace().next().unwrap();
        assert!(makefile.contains(&format!("\n{target}:")), "make {target}");
    }
}
