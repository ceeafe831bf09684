//! One call, as the document has it.

use std::collections::BTreeMap;

use actix_web::http::{Method, StatusCode};
use serde_json::{Value, json};
use utoipa::openapi::RefOr;
use utoipa::openapi::path::ParameterIn;
use utoipa::openapi::schema::Schema;
use utoipa::{IntoParams, ToSchema};

use super::arguments::Arguments;
use super::headers::{self, Caching};
use super::tags::Tag;
use super::{example, reference};
use crate::http::error::Code;

/// Named schemas.
pub(super) type Schemas = BTreeMap<String, Value>;

/// A call: what its handler's arguments say of it, and the words that go with it.
pub(in crate::http) struct Operation {
    tag: Tag,
    id: &'static str,
    summary: &'static str,
    description: &'static str,
    pub(super) security: Vec<Value>,
    parameters: Vec<Value>,
    /// The body's schema and media types.
    body: Option<(String, &'static [&'static str])>,
    answers: BTreeMap<u16, Answer>,
    /// The codes of its errors.
    pub(super) refusals: Vec<Code>,
    /// Headers that its errors may have besides.
    pub(super) refusal_headers: Vec<&'static str>,
    /// What its schemas refer to.
    pub(super) schemas: Schemas,
}

/// An answer that is no error.
struct Answer {
    description: &'static str,
    /// Its media type and schema.
    content: Option<(&'static str, Value)>,
    headers: Vec<&'static str>,
    caching: Caching,
}

impl Operation {
    /// What a handler's arguments say.
    pub(in crate::http) fn of<A: Arguments>() -> Self {
        let mut operation = Self {
            tag: Tag::Service,
            id: "",
            summary: "",
            description: "",
            security: Vec::new(),
            parameters: Vec::new(),
            body: None,
            answers: BTreeMap::new(),
            refusals: vec![Code::Internal],
            refusal_headers: Vec::new(),
            schemas: Schemas::new(),
        };
        A::describe(&mut operation);
        operation
    }

    /// Its group, its name in generated clients, and what it does.
    pub(super) fn named(self, tag: Tag, id: &'static str, summary: &'static str) -> Self {
        Self { tag, id, summary, ..self }
    }

    /// What a caller should know besides. Markdown.
    pub(super) fn told(self, description: &'static str) -> Self {
        Self { description, ..self }
    }

    /// It answers with a body of that type.
    pub(super) fn answers<T: ToSchema>(mut self, status: StatusCode, description: &'static str) -> Self {
        let schema = self.schema_of::<T>();
        self.answer(status, description, Some(("application/json", schema)))
    }

    /// It answers with a body of one type or the other.
    pub(super) fn answers_either<T: ToSchema, U: ToSchema>(
        mut self,
        status: StatusCode,
        description: &'static str,
    ) -> Self {
        let schema = json!({ "anyOf": [self.schema_of::<T>(), self.schema_of::<U>()] });
        self.answer(status, description, Some(("application/json", schema)))
    }

    /// It answers with nothing but the status.
    pub(super) fn answers_nothing(self, status: StatusCode, description: &'static str) -> Self {
        self.answer(status, description, None)
    }

    /// Its good answers have these headers too.
    pub(super) fn with_headers(mut self, names: &[&'static str]) -> Self {
        self.answers.values_mut().for_each(|answer| answer.headers.extend(names));
        self
    }

    /// Its good answers may be kept, if it is asked each time whether they are still so.
    pub(super) fn kept(mut self) -> Self {
        self.answers.values_mut().for_each(|answer| answer.caching = Caching::Revalidated);
        self
    }

    /// Its errors may have these headers too.
    pub(super) fn with_headers_of_errors(mut self, names: &[&'static str]) -> Self {
        self.refusal_headers.extend(names);
        self
    }

    /// It can fail with these codes, besides those that its arguments bring.
    pub(super) fn refuses(mut self, codes: &[Code]) -> Self {
        self.refuse(codes);
        self
    }

    /// It never fails with these codes, whatever its arguments say.
    pub(super) fn never_refuses(mut self, codes: &[Code]) -> Self {
        self.refusals.retain(|code| !codes.contains(code));
        self
    }

    /// Who may call, if that is not what its arguments say: one of these.
    pub(super) fn secured_by(self, security: Vec<Value>) -> Self {
        Self { security, ..self }
    }

    /// It reads a header.
    pub(super) fn reads_header(mut self, name: &str, description: &str, schema: &Value) -> Self {
        let header = json!({ "name": name, "in": "header", "description": description, "schema": schema });
        self.parameters.push(header);
        self
    }

    pub(super) fn refuse(&mut self, codes: &[Code]) {
        self.refusals.extend(codes);
    }

    pub(super) fn take_body<T: ToSchema>(&mut self, media_types: &'static [&'static str]) {
        self.schema_of::<T>();
        self.body = Some((T::name().into_owned(), media_types));
    }

    pub(super) fn take_query<Q: IntoParams>(&mut self) {
        let parameters = Q::into_params(|| Some(ParameterIn::Query));
        self.parameters.extend(parameters.iter().map(super::json));
    }

    pub(super) fn take_id(&mut self) {
        let schema = json!({ "type": "string", "format": "uuid", "example": example::ID });
        self.parameters.push(json!({ "name": "id", "in": "path", "required": true, "schema": schema }));
    }

    fn answer(mut self, status: StatusCode, description: &'static str, content: Option<(&'static str, Value)>) -> Self {
        self.answers
            .insert(status.as_u16(), Answer { description, content, headers: Vec::new(), caching: Caching::Never });
        self
    }

    /// A reference to the type's schema, which is kept with those that it refers to.
    fn schema_of<T: ToSchema>(&mut self) -> Value {
        let mut schemas: Vec<(String, RefOr<Schema>)> = vec![(T::name().into_owned(), T::schema())];
        T::schemas(&mut schemas);
        self.schemas.extend(schemas.iter().map(|(name, schema)| (name.clone(), super::json(schema))));
        reference("schemas", &T::name())
    }

    /// As JSON, with its errors, which are references.
    pub(super) fn write(&self, method: &Method, errors: BTreeMap<String, Value>, schemas: &Schemas) -> Value {
        let is_head = method == Method::HEAD;
        let answers = self.answers.iter().map(|(status, answer)| (status.to_string(), answer.write(is_head, schemas)));
        let responses: serde_json::Map<String, Value> = answers.chain(errors).collect();
        let id = if is_head { format!("{}_head", self.id) } else { self.id.to_owned() };
        let body = self.body.as_ref().map(|(name, media_types)| body(name, media_types, schemas));
        let members = [
            ("tags", Some(json!([self.tag.name()]))),
            ("operationId", Some(id.into())),
            ("summary", Some(self.summary.into())),
            ("description", (!self.description.is_empty()).then(|| self.description.into())),
            ("security", Some(self.security.clone().into())),
            ("parameters", Some(self.parameters.clone().into())),
            ("requestBody", body),
            ("responses", Some(responses.into())),
        ];
        object(members)
    }
}

impl Answer {
    fn write(&self, is_head: bool, schemas: &Schemas) -> Value {
        let headers = headers::of_answer(self.caching, self.headers.iter().copied());
        let content = self.content.as_ref().filter(|_| !is_head).map(|(media_type, schema)| {
            let example = example::of(schema, schemas);
            json!({ *media_type: { "schema": schema, "example": example } })
        });
        object([("description", Some(self.description.into())), ("headers", Some(headers)), ("content", content)])
    }
}

/// Those members that there are.
fn object<const N: usize>(members: [(&str, Option<Value>); N]) -> Value {
    let there = members.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
    Value::Object(there.collect())
}

/// A body must be there if one of its fields must.
fn body(name: &str, media_types: &[&str], schemas: &Schemas) -> Value {
    let schema = reference("schemas", name);
    let is_required = schemas.get(name).is_some_and(|schema| schema.get("required").is_some());
    let content = json!({ "schema": schema, "example": example::of(&schema, schemas) });
    let content: serde_json::Map<String, Value> =
        media_types.iter().map(|media_type| ((*media_type).to_owned(), content.clone())).collect();
    json!({ "required": is_required, "content": content })
}
