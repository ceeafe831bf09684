//! The calls. What a handler takes says who may call it: `User` somebody signed in, `MaybeUser` anybody.

use std::pin::Pin;
use std::time::Duration;

use actix_web::dev::Payload;
use actix_web::http::header::ALLOW;
use actix_web::web::{Data, Json, JsonConfig, Path, ServiceConfig};
use actix_web::{Error, FromRequest, HttpRequest, HttpResponse, Resource, web};
use claviger_verifier::actix::{MaybeUser, User};
use claviger_verifier::{Gate, Role};
use serde_json::{Map, Value, json};
use tokio::time::timeout;
use uuid::Uuid;

use crate::documents::{Document, Documents, Found};
use crate::problems::{FieldProblem, Problem};

const MOST_TITLE_CHARACTERS: usize = 200;
const MOST_TEXT_BYTES: usize = 64 * 1024;
/// Room for the longest text when JSON writes each of its bytes with six.
const MOST_BODY_BYTES: usize = 6 * MOST_TEXT_BYTES + 16 * 1024;
/// How long a body may take.
const BODY_LIMIT: Duration = Duration::from_secs(5);

pub(crate) fn routes(config: &mut ServiceConfig) {
    let json = JsonConfig::default().limit(MOST_BODY_BYTES).error_handler(|error, _| Problem::from(error).into());
    config
        .app_data(json)
        .service(resource("/health", "GET").get(health))
        .service(resource("/documents", "GET, POST").get(list).post(process))
        .service(resource("/documents/{id}", "GET, DELETE").get(show).delete(delete));
}

/// A path that says which methods it has to who uses another.
fn resource(path: &str, methods: &'static str) -> Resource {
    let other = move || std::future::ready(HttpResponse::MethodNotAllowed().insert_header((ALLOW, methods)).finish());
    web::resource(path).default_service(web::to(other))
}

/// Up, whether the service is or not. The age is in seconds, and null before the first list of revocations.
async fn health(gate: Data<Gate>) -> HttpResponse {
    HttpResponse::Ok().json(json!({ "status": "ok", "revocations_age": gate.age().map(|age| age.as_secs()) }))
}

/// What is to be looked at, with every rule kept.
struct Submission {
    title: String,
    text: String,
}

impl Submission {
    /// Of an object, as `Json<Submission>` would take a list of two texts too. Unknown fields are ignored.
    fn parse(mut body: Map<String, Value>) -> Result<Self, Problem> {
        let mut problems = Vec::new();
        let mut text = |field: &'static str| match body.remove(field) {
            Some(Value::String(text)) if !text.trim().is_empty() => text,
            Some(Value::String(_) | Value::Null) | None => {
                problems.push(FieldProblem::new(field, "required", "must not be empty"));
                String::new()
            }
            Some(Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_)) => {
                problems.push(FieldProblem::new(field, "invalid_type", "must be a text"));
                String::new()
            }
        };
        let (title, text) = (text("title").trim().to_owned(), text("text"));
        if title.chars().count() > MOST_TITLE_CHARACTERS {
            problems.push(FieldProblem::new("title", "too_long", "must have at most 200 characters"));
        }
        if title.chars().any(char::is_control) {
            problems.push(FieldProblem::new("title", "invalid_text", "must be one line of text"));
        }
        if text.len() > MOST_TEXT_BYTES {
            problems.push(FieldProblem::new("text", "too_long", "must have at most 64 KiB in UTF-8"));
        }
        if problems.is_empty() { Ok(Self { title, text }) } else { Err(Problem::Fields(problems)) }
    }
}

/// Whoever is slower keeps a connection and its memory.
impl FromRequest for Submission {
    type Error = Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self, Error>>>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let body = timeout(BODY_LIMIT, Json::<Map<String, Value>>::from_request(request, payload));
        Box::pin(async { Ok(Self::parse(body.await.map_err(|_elapsed| Problem::TooSlow)??.into_inner())?) })
    }
}

/// For anybody. Who is signed in has it kept.
async fn process(user: MaybeUser, documents: Data<Documents>, submission: Submission) -> HttpResponse {
    let document = Document::of(submission.title, &submission.text);
    match user.0 {
        Some(claims) => HttpResponse::Created().json(documents.keep(claims.sub, document)),
        None => HttpResponse::Ok().json(document),
    }
}

async fn list(user: User, documents: Data<Documents>) -> HttpResponse {
    HttpResponse::Ok().json(json!({ "documents": documents.list(user.sub) }))
}

/// Its owner's, and administrators may look.
async fn show(user: User, documents: Data<Documents>, id: Path<Uuid>) -> Result<Json<Document>, Problem> {
    let Found { owner, document } = documents.find(*id).ok_or(Problem::NotFound)?;
    if owner == user.sub || user.role == Role::Admin { Ok(Json(document)) } else { Err(Problem::Forbidden) }
}

/// Its owner's alone.
async fn delete(user: User, documents: Data<Documents>, id: Path<Uuid>) -> Result<HttpResponse, Problem> {
    let Found { owner, .. } = documents.find(*id).ok_or(Problem::NotFound)?;
    if owner != user.sub {
        return Err(Problem::Forbidden);
    }
    documents.delete(*id);
    Ok(HttpResponse::NoContent().finish())
}
