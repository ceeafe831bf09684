//! The console: a page to look at, on which people sign up and in and see what is theirs. It calls the API by `clients/web`, as
//! any page would, and can do nothing that the API does not let it. Here its files are served; they know the rest.

use std::sync::LazyLock;

use super::file::{CSS, File, HTML, JAVASCRIPT};

/// The page may load its own files and call its own origin. It has no inline script or style, sends no form by itself, and
/// browsers that know Trusted Types refuse to make markup or script of text.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; \
                      trusted-types 'none'";

/// All that the page consists of.
pub(super) static FILES: LazyLock<[File; 20]> = LazyLock::new(|| {
    [
        File::new("/", HTML, include_str!("console/index.html")),
        File::new("/console/console.css", CSS, include_str!("console/console.css")),
        File::new("/console/icon.svg", "image/svg+xml", include_str!("console/icon.svg")),
        File::new("/console/console.js", JAVASCRIPT, include_str!("console/console.js")),
        File::new("/console/account.js", JAVASCRIPT, include_str!("console/account.js")),
        File::new("/console/events.js", JAVASCRIPT, include_str!("console/events.js")),
        File::new("/console/form.js", JAVASCRIPT, include_str!("console/form.js")),
        File::new("/console/service.js", JAVASCRIPT, include_str!("console/service.js")),
        File::new("/console/sessions.js", JAVASCRIPT, include_str!("console/sessions.js")),
        File::new("/console/token.js", JAVASCRIPT, include_str!("console/token.js")),
        File::new("/console/words.js", JAVASCRIPT, include_str!("console/words.js")),
        File::new("/console/claviger/claviger.js", JAVASCRIPT, include_str!("../../clients/web/src/claviger.js")),
        File::new("/console/claviger/access.js", JAVASCRIPT, include_str!("../../clients/web/src/access.js")),
        File::new("/console/claviger/answer.js", JAVASCRIPT, include_str!("../../clients/web/src/answer.js")),
        File::new("/console/claviger/device.js", JAVASCRIPT, include_str!("../../clients/web/src/device.js")),
        File::new("/console/claviger/fetch.js", JAVASCRIPT, include_str!("../../clients/web/src/fetch.js")),
        File::new("/console/claviger/session.js", JAVASCRIPT, include_str!("../../clients/web/src/session.js")),
        File::new("/console/claviger/state.js", JAVASCRIPT, include_str!("../../clients/web/src/state.js")),
        File::new("/console/claviger/storage.js", JAVASCRIPT, include_str!("../../clients/web/src/storage.js")),
        File::new("/console/claviger/turns.js", JAVASCRIPT, include_str!("../../clients/web/src/turns.js")),
    ]
    .map(|file| file.with_policy(POLICY))
});
