//! Secrets: made, and rotated step by step.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use clap::Subcommand;
use claviger::domain::secret::Secret;
use claviger::domain::secret_list::SecretList;
use claviger::secret_file;

use super::{Failure, print};

/// What can be done with secrets.
#[derive(Subcommand)]
pub(crate) enum KeysCommand {
    /// Make new secrets for `JWT_SECRET` and `REFRESH_SECRET`.
    New {
        /// Write them to `jwt_secret` and `refresh_secret` in this folder, with mode 600. What is there is kept; a folder that
        /// is not is made.
        #[arg(long, value_name = "FOLDER")]
        dir: Option<PathBuf>,
        /// The number of the account that is to own the files, if root makes them for another.
        #[arg(long, value_name = "UID", requires = "dir")]
        owner: Option<u32>,
    },
    /// Rotation, first step: add a new secret to a file, in last place, where it is understood and not used.
    Add {
        /// A file with secrets, for instance the one that `JWT_SECRET_FILE` names.
        file: PathBuf,
    },
    /// Rotation, second step: move a secret of a file to the front, so that it is used.
    Promote {
        /// A file with secrets.
        file: PathBuf,
        /// The secret's name, as `add` said it.
        name: String,
    },
    /// Rotation, third step: remove a secret from a file.
    Drop {
        /// A file with secrets.
        file: PathBuf,
        /// The secret's name.
        name: String,
    },
}

pub(crate) fn keys(command: &KeysCommand) -> Result<(), Failure> {
    match command {
        KeysCommand::New { dir, owner } => new_keys(dir.as_deref(), *owner),
        KeysCommand::Add { file } => rotate(file, SecretList::add),
        KeysCommand::Promote { file, name } => rotate(file, |list| list.promote(name)),
        KeysCommand::Drop { file, name } => rotate(file, |list| list.drop(name)),
    }
}

/// One step of a rotation.
fn rotate(file: &Path, step: impl FnOnce(SecretList) -> Result<SecretList, String>) -> Result<(), Failure> {
    let named = |error: String| Failure(format!("{}: {error}", file.display()));
    let text = secret_file::read(file)?.ok_or_else(|| named("there is no secret in it".to_owned()))?;
    let list = SecretList::parse(&text).and_then(step).map_err(named)?;
    secret_file::replace(file, &list.to_text())?;
    let (used, others) =
        list.names().split_first().map(|(used, others)| (*used, others.join(", "))).unwrap_or_default();
    let others = if others.is_empty() { "no other".to_owned() } else { others };
    print(format_args!("{}: uses {used}, understands {others}", file.display()))?;
    print("send SIGHUP to every server that reads it")
}

fn new_keys(dir: Option<&Path>, owner: Option<u32>) -> Result<(), Failure> {
    const NAMES: [(&str, &str); 2] = [("JWT_SECRET", "jwt_secret"), ("REFRESH_SECRET", "refresh_secret")];
    if let Some(dir) = dir {
        let made = DirBuilder::new().recursive(true).mode(0o700).create(dir);
        made.map_err(|error| Failure(format!("{} cannot be made: {error}", dir.display())))?;
    }
    for (variable, name) in NAMES {
        match dir.map(|dir| dir.join(name)) {
            None => print(format_args!("{variable}={}", Secret::generate()?))?,
            Some(path) if secret_file::read(&path)?.is_some() => print(format_args!("kept {}", path.display()))?,
            Some(path) => {
                secret_file::write(&path, owner)?;
                print(format_args!("wrote {}; use it as {variable}_FILE", path.display()))?;
            }
        }
    }
    Ok(())
}
