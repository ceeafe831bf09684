//! The folder of `claviger dev`: its lock, its secrets, and where its data are.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{Read as _, Seek as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use super::DevError;
use crate::secret_file;

/// A development folder that is ours for as long as this lives.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    lock: File,
}

impl Folder {
    /// Makes the folder if it is not there, and takes it for this process. The lock ends with the process.
    ///
    /// # Errors
    /// [`DevError::AlreadyRunning`], [`DevError::File`].
    pub fn claim(path: &Path) -> Result<Self, DevError> {
        fs::create_dir_all(path).map_err(DevError::file(path))?;
        let path = path.canonicalize().map_err(DevError::file(path))?;
        let lock_path = path.join("lock");
        let mut lock = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&lock_path)
            .map_err(DevError::file(&lock_path))?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { path, lock }),
            Err(TryLockError::WouldBlock) => {
                let mut note = String::new();
                drop(lock.read_to_string(&mut note));
                let detail = if note.is_empty() { String::new() } else { format!(" ({})", note.trim()) };
                Err(DevError::AlreadyRunning { folder: path, detail })
            }
            Err(TryLockError::Error(error)) => Err(DevError::file(lock_path)(error)),
        }
    }

    /// Leaves a note for whoever finds the folder taken.
    ///
    /// # Errors
    /// [`DevError::File`].
    pub fn note(&mut self, text: &str) -> Result<(), DevError> {
        let written = self
            .lock
            .set_len(0)
            .and_then(|()| self.lock.rewind())
            .and_then(|()| writeln!(self.lock, "process {}, {text}", std::process::id()));
        written.map_err(DevError::file(self.path.join("lock")))
    }

    /// A secret that is made once and kept here, readable by its owner alone.
    ///
    /// # Errors
    /// [`DevError::File`].
    pub fn secret(&self, name: &str) -> Result<String, DevError> {
        let path = self.path.join(name);
        let found = secret_file::read(&path).map_err(DevError::file(&path))?;
        found.map_or_else(|| secret_file::write(&path, None).map_err(DevError::file(&path)), Ok)
    }

    /// Leaves the URL of the private database for commands that are run beside, as text for `DATABASE_URL`; or takes away what
    /// an earlier start left, when there is no such database.
    ///
    /// # Errors
    /// [`DevError::File`].
    pub fn leave_database_url(&self, url: Option<&str>) -> Result<(), DevError> {
        let path = self.path.join("database_url");
        let done = url.map_or_else(|| fs::remove_file(&path), |url| secret_file::put_private(&path, url));
        let done = match done {
            Err(error) if url.is_none() && error.kind() == std::io::ErrorKind::NotFound => Ok(()),
            done => done,
        };
        done.map_err(DevError::file(path))
    }

    /// Where the private Postgres keeps its data: in here, unless root started us in a place that the server's own
    /// account cannot enter.
    ///
    /// # Errors
    /// [`DevError::File`].
    pub fn cluster_folder(&self) -> Result<PathBuf, DevError> {
        let here = self.path.join("postgres");
        if !rustix::process::geteuid().is_root() || is_open_to_others(&self.path) {
            return Ok(here);
        }
        // Remembered by a name of its own, so that a new folder at an old path does not find the old folder's data.
        let id_path = self.path.join("data-id");
        let id = match fs::read_to_string(&id_path) {
            Ok(id) => id,
            Err(_none_yet) => {
                let id = uuid::Uuid::new_v4().simple().to_string();
                fs::write(&id_path, &id).map_err(DevError::file(&id_path))?;
                id
            }
        };
        Ok(Path::new("/var/tmp").join(format!("claviger-{}", id.trim())))
    }
}

/// Whether any account can walk down to the folder.
fn is_open_to_others(folder: &Path) -> bool {
    folder.ancestors().all(|step| fs::metadata(step).is_ok_and(|metadata| metadata.permissions().mode() & 0o001 != 0))
}
