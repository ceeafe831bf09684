//! The commands, a file for each subject: what can be asked about it, and what is done. Arguments in, words out; what takes more
//! than a few lines is in the library.

mod clients;
mod dev;
mod import;
mod installation;
mod keys;
mod openapi;
mod serve;
mod sessions;
mod show;
mod stats;
mod table;
mod user;

use std::collections::BTreeMap;
use std::fmt::Display;
use std::io::Write as _;
use std::path::Path;

use claviger::config::{self, Environment, Loaded, Settings};
use claviger::telemetry;

pub(crate) use clients::{ClientsCommand, clients};
pub(crate) use dev::dev;
pub(crate) use import::{ImportCommand, import};
pub(crate) use installation::{check_config, migrate};
pub(crate) use keys::{KeysCommand, keys};
pub(crate) use openapi::openapi;
pub(crate) use serve::{health, serve};
pub(crate) use sessions::{SessionsCommand, sessions};
pub(crate) use stats::stats;
pub(crate) use user::{UserArguments, user};

/// What went wrong, with its causes, ready to be printed.
pub(crate) struct Failure(pub(crate) String);

impl<E: std::error::Error> From<E> for Failure {
    fn from(error: E) -> Self {
        Self(telemetry::chain(&error))
    }
}

pub(crate) fn print(line: impl Display) -> Result<(), Failure> {
    Ok(writeln!(std::io::stdout(), "{line}")?)
}

fn print_json(value: &impl serde::Serialize) -> Result<(), Failure> {
    print(serde_json::to_string_pretty(value)?)
}

/// Settings with logging started, so that warnings are seen.
fn load(file: Option<&Path>, environment: &Environment, dev: &BTreeMap<String, String>) -> Result<Settings, Failure> {
    let Loaded { settings, warnings, .. } = config::load(file, environment, dev)?;
    telemetry::start(&settings.log);
    for warning in warnings {
        tracing::warn!("{warning}");
    }
    Ok(settings)
}
