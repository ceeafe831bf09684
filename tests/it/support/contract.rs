//! The document of the API, held against every answer that a test gets.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex};

use jsonschema::Validator;
use reqwest::Method;
use serde_json::{Value, json};

use super::{Answer, promises};

static DOCUMENT: LazyLock<Value> = LazyLock::new(claviger::http::openapi::document);

/// The document.
pub(crate) fn document() -> &'static Value {
    &DOCUMENT
}

/// What somebody asked.
pub(crate) struct Asked {
    pub(crate) method: Method,
    pub(crate) path: String,
    /// The body, if it is JSON.
    pub(crate) json: Option<Value>,
}

impl Asked {
    pub(crate) fn by(request: &reqwest::Request) -> Self {
        let body = request.body().and_then(reqwest::Body::as_bytes);
        let media_type = request.headers().get("content-type").and_then(|value| value.to_str().ok());
        let is_json = media_type.is_some_and(|media_type| media_type.starts_with("application/json"));
        let json = body.filter(|_| is_json).and_then(|body| serde_json::from_slice(body).ok());
        Self { method: request.method().clone(), path: request.url().path().to_owned(), json }
    }
}

/// Fails unless the document has this answer: its status and code for that call, its headers, and each member of its body.
/// What was done must have been asked for as the document says, too.
#[track_caller]
pub(crate) fn check(asked: &Asked, answer: &Answer) {
    let Asked { method, path, json } = asked;
    let header = |name: &str| answer.headers.get(name).and_then(|value| value.to_str().ok());
    promises::assert_kept(&format!("{method} {path} {}", answer.status.as_u16()), header);
    if method == Method::OPTIONS {
        return; // A preflight, which is about pages and not about calls.
    }
    let Some((pattern, calls)) = find(path) else {
        assert_eq!((answer.status.as_u16(), answer.text("code")), (404, "not_found"), "{path} is not in the document");
        return;
    };
    let name = method.as_str().to_lowercase();
    let Some(call) = calls.get(&name) else {
        assert_eq!((answer.status.as_u16(), answer.text("code")), (405, "method_not_allowed"), "{method} {pattern}");
        assert_eq!(sorted(answer.header("allow").to_lowercase().split(", ")), sorted(calls_of(calls)), "{pattern}");
        return;
    };
    let place = format!("{method} {pattern} {}", answer.status.as_u16());
    let described = resolved(&call["responses"][answer.status.as_str()]);
    assert!(described.is_object(), "the document has no such answer: {place} {answer:?}");
    check_headers(&place, described, answer);
    if method != Method::HEAD {
        check_body(&place, described, answer);
    }
    let taken = &call["requestBody"]["content"]["application/json"]["schema"];
    // Whoever wants to sign out is signed out, whatever is sent.
    if let (true, true, Some(json)) = (answer.status.is_success(), taken.is_object() && name_of(call) != "logout", json)
    {
        assert_valid(&format!("{place}, the request"), taken, false, json);
    }
}

fn check_headers(place: &str, described: &'static Value, answer: &Answer) {
    for (name, header) in described["headers"].as_object().unwrap() {
        let header = resolved(header);
        let values: Vec<String> =
            answer.headers.get_all(name).iter().map(|v| String::from_utf8_lossy(v.as_bytes()).into_owned()).collect();
        assert!(values.len() <= 1, "{place} has {name} twice");
        assert!(header["required"] == false || values.len() == 1, "{place} has no {name}");
        for value in values {
            let value =
                if header["schema"]["type"] == "integer" { value.parse::<i64>().unwrap().into() } else { value.into() };
            assert_valid(&format!("{place}, {name}"), &header["schema"], true, &value);
        }
    }
}

fn check_body(place: &str, described: &'static Value, answer: &Answer) {
    let Some(content) = described["content"].as_object() else {
        assert_eq!(answer.body, Value::Null, "{place} has no body, says the document");
        return;
    };
    let media_type = answer.header("content-type");
    let content = content.get(media_type).unwrap_or_else(|| panic!("{place} is never {media_type}, says the document"));
    assert_valid(place, &content["schema"], true, &answer.body);
}

/// The path of the document that this is one of, and its calls.
fn find(path: &str) -> Option<(&'static String, &'static Value)> {
    let is_one = |pattern: &str| {
        let (segments, names): (Vec<&str>, Vec<&str>) = (path.split('/').collect(), pattern.split('/').collect());
        let same = |(segment, name): (&&str, &&str)| segment == name || (name.starts_with('{') && !segment.is_empty());
        segments.len() == names.len() && segments.iter().zip(&names).all(same)
    };
    document()["paths"].as_object().unwrap().iter().find(|(pattern, _)| is_one(pattern))
}

fn calls_of(calls: &Value) -> impl Iterator<Item = &str> {
    calls.as_object().unwrap().keys().map(String::as_str)
}

fn name_of(call: &Value) -> &str {
    call["operationId"].as_str().unwrap()
}

fn sorted<'a>(names: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut names: Vec<&str> = names.collect();
    names.sort_unstable();
    names
}

/// What a reference leads to, or the value itself.
pub(crate) fn resolved(value: &'static Value) -> &'static Value {
    value["$ref"].as_str().map_or(value, |path| document().pointer(path.trim_start_matches('#')).expect(path))
}

/// The schema, standing alone.
fn expanded(schema: &Value, closed: bool) -> Value {
    if let Some(path) = schema["$ref"].as_str() {
        return expanded(document().pointer(path.trim_start_matches('#')).expect(path), closed);
    }
    match schema {
        Value::Object(members) => {
            let members = members.iter().map(|(name, value)| (name.clone(), expanded(value, closed)));
            let mut schema: Value = members.collect::<serde_json::Map<_, _>>().into();
            if let Some(Value::Array(parts)) = schema.as_object_mut().unwrap().remove("allOf") {
                for part in parts {
                    merge(&mut schema, part);
                }
            }
            if closed && schema["properties"].is_object() {
                schema["additionalProperties"] = false.into();
            }
            schema
        }
        Value::Array(items) => items.iter().map(|item| expanded(item, closed)).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => schema.clone(),
    }
}

/// Both at once.
fn merge(schema: &mut Value, part: Value) {
    let Value::Object(part) = part else { panic!("{part}") };
    for (key, value) in part {
        match (&mut schema[&key], value) {
            (Value::Array(known), Value::Array(more)) => known.extend(more),
            (Value::Object(known), Value::Object(more)) => {
                for (name, value) in more {
                    let both = known.remove(&name).map_or(value.clone(), |known| json!({ "allOf": [known, value] }));
                    known.insert(name, both);
                }
            }
            (known, value) => *known = value,
        }
    }
}

/// Fails unless the schema of that place allows the value.
#[track_caller]
fn assert_valid(place: &str, schema: &Value, closed: bool, value: &Value) {
    static VALIDATORS: LazyLock<Mutex<HashMap<String, Arc<Validator>>>> = LazyLock::new(Mutex::default);
    let mut validators = VALIDATORS.lock().unwrap();
    let validator = validators.entry(place.to_owned()).or_insert_with(|| Arc::new(validator(schema, closed)));
    let validator = Arc::clone(validator);
    drop(validators);
    let problems: Vec<String> =
        validator.iter_errors(value).map(|problem| format!("{}: {problem}", problem.instance_path())).collect();
    assert!(problems.is_empty(), "{place} is not as the document says: {problems:?}\n{value:#}");
}

/// For a schema of the document. `closed`: an object may have no members but those that it names, and formats count. Clients must
/// let other members pass, which newer versions have; this version has none that it does not describe.
pub(crate) fn validator(schema: &Value, closed: bool) -> Validator {
    jsonschema::draft202012::options().should_validate_formats(closed).build(&expanded(schema, closed)).unwrap()
}
