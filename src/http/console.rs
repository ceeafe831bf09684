//! The console: a page to look at, on which people sign up and in and see what is theirs. It calls the API by `clients/web`, as
//! any page would, and can do nothing that the API does not let it. Here its files are served; they know the rest.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use actix_web::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, ETAG, HeaderName, HeaderValue, IF_NONE_MATCH};
use actix_web::{HttpRequest, HttpResponse};

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const JAVASCRIPT: &str = "text/javascript; charset=utf-8";
const SVG: &str = "image/svg+xml";

/// Where the API's answers forbid everything, the page may load its own files and call its own origin. It has no inline
/// script or style, sends no form by itself, and browsers that know Trusted Types refuse to make markup or script of text.
const HEADERS: [(HeaderName, &str); 3] = [
    (
        CONTENT_SECURITY_POLICY,
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; \
         form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'",
    ),
    // Kept, but asked about each time: a new version is seen at once.
    (CACHE_CONTROL, "no-cache"),
    // No page that opened this one, or was opened by it, gets hold of its window.
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
];

/// A file of the console.
#[derive(Clone, Copy)]
pub(super) struct File {
    /// Where it is served.
    pub(super) path: &'static str,
    media_type: &'static str,
    text: &'static str,
}

/// Compiled in, so that a binary is all there is to install.
pub(super) const FILES: [File; 20] = [
    file("/", HTML, include_str!("console/index.html")),
    file("/console/console.css", CSS, include_str!("console/console.css")),
    file("/console/icon.svg", SVG, include_str!("console/icon.svg")),
    file("/console/console.js", JAVASCRIPT, include_str!("console/console.js")),
    file("/console/account.js", JAVASCRIPT, include_str!("console/account.js")),
    file("/console/events.js", JAVASCRIPT, include_str!("console/events.js")),
    file("/console/form.js", JAVASCRIPT, include_str!("console/form.js")),
    file("/console/service.js", JAVASCRIPT, include_str!("console/service.js")),
    file("/console/sessions.js", JAVASCRIPT, include_str!("console/sessions.js")),
    file("/console/token.js", JAVASCRIPT, include_str!("console/token.js")),
    file("/console/words.js", JAVASCRIPT, include_str!("console/words.js")),
    file("/console/claviger/claviger.js", JAVASCRIPT, include_str!("../../clients/web/src/claviger.js")),
    file("/console/claviger/access.js", JAVASCRIPT, include_str!("../../clients/web/src/access.js")),
    file("/console/claviger/answer.js", JAVASCRIPT, include_str!("../../clients/web/src/answer.js")),
    file("/console/claviger/device.js", JAVASCRIPT, include_str!("../../clients/web/src/device.js")),
    file("/console/claviger/fetch.js", JAVASCRIPT, include_str!("../../clients/web/src/fetch.js")),
    file("/console/claviger/session.js", JAVASCRIPT, include_str!("../../clients/web/src/session.js")),
    file("/console/claviger/state.js", JAVASCRIPT, include_str!("../../clients/web/src/state.js")),
    file("/console/claviger/storage.js", JAVASCRIPT, include_str!("../../clients/web/src/storage.js")),
    file("/console/claviger/turns.js", JAVASCRIPT, include_str!("../../clients/web/src/turns.js")),
];

const fn file(path: &'static str, media_type: &'static str, text: &'static str) -> File {
    File { path, media_type, text }
}

impl File {
    /// The file, or word that the asker's copy is still good.
    pub(super) fn answer(self, request: &HttpRequest) -> HttpResponse {
        let tag = self.tag();
        let known = request.headers().get_all(IF_NONE_MATCH).filter_map(|tags| tags.to_str().ok());
        let is_known = known.into_iter().any(|tags| tags.contains(&tag));
        let mut answer = if is_known { HttpResponse::NotModified() } else { HttpResponse::Ok() };
        for (name, value) in HEADERS {
            answer.insert_header((name, HeaderValue::from_static(value)));
        }
        answer.insert_header((ETAG, tag));
        if is_known { answer.finish() } else { answer.content_type(self.media_type).body(self.text) }
    }

    /// The same for the same text, in every process of one build.
    fn tag(self) -> String {
        let mut hasher = DefaultHasher::new();
        self.text.hash(&mut hasher);
        format!("\"{:016x}\"", hasher.finish())
    }
}
