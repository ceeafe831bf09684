//! The account that the server runs as, and what it needs to have for itself: folders nobody else may enter.

use std::fs;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, lchown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::DevError;

/// A Unix socket's path may have 107 bytes.
const LONGEST_SOCKET_FOLDER: usize = 107 - "/.s.PGSQL.65535".len();

/// Whom the server runs as: Postgres refuses to be root.
#[derive(Debug, Clone, Copy)]
pub(super) struct Owner {
    uid: u32,
    gid: u32,
}

impl Owner {
    /// None if it may be our own account; for root the one that distributions make for Postgres, or else `nobody`.
    pub(super) fn of_server() -> Option<Self> {
        if !rustix::process::geteuid().is_root() {
            return None;
        }
        let accounts = fs::read_to_string("/etc/passwd").unwrap_or_default();
        ["postgres", "nobody"].into_iter().find_map(|name| {
            let line = accounts.lines().find(|line| line.split(':').next() == Some(name))?;
            let mut fields = line.split(':').skip(2);
            Some(Self { uid: fields.next()?.parse().ok()?, gid: fields.next()?.parse().ok()? })
        })
    }
}

/// A folder that only the server's account may enter (and root). One that is there must be such a folder already: as root
/// we must not give away what a link or another user has put in its place.
pub(super) fn make_private_folder(folder: &Path, owner: Option<Owner>) -> Result<(), DevError> {
    match fs::DirBuilder::new().mode(0o700).create(folder) {
        Ok(()) => match owner {
            Some(owner) => lchown(folder, Some(owner.uid), Some(owner.gid)).map_err(DevError::file(folder)),
            None => Ok(()),
        },
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            let found = fs::symlink_metadata(folder).map_err(DevError::file(folder))?;
            // Six zero bits at the end: nothing for group and others.
            let uid = owner.map_or_else(|| rustix::process::geteuid().as_raw(), |owner| owner.uid);
            if found.is_dir() && found.uid() == uid && found.mode().trailing_zeros() >= 6 {
                return Ok(());
            }
            let reason = format!("it is not a folder that only the account {uid} may enter; move it away");
            Err(DevError::file(folder)(std::io::Error::other(reason)))
        }
        Err(error) => Err(DevError::file(folder)(error)),
    }
}

/// A program to be run by that account, with nothing of ours.
pub(super) fn command(program: &Path, owner: Option<Owner>) -> Command {
    let mut command = Command::new(program);
    // The server needs nothing of our environment, and may not enter our working folder.
    command.env_clear().env("PATH", "/usr/bin:/bin").env("LC_ALL", "C").current_dir("/").stdin(Stdio::null());
    if let Some(owner) = owner {
        command.uid(owner.uid).gid(owner.gid);
    }
    command
}

/// Beside the data, unless the path would be too long for a socket.
pub(super) fn socket_folder(folder: &Path, owner: Option<Owner>) -> Result<PathBuf, DevError> {
    let beside = folder.join("run");
    if beside.as_os_str().len() <= LONGEST_SOCKET_FOLDER {
        make_private_folder(&beside, owner)?;
        return Ok(beside);
    }
    // Named after the data's folder on its disk, which nobody else has.
    let place = fs::metadata(folder).map_err(DevError::file(folder))?;
    let short = std::env::temp_dir().join(format!("claviger-{:x}-{:x}", place.dev(), place.ino()));
    make_private_folder(&short, owner)?;
    Ok(short)
}
