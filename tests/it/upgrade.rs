//! Processes are replaced, and die, while people use the service: nobody notices.
//!
//! `make upgrade` has the ones that are replaced be of the commit in `tests/upgrade_from`, by `TEST_UPGRADE_FROM`; without it
//! they are of this program too.

use std::path::{Path, PathBuf};
use std::process::Command;

use claviger::config;

use crate::support::{
    ComposeNginx, Fleet, HaProxy, Load, Nginx, PgBouncer, TestDatabase, behind_haproxy, behind_haproxy_with, skipped,
};

fn new_program() -> PathBuf {
    env!("CARGO_BIN_EXE_claviger").into()
}

fn old_program() -> PathBuf {
    config::environment().remove("TEST_UPGRADE_FROM").map_or_else(new_program, PathBuf::from)
}

/// A database with a role that owns its tables and one that only serves.
struct Roles {
    database: TestDatabase,
    serving: String,
}

impl Roles {
    async fn make() -> Self {
        let database = TestDatabase::empty().await;
        let serving = format!("{}_serving", database.name);
        database.execute(&format!("create role {serving} login password 'serving'")).await;
        Self { database, serving }
    }

    /// For the role that serves.
    fn url(&self) -> String {
        self.database.url_as(&self.serving, "serving")
    }

    /// As an operator does it before processes of this program start.
    async fn migrate(&self, program: &Path) {
        self.run(program, &["migrate"]);
        let grants = self.run(program, &["migrate", "--print-grants", &self.serving]);
        self.database.execute(&grants).await;
    }

    fn run(&self, program: &Path, arguments: &[&str]) -> String {
        let mut command = Command::new(program);
        let output = command.args(arguments).env_clear().env("DATABASE_URL", &self.database.url).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    async fn remove(self) {
        let role = &self.serving;
        self.database.execute(&format!("drop owned by {role}; drop role {role}")).await;
    }
}

/// Whether the test must be left out, and says so.
fn lacks(name: &str, program: fn() -> Option<PathBuf>) -> bool {
    let is_missing = program().is_none();
    if is_missing {
        skipped(&name.to_uppercase(), &format!("apt-get install {name}"));
    }
    is_missing
}

#[tokio::test(flavor = "multi_thread")]
async fn behind_haproxy_processes_are_replaced_one_by_one_and_back_and_nobody_notices() {
    if lacks("haproxy", HaProxy::program) {
        return;
    }
    let (old, new, roles) = (old_program(), new_program(), Roles::make().await);
    roles.migrate(&old).await;
    let mut fleet = Fleet::start(&old, 3, &roles.url(), &[]).await;
    let (_haproxy, address) = behind_haproxy(&fleet).await;
    let load = Load::start(address).await;

    roles.migrate(&new).await;
    load.goes_on().await;
    for program in [&new, &old] {
        for index in 0..3 {
            fleet.stop(index).await;
            fleet.launch(index, program).await;
            fleet.serves(index).await;
        }
        load.goes_on().await;
    }

    load.end().await.assert_nobody_noticed("replaced behind haproxy");
    drop(fleet);
    roles.remove().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn behind_nginx_and_pgbouncer_processes_are_replaced_one_by_one_and_back_and_nobody_notices() {
    if lacks("nginx", Nginx::program) || lacks("pgbouncer", PgBouncer::program) {
        return;
    }
    let (old, new, roles) = (old_program(), new_program(), Roles::make().await);
    roles.migrate(&old).await;
    let pooler = PgBouncer::of_compose(&roles.database, &roles.url()).await;
    let prepared = PgBouncer::knows_prepared_statements().to_string();
    let settings = [
        ("CLAVIGER__DATABASE__STATEMENT_TIMEOUT", "0s"),
        ("CLAVIGER__DATABASE__PREPARED_STATEMENTS", prepared.as_str()),
    ];
    let mut fleet = Fleet::start(&old, 2, &pooler.url, &settings).await;
    let mut nginx = ComposeNginx::before(&fleet).await;
    let load = Load::start(nginx.bare).await;

    roles.migrate(&new).await;
    load.goes_on().await;
    for program in [&new, &old] {
        for index in 0..2 {
            nginx.leave_out(&[index]).await;
            fleet.stop(index).await;
            fleet.launch(index, program).await;
            nginx.leave_out(&[]).await;
            fleet.serves(index).await;
        }
        load.goes_on().await;
    }

    load.end().await.assert_nobody_noticed("replaced behind nginx and PgBouncer");
    drop((fleet, pooler));
    roles.remove().await;
}

/// Kills a process that has refreshes in hand. Clients that repeat them with their key lose nothing by it; says how many
/// had to.
async fn repeated_after_a_kill(what: &str, mut fleet: Fleet, load: Load) -> usize {
    fleet.kill(0, load.hangs()).await;
    load.goes_on().await;
    let outcome = load.end().await;
    let (all, refreshes) = (outcome.failed(None), outcome.failed(Some("/refresh")));
    outcome.tell(&format!("{what}; repeated by clients: {all}, of these refreshes {refreshes}"));
    assert!(outcome.lost.is_empty(), "{what}: {outcome}");
    refreshes
}

/// So that most users come to a process that hangs before anybody looks after it.
fn in_turns(cfg: &str) -> String {
    cfg.replace("balance leastconn", "balance roundrobin").replace("inter 100ms", "inter 1s")
}

#[tokio::test(flavor = "multi_thread")]
async fn behind_haproxy_a_process_that_is_killed_signs_nobody_out() {
    if lacks("haproxy", HaProxy::program) {
        return;
    }
    let database = TestDatabase::migrated().await;
    let fleet = Fleet::start(&new_program(), 3, &database.url, &[]).await;
    let (_haproxy, address) = behind_haproxy_with(&fleet, in_turns).await;
    let load = Load::start(address).await;
    assert_eq!(repeated_after_a_kill("killed behind haproxy", fleet, load).await, 0, "haproxy repeats refreshes");
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_that_repeat_a_refresh_with_its_key_survive_a_kill_behind_any_balancer() {
    if lacks("haproxy", HaProxy::program) {
        return;
    }
    let database = TestDatabase::migrated().await;
    let fleet = Fleet::start(&new_program(), 3, &database.url, &[]).await;
    let repeats_nothing = |cfg: &str| in_turns(cfg).replace("conn-failure empty-response", "conn-failure");
    let (_haproxy, address) = behind_haproxy_with(&fleet, repeats_nothing).await;
    let load = Load::start(address).await;
    assert!(repeated_after_a_kill("killed behind a balancer that repeats nothing", fleet, load).await >= 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn behind_nginx_a_process_that_is_killed_signs_nobody_out() {
    if lacks("nginx", Nginx::program) {
        return;
    }
    let database = TestDatabase::migrated().await;
    let fleet = Fleet::start(&new_program(), 2, &database.url, &[]).await;
    let nginx = ComposeNginx::before(&fleet).await;
    let load = Load::start(nginx.bare).await;
    assert_eq!(repeated_after_a_kill("killed behind nginx", fleet, load).await, 0, "nginx repeats refreshes");
}
