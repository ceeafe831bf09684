//! Postgres servers set up as installations have them: durable, reached by TCP, with a role for the service that is no
//! superuser.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use claviger::config;
use claviger::dev::binaries::Binaries;
use rustix::process::{Pid, Signal, kill_process};
use tokio_postgres::{Client, NoTls};
use uuid::Uuid;

use crate::ground::Ground;
use crate::{free_port, wait_until};

/// The superuser, for the harness.
const KEEPER: &str = "keeper";
/// The role of the service, and its database.
const SERVICE: &str = "claviger";

/// Data to copy for each server, so that `initdb` runs once.
pub(crate) struct Template {
    pub(crate) ground: Arc<Ground>,
    binaries: Binaries,
    password: String,
}

impl Template {
    pub(crate) fn make(ground: Arc<Ground>) -> Self {
        let path = config::environment().remove("PATH").unwrap_or_default();
        let binaries = Binaries::find(None, &path).unwrap_or_else(|error| panic!("{error}"));
        let template = Self { ground, binaries, password: Uuid::new_v4().simple().to_string() };
        let folder = template.ground.folder_for_postgres("template");
        let password_file = folder.join("password");
        fs::write(&password_file, &template.password).unwrap();
        template.ground.give_to_postgres(&password_file);
        let data = folder.join("data");
        // Small segments: a disk is full when the next one cannot be made, and that should not take long.
        let mut initdb = template.command("initdb", &folder);
        initdb.args(["--auth=scram-sha-256", "--wal-segsize=1", "--encoding=UTF8", "--locale=C", "--no-sync"]);
        initdb.args(["--username", KEEPER]).arg("--pwfile").arg(&password_file).arg("--pgdata").arg(&data);
        succeed(&mut initdb);
        let mut single = template.command("postgres", &data);
        let mut single =
            single.arg("--single").arg("-D").arg(&data).arg("postgres").stdin(Stdio::piped()).spawn().unwrap();
        let sql = format!(
            "create role {SERVICE} login password '{}'\ncreate database {SERVICE} owner {SERVICE}\n",
            template.password
        );
        single.stdin.take().unwrap().write_all(sql.as_bytes()).unwrap();
        assert!(single.wait().unwrap().success(), "the template is made");
        template
    }

    fn command(&self, program: &str, folder: &Path) -> Command {
        let mut command = self.ground.command_of_postgres(&self.binaries.program(program), folder);
        command.env("PGPASSWORD", &self.password).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command
    }
}

fn succeed(command: &mut Command) {
    let output = command.stderr(Stdio::piped()).output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// One server. It stays down when it is killed, until it is started again on the same data.
pub(crate) struct Postgres {
    template: Arc<Template>,
    folder: PathBuf,
    pub(crate) port: u16,
    settings: Vec<String>,
    process: Option<Child>,
}

impl Postgres {
    /// A new one, with settings for `postgres -c`, not started yet.
    pub(crate) fn prepare(template: &Arc<Template>, name: &str, settings: &[&str]) -> Self {
        let folder = template.ground.folder_for_postgres(name);
        Self::prepare_in(template, folder, settings)
    }

    /// As above, in a folder that is there.
    pub(crate) fn prepare_in(template: &Arc<Template>, folder: PathBuf, settings: &[&str]) -> Self {
        let postgres = Self::without_data(template, folder, settings);
        let from = template.ground.folder.join("template/data");
        // By the server's own account, so that the copy is its own.
        succeed(postgres.command(Path::new("/bin/cp")).arg("-a").arg(from).arg("."));
        postgres
    }

    /// A standby that follows `primary` by streaming.
    pub(crate) fn prepare_standby(primary: &Self, name: &str) -> Self {
        let template = &primary.template;
        let standby = Self::without_data(template, template.ground.folder_for_postgres(name), &[]);
        let mut copy = template.command("pg_basebackup", &standby.folder);
        copy.args(["-h", "127.0.0.1", "-U", KEEPER, "-R", "-X", "stream", "-c", "fast", "--no-sync", "-D", "data"]);
        succeed(copy.arg("-p").arg(primary.port.to_string()));
        standby
    }

    fn without_data(template: &Arc<Template>, folder: PathBuf, settings: &[&str]) -> Self {
        let settings = settings.iter().map(|setting| (*setting).to_owned()).collect();
        Self { template: Arc::clone(template), folder, port: free_port(), settings, process: None }
    }

    /// One more setting, from the next start on.
    pub(crate) fn set(&mut self, setting: &str) {
        self.settings.push(setting.to_owned());
    }

    fn command(&self, program: &Path) -> Command {
        self.template.ground.command_of_postgres(program, &self.folder)
    }

    /// Starts it and does not wait.
    pub(crate) fn launch(&mut self) {
        self.end_process();
        let log = File::options().create(true).append(true).open(self.template.ground.folder.join("postgres.log"));
        let mut command = self.template.command("postgres", &self.folder);
        command.args(["-D", "data", "-p", &self.port.to_string(), "-c", "listen_addresses=127.0.0.1"]);
        command.args(["-c", "unix_socket_directories=", "-c", "fsync=on", "-c", "synchronous_commit=on"]);
        command.args(self.settings.iter().flat_map(|setting| ["-c", setting]));
        self.process = Some(command.stderr(log.unwrap()).spawn().unwrap());
    }

    /// Starts it and waits until it answers.
    pub(crate) async fn start(&mut self) {
        self.launch();
        self.wait_until_ready().await;
    }

    pub(crate) async fn wait_until_ready(&self) {
        wait_until("Postgres answers", async || self.try_admin("postgres").await.is_ok()).await;
    }

    /// Asks it to stop, cutting off whoever is connected, and waits until it has.
    pub(crate) async fn stop(&mut self) {
        self.signal_postmaster(Signal::INT);
        wait_until("Postgres stops", async || self.has_ended()).await;
    }

    /// Kills every process of it.
    pub(crate) async fn kill(&mut self) {
        self.signal(Signal::KILL);
        wait_until("every process is gone", async || self.has_ended() && self.processes().is_empty()).await;
    }

    /// Signals every process of it, the one that makes the others first.
    pub(crate) fn signal(&self, signal: Signal) {
        self.signal_postmaster(signal);
        // Some may be gone already.
        self.processes().into_iter().for_each(|pid| _ = kill_process(pid, signal));
    }

    fn signal_postmaster(&self, signal: Signal) {
        if let Some(process) = &self.process {
            let _gone_already = kill_process(Pid::from_child(process), signal);
        }
    }

    /// Whether it is not running.
    pub(crate) fn has_ended(&mut self) -> bool {
        self.process.as_mut().is_none_or(|process| process.try_wait().unwrap().is_some())
    }

    /// All that work in its data folder, as each process of a server does.
    fn processes(&self) -> Vec<Pid> {
        let data = self.folder.join("data");
        let works_there = |pid: &i32| fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|folder| folder == data);
        let entries = fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        entries.filter_map(|name| name.parse().ok()).filter(works_there).filter_map(Pid::from_raw).collect()
    }

    /// A connection of the superuser.
    pub(crate) async fn admin(&self, database: &str) -> Client {
        self.try_admin(database).await.unwrap()
    }

    pub(crate) async fn try_admin(&self, database: &str) -> Result<Client, tokio_postgres::Error> {
        self.connect(KEEPER, database).await
    }

    /// A connection of the role that the service has.
    pub(crate) async fn as_service(&self) -> Result<Client, tokio_postgres::Error> {
        self.connect(SERVICE, SERVICE).await
    }

    async fn connect(&self, user: &str, database: &str) -> Result<Client, tokio_postgres::Error> {
        let mut config = tokio_postgres::Config::new();
        config.host("127.0.0.1").port(self.port).user(user).password(&self.template.password).dbname(database);
        config.application_name("chaos").connect_timeout(Duration::from_secs(5));
        let (client, connection) = config.connect(NoTls).await?;
        tokio::spawn(connection);
        Ok(client)
    }

    /// Runs SQL as the superuser in the service's database.
    pub(crate) async fn execute(&self, sql: &str) {
        self.admin(SERVICE).await.batch_execute(sql).await.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
    }

    /// The number that a query gives, in a database.
    pub(crate) async fn number(&self, database: &str, sql: &str) -> i64 {
        self.admin(database).await.query_one(&format!("select ({sql})::int8"), &[]).await.unwrap().get(0)
    }

    /// The service's URL.
    pub(crate) fn url(&self) -> String {
        self.url_at(&format!("127.0.0.1:{}", self.port), SERVICE)
    }

    /// The service's URL of a database, by way of `host`, which may be several with commas between them.
    pub(crate) fn url_at(&self, host: &str, database: &str) -> String {
        format!("postgres://{SERVICE}:{}@{host}/{database}?sslmode=disable", self.template.password)
    }

    fn end_process(&mut self) {
        if let Some(mut process) = self.process.take() {
            drop(process.wait());
        }
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // Stopped ones first have to hear the signal.
        self.signal(Signal::KILL);
        self.end_process();
        drop(fs::remove_dir_all(&self.folder));
    }
}
