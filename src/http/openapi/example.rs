//! Examples, put together from those of the fields.

use serde_json::{Map, Value, json};

use super::operation::Schemas;

/// Some id, of version 7.
pub(super) const ID: &str = "0199a1b2-c3d4-7e8f-90a1-b2c3d4e5f607";
const TIME: &str = "2026-01-31T12:00:00Z";

/// Something that the schema allows: the example that it has, or else what its parts have.
pub(super) fn of(schema: &Value, schemas: &Schemas) -> Value {
    if let Some(example) = schema.get("example").or_else(|| schema.get("examples")?.get(0)) {
        return example.clone();
    }
    if let Some(path) = schema.get("$ref").and_then(Value::as_str) {
        let name = path.rsplit('/').next().unwrap_or_default();
        return schemas.get(name).map_or(Value::Null, |schema| of(schema, schemas));
    }
    if let Some(names) = schema.get("enum").and_then(Value::as_array) {
        return names.first().cloned().unwrap_or_default();
    }
    if let Some(parts) = schema.get("allOf").and_then(Value::as_array) {
        let parts = parts.iter().map(|part| of(part, schemas));
        let fields = parts.filter_map(|part| if let Value::Object(fields) = part { Some(fields) } else { None });
        return Value::Object(fields.flatten().collect());
    }
    if let Some(choices) = ["oneOf", "anyOf"].iter().find_map(|key| schema.get(key)?.as_array()) {
        let choice = choices.iter().find(|choice| choice.get("type") != Some(&json!("null")));
        return choice.map_or(Value::Null, |choice| of(choice, schemas));
    }
    if let Some(fields) = schema.get("properties").and_then(Value::as_object) {
        let fields: Map<String, Value> =
            fields.iter().map(|(name, field)| (name.clone(), of(field, schemas))).collect();
        return Value::Object(fields);
    }
    if let Some(items) = schema.get("items") {
        return json!([of(items, schemas)]);
    }
    match (schema.get("format").and_then(Value::as_str), kind(schema)) {
        (Some("uuid"), _) => ID.into(),
        (Some("date-time"), _) => TIME.into(),
        (Some("date"), _) => TIME.split('T').next().into(),
        (_, Some("boolean")) => true.into(),
        (_, Some("integer")) => 1.into(),
        (_, Some("string")) => "text".into(),
        (_, _) => json!({}),
    }
}

/// The type that is not null.
fn kind(schema: &Value) -> Option<&str> {
    let kind = schema.get("type")?;
    let first = || kind.as_array()?.iter().filter_map(Value::as_str).find(|kind| *kind != "null");
    kind.as_str().or_else(first)
}
