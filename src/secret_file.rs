//! Secrets on disk: made once, whole, readable by their owner alone.

use std::fs::{self, OpenOptions};
use std::io::{Error, ErrorKind, Result, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, chown};
use std::path::Path;

use crate::domain::secret::Secret;

/// The secret in a file; none if there is no file, or an empty one.
///
/// # Errors
/// When the file cannot be read.
pub fn read(path: &Path) -> Result<Option<String>> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text.trim_end_matches(['\r', '\n']).to_owned()).filter(|text| !text.is_empty())),
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
    put(path, &text, 0o600, owner, None)?;
    Ok(text)
}

/// Puts other secrets into a file that is there; it keeps its owner and its mode. Readers find the old or the new text.
///
/// # Errors
/// When the file cannot be written; it is then as it was.
pub fn replace(path: &Path, text: &str) -> Result<()> {
    // Where a link leads, or else the link would be replaced.
    let path = fs::canonicalize(path)?;
    let old = fs::metadata(&path)?;
    put(&path, text, old.mode() & 0o777, Some(old.uid()), Some(old.gid()))
}

/// Puts a text into a file with mode 600. A link in its place is replaced, and not followed.
///
/// # Errors
/// When the file cannot be written; there is then none, or the old one.
pub fn put_private(path: &Path, text: &str) -> Result<()> {
    put(path, text, 0o600, None, None)
}

fn put(path: &Path, text: &str, mode: u32, owner: Option<u32>, group: Option<u32>) -> Result<()> {
    // Under another name until it is whole and has its owner.
    let half = path.with_extension(format!("{}.tmp", uuid::Uuid::new_v4().simple()));
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&half)?;
    let written = writeln!(file, "{text}")
        .and_then(|()| chown(&half, owner, group))
        .and_then(|()| file.set_permissions(fs::Permissions::from_mode(mode)))
        .and_then(|()| file.sync_all());
    written.and_then(|()| fs::rename(&half, path)).inspect_err(|_| _ = fs::remove_file(&half))
}
