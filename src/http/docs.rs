//! The document of the API, and a page that shows it: Swagger UI, of which nothing comes from anywhere else.

use std::borrow::Cow;
use std::sync::{Arc, LazyLock};

use actix_web::web::{self, Bytes};
use actix_web::{HttpRequest, HttpResponse};
use utoipa::ToSchema;
use utoipa_swagger_ui::Config;

use super::error::{ApiError, Code};
use super::file::{CSS, File, HTML, JAVASCRIPT};
use super::openapi;

/// The page may load its own files and call its own origin. Swagger UI needs no inline script or style, and pictures in its
/// style sheet; it makes markup of text, so it knows no Trusted Types.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Written when it is first asked for.
static DOCUMENT: LazyLock<File> =
    LazyLock::new(|| File::new("openapi.json", "application/json", openapi::document().to_string()));

static PAGE: LazyLock<Vec<File>> = LazyLock::new(|| {
    let files = [
        Some(File::new("", HTML, include_str!("docs/index.html"))),
        Some(File::new("start.js", JAVASCRIPT, include_str!("docs/start.js"))),
        of_viewer("swagger-ui-bundle.js", JAVASCRIPT),
        of_viewer("swagger-ui.css", CSS),
        of_viewer("favicon-32x32.png", "image/png"),
    ];
    files.into_iter().flatten().map(|file| file.with_policy(POLICY)).collect()
});

/// A file of Swagger UI; none if the version that is compiled in has none of this name.
fn of_viewer(name: &'static str, media_type: &'static str) -> Option<File> {
    let file = utoipa_swagger_ui::serve(name, Arc::new(Config::default())).ok()??;
    let bytes = match file.bytes {
        Cow::Borrowed(bytes) => Bytes::from_static(bytes),
        Cow::Owned(bytes) => bytes.into(),
    };
    Some(File::new(name, media_type, bytes).compressed(file.gzpipped))
}

/// What is at `/openapi.json`.
#[derive(ToSchema)]
#[schema(as = Document)]
#[expect(dead_code, reason = "for the document, which has these members")]
pub(super) struct DocumentBody {
    #[schema(pattern = "^3\\.1\\.", example = "3.1.0")]
    openapi: String,
    #[schema(value_type = Object)]
    info: (),
    #[schema(value_type = Vec<Object>)]
    servers: (),
    #[schema(value_type = Vec<Object>)]
    tags: (),
    #[schema(value_type = Object)]
    paths: (),
    #[schema(value_type = Object)]
    components: (),
}

pub(super) async fn document(request: HttpRequest) -> HttpResponse {
    DOCUMENT.answer(&request)
}

pub(super) async fn page(request: HttpRequest) -> Result<HttpResponse, ApiError> {
    find("", &request)
}

pub(super) async fn file(request: HttpRequest, name: web::Path<String>) -> Result<HttpResponse, ApiError> {
    find(&name, &request)
}

fn find(name: &str, request: &HttpRequest) -> Result<HttpResponse, ApiError> {
    let file = PAGE.iter().find(|file| file.name == name).ok_or(ApiError::of(Code::NotFound))?;
    Ok(file.answer(request))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_swagger_ui_does_not_have_is_not_there_rather_than_empty() {
        assert!(of_viewer("made-up.js", JAVASCRIPT).is_none());
        let names: Vec<&str> = PAGE.iter().map(|file| file.name).collect();
        assert_eq!(names, ["", "start.js", "swagger-ui-bundle.js", "swagger-ui.css", "favicon-32x32.png"]);
    }
}
