//! A backup is taken while people work and restored, with the very commands of docs/operations.md: what is there again, which
//! sessions go on, and what operators do before they serve from it.

use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use claviger::dev::cluster::{Cluster, Purpose};
use reqwest::Method;
use serde_json::json;
use tokio::task::JoinHandle;

use crate::support::{
    Account, PASSWORD, ServerProcess, TestDatabase, environment, new_folder, own_cluster, server_account,
    server_programs, wait_until,
};

/// The block of commands of the document that begins with this.
fn documented(beginning: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/operations.md");
    let text = std::fs::read_to_string(path).unwrap();
    let block = text.split("```").skip(1).step_by(2).filter_map(|block| block.split_once('\n'));
    let mut found = block.map(|(_, commands)| commands).filter(|commands| commands.starts_with(beginning));
    found.next().unwrap_or_else(|| panic!("no commands begin with {beginning}")).to_owned()
}

/// Runs documented commands in a folder, with the programs of Postgres and of ours on the path.
async fn run(script: String, folder: &Path, variables: &[(&str, &str)]) -> String {
    let mut shell = Command::new("sh");
    let programs = Path::new(env!("CARGO_BIN_EXE_claviger")).parent().unwrap().display().to_string();
    let postgres = server_programs().program("").display().to_string();
    shell.args(["-euc", &script]).current_dir(folder).env_clear().envs(variables.iter().copied());
    shell.env("PATH", format!("{programs}:{postgres}:/usr/bin:/bin"));
    let output: Output = tokio::task::spawn_blocking(move || shell.output().unwrap()).await.unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}");
    said
}

/// People who refresh all the time.
struct Load {
    people: Vec<JoinHandle<Account>>,
    refreshed: Arc<AtomicUsize>,
    enough: Arc<AtomicBool>,
}

impl Load {
    async fn on(server: &ServerProcess) -> Self {
        let (refreshed, enough) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
        let mut people = Vec::new();
        for number in 0..6 {
            let mut person = server.anonymous().register(&format!("busy{number}@example.com")).await;
            let (refreshed, enough) = (Arc::clone(&refreshed), Arc::clone(&enough));
            people.push(tokio::spawn(async move {
                while !enough.load(Ordering::Relaxed) {
                    person.refresh().await;
                    refreshed.fetch_add(1, Ordering::Relaxed);
                }
                person
            }));
        }
        let load = Self { people, refreshed, enough };
        load.goes_on().await;
        load
    }

    async fn goes_on(&self) {
        let until = self.refreshed.load(Ordering::Relaxed) + 60;
        wait_until("people refresh", async || self.refreshed.load(Ordering::Relaxed) >= until).await;
    }

    async fn end(self) -> Vec<Account> {
        self.enough.store(true, Ordering::Relaxed);
        let mut people = Vec::new();
        for person in self.people {
            people.push(person.await.unwrap());
        }
        people
    }
}

/// Every refresh rotates.
const STRICT: [(&str, &str); 1] = [("CLAVIGER__REFRESH_TOKEN__GRACE", "0s")];

#[tokio::test]
async fn a_backup_taken_under_load_has_every_account_and_the_sessions_of_its_time() {
    let folder = tempfile::tempdir().unwrap();
    let database = TestDatabase::private().await;
    let server = ServerProcess::ready(&database.url, &STRICT).await;
    let register = async |name: &str| server.anonymous().register(&format!("{name}@example.com")).await;
    let (mut idle, mut ahead, mut behind) = (register("idle").await, register("ahead").await, register("behind").await);
    let (leaving, deleted) = (register("leaving").await, register("deleted").await);
    let oldest = behind.refresh_token.clone();
    behind.refresh().await;
    behind.refresh().await;
    let load = Load::on(&server).await;

    run(documented("pg_dump"), folder.path(), &[("OWNER_URL", &database.url)]).await;

    load.goes_on().await;
    let current = ahead.refresh_token.clone();
    // Twice: what follows a token is always the same, so the next one comes true again when that is used.
    ahead.refresh().await;
    ahead.refresh().await;
    leaving.logout().await;
    let password = json!({ "password": PASSWORD });
    assert_eq!(deleted.call(Method::DELETE, "/api/auth/me", password).await.status, 204);
    register("later").await;
    let busy = load.end().await;
    std::fs::write(folder.path().join("claviger.log"), server.log()).unwrap();

    let restored = TestDatabase::private().await;
    restored.make_anew().await;
    let variables = [("RESTORED_URL", &*restored.url)];
    run(documented("pg_restore"), folder.path(), &variables).await;
    let server = ServerProcess::ready(&restored.url, &STRICT).await;
    let caller = server.anonymous();
    assert_eq!(restored.number("select count(*) from users").await, 11, "all but those that came later");

    // Tokens of its time are current again, also of who signed out or was deleted since.
    for token in [&idle.refresh_token, &current, &leaving.refresh_token, &deleted.refresh_token] {
        assert_eq!(caller.refresh(token).await.status, 200);
    }
    // Newer ones are unknown, and end nothing; older ones are replays.
    for token in busy.iter().map(|person| &person.refresh_token).chain([&ahead.refresh_token]) {
        caller.refresh(token).await.assert_problem(401, "refresh_token_invalid");
    }
    caller.refresh(&oldest).await.assert_problem(401, "refresh_token_replayed");
    assert_eq!(restored.number("select count(*) from sessions where ended_at is not null").await, 1);
    for person in busy.iter().chain([&idle, &ahead, &behind, &leaving, &deleted]) {
        assert_eq!(caller.login(&person.email, PASSWORD).await.status, 200, "{}", person.email);
    }

    // Whoever drops the refresh secret has everybody sign in again.
    let another = [("REFRESH_SECRET", "bT9cRq4LmVw2XyZs7KdNf1HgJp5EaUo8QiBx3TvC6nM")];
    let elsewhere = ServerProcess::ready(&restored.url, &another).await;
    elsewhere.anonymous().refresh(&idle.refresh_token).await.assert_problem(401, "refresh_token_invalid");

    // So does whoever ends all sessions, and deletes again who was deleted.
    let alive = restored.number("select count(*) from sessions where ended_at is null").await;
    let mut variables = environment(&restored.url);
    variables.retain(|name, _| !name.ends_with("_SECRET"));
    let variables: Vec<(&str, &str)> = variables.iter().map(|(name, value)| (&**name, &**value)).collect();
    let said = run(documented("claviger sessions end-all"), folder.path(), &variables).await;
    assert!(said.contains(&format!("ended {alive} sessions of 11 accounts")), "{said}");
    idle = Account::of(caller.clone(), &idle.email, &caller.login(&idle.email, PASSWORD).await);
    idle.refresh().await;
    caller.refresh(&current).await.assert_problem(401, "session_ended");
    let ended = "select count(*) from events where kind = 'session_ended' and reason = 'revoked'";
    assert_eq!(restored.number(ended).await, alive);
    caller.login(&deleted.email, PASSWORD).await.assert_problem(401, "invalid_credentials");
    assert_eq!(restored.number("select count(*) from users").await, 10);
}

#[tokio::test]
async fn a_base_backup_and_the_archive_bring_back_any_moment() {
    let archive = tempfile::tempdir().unwrap();
    give(archive.path());
    let settings = documented_settings("archive_mode", archive.path(), "");
    let cluster = own_cluster(&settings.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let server = ServerProcess::ready(&cluster.default_url(), &[]).await;
    let load = Load::on(&server).await;
    let folder = new_folder();
    std::fs::create_dir(&folder).unwrap();

    run(documented("pg_basebackup"), &folder, &[("REPLICATION_URL", &cluster.default_url())]).await;
    drop(server.anonymous().register("before@example.com").await);
    let (client, connection) = tokio_postgres::connect(&cluster.default_url(), tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    let moment: String = client.query_one("select clock_timestamp()::text", &[]).await.unwrap().get(0);
    load.goes_on().await;
    drop(server.anonymous().register("after@example.com").await);
    let people = load.end().await;
    client.batch_execute("select pg_switch_wal(); checkpoint").await.unwrap();
    let last = "select last_archived_wal >= pg_walfile_name(pg_current_wal_lsn() - 16777216) from pg_stat_archiver";
    wait_until("the log is in the archive", async || {
        client.query_one(last, &[]).await.unwrap().get::<_, Option<bool>>(0) == Some(true)
    })
    .await;
    drop(server);

    run("mv base data && touch data/recovery.signal".to_owned(), &folder, &[]).await;
    give(&folder);
    let settings = documented_settings("restore_command", archive.path(), &moment);
    let settings: Vec<&str> = settings.iter().map(String::as_str).collect();
    let restored = Cluster::start(&server_programs(), &folder, Purpose::Test(&settings)).await.unwrap();
    let server = ServerProcess::ready(&restored.default_url(), &[]).await;

    let caller = server.anonymous();
    for email in people.iter().map(|person| &*person.email).chain(["before@example.com"]) {
        wait_until("it takes writes", async || caller.login(email, PASSWORD).await.status != 503).await;
        assert_eq!(caller.login(email, PASSWORD).await.status, 200, "{email}");
    }
    caller.login("after@example.com", PASSWORD).await.assert_problem(401, "invalid_credentials");
}

/// Documented lines of postgresql.conf, as `postgres -c` takes them.
fn documented_settings(beginning: &str, archive: &Path, moment: &str) -> Vec<String> {
    let lines = documented(beginning).replace("/backup/wal", archive.to_str().unwrap());
    let lines = lines.replace("2026-11-28 12:00:00 UTC", moment);
    let setting =
        |line: &str| line.split_once(" = ").map(|(name, value)| format!("{name}={}", value.trim_matches('\'')));
    lines.lines().filter_map(setting).collect()
}

/// Makes a folder and all in it the server's own, as Postgres insists.
fn give(folder: &Path) {
    let mut found = vec![folder.to_owned()];
    while let Some(path) = found.pop() {
        if let Some((uid, gid)) = server_account() {
            std::os::unix::fs::lchown(&path, Some(uid), Some(gid)).unwrap();
        }
        if path.is_dir() && !path.is_symlink() {
            found.extend(std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()));
        }
    }
    std::fs::set_permissions(folder, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
}
