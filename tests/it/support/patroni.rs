//! A Postgres of two nodes that Patroni looks after, set up by the files of deploy/patroni with their values filled in.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tokio_postgres::{Client, NoTls};

use super::{find_program, free_port, new_folder, server_account, server_programs, skipped, wait_until};

/// For everybody: who reaches these ports is on this machine.
const WORD: &str = "hunter2";

/// The nodes, and etcd, which knows who of them is the primary. All end with this process, however that ends.
pub(crate) struct Patroni {
    _etcd: Machine,
    pub(crate) nodes: [Node; 2],
    /// The service's, with both nodes in it.
    pub(crate) url: String,
}

/// Patroni and the Postgres that it runs.
pub(crate) struct Node {
    machine: Machine,
    name: String,
    port: u16,
    api: String,
}

impl Patroni {
    /// Starts everything and waits until there is a primary with a synchronous standby. None, said loudly, where programs
    /// are missing.
    pub(crate) async fn start() -> Option<Self> {
        let programs = ["patroni", "patronictl", "etcd"].map(|name| find_program(&[name], &[]));
        let [Some(patroni), Some(_), Some(etcd)] = programs else {
            skipped("PATRONI AND ETCD", "apt-get install patroni etcd-server etcd-client");
            return None;
        };
        let ports = [(); 2].map(|()| free_port());
        let [client, peer] = ports.map(|port| format!("http://127.0.0.1:{port}"));
        let machine = Machine::new();
        let variables = filled_in("etcd.env", |name| match name {
            "ETCD_NAME" => "etcd1".to_owned(),
            "ETCD_DATA_DIR" => machine.path("data"),
            "ETCD_LISTEN_CLIENT_URLS" | "ETCD_ADVERTISE_CLIENT_URLS" => client.clone(),
            "ETCD_LISTEN_PEER_URLS" | "ETCD_INITIAL_ADVERTISE_PEER_URLS" => peer.clone(),
            "ETCD_INITIAL_CLUSTER" => format!("etcd1={peer}"),
            "ETCD_INITIAL_CLUSTER_TOKEN" => "test".to_owned(),
            "ETCD_INITIAL_CLUSTER_STATE" => "new".to_owned(),
            "ETCD_ENABLE_V2" => "true".to_owned(),
            other => panic!("nobody knows what would be in {other}"),
        });
        let mut etcd = machine.with(&etcd, &[], variables);
        etcd.start();
        let nodes = ["pg1", "pg2"].map(|name| Node::start(name, &patroni, ports[0]));
        let hosts = nodes.each_ref().map(|node| format!("127.0.0.1:{}", node.port)).join(",");
        let query = "target_session_attrs=read-write&sslmode=disable";
        let cluster = Self { _etcd: etcd, nodes, url: format!("postgres://claviger:{WORD}@{hosts}/claviger?{query}") };
        wait_until("there is a primary with a standby", async || {
            cluster.primary().await.is_some() && cluster.standby().await.is_some()
        })
        .await;
        let primary = &cluster.nodes[cluster.primary().await.unwrap()];
        let keeper = primary.connect("postgres").await.unwrap();
        keeper.batch_execute(&format!("create role claviger login password '{WORD}'")).await.unwrap();
        keeper.batch_execute("create database claviger owner claviger").await.unwrap();
        Some(cluster)
    }

    /// Which node writes.
    pub(crate) async fn primary(&self) -> Option<usize> {
        self.first_that("primary").await
    }

    /// Which node has every commit that was answered.
    pub(crate) async fn standby(&self) -> Option<usize> {
        self.first_that("synchronous").await
    }

    async fn first_that(&self, is: &str) -> Option<usize> {
        for (index, node) in self.nodes.iter().enumerate() {
            if node.is(is).await {
                return Some(index);
            }
        }
        None
    }

    /// Fails unless this node is the primary.
    pub(crate) async fn assert_primary(&self, node: usize) {
        let [one, other] = &self.nodes;
        assert!(
            self.nodes[node].is("primary").await,
            "{} does not lead\n{}\n{}",
            self.nodes[node].name,
            one.log(),
            other.log()
        );
    }

    /// Makes the standby the primary, as an operator does before work on a machine.
    pub(crate) async fn switch_over(&self) {
        let (patronictl, machine) = (find_program(&["patronictl"], &[]).unwrap(), &self.nodes[0].machine);
        let mut command = Command::new(patronictl);
        command.args(["-c", &machine.path("patroni.yml"), "switchover", "claviger", "--force"]);
        command.env_clear().envs(&machine.variables).env("LC_ALL", "C.UTF-8").env("PATH", "/usr/bin:/bin");
        let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(said.contains("Successfully switched over"), "{said}{}", String::from_utf8_lossy(&output.stderr));
    }
}

impl Node {
    fn start(name: &str, program: &Path, etcd: u16) -> Self {
        let machine = Machine::new();
        let (port, api) = (free_port(), format!("127.0.0.1:{}", free_port()));
        let postgres = server_programs().program("");
        let variables = filled_in("patroni.env", |variable| match variable {
            "PATRONI_NAME" => name.to_owned(),
            "PATRONI_ETCD_HOSTS" => format!("127.0.0.1:{etcd}"),
            "PATRONI_POSTGRESQL_LISTEN" | "PATRONI_POSTGRESQL_CONNECT_ADDRESS" => format!("127.0.0.1:{port}"),
            "PATRONI_POSTGRESQL_DATA_DIR" => machine.path("data"),
            "PATRONI_POSTGRESQL_BIN_DIR" => postgres.display().to_string(),
            "PATRONI_POSTGRESQL_PGPASS" => machine.path("pgpass"),
            "PATRONI_RESTAPI_LISTEN" | "PATRONI_RESTAPI_CONNECT_ADDRESS" => api.clone(),
            "PATRONI_RESTAPI_USERNAME" => "patroni".to_owned(),
            "PATRONI_SUPERUSER_USERNAME" => "postgres".to_owned(),
            "PATRONI_REPLICATION_USERNAME" => "replicator".to_owned(),
            _ if variable.ends_with("_PASSWORD") => WORD.to_owned(),
            other => panic!("nobody knows what would be in {other}"),
        });
        // A copy: the account that it runs as may not be let into this folder.
        let settings = machine.path("patroni.yml");
        fs::write(&settings, deployed("patroni.yml")).unwrap();
        let mut machine = machine.with(program, &[&settings], variables);
        machine.start();
        Self { machine, name: name.to_owned(), port, api }
    }

    /// Whether it is, as its Patroni says, `primary` or a `synchronous` standby.
    pub(crate) async fn is(&self, what: &str) -> bool {
        self.ask(what).await.is_some_and(|answer| answer.status() == 200)
    }

    /// Whether its Postgres runs, and Patroni knows nobody who leads.
    pub(crate) async fn runs_without_leader(&self) -> bool {
        let Some(cluster) = self.ask("cluster").await else { return false };
        let cluster: Value = cluster.json().await.unwrap_or_default();
        let members = cluster["members"].as_array().map_or(&[][..], Vec::as_slice);
        self.is("health").await && !members.is_empty() && members.iter().all(|member| member["role"] != "leader")
    }

    async fn ask(&self, what: &str) -> Option<reqwest::Response> {
        let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(2)).build().unwrap();
        client.get(format!("http://{}/{what}", self.api)).send().await.ok()
    }

    /// A connection of the superuser.
    pub(crate) async fn connect(&self, database: &str) -> Result<Client, tokio_postgres::Error> {
        let url = format!("postgres://postgres:{WORD}@127.0.0.1:{}/{database}?sslmode=disable", self.port);
        let (client, connection) = tokio_postgres::connect(&url, NoTls).await?;
        tokio::spawn(connection);
        Ok(client)
    }

    /// Ends every process of it at once, as if its machine had lost power.
    pub(crate) async fn kill(&self) {
        wait_until("every process is gone", async || self.machine.signal(Signal::KILL, |_| true) == 0).await;
    }

    /// Stops every process of the machine where it stands, or resumes all.
    pub(crate) fn freeze(&self, frozen: bool) {
        self.machine.freeze(frozen, |_| true);
    }

    /// The same for Postgres alone, as a disk that hangs does. Patroni then waits inside its loop for an answer of Postgres.
    pub(crate) fn freeze_postgres(&self, frozen: bool) {
        let postgres = server_programs().program("postgres").canonicalize().unwrap();
        self.machine.freeze(frozen, |program| program == postgres);
    }

    /// Starts it again on its data.
    pub(crate) fn start_again(&mut self) {
        self.machine.start();
    }

    /// What its Patroni and its Postgres have said.
    pub(crate) fn log(&self) -> String {
        format!("{}:\n{}", self.name, self.machine.log())
    }
}

/// A file of deploy/patroni.
fn deployed(file: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/patroni").join(file)).unwrap()
}

/// The variables of such a file, each with a value for here.
fn filled_in(file: &str, value: impl Fn(&str) -> String) -> BTreeMap<String, String> {
    let lines = deployed(file);
    let names = lines.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.split_once('='));
    names.map(|(name, _)| (name.to_owned(), value(name))).collect()
}

/// Starts a program at each line of standard input, and when that ends, kills whatever works in `$1`, which is removed:
/// the kernel closes our end of that pipe also when we are killed.
const WATCH: &str = r#"
folder=$1; shift
exec 3<&0 </dev/null
trap '' HUP
while read -r _ <&3; do (cd "$folder" && exec "$@" >>log 2>&1 3<&-) & done
while :; do
  found=
  for process in /proc/[0-9]*; do
    case $(readlink "$process/cwd") in "$folder"*) kill -KILL "${process#/proc/}" && found=yes ;; esac
  done 2>/dev/null
  [ -n "$found" ] || break
done
rm -rf -- "$folder"
"#;

/// A program in a folder of its own, which everything that it starts works in.
struct Machine {
    folder: PathBuf,
    variables: BTreeMap<String, String>,
    watch: Option<Child>,
}

impl Machine {
    fn new() -> Self {
        let folder = new_folder();
        DirBuilder::new().mode(0o700).create(&folder).unwrap();
        if let Some((uid, gid)) = server_account() {
            chown(&folder, Some(uid), Some(gid)).unwrap();
        }
        // As the kernel shows it.
        Self { folder: folder.canonicalize().unwrap(), variables: BTreeMap::new(), watch: None }
    }

    fn path(&self, name: &str) -> String {
        self.folder.join(name).display().to_string()
    }

    fn with(mut self, program: &Path, arguments: &[&str], variables: BTreeMap<String, String>) -> Self {
        let mut watch = Command::new("/bin/sh");
        watch.args(["-c", WATCH, "claviger-machine"]).arg(&self.folder).arg(program).args(arguments);
        watch.env_clear().envs(&variables).env("PATH", "/usr/bin:/bin").env("LC_ALL", "C.UTF-8").current_dir("/");
        if let Some((uid, gid)) = server_account() {
            watch.uid(uid).gid(gid);
        }
        watch.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
        self.watch = Some(watch.spawn().unwrap());
        self.variables = variables;
        self
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }

    fn start(&mut self) {
        self.watch.as_mut().unwrap().stdin.as_mut().unwrap().write_all(b"start\n").unwrap();
    }

    /// Stops or resumes the processes of these programs.
    fn freeze(&self, frozen: bool, is_meant: impl Fn(&Path) -> bool) {
        let signal = if frozen { Signal::STOP } else { Signal::CONT };
        // Twice: a process may be born meanwhile.
        (0..2).for_each(|_| _ = self.signal(signal, &is_meant));
    }

    /// Signals the processes of these programs that work here, and returns their number.
    fn signal(&self, signal: Signal, is_meant: impl Fn(&Path) -> bool) -> usize {
        let link = |pid: &i32, name: &str| fs::read_link(format!("/proc/{pid}/{name}"));
        let works_here = |pid: &i32| link(pid, "cwd").is_ok_and(|folder| folder.starts_with(&self.folder));
        let is_meant = |pid: &i32| link(pid, "exe").is_ok_and(|program| is_meant(&program));
        let entries = fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        let here = entries.filter_map(|name| name.parse().ok()).filter(works_here).filter(is_meant);
        here.filter_map(Pid::from_raw).filter(|pid| kill_process(*pid, signal).is_ok()).count()
    }
}

impl Drop for Machine {
    #[expect(clippy::print_stderr, reason = "the folder goes, and with it the reason why a test failed")]
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}:\n{}", self.folder.display(), self.log());
        }
        if let Some(mut watch) = self.watch.take() {
            drop(watch.stdin.take());
            drop(watch.wait());
        }
    }
}
