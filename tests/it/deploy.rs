//! What is in deploy/ starts: its settings exist and are good, and systemd understands its unit.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use claviger::config::{self, Environment, Settings};

use crate::support::{JWT_SECRET, REFRESH_SECRET, find_program, skipped};

fn read(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

/// The settings that a configuration file and the variables of a deployment make, once its secrets are there.
fn settings(file: &str, variables: &[&str]) -> Settings {
    let folder = tempfile::tempdir().unwrap();
    let mut environment = Environment::new();
    for name in variables {
        let secret = match *name {
            "DATABASE_URL_FILE" => "postgres://claviger@db.example/claviger",
            "JWT_SECRET_FILE" => JWT_SECRET,
            "REFRESH_SECRET_FILE" => REFRESH_SECRET,
            other => panic!("nobody knows what would be in {other}"),
        };
        let path = folder.path().join(name);
        fs::write(&path, secret).unwrap();
        environment.insert((*name).to_owned(), path.display().to_string());
    }
    let path = folder.path().join("claviger.toml");
    fs::write(&path, file).unwrap();
    config::load(Some(&path), &environment, &BTreeMap::new()).unwrap().settings
}

#[test]
fn the_deployment_on_kubernetes_has_good_settings_and_listens_where_it_is_asked() {
    let manifest = read("deploy/kubernetes/claviger.yaml");
    let file = manifest.split("claviger.toml: |\n").nth(1).unwrap().split("---").next().unwrap();
    let deployment = manifest.split("kind: Deployment").nth(1).unwrap().split("\n---").next().unwrap();
    let variables =
        deployment.lines().filter_map(|line| line.trim().strip_prefix("- { name: ")?.split_once(", value: "));
    let variables: Vec<&str> = variables.map(|(name, _)| name).collect();
    assert_eq!(variables.len(), 3);

    let settings = settings(file, &variables);

    assert!(deployment.contains(&format!("{{ name: http, containerPort: {} }}", settings.server.port)));
    let metrics = settings.metrics.unwrap().port();
    assert!(deployment.contains(&format!("{{ name: metrics, containerPort: {metrics} }}")));
    assert!(deployment.contains(&format!("prometheus.io/port: \"{metrics}\"")));
    let rest = settings.server.drain + settings.server.shutdown_timeout;
    let patience = deployment.split("terminationGracePeriodSeconds: ").nth(1).unwrap().lines().next().unwrap();
    assert!(rest.as_secs() < patience.parse().unwrap(), "{rest:?} do not fit into {patience} s");
    assert!(!settings.database.migrate);
}

#[test]
fn systemd_understands_the_unit_and_its_settings_are_good() {
    let unit = read("deploy/systemd/claviger.service");
    let variables = unit.lines().filter_map(|line| line.strip_prefix("Environment=")?.split_once('='));
    let variables: Vec<&str> = variables.map(|(name, _)| name).chain(["DATABASE_URL_FILE"]).collect();
    let settings = settings("", &variables);
    assert!((settings.server.drain + settings.server.shutdown_timeout).as_secs() < 60);

    let Some(analyze) = find_program(&["systemd-analyze"], &[]) else {
        return skipped("SYSTEMD", "apt-get install systemd");
    };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("claviger.service");
    fs::write(&path, unit.replace("/usr/local/bin/claviger", env!("CARGO_BIN_EXE_claviger"))).unwrap();
    let verified = Command::new(&analyze).arg("verify").arg(&path).output().unwrap();
    assert!(verified.status.success() && verified.stderr.is_empty(), "{verified:?}");
    // 0 is a process that can do nothing, 10 one that can do everything; 2 and less systemd calls safe.
    let exposure =
        Command::new(analyze).args(["security", "--offline=true", "--threshold=20"]).arg(&path).output().unwrap();
    assert!(exposure.status.success(), "{}", String::from_utf8_lossy(&exposure.stdout));
}
