//! A Postgres server of one process's own, which ends with that process, however that ends.

use std::fs;
use std::io::Read as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use tokio_postgres::NoTls;

use super::DevError;
use super::account::{Owner, command, make_private_folder, socket_folder};
use super::binaries::Binaries;
use crate::config::percent_encode;

/// A running server. Dropping it stops it.
pub struct Cluster {
    supervisor: Child,
    folder: PathBuf,
    sockets: PathBuf,
    port: u16,
}

/// What the server is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose<'a> {
    /// Data are kept, and survive a power cut.
    Development,
    /// Data are thrown away, and speed is all. The settings are for `postgres -c`, stronger than any other.
    Test(&'a [&'a str]),
}

impl Purpose<'_> {
    /// Part of the socket's name also where no port is opened.
    fn port(self) -> u16 {
        let settings = if let Self::Test(settings) = self { settings } else { &[] };
        let given = settings.iter().find_map(|setting| setting.strip_prefix("port="));
        given.and_then(|port| port.parse().ok()).unwrap_or(5432)
    }
}

/// The superuser, and the database that is made.
const NAME: &str = "claviger";
const READY_LIMIT: Duration = Duration::from_mins(1);
const STOP_LIMIT: Duration = Duration::from_secs(20);
const POLL: Duration = Duration::from_millis(10);
/// Runs the server as a child and stops it when standard input ends: the kernel closes our end of that pipe also when
/// we are killed, which no handler of ours would notice. `$1` is the log, which the server's account opens by its own
/// rights; `$2` and `$3` are folders to remove afterwards, if not empty. SIGHUP is for those who lose a terminal, or whose
/// group is orphaned while a member is stopped; the watch must go on.
const SUPERVISE: &str = r#"
log=$1 doomed=$2 sockets=$3; shift 3
trap '' HUP
exec 3<&0 </dev/null >"$log" 2>&1
"$@" 3<&- & server=$!
{ cat <&3; while kill -INT $server; do sleep 0.1; done; } >/dev/null 2>&1 & watcher=$!
exec 3<&-
wait $server; status=$?
kill $watcher 2>/dev/null
[ -z "$doomed" ] || rm -rf -- "$doomed"
[ -z "$sockets" ] || rmdir -- "$sockets"
exit $status
"#;

impl Cluster {
    /// Starts the server on the data in `folder`, making them first if there are none, and waits until it answers.
    ///
    /// The caller sees to it that nobody else uses the folder. A server that a killed process left there is stopped.
    ///
    /// # Errors
    /// [`DevError`], which says what to do.
    pub async fn start(binaries: &Binaries, folder: &Path, purpose: Purpose<'_>) -> Result<Self, DevError> {
        let owner = Owner::of_server();
        let data = folder.join("data");
        make_private_folder(folder, owner)?;
        if data.join("PG_VERSION").is_file() {
            check_version(binaries, &data)?;
            stop_leftover(&data)?;
        } else {
            initialise(binaries, folder, purpose, owner)?;
        }
        let sockets = socket_folder(folder, owner)?;
        let supervisor = spawn(binaries, folder, &sockets, purpose, owner)?;
        let mut cluster = Self { supervisor, folder: folder.to_owned(), sockets, port: purpose.port() };
        cluster.wait_until_ready().await?;
        Ok(cluster)
    }

    /// The URL of a database of this server.
    #[must_use]
    pub fn url(&self, database: &str) -> String {
        let host = percent_encode(&self.sockets.display().to_string());
        format!("postgres://{NAME}@{host}:{}/{database}", self.port)
    }

    /// The URL of the database that is there from the start.
    #[must_use]
    pub fn default_url(&self) -> String {
        self.url(NAME)
    }

    /// Where the data are, and the log.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// A command that opens the database for a person.
    #[must_use]
    pub fn psql(&self) -> String {
        format!("psql -h {} -U {NAME} {NAME}", self.sockets.display())
    }

    /// Stops the server and waits until it is gone.
    ///
    /// # Errors
    /// When it does not stop in time, or had broken down before.
    pub fn stop(&mut self) -> Result<(), DevError> {
        drop(self.supervisor.stdin.take());
        let started = Instant::now();
        while started.elapsed() < STOP_LIMIT {
            match self.supervisor.try_wait().map_err(DevError::file(&self.folder))? {
                Some(status) if status.success() => return Ok(()),
                Some(_) => return Err(DevError::Failed { program: "postgres", output: self.last_words() }),
                None => std::thread::sleep(POLL),
            }
        }
        Err(DevError::Silent(format!("it did not stop within {} s", STOP_LIMIT.as_secs())))
    }

    async fn wait_until_ready(&mut self) -> Result<(), DevError> {
        let started = Instant::now();
        let mut reason = String::new();
        while started.elapsed() < READY_LIMIT {
            match self.make_database().await {
                Ok(()) => return Ok(()),
                Err(error) => reason = error.to_string(),
            }
            if self.supervisor.try_wait().map_err(DevError::file(&self.folder))?.is_some() {
                return Err(DevError::Failed { program: "postgres", output: self.last_words() });
            }
            tokio::time::sleep(POLL).await;
        }
        Err(DevError::Silent(reason))
    }

    async fn make_database(&self) -> Result<(), tokio_postgres::Error> {
        let (client, connection) = tokio_postgres::connect(&self.url("postgres"), NoTls).await?;
        tokio::spawn(connection);
        let exists = client.query_opt("select from pg_database where datname = $1", &[&NAME]).await?;
        if exists.is_none() {
            client.batch_execute(&format!("create database {NAME}")).await?;
        }
        Ok(())
    }

    fn last_words(&self) -> String {
        let mut log = String::new();
        let read = fs::File::open(self.folder.join("log")).and_then(|mut file| file.read_to_string(&mut log));
        let lines: Vec<&str> = log.lines().collect();
        let last = lines.get(lines.len().saturating_sub(10)..).unwrap_or_default().join("\n");
        read.map_or_else(|error| error.to_string(), |_| last)
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // Not waited for: the supervisor finishes the work by itself.
        drop(self.supervisor.stdin.take());
    }
}

/// Makes the data beside their place and moves them there when they are whole.
fn initialise(binaries: &Binaries, folder: &Path, purpose: Purpose<'_>, owner: Option<Owner>) -> Result<(), DevError> {
    let (half, whole) = (folder.join("data.tmp"), folder.join("data"));
    if half.exists() {
        fs::remove_dir_all(&half).map_err(DevError::file(&half))?;
    }
    let mut initdb = command(&binaries.program("initdb"), owner);
    initdb.args(["--username", NAME, "--auth", "trust", "--encoding", "UTF8", "--locale", "C", "--pgdata"]).arg(&half);
    if matches!(purpose, Purpose::Test(_)) {
        initdb.arg("--no-sync");
    }
    let output = initdb.output().map_err(DevError::file(binaries.program("initdb")))?;
    if !output.status.success() {
        let output = String::from_utf8_lossy(&output.stderr).into_owned();
        return Err(DevError::Failed { program: "initdb", output });
    }
    fs::rename(&half, &whole).map_err(DevError::file(whole))
}

fn check_version(binaries: &Binaries, data: &Path) -> Result<(), DevError> {
    let made_by = fs::read_to_string(data.join("PG_VERSION")).map_err(DevError::file(data))?.trim().to_owned();
    let program = binaries.program("postgres");
    let output = Command::new(&program).arg("--version").output().map_err(DevError::file(program))?;
    // "postgres (PostgreSQL) 15.18 (Debian …)"
    let version = String::from_utf8_lossy(&output.stdout);
    let found = version.split_whitespace().nth(2).and_then(|number| number.split('.').next()).unwrap_or_default();
    if found == made_by {
        return Ok(());
    }
    Err(DevError::OtherVersion { folder: data.to_owned(), made_by, found: found.to_owned() })
}

/// Stops a server whose starter is gone, and forgets one that is gone itself. Its process id may belong to somebody else
/// by now (in containers that is common), and Postgres would then refuse to start.
fn stop_leftover(data: &Path) -> Result<(), DevError> {
    let pid_file = data.join("postmaster.pid");
    let Ok(text) = fs::read_to_string(&pid_file) else { return Ok(()) };
    let pid = text.lines().next().and_then(|line| line.trim().parse().ok()).and_then(Pid::from_raw);
    let alive =
        |pid: Pid| test_kill_process(pid).is_ok() && arguments(pid).contains(&format!(" -D {} ", data.display()));
    let started = Instant::now();
    while let Some(pid) = pid.filter(|pid| alive(*pid)) {
        if started.elapsed() > STOP_LIMIT {
            return Err(DevError::Silent(format!("process {} still uses {}", pid.as_raw_nonzero(), data.display())));
        }
        // A fast shutdown; repeating it is harmless.
        let _gone_already = kill_process(pid, Signal::INT);
        std::thread::sleep(POLL);
    }
    match fs::remove_file(&pid_file) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(DevError::file(pid_file)(error)),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// The arguments of a process, with a space around each.
fn arguments(pid: Pid) -> String {
    let pid = pid.as_raw_nonzero().to_string();
    let bytes = fs::read(format!("/proc/{pid}/cmdline")).ok();
    let bytes = bytes.or_else(|| Some(Command::new("ps").args(["-o", "command=", "-p", &pid]).output().ok()?.stdout));
    format!(" {} ", String::from_utf8_lossy(&bytes.unwrap_or_default()).replace('\0', " "))
}

fn spawn(
    binaries: &Binaries,
    folder: &Path,
    sockets: &Path,
    purpose: Purpose<'_>,
    owner: Option<Owner>,
) -> Result<Child, DevError> {
    let doomed = if matches!(purpose, Purpose::Test(_)) { folder.as_os_str() } else { "".as_ref() };
    let apart = if sockets.starts_with(folder) { "".as_ref() } else { sockets.as_os_str() };
    let mut supervisor = command(Path::new("/bin/sh"), owner);
    supervisor
        .args(["-c", SUPERVISE, "claviger-postgres"])
        .arg(folder.join("log"))
        .arg(doomed)
        .arg(apart)
        .arg(binaries.program("postgres"));
    supervisor.arg("-D").arg(folder.join("data")).arg("-k").arg(sockets);
    // No port: whoever may not enter the folder cannot connect.
    supervisor.args(["-c", "listen_addresses=", "-c", "unix_socket_permissions=0700"]);
    if let Purpose::Test(settings) = purpose {
        supervisor.args(["-c", "fsync=off", "-c", "synchronous_commit=off", "-c", "full_page_writes=off"]);
        supervisor.args(["-c", "max_connections=400"]);
        if binaries.has_library("pg_stat_statements") {
            supervisor.args(["-c", "shared_preload_libraries=pg_stat_statements"]);
        }
        supervisor.args(settings.iter().flat_map(|setting| ["-c", setting]));
    }
    // A group of its own, so that Ctrl-C in the terminal reaches us and not the server, which has to outlive our requests.
    supervisor.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
    supervisor.spawn().map_err(DevError::file("/bin/sh"))
}
