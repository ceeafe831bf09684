//! A folder as a mail server, for development: each mail becomes a file that mail programs open.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use super::Undelivered;

/// Puts a mail into the folder as `name.eml`. Whoever looks finds it whole; a second attempt takes the place of the first.
pub(super) async fn put(folder: &Path, name: &str, mail: Vec<u8>) -> Result<(), Undelivered> {
    let (folder, path, half) = (folder.to_owned(), folder.join(format!("{name}.eml")), folder.join(format!(".{name}")));
    let write = move || {
        fs::create_dir_all(&folder)?;
        // For its owner alone: it may hold a token.
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&half)?;
        file.write_all(&mail)?;
        fs::rename(&half, &path)
    };
    let written = tokio::task::spawn_blocking(write).await.unwrap_or_else(|join| Err(io::Error::other(join)));
    written.map_err(|error| Undelivered::Later("the mail cannot be written to its folder", error.into()))
}
