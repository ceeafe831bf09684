//! What tests stand on: a database each, a server each, and callers as types.

mod accessibility;
mod app;
mod browser;
mod citus;
mod client;
mod collector;
pub(crate) mod contract;
mod database;
mod dice;
mod fleet;
mod gate;
mod haproxy;
mod load;
mod lossy;
mod mail_server;
mod nginx;
mod patroni;
mod pgbouncer;
mod process;
mod programs;
pub(crate) mod promises;
mod resource_server;
mod tls_postgres;
mod way;

pub(crate) use app::{Account, Anonymous, Answer, TestApp, claims, expired};
pub(crate) use browser::{Browser, ENTER, TAB};
pub(crate) use citus::{Citus, distribute};
pub(crate) use client::Program;
pub(crate) use collector::{Collector, Manner, Told};
pub(crate) use database::{RestartableCluster, TestDatabase, new_folder, own_cluster, server_programs};
pub(crate) use dice::Dice;
pub(crate) use fleet::{ComposeNginx, Fleet, behind_haproxy, behind_haproxy_with};
pub(crate) use gate::Gate;
pub(crate) use haproxy::HaProxy;
pub(crate) use load::Load;
pub(crate) use lossy::LossyProxy;
pub(crate) use mail_server::{MailServer, Mood, Received, Tls};
pub(crate) use nginx::Nginx;
pub(crate) use patroni::Patroni;
pub(crate) use pgbouncer::PgBouncer;
pub(crate) use process::{ServerProcess, wait_until};
pub(crate) use programs::{NODE, find_node, find_program, free_port, server_account, skipped};
pub(crate) use resource_server::resource_server;
pub(crate) use tls_postgres::TlsPostgres;
pub(crate) use way::serving_role;

use std::collections::BTreeMap;
use std::path::Path;

use claviger::auth::operate::{self, AccountChange};
use claviger::config::{self, Environment};
use claviger::domain::user::Handle;
use claviger::store::Store;
use uuid::Uuid;

pub(crate) const PASSWORD: &str = "correct horse battery staple";
pub(crate) const JWT_SECRET: &str = "fWq3kPz7RtYx1VbN5mLc9HsD2gJ8aKeU4oXi6TvB0nE";
pub(crate) const REFRESH_SECRET: &str = "Zr8uYw2QmXc6TnV4bKp0LsJ7hGf3DdAe9RiOx5EtN1k";

/// Closes an account as an operator does; says how many sessions ended.
pub(crate) async fn disable(store: &Store, email: &str) -> Option<usize> {
    operate(store, email, AccountChange { is_active: Some(false), role: None }).await
}

/// Changes an account as an operator does; says how many sessions ended.
pub(crate) async fn operate(store: &Store, email: &str, change: AccountChange) -> Option<usize> {
    let policy = config::load_maintenance(None, &environment("postgres://x@localhost/x")).unwrap().sessions;
    let user = operate::find(store, &Handle::parse(email).unwrap()).await.unwrap()?;
    operate::change(store, user.id, change, &policy).await.unwrap().map(|changed| changed.ended())
}

/// Deletes an account as an operator does; says whether there was one.
pub(crate) async fn delete(store: &Store, id: Uuid) -> bool {
    operate::delete(store, id).await.unwrap()
}

/// A file of the repository.
pub(crate) fn read(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

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
