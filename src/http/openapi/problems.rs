//! Errors: for each set of codes one answer, made by the code that makes real ones.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use utoipa::{PartialSchema as _, ToSchema as _};

use super::example::ID;
use super::headers::{self, Caching};
use super::operation::Schemas;
use super::reference;
use crate::http::error::{ApiError, Code, PROBLEM, Problem};

/// The answers that calls refer to, by their names.
#[derive(Default)]
pub(super) struct Problems(Map<String, Value>);

impl Problems {
    /// References to the answers for these codes, by status.
    pub(super) fn of(&mut self, codes: &[Code], other_headers: &[&'static str]) -> BTreeMap<String, Value> {
        let mut statuses = BTreeMap::<u16, Vec<Code>>::new();
        for code in Code::ALL.into_iter().filter(|code| codes.contains(code)) {
            statuses.entry(code.describe().1.as_u16()).or_default().push(code);
        }
        let answers = statuses.into_iter().map(|(status, codes)| {
            let others = if status == 401 { other_headers } else { &[] };
            (status.to_string(), self.answer(&codes, others))
        });
        answers.collect()
    }

    fn answer(&mut self, codes: &[Code], other_headers: &[&'static str]) -> Value {
        let names: Vec<&str> = codes.iter().map(|code| code.describe().0).collect();
        let name = [&[&*names.join("-or-")], other_headers].concat().join("-with-");
        let written = || answer(codes, &names, other_headers);
        self.0.entry(name.clone()).or_insert_with(written);
        reference("responses", &name)
    }

    /// With those that no call has: errors of what is no call.
    pub(super) fn write(mut self) -> Value {
        self.answer(&[Code::MethodNotAllowed], &["Allow"]);
        self.0.into()
    }
}

fn answer(codes: &[Code], names: &[&str], other_headers: &[&'static str]) -> Value {
    let errors: Vec<ApiError> = codes.iter().map(|code| ApiError::example(*code)).collect();
    let titles: Vec<String> =
        codes.iter().map(|code| code.describe()).map(|(name, _, title)| format!("`{name}`: {title}.")).collect();
    let own_headers = errors.iter().filter_map(|error| headers::spelled(error.header()?.0.as_str()));
    let schema =
        json!({ "allOf": [reference("schemas", &Problem::name()), { "properties": { "code": { "enum": names } } }] });
    let examples: Map<String, Value> =
        names.iter().map(|name| ((*name).to_owned(), reference("examples", name))).collect();
    json!({
        "description": titles.join("\n\n"),
        "headers": headers::of_answer(Caching::Never, own_headers.chain(other_headers.iter().copied())),
        "content": { PROBLEM: { "schema": schema, "examples": examples } },
    })
}

/// A document for each code.
pub(super) fn examples() -> Value {
    let example = |code: Code| {
        let value = super::json(&ApiError::example(code).problem(ID));
        (code.describe().0.to_owned(), json!({ "summary": code.describe().2, "value": value }))
    };
    Code::ALL.into_iter().map(example).collect::<Map<_, _>>().into()
}

/// The schema of every error, and what it refers to.
pub(super) fn schemas() -> Schemas {
    let mut schemas = vec![(Problem::name().into_owned(), Problem::schema())];
    Problem::schemas(&mut schemas);
    schemas.iter().map(|(name, schema)| (name.clone(), super::json(schema))).collect()
}
