//! Secrets on disk: made once, readable by their owner alone.

use std::fs::OpenOptions;
use std::io::{Error, ErrorKind, Result, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use crate::domain::secret::Secret;

/// Writes a new secret to a new file with mode 600.
///
/// # Errors
/// When the file exists or cannot be written.
pub fn write_new(path: &Path) -> Result<String> {
    let text = Secret::generate().map_err(|_unspecified| Error::other("the system has no random bytes"))?;
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    writeln!(file, "{text}")?;
    Ok(text)
}

/// The secret in a file, which is made if it is not there.
///
/// # Errors
/// When the file can neither be read nor made.
pub fn read_or_write(path: &Path) -> Result<String> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(text.trim().to_owned()),
        Err(error) if error.kind() == ErrorKind::NotFound => write_new(path),
        Err(error) => Err(error),
    }
}
