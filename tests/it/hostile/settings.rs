//! A configuration that loads keeps every bound and can make tokens; none, good or bad, shows a secret.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::sync::LazyLock;

use claviger::config::{self, Environment, Loaded, Settings};
use claviger::domain::access_token::AccessTokens;
use claviger::domain::refresh_token::RefreshKeys;

const JWT_SECRET: &str = "fWq3kPz7RtYx1VbN5mLc9HsD2gJ8aKeU4oXi6TvB0nE";
const REFRESH_SECRET: &str = "Zr8uYw2QmXc6TnV4bKp0LsJ7hGf3DdAe9RiOx5EtN1k";
const PASSWORD: &str = "hunter2XyZZyhunter2";
const BETWEEN: &str = "\n---\n";

/// Beside what was built: statics are never dropped, and in the system's folder it would stay for ever.
static FILE: LazyLock<PathBuf> = LazyLock::new(|| {
    let program = std::env::current_exe().unwrap();
    program.with_file_name(format!("hostile-settings-{}.toml", std::process::id()))
});

/// A settings file, a line `---`, and variables, one a line. `$PW` stands for a password that must not be shown.
pub(crate) fn check(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let lower = text.to_lowercase();
    // Files are read as they are, and endless ones for ever; and who knows the secrets may show them.
    let reads_files = ["_file", "schema", "templates"].iter().any(|word| lower.contains(word));
    if reads_files || [JWT_SECRET, REFRESH_SECRET, PASSWORD].iter().any(|secret| text.contains(secret)) {
        return;
    }
    let text = text.replace("$PW", PASSWORD);
    let (file, variables) = text.split_once(BETWEEN).unwrap_or((&text, ""));
    std::fs::write(&*FILE, file).unwrap();
    let mut environment: Environment = BTreeMap::from([
        ("DATABASE_URL".to_owned(), format!("postgres://u:{PASSWORD}@h/d")),
        ("JWT_SECRET".to_owned(), JWT_SECRET.to_owned()),
        ("REFRESH_SECRET".to_owned(), REFRESH_SECRET.to_owned()),
    ]);
    let lines = variables.lines().filter_map(|line| line.split_once('='));
    environment.extend(lines.map(|(name, value)| (name.to_owned(), value.to_owned())));

    let shown = match config::load(Some(&FILE), &environment, &BTreeMap::new()) {
        Ok(Loaded { settings, warnings, shown }) => {
            assert_within_bounds(&settings);
            assert_can_make_tokens(&settings);
            format!("{settings:?} {warnings:?} {shown:?} {}", settings.database.url)
        }
        Err(problems) => {
            assert!(!problems.0.is_empty(), "refused for nothing");
            problems.to_string()
        }
    };
    for secret in [JWT_SECRET, REFRESH_SECRET] {
        assert!(!shown.contains(secret), "{shown}");
    }
    if hidden(file, "url = \"postgres://u:") && hidden(variables, "DATABASE_URL=postgres://u:") {
        assert!(!shown.contains(PASSWORD), "{shown}");
    }
}

/// Whether the password stands behind `before` alone, where it must not be seen. Elsewhere it is a value like any other.
fn hidden(text: &str, before: &str) -> bool {
    let behind = |line: &str| line.strip_prefix(before).and_then(|rest| rest.strip_prefix(PASSWORD)).map(str::to_owned);
    let mut lines = text.lines().filter(|line| line.contains(PASSWORD));
    !text.contains("\"\"\"") && lines.all(|line| behind(line).is_some_and(|rest| !rest.contains(PASSWORD)))
}

fn assert_within_bounds(settings: &Settings) {
    const MINUTE: u64 = 60;
    const DAY: u64 = 24 * 60 * MINUTE;
    const YEARS: u64 = 10 * 365 * DAY;
    let Settings { server, database, access_token, sessions, password, .. } = settings;
    let seconds: [(u64, RangeInclusive<u64>); 11] = [
        (server.shutdown_timeout.as_secs(), 0..=60 * MINUTE),
        (database.wait_timeout.as_secs(), 1..=MINUTE),
        (database.connect_timeout.as_secs(), 1..=MINUTE),
        (database.statement_timeout.as_secs(), 0..=MINUTE),
        (database.max_connection_age.as_secs(), 1..=30 * DAY),
        (access_token.ttl.as_secs(), MINUTE..=DAY),
        (sessions.grace.as_secs(), 0..=MINUTE),
        (sessions.idle_ttl.as_secs(), 1..=YEARS),
        (sessions.absolute_ttl.as_secs(), 1..=YEARS),
        (sessions.kept_after_end.as_secs(), 2 * DAY..=YEARS),
        (settings.events_kept.as_secs(), 7 * DAY..=YEARS),
    ];
    for (index, (found, range)) in seconds.iter().enumerate() {
        assert!(range.contains(found), "duration {index} is {found}, and not in {range:?}");
    }
    assert!(settings.sweep_every.as_secs() <= DAY);
    assert!(server.workers <= 1024 && !server.host.is_empty());
    assert!((1..=1_000_000).contains(&server.max_connections));
    assert!((1..=1000).contains(&database.pool_size) && (1..=1000).contains(&sessions.max_per_user));
    assert!((1..=128).contains(&password.min_length) && (1..=60).contains(&password.max_wait.as_secs()));
    assert!((4..=16).contains(&password.bcrypt_cost));
    assert!(!access_token.issuer.is_empty() && !access_token.audience.is_empty());
    assert!(["JWT", "at+jwt"].contains(&access_token.typ.as_str()));
    assert!(["x-forwarded-for", "forwarded"].contains(&server.forwarded_header));
    for origin in &settings.allowed_origins {
        assert!(!["null", "", "*", "https://", "file://"].iter().any(|page| origin.matches(page)), "{origin:?}");
    }
    let (access, refresh) = (&settings.access_token_secrets, &settings.refresh_token_keys);
    assert!(!access.is_empty() && !refresh.is_empty());
    assert!(access.iter().chain(refresh).all(|secret| secret.bytes().len() >= 32));
    assert!(access.iter().all(|secret| refresh.iter().all(|key| key.bytes() != secret.bytes())));
}

fn assert_can_make_tokens(settings: &Settings) {
    assert!(AccessTokens::new(settings.access_token.clone(), &settings.access_token_secrets).is_ok());
    assert!(RefreshKeys::derive(&settings.refresh_token_keys).is_ok());
}
