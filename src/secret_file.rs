//! Secrets on disk: made once, whole, readable by their owner alone.

use std::fs::{self, OpenOptions};
use std::io::{Error, ErrorKind, Result, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, chown};
use std::path::Path;

use crate::domain::secret::Secret;

/// The secret in a file; none if there is no file, or an empty one.
///
/// # Errors
/// When the file cannot be read.
pub fn read(path: &Path) -> Result<Option<String>> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text.trim().to_owned()).filter(|text| !text.is_empty())),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Puts a new secret into a file with mode 600, for the account `owner` if it is given.
///
/// # Errors
/// When the file cannot be written; there is then none, or the old one.
pub fn write(path: &Path, owner: Option<u32>) -> Result<String> {
    let text = Secret::generate().map_err(|_unspecified| Error::other("the system has no random bytes"))?;
    // Under another name until it is whole and has its owner.
    let half = path.with_extension(format!("{}.tmp", std::process::id()));
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&half)?;
    let written = writeln!(file, "{text}").and_then(|()| file.sync_all()).and_then(|()| chown(&half, owner, None));
    written.and_then(|()| fs::rename(&half, path)).inspect_err(|_| _ = fs::remove_file(&half))?;
    Ok(text)
}
