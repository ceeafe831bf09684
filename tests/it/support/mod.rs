//! What tests stand on: a database each, a server each, and callers as types.

mod app;
mod database;
mod dice;
mod process;

pub(crate) use app::{Account, Anonymous, Answer, TestApp};
pub(crate) use database::{RestartableCluster, TestDatabase, own_cluster};
pub(crate) use dice::Dice;
pub(crate) use process::{ServerProcess, wait_until};

use std::collections::BTreeMap;

use claviger::config::Environment;

pub(crate) const PASSWORD: &str = "correct horse battery staple";
pub(crate) const JWT_SECRET: &str = "fWq3kPz7RtYx1VbN5mLc9HsD2gJ8aKeU4oXi6TvB0nE";
pub(crate) const REFRESH_SECRET: &str = "Zr8uYw2QmXc6TnV4bKp0LsJ7hGf3DdAe9RiOx5EtN1k";

/// The environment of a server under test: cheap hashes, one thread, any port.
pub(crate) fn environment(database_url: &str) -> Environment {
    BTreeMap::from(
        [
            ("DATABASE_URL", database_url),
            ("JWT_SECRET", JWT_SECRET),
            ("REFRESH_SECRET", REFRESH_SECRET),
            ("PORT", "0"),
            ("RUST_LOG", "info"),
            ("CLAVIGER__SERVER__HOST", "127.0.0.1"),
            ("CLAVIGER__SERVER__WORKERS", "1"),
            ("CLAVIGER__PASSWORD__BCRYPT_COST", "4"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned())),
    )
}
