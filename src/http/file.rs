//! Files that are compiled in, so that a binary is all there is to install, and served as they are.

use actix_web::http::header::{
    CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, ETAG, HeaderName, HeaderValue, IF_NONE_MATCH,
};
use actix_web::web::Bytes;
use actix_web::{HttpRequest, HttpResponse};
use aws_lc_rs::digest::{SHA256, digest};
use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine as _};

pub(super) const HTML: &str = "text/html; charset=utf-8";
pub(super) const CSS: &str = "text/css; charset=utf-8";
pub(super) const JAVASCRIPT: &str = "text/javascript; charset=utf-8";

/// No page that opened this one, or was opened by it, gets hold of its window.
const OPENER_POLICY: HeaderName = HeaderName::from_static("cross-origin-opener-policy");

/// Something that is the same for everybody until another version is installed.
pub(super) struct File {
    /// Where it is, or its name in its folder.
    pub(super) name: &'static str,
    media_type: &'static str,
    bytes: Bytes,
    etag: String,
    is_gzip: bool,
    policy: Option<&'static str>,
}

impl File {
    pub(super) fn new(name: &'static str, media_type: &'static str, bytes: impl Into<Bytes>) -> Self {
        let bytes = bytes.into();
        let etag = format!("\"{}\"", BASE64_URL_SAFE_NO_PAD.encode(digest(&SHA256, &bytes)));
        Self { name, media_type, bytes, etag, is_gzip: false, policy: None }
    }

    /// Where the API's answers forbid everything: what a page may do that this is, or is part of.
    pub(super) fn with_policy(self, policy: &'static str) -> Self {
        Self { policy: Some(policy), ..self }
    }

    /// It was compressed when this was built; every browser reads that.
    pub(super) fn compressed(self, is_gzip: bool) -> Self {
        Self { is_gzip, ..self }
    }

    /// The file, or word that the asker's copy is still good.
    pub(super) fn answer(&self, request: &HttpRequest) -> HttpResponse {
        let is_known = request.headers().get_all(IF_NONE_MATCH).any(|tags| names(tags, &self.etag));
        let mut answer = if is_known { HttpResponse::NotModified() } else { HttpResponse::Ok() };
        // Kept, but asked about each time: a new version is seen at once.
        answer.insert_header((ETAG, self.etag.as_str())).insert_header((CACHE_CONTROL, "no-cache"));
        if let Some(policy) = self.policy {
            answer.insert_header((CONTENT_SECURITY_POLICY, policy)).insert_header((OPENER_POLICY, "same-origin"));
        }
        if is_known {
            return answer.finish();
        }
        if self.is_gzip {
            answer.insert_header((CONTENT_ENCODING, "gzip"));
        }
        answer.content_type(self.media_type).body(self.bytes.clone())
    }
}

/// Whether an `If-None-Match` names a tag (RFC 9110 section 13.1.2).
fn names(tags: &HeaderValue, etag: &str) -> bool {
    let same = |tag: &str| tag == "*" || tag.trim_start_matches("W/") == etag;
    tags.to_str().is_ok_and(|tags| tags.split(',').any(|tag| same(tag.trim())))
}
