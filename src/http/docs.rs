//! The document of the API, and a page that shows it: Swagger UI, of which nothing comes from anywhere else.

use std::borrow::Cow;
use std::sync::{Arc, LazyLock};

use actix_web::http::header::{
    CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, ETAG, HeaderName, HeaderValue, IF_NONE_MATCH,
};
use actix_web::{HttpRequest, HttpResponse, web};
use aws_lc_rs::digest::{SHA256, digest};
use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine as _};
use utoipa::ToSchema;
use utoipa_swagger_ui::Config;

use super::error::{ApiError, Code};
use super::openapi;

/// Where the API's answers forbid everything, the page may load its own files and call its own origin. Swagger UI needs no inline
/// script or style, and pictures in its style sheet; it makes markup of text, so it knows no Trusted Types.
const OF_PAGES: [(HeaderName, &str); 2] = [
    (
        CONTENT_SECURITY_POLICY,
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; base-uri 'none'; \
         form-action 'none'; frame-ancestors 'none'",
    ),
    // No page that opened this one, or was opened by it, gets hold of its window.
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
];

/// Something that is the same for everybody until another version is installed.
struct File {
    name: &'static str,
    media_type: &'static str,
    is_gzip: bool,
    bytes: web::Bytes,
    etag: String,
}

impl File {
    fn new(name: &'static str, media_type: &'static str, is_gzip: bool, bytes: impl Into<web::Bytes>) -> Self {
        let bytes = bytes.into();
        let etag = format!("\"{}\"", BASE64_URL_SAFE_NO_PAD.encode(digest(&SHA256, &bytes)));
        Self { name, media_type, is_gzip, bytes, etag }
    }

    /// A file of Swagger UI; empty if that has none of this name.
    fn of_viewer(name: &'static str, media_type: &'static str) -> Self {
        let file = utoipa_swagger_ui::serve(name, Arc::new(Config::default())).ok().flatten();
        let (is_gzip, bytes) = file.map(|file| (file.gzpipped, file.bytes)).unwrap_or_default();
        let bytes = match bytes {
            Cow::Borrowed(bytes) => web::Bytes::from_static(bytes),
            Cow::Owned(bytes) => bytes.into(),
        };
        Self::new(name, media_type, is_gzip, bytes)
    }

    /// The file, or word that the asker's copy is still good.
    fn answer(&self, request: &HttpRequest) -> HttpResponse {
        let is_known = request.headers().get_all(IF_NONE_MATCH).any(|tags| names(tags, &self.etag));
        let mut answer = if is_known { HttpResponse::NotModified() } else { HttpResponse::Ok() };
        // Kept, but asked about each time: a new version is seen at once.
        answer.insert_header((ETAG, self.etag.as_str())).insert_header((CACHE_CONTROL, "no-cache"));
        if is_known {
            return answer.finish();
        }
        if self.is_gzip {
            // Compressed when this was built; every browser reads it.
            answer.insert_header((CONTENT_ENCODING, "gzip"));
        }
        answer.content_type(self.media_type).body(self.bytes.clone())
    }
}

static DOCUMENT: LazyLock<File> =
    LazyLock::new(|| File::new("openapi.json", "application/json", false, openapi::document().to_string()));

/// Compiled in, so that a binary is all there is to install.
static PAGE: LazyLock<[File; 5]> = LazyLock::new(|| {
    [
        File::new("", "text/html; charset=utf-8", false, include_str!("docs/index.html")),
        File::new("start.js", "text/javascript; charset=utf-8", false, include_str!("docs/start.js")),
        File::of_viewer("swagger-ui-bundle.js", "text/javascript; charset=utf-8"),
        File::of_viewer("swagger-ui.css", "text/css; charset=utf-8"),
        File::of_viewer("favicon-32x32.png", "image/png"),
    ]
});

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
    let mut answer = file.answer(request);
    for (name, value) in OF_PAGES {
        answer.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    Ok(answer)
}

/// Whether an `If-None-Match` names a tag (RFC 9110 section 13.1.2).
fn names(tags: &HeaderValue, etag: &str) -> bool {
    let same = |tag: &str| tag == "*" || tag.trim_start_matches("W/") == etag;
    tags.to_str().is_ok_and(|tags| tags.split(',').any(|tag| same(tag.trim())))
}
