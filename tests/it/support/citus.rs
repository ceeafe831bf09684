//! A Citus cluster of one node, whose databases have the schema and are distributed by `deploy/citus/distribute.sql`.

use std::path::Path;
use std::process::Command;

use claviger::config::{self, PostgresUrl};
use claviger::dev::binaries::Binaries;
use claviger::dev::cluster::Cluster;
use claviger::store::migrations::migrate;
use tokio_postgres::config::Host;

use super::database::{connect, own_cluster, server_programs};
use super::programs::left_out;

/// Copied for each test.
const TEMPLATE: &str = "claviger_distributed";

/// The server of the cluster.
pub(crate) struct Citus {
    pub(crate) cluster: Cluster,
}

impl Citus {
    /// None where Citus is not installed, after having said so.
    pub(crate) async fn start() -> Option<Self> {
        let server = Self::start_empty().await?;
        server.create(TEMPLATE).await;
        let url = server.cluster.url(TEMPLATE);
        migrate(&settings(&url), None).await.unwrap();
        let output = distribute(&url);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        // Nobody may be in a database that is copied, and Citus has somebody in each.
        let close = format!(
            "alter database {TEMPLATE} with allow_connections false;
             select pg_terminate_backend(pid, 10000) from pg_stat_activity where datname = '{TEMPLATE}'"
        );
        connect(&server.cluster.url("postgres")).await.batch_execute(&close).await.unwrap();
        Some(server)
    }

    /// With no database yet.
    pub(crate) async fn start_empty() -> Option<Self> {
        if !is_installed(&server_programs()) {
            left_out("Citus", "build it for this Postgres: docs/how-to/citus.md; no package of Debian has it");
            return None;
        }
        let settings = [
            "shared_preload_libraries=citus",
            // The cluster talks to itself, and has somebody in each database.
            "max_connections=1000",
            "max_worker_processes=400",
            "max_prepared_transactions=1000",
            // Its own part of a table is asked as that of another node would be.
            "citus.enable_local_execution=off",
            // Enough to tell one place from several.
            "citus.shard_count=4",
        ];
        Some(Self { cluster: own_cluster(&settings).await })
    }

    /// Makes a database with Citus in it.
    pub(crate) async fn create(&self, name: &str) {
        self.make(name, "").await;
        let host = self.host();
        let sql = format!(
            "create extension citus;
             select citus_set_coordinator_host('{host}', 5432);
             select citus_set_node_property('{host}', 5432, 'shouldhaveshards', true)"
        );
        connect(&self.cluster.url(name)).await.batch_execute(&sql).await.unwrap();
    }

    /// Makes a copy of the database that is distributed.
    pub(crate) async fn create_distributed(&self, name: &str) {
        self.make(name, &format!("template {TEMPLATE}")).await;
    }

    async fn make(&self, name: &str, template: &str) {
        let server = connect(&self.cluster.url("postgres")).await;
        server.batch_execute(&format!("create database {name} {template}")).await.unwrap();
        let found_at = format!("alter database {name} set citus.local_hostname = '{}'", self.host());
        server.batch_execute(&found_at).await.unwrap();
    }

    /// Where the cluster finds itself: no port is open.
    fn host(&self) -> String {
        match &PostgresUrl::parse(&self.cluster.url("postgres")).unwrap().config.get_hosts()[0] {
            Host::Unix(folder) => folder.display().to_string(),
            Host::Tcp(name) => name.clone(),
        }
    }
}

/// Runs the file as its head says.
pub(crate) fn distribute(url: &str) -> std::process::Output {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/citus/distribute.sql");
    let psql = server_programs().program("psql");
    Command::new(psql).args(["-X", "-q", "-d", url, "-f"]).arg(file).output().unwrap()
}

fn settings(url: &str) -> config::Database {
    config::load(None, &super::environment(url), &Default::default()).unwrap().settings.database
}

fn is_installed(binaries: &Binaries) -> bool {
    binaries.program("../lib/citus.so").is_file()
}
