//! A real `PgBouncer` in transaction mode.

use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use claviger::config::PostgresUrl;
use tempfile::TempDir;
use tokio_postgres::config::Host;

use super::{TestDatabase, find_program, free_port, server_account, wait_until};

/// A pooler in front of one database, killed when dropped.
pub(crate) struct PgBouncer {
    process: Child,
    _folder: TempDir,
    pub(crate) url: String,
}

impl PgBouncer {
    pub(crate) fn program() -> Option<PathBuf> {
        find_program(&["pgbouncer"], &["/usr/sbin", "/usr/local/sbin"])
    }

    /// Whether it is version 1.21 or newer, which follows prepared statements from connection to connection.
    pub(crate) fn knows_prepared_statements() -> bool {
        let output = Command::new(Self::program().unwrap()).arg("--version").output().unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        let version = said.lines().next().unwrap().rsplit(' ').next().unwrap();
        let minor: u32 = version.split('.').nth(1).unwrap().parse().unwrap();
        !version.starts_with("1.") || minor >= 21
    }

    /// Starts one that gives its clients a few connections by turns, and waits until it lets somebody in.
    pub(crate) async fn before(database: &TestDatabase) -> Self {
        let config = PostgresUrl::parse(&database.url).unwrap().config;
        let host = match &config.get_hosts()[0] {
            Host::Tcp(name) => name.clone(),
            Host::Unix(folder) => folder.display().to_string(),
        };
        let (port, user) = (config.get_ports()[0], config.get_user().unwrap());
        let password = config.get_password().map(|word| format!("password={}", String::from_utf8_lossy(word)));
        let password = password.unwrap_or_default();
        let (folder, listen_port) = (tempfile::tempdir().unwrap(), free_port());
        let ini = format!(
            "[databases]\n* = host={host} port={port} user={user} {password}\n\
             [pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {listen_port}\nunix_socket_dir =\nauth_type = any\n\
             pool_mode = transaction\ndefault_pool_size = 3\nmax_client_conn = 500\n"
        );
        let file = folder.path().join("pgbouncer.ini");
        fs::write(&file, ini).unwrap();
        let mut command = Command::new(Self::program().unwrap());
        if let Some((uid, gid)) = server_account() {
            std::os::unix::fs::chown(folder.path(), Some(uid), Some(gid)).unwrap();
            std::os::unix::fs::chown(&file, Some(uid), Some(gid)).unwrap();
            command.uid(uid).gid(gid);
        }
        let process = command.arg(&file).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let url = format!("postgres://{user}@127.0.0.1:{listen_port}/{}", database.name);
        let pooler = Self { process, _folder: folder, url };
        let connect = || async { PostgresUrl::parse(&pooler.url).unwrap().config.connect(tokio_postgres::NoTls).await };
        wait_until("the pooler lets us in", async || connect().await.is_ok()).await;
        pooler
    }
}

impl Drop for PgBouncer {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}
