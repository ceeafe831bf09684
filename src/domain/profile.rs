//! Profiles: the application's own fields of a user.

use std::sync::Arc;

use jsonschema::{PatternOptions, ValidationError, Validator};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

use super::field::FieldError;

/// What becomes of a field by a merge patch (RFC 7396).
#[derive(Debug, Default)]
pub enum Change<T> {
    /// It was not named.
    #[default]
    None,
    /// It was null.
    Removed,
    /// This.
    To(T),
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Change<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Option::deserialize(deserializer)?.map_or(Self::Removed, Self::To))
    }
}

/// The application's own fields of a user: a JSON object of at most 8 KiB.
#[derive(Debug, Clone, PartialEq)]
pub struct Profile(Value);

const MAX_PROFILE_BYTES: usize = 8 * 1024;

impl Profile {
    /// Checks an object from a request.
    ///
    /// # Errors
    /// `invalid_type` for anything but an object, `too_large` above 8 KiB of compact JSON, `invalid_text` for a NUL
    /// character, which Postgres cannot store; `invalid_value` for each place that the schema does not allow.
    pub fn parse(value: Value, schema: Option<&ProfileSchema>) -> Result<Self, Vec<FieldError>> {
        let broken = |code, message| Err(vec![FieldError::new("profile", code, message)]);
        if !value.is_object() {
            return broken("invalid_type", "must be an object");
        }
        if value.to_string().len() > MAX_PROFILE_BYTES {
            return broken("too_large", "must be at most 8192 bytes of JSON");
        }
        if has_nul(&value) {
            return broken("invalid_text", "must not contain the character U+0000");
        }
        let problems = schema.map(|schema| schema.problems(&value)).unwrap_or_default();
        if problems.is_empty() { Ok(Self(value)) } else { Err(problems) }
    }

    /// What a stored object becomes by a merge patch (RFC 7396).
    ///
    /// # Errors
    /// As [`Profile::parse`], of the outcome.
    pub fn changed(mut stored: Value, patch: Value, schema: Option<&ProfileSchema>) -> Result<Self, Vec<FieldError>> {
        merge(&mut stored, patch);
        Self::parse(stored, schema)
    }

    /// The object.
    #[must_use]
    pub fn into_json(self) -> Value {
        self.0
    }
}

/// What an operator allows in profiles: a JSON Schema.
#[derive(Debug, Clone)]
pub struct ProfileSchema(Arc<Validator>);

/// As many places as a person wants to hear of at once.
const MAX_PROBLEMS: usize = 20;

impl ProfileSchema {
    /// Reads a schema, of any draft since 4. It must stand alone: nothing is fetched.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub fn parse(text: &str) -> Result<Self, String> {
        // Editors on Windows write a byte order mark (RFC 8259 section 8.1).
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let schema: Value = serde_json::from_str(text).map_err(|error| format!("is not JSON: {error}"))?;
        // Patterns in linear time: what they are tried on comes from strangers.
        let options = jsonschema::options().with_pattern_options(PatternOptions::regex());
        let validator = options.build(&schema).map_err(|error| format!("is no JSON Schema: {error}"))?;
        Ok(Self(Arc::new(validator)))
    }

    fn problems(&self, profile: &Value) -> Vec<FieldError> {
        let errors = self.0.iter_errors(profile).take(MAX_PROBLEMS);
        let problem = |error: ValidationError<'_>| {
            let place = error.instance_path().to_string().replace('/', ".");
            FieldError::new(format!("profile{place}"), "invalid_value", error.masked().to_string())
        };
        let mut problems: Vec<FieldError> = errors.map(problem).collect();
        problems.sort_by(|a, b| a.field.cmp(&b.field));
        problems
    }
}

fn merge(target: &mut Value, patch: Value) {
    let Value::Object(patch) = patch else {
        *target = patch;
        return;
    };
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    let Some(fields) = target.as_object_mut() else { return };
    for (name, value) in patch {
        if value.is_null() {
            fields.remove(&name);
        } else {
            merge(fields.entry(name).or_insert(Value::Null), value);
        }
    }
}

fn has_nul(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
        Value::String(text) => text.contains('\0'),
        Value::Array(items) => items.iter().any(has_nul),
        Value::Object(fields) => fields.iter().any(|(name, value)| name.contains('\0') || has_nul(value)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_profile_is_an_object_of_at_most_8_kib_without_nul() {
        let parse = |value| Profile::parse(value, None);
        let sized = |n: usize| json!({ "a": "x".repeat(n) });
        assert!(parse(sized(8192 - 8)).is_ok());
        assert_eq!(parse(sized(8192 - 7)).unwrap_err()[0].code, "too_large");
        assert_eq!(parse(json!([1])).unwrap_err()[0].code, "invalid_type");
        assert_eq!(parse(json!({"a": [{"b\0": 1}]})).unwrap_err()[0].code, "invalid_text");
        assert_eq!(parse(json!({"a": {"b": "\0"}})).unwrap_err()[0].code, "invalid_text");
    }
    #[test]
    fn a_profile_changes_as_the_examples_of_rfc_7396_do() {
        let change = |stored: Value, patch: Value| Profile::changed(stored, patch, None).map(Profile::into_json);
        for (stored, patch, becomes) in [
            (json!({"a": "b"}), json!({"a": "c"}), json!({"a": "c"})),
            (json!({"a": "b"}), json!({"b": "c"}), json!({"a": "b", "b": "c"})),
            (json!({"a": "b"}), json!({"a": null}), json!({})),
            (json!({"a": "b", "b": "c"}), json!({"a": null}), json!({"b": "c"})),
            (json!({"a": ["b"]}), json!({"a": "c"}), json!({"a": "c"})),
            (json!({"a": "c"}), json!({"a": ["b"]}), json!({"a": ["b"]})),
            (json!({"a": {"b": "c"}}), json!({"a": {"b": "d", "c": null}}), json!({"a": {"b": "d"}})),
            (json!({"a": [{"b": "c"}]}), json!({"a": [1]}), json!({"a": [1]})),
            (json!({"e": null}), json!({"a": 1}), json!({"e": null, "a": 1})),
            (json!({}), json!({"a": {"bb": {"ccc": null}}}), json!({"a": {"bb": {}}})),
        ] {
            assert_eq!(change(stored, patch), Ok(becomes));
        }
        for none in [json!("bar"), json!(null), json!(["c"])] {
            assert_eq!(change(json!({"a": "foo"}), none).unwrap_err()[0].code, "invalid_type");
        }
        assert_eq!(
            change(json!({"a": "x".repeat(5000)}), json!({"b": "x".repeat(5000)})).unwrap_err()[0].code,
            "too_large"
        );
    }

    #[test]
    fn a_schema_says_where_and_why_without_the_value() {
        let schema = r#"{"type": "object", "required": ["goal"], "additionalProperties": false, "properties": {
            "goal": {"type": "string", "maxLength": 5}, "level": {"enum": [1, 2]}, "tags": {"items": {"type": "string"}}}}"#;
        let schema = ProfileSchema::parse(schema).unwrap();
        let broken = |value| {
            let problems = Profile::parse(value, Some(&schema)).unwrap_err();
            assert!(
                problems.iter().all(|problem| problem.code == "invalid_value" && !problem.message.contains("hunter2"))
            );
            problems.into_iter().map(|problem| problem.field.into_owned()).collect::<Vec<_>>()
        };
        assert!(Profile::parse(json!({"goal": "rust", "level": 2}), Some(&schema)).is_ok());
        assert_eq!(broken(json!({})), ["profile"]);
        assert_eq!(broken(json!({"goal": "hunter2", "tags": ["a", 7]})), ["profile.goal", "profile.tags.1"]);
        assert_eq!(broken(json!({"goal": "a", "level": "hunter2", "more": 1})), ["profile", "profile.level"]);
    }

    #[test]
    fn a_schema_that_is_none_is_told_and_nothing_is_fetched() {
        for (schema, why) in [
            ("{", "is not JSON"),
            (r#"{"type": "thing"}"#, "is no JSON Schema"),
            (r#"{"$ref": "https://example.com/schema.json"}"#, "is no JSON Schema"),
            (r#"{"$ref": "file:///etc/passwd"}"#, "is no JSON Schema"),
        ] {
            let told = ProfileSchema::parse(schema).unwrap_err();
            assert!(told.starts_with(why), "{schema}: {told}");
        }
    }
}
