//! A real `PgBouncer` in transaction mode.

use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use claviger::config::PostgresUrl;
use tempfile::TempDir;
use tokio_postgres::config::Host;

use super::{TestDatabase, find_program, free_port, read, server_account, wait_until};

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
        let user = config.get_user().unwrap();
        let password = config.get_password().map(|word| format!("password={}", String::from_utf8_lossy(word)));
        let server = format!("{} user={user} {}", server(&database.url), password.unwrap_or_default());
        let port = free_port();
        let ini = format!(
            "[databases]\n* = {server}\n\
             [pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\nauth_type = any\n\
             pool_mode = transaction\ndefault_pool_size = 10\nmax_client_conn = 500\n"
        );
        let url = format!("postgres://{user}@127.0.0.1:{port}/{}", database.name);
        Self::start(&[("pgbouncer.ini", &ini)], url).await
    }

    /// Starts the one of deploy/compose, with this role's password in its list, before the database of this URL.
    pub(crate) async fn of_compose(database: &TestDatabase, url: &str) -> Self {
        let config = PostgresUrl::parse(url).unwrap().config;
        let (role, port) = (config.get_user().unwrap(), free_port());
        let password = String::from_utf8_lossy(config.get_password().unwrap()).into_owned();
        let ini = read("deploy/compose/pgbouncer/pgbouncer.ini")
            .replace("claviger = host=postgres port=5432", &format!("{} = {}", database.name, server(url)))
            .replace("listen_addr = *", "listen_addr = 127.0.0.1")
            .replace("listen_port = 6432", &format!("listen_port = {port}"))
            .replace("/secrets/userlist.txt", "userlist.txt");
        // An older one stops at what it does not know.
        let known = |line: &&str| Self::knows_prepared_statements() || !line.starts_with("max_prepared_statements");
        let ini: Vec<&str> = ini.lines().filter(known).collect();
        let users = format!("\"{role}\" \"{password}\"\n");
        let url = format!("postgres://{role}:{password}@127.0.0.1:{port}/{}", database.name);
        Self::start(&[("pgbouncer.ini", &ini.join("\n")), ("userlist.txt", &users)], url).await
    }

    async fn start(files: &[(&str, &str)], url: String) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for (name, content) in files {
            fs::write(folder.path().join(name), content).unwrap();
        }
        let mut command = Command::new(Self::program().unwrap());
        if let Some((uid, gid)) = server_account() {
            let files = files.iter().map(|(name, _)| folder.path().join(name));
            for path in files.chain([folder.path().to_owned()]) {
                std::os::unix::fs::chown(path, Some(uid), Some(gid)).unwrap();
            }
            command.uid(uid).gid(gid);
        }
        command.arg("pgbouncer.ini").current_dir(folder.path()).stdout(Stdio::null()).stderr(Stdio::null());
        let pooler = Self { process: command.spawn().unwrap(), _folder: folder, url };
        let connect = || async { PostgresUrl::parse(&pooler.url).unwrap().config.connect(tokio_postgres::NoTls).await };
        wait_until("the pooler lets us in", async || connect().await.is_ok()).await;
        pooler
    }
}

/// Where the server is that this URL leads to, in the pooler's words.
fn server(url: &str) -> String {
    let config = PostgresUrl::parse(url).unwrap().config;
    let host = match &config.get_hosts()[0] {
        Host::Tcp(name) => name.clone(),
        Host::Unix(folder) => folder.display().to_string(),
    };
    format!("host={host} port={}", config.get_ports()[0])
}

impl Drop for PgBouncer {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}
