//! The embedded default: a private, real Postgres for `claviger dev` and for tests, and secrets for development.
//!
//! docs/adr/0005-private-postgres.md says why it is a launcher of our own.

mod account;
pub mod binaries;
pub mod cluster;
pub mod folder;

use std::path::PathBuf;

/// Why the private Postgres did not start. Each says what to do next.
#[derive(Debug, thiserror::Error)]
pub enum DevError {
    /// Another process works in the folder.
    #[error("`claviger dev` is already running in {}{detail}; stop it first, or choose another folder with --dir", folder.display())]
    AlreadyRunning {
        /// The folder.
        folder: PathBuf,
        /// Which process, and where it listens.
        detail: String,
    },
    /// A file or folder cannot be used.
    #[error("cannot use {}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The data were made by another major version.
    #[error(
        "{} was made by PostgreSQL {made_by}, but the server found is {found}; install PostgreSQL {made_by}, name its \
         programs with --postgres-bin, or delete the folder to start afresh",
        folder.display()
    )]
    OtherVersion {
        /// The data folder.
        folder: PathBuf,
        /// Major version of the data.
        made_by: String,
        /// Major version of the programs.
        found: String,
    },
    /// A program of Postgres failed.
    #[error("{program} failed:\n{output}")]
    Failed {
        /// Which.
        program: &'static str,
        /// What it said.
        output: String,
    },
    /// The server did not answer.
    #[error("the private Postgres does not answer: {0}")]
    Silent(String),
}

impl DevError {
    fn file(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { path, source }
    }
}
