//! Where values come from: the compiled-in defaults, a file, the environment. Each layer covers the one before.

use std::collections::BTreeMap;
use std::path::Path;

use toml::Value;

use super::postgres_url;
use super::reader::Problem;

/// The variables of a process, as data, so that tests can make their own.
pub type Environment = BTreeMap<String, String>;

/// This process's variables. Those that are not Unicode are left out, as none of ours may be.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "the one place that reads the environment")]
pub fn environment() -> Environment {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect()
}

/// A value and where it was found.
#[derive(Debug, Clone)]
pub(super) struct Found {
    pub(super) value: Value,
    pub(super) origin: String,
}

pub(super) type Values = BTreeMap<String, Found>;

const DEFAULTS: &str = include_str!("../../config/default.toml");
const PREFIX: &str = "CLAVIGER__";

/// Names that platforms and people already use.
const WELL_KNOWN: [(&str, &str); 11] = [
    ("DATABASE_URL", "database.url"),
    ("JWT_SECRET", "access_token.secrets"),
    ("OTEL_EXPORTER_OTLP_ENDPOINT", "traces.endpoint"),
    ("OTEL_EXPORTER_OTLP_HEADERS", "traces.headers"),
    ("OTEL_RESOURCE_ATTRIBUTES", "traces.resource"),
    ("OTEL_SERVICE_NAME", "traces.service_name"),
    ("OTEL_TRACES_SAMPLER_ARG", "traces.sample_ratio"),
    ("PORT", "server.port"),
    ("REFRESH_SECRET", "refresh_token.keys"),
    ("RUST_LOG", "log.level"),
    ("SMTP_URL", "mail.url"),
];

/// Never shown, and may be read from a file.
pub(super) const SECRET_KEYS: [&str; 5] =
    ["access_token.secrets", "database.url", "mail.url", "refresh_token.keys", "traces.headers"];

pub(super) fn merge(
    file: Option<&Path>,
    environment: &Environment,
    overlay: &BTreeMap<String, String>,
) -> (Values, Vec<Problem>) {
    let mut problems = Vec::new();
    let mut values = Values::new();
    put_table(&mut values, "", toml_table(DEFAULTS, "the defaults", &mut problems), "default");
    let known: Vec<String> = values.keys().cloned().collect();

    let mut layers = vec![texts(overlay.clone(), "claviger dev")];
    if let Some(path) = file {
        layers.push(file_layer(path, &mut problems));
    }
    layers.push(well_known_layer(environment, &mut problems));
    layers.push(prefixed_layer(environment));
    for layer in layers {
        for (key, found) in resolve_files(layer, &mut problems) {
            if known.contains(&key) {
                values.insert(key, found);
            } else {
                problems.push(Problem::unknown_key(&key, &found.origin, &known));
            }
        }
    }
    (values, problems)
}

fn texts(layer: BTreeMap<String, String>, origin: &str) -> Values {
    let found = |value| Found { value: Value::String(value), origin: origin.to_owned() };
    layer.into_iter().map(|(key, value)| (key, found(value))).collect()
}

fn file_layer(path: &Path, problems: &mut Vec<Problem>) -> Values {
    let mut values = Values::new();
    let origin = path.display().to_string();
    match std::fs::read_to_string(path) {
        Ok(text) => put_table(&mut values, "", toml_table(&text, &origin, problems), &origin),
        Err(error) => problems.push(Problem::of_source(&origin, format!("cannot be read: {error}"))),
    }
    values
}

fn toml_table(text: &str, origin: &str, problems: &mut Vec<Problem>) -> toml::Table {
    text.parse().unwrap_or_else(|error: toml::de::Error| {
        // The message alone: the rendered error quotes the line, which may hold a secret.
        let line = error.span().map_or(0, |span| text.get(..span.start).unwrap_or_default().lines().count());
        problems.push(Problem::of_source(origin, format!("is not TOML near line {line}: {}", error.message())));
        toml::Table::new()
    })
}

fn put_table(values: &mut Values, prefix: &str, table: toml::Table, origin: &str) {
    for (name, value) in table {
        let key = if prefix.is_empty() { name } else { format!("{prefix}.{name}") };
        match value {
            Value::Table(table) => put_table(values, &key, table, origin),
            value @ (Value::String(_)
            | Value::Integer(_)
            | Value::Float(_)
            | Value::Boolean(_)
            | Value::Datetime(_)
            | Value::Array(_)) => {
                values.insert(key, Found { value, origin: origin.to_owned() });
            }
        }
    }
}

/// An empty well-known variable is as good as none: compose files pass on what is not set as empty.
fn well_known_layer(environment: &Environment, problems: &mut Vec<Problem>) -> Values {
    let mut values = Values::new();
    let mut put = |name: &str, key: String| {
        if let Some(value) = environment.get(name).filter(|value| !value.is_empty()) {
            values.insert(key, Found { value: Value::String(value.clone()), origin: name.to_owned() });
        }
    };
    for (name, key) in WELL_KNOWN {
        put(name, key.to_owned());
        if SECRET_KEYS.contains(&key) {
            put(&format!("{name}_FILE"), format!("{key}_file"));
        }
    }
    let has_url = values.contains_key("database.url") || values.contains_key("database.url_file");
    let origin = "POSTGRES_HOST and its companions".to_owned();
    match postgres_url::from_parts(environment).filter(|_| !has_url) {
        Some(Ok(url)) => drop(values.insert("database.url".to_owned(), Found { value: Value::String(url), origin })),
        Some(Err(rule)) => problems.push(Problem::of_key("database.url", &origin, rule)),
        None => {}
    }
    values
}

fn prefixed_layer(environment: &Environment) -> Values {
    let ours = |(name, value): (&String, &String)| {
        let key = name.strip_prefix(PREFIX)?.to_lowercase().replace("__", ".");
        Some((key, Found { value: Value::String(value.clone()), origin: name.clone() }))
    };
    environment.iter().filter_map(ours).collect()
}

/// Replaces `key_file` by `key` with the file's content, for the keys that may be read from a file.
fn resolve_files(mut layer: Values, problems: &mut Vec<Problem>) -> Values {
    for key in SECRET_KEYS {
        let Some(found) = layer.remove(&format!("{key}_file")) else { continue };
        let path = found.value.as_str().unwrap_or_default().to_owned();
        if layer.contains_key(key) {
            problems.push(Problem::of_key(key, &found.origin, "is given twice, as a value and as a file"));
        }
        match std::fs::read_to_string(&path) {
            Ok(text) => {
                let value = Value::String(text.trim_end_matches(['\r', '\n']).to_owned());
                layer.insert(key.to_owned(), Found { value, origin: format!("{} ({path})", found.origin) });
            }
            Err(error) => {
                let rule = format!("the file {path:?} cannot be read: {error}");
                problems.push(Problem::of_key(key, &found.origin, rule));
            }
        }
    }
    layer
}
