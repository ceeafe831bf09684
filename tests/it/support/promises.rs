//! The headers that every answer to a readable request promises (docs/api.md).

/// Fails unless the answer to `place` has each of them. `header` gives a header's value.
#[track_caller]
pub(crate) fn assert_kept<'a>(place: &str, header: impl Fn(&str) -> Option<&'a str>) {
    let text = |name: &str| header(name).unwrap_or_default();
    let id = text("x-request-id");
    let is_id_byte = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
    assert!((1..=64).contains(&id.len()) && id.bytes().all(is_id_byte), "{place}: x-request-id is {id:?}");
    assert_eq!(text("x-content-type-options"), "nosniff", "{place}");
    assert_eq!(text("referrer-policy"), "no-referrer", "{place}");
    let policy = text("content-security-policy");
    assert!(policy.starts_with("default-src 'none'") && policy.contains("frame-ancestors 'none'"), "{place}: {policy}");
    match text("cache-control") {
        "no-store" => {}
        // The document, and files of pages: their bearer asks each time whether they are still so.
        "no-cache" => assert!(!text("etag").is_empty(), "{place} may be kept without an ETag"),
        other => panic!("{place}: cache-control is {other:?}"),
    }
}
