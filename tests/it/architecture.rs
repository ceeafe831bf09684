//! The one-way roads: main → app → http → auth → store, and app → mail → store, all on domain.

use std::fs;
use std::path::{Path, PathBuf};

fn sources(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let files = entries.flat_map(|path| if path.is_dir() { sources(&path) } else { vec![path] });
    files.filter(|path| path.extension().is_some_and(|extension| extension == "rs")).collect()
}

fn of_module(module: &str) -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let (folder, file) = (root.join(module), root.join(format!("{module}.rs")));
    if folder.is_dir() { sources(&folder) } else { vec![file] }
}

/// Which words a file may not contain, because they belong to another room.
#[track_caller]
fn assert_without(module: &str, words: &[&str]) {
    let files = of_module(module);
    assert!(!files.is_empty(), "there is no module {module}");
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        for word in words {
            assert!(!text.contains(word), "{} mentions {word}", file.display());
        }
    }
}

#[test]
fn domain_knows_no_other_room_no_framework_and_no_database() {
    assert_without(
        "domain",
        &[
            "crate::app",
            "crate::auth",
            "crate::config",
            "crate::dev",
            "crate::http",
            "crate::store",
            "actix",
            "tokio",
            "std::fs",
            "std::net::Tcp",
        ],
    );
}

#[test]
fn store_knows_neither_use_cases_nor_http() {
    assert_without("store", &["crate::app", "crate::auth", "crate::http", "actix"]);
}

#[test]
fn use_cases_know_no_http_and_write_no_sql() {
    assert_without(
        "auth",
        &[
            "crate::app",
            "crate::http",
            "crate::config",
            "actix",
            "deadpool",
            "tokio_postgres",
            "StatusCode",
            "select ",
            "update ",
            "insert into",
        ],
    );
}

#[test]
fn http_reaches_the_database_only_through_use_cases() {
    assert_without("http", &["crate::app", "crate::store", "crate::config", "tokio_postgres", "deadpool"]);
}

#[test]
fn mail_is_sent_beside_the_use_cases_which_only_queue_it() {
    assert_without(
        "mail",
        &["crate::app", "crate::auth", "crate::http", "actix", "tokio_postgres", "select ", "insert into"],
    );
    for module in ["domain", "store", "auth", "http"] {
        assert_without(module, &["crate::mail", "lettre"]);
    }
}

#[test]
fn the_private_postgres_is_independent_of_the_service() {
    assert_without("dev", &["crate::app", "crate::auth", "crate::http", "crate::store"]);
}

#[test]
fn settings_are_read_in_one_place() {
    for module in ["auth", "domain", "http", "mail", "telemetry", "app", "store"] {
        assert_without(module, &["std::env::var"]);
    }
}

#[test]
fn source_files_are_short() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let long: Vec<(PathBuf, usize)> = sources(&root.join("src"))
        .into_iter()
        .map(|path| {
            (path.clone(), fs::read_to_string(path).unwrap().lines().take_while(|line| *line != "#[cfg(test)]").count())
        })
        .filter(|(_, lines)| *lines > 350)
        .collect();
    assert!(long.is_empty(), "each asks to be two: {long:?}");
}
