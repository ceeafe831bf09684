//! What is in deploy/ starts: its settings exist and are good, its parts agree, and systemd and nginx understand their files.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use claviger::config::{self, Environment, PostgresUrl, Settings};
use serde_json::{Value, json};

use crate::support::{
    ComposeNginx, Fleet, JWT_SECRET, Nginx, PASSWORD, REFRESH_SECRET, TestDatabase, find_program, read, skipped,
};

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
    loaded(file, &environment)
}

fn loaded(file: &str, environment: &Environment) -> Settings {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("claviger.toml");
    fs::write(&path, file).unwrap();
    config::load(Some(&path), environment, &BTreeMap::new()).unwrap().settings
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

/// What stands behind each of these words, up to the end of the line or one of `ends`.
fn all_after<'a>(text: &'a str, word: &str, ends: &[char]) -> Vec<&'a str> {
    text.split(word).skip(1).map(|rest| rest.split(ends).next().unwrap().lines().next().unwrap().trim()).collect()
}

/// Makes the secrets of compose, with a `chown` that does nothing: not every machine has the accounts.
fn make_secrets(folder: &Path) {
    let programs = tempfile::tempdir().unwrap();
    let chown = programs.path().join("chown");
    fs::write(&chown, "#!/bin/sh\n").unwrap();
    fs::set_permissions(&chown, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let path = config::environment().remove("PATH").unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/compose/secrets.sh");
    let mut command = Command::new("sh");
    command.arg(script).arg(folder).env("PATH", format!("{}:{path}", programs.path().display()));
    let made = command.output().unwrap();
    assert!(made.status.success() && made.stderr.is_empty(), "{made:?}");
}

#[test]
fn the_deployment_with_compose_makes_good_secrets_and_keeps_them() {
    let (folder, compose) = (tempfile::tempdir().unwrap(), read("deploy/compose/compose.yaml"));
    make_secrets(folder.path());
    let secret = |path: &str| fs::read_to_string(folder.path().join(path)).unwrap();
    let serving = compose.split("volumes:").next().unwrap();
    let variables = serving.lines().filter_map(|line| line.trim().split_once("_FILE: /secrets/"));
    let variables = variables
        .map(|(name, file)| (format!("{name}_FILE"), folder.path().join("serving").join(file).display().to_string()));
    let environment: Environment = variables.collect();
    assert_eq!(environment.len(), 3);

    let settings = loaded(&read("deploy/compose/claviger.toml"), &environment);

    assert!(!settings.database.migrate && settings.database.statement_timeout.is_zero());
    let url = |path: &str| PostgresUrl::parse(secret(path).trim()).unwrap().config;
    let (serving, owner) = (url("serving/database_url"), url("owner/database_url"));
    let password = String::from_utf8(serving.get_password().unwrap().to_vec()).unwrap();
    assert_eq!(secret("pgbouncer/userlist.txt"), format!("\"claviger_serving\" \"{password}\"\n"));
    assert_eq!(secret("postgres/serving_password").trim(), password);
    assert_eq!(secret("postgres/owner_password").trim().as_bytes(), owner.get_password().unwrap());
    let (roles, pooler) = (read("deploy/compose/postgres/roles.sh"), read("deploy/compose/pgbouncer/pgbouncer.ini"));
    for config in [&serving, &owner] {
        assert!(roles.contains(&format!("create role {} login", config.get_user().unwrap())));
        assert!(roles.contains(&format!("create database {} owner", config.get_dbname().unwrap())));
    }
    assert!(compose.contains(&format!("\"--grant\", \"{}\"", serving.get_user().unwrap())));
    assert!(pooler.contains(&format!("listen_port = {}\n", serving.get_ports()[0])));
    let files = ["postgres/password", "owner/database_url", "serving/jwt_secret", "serving/refresh_secret"];
    let before = files.map(secret);
    for path in files {
        let mode = std::os::unix::fs::PermissionsExt::mode(&folder.path().join(path).metadata().unwrap().permissions());
        assert_eq!(mode & 0o077, 0, "{path}");
    }
    make_secrets(folder.path());
    assert_eq!(files.map(secret), before);
}

#[test]
fn the_parts_of_the_deployment_with_compose_agree() {
    let (compose, nginx) = (read("deploy/compose/compose.yaml"), read("deploy/compose/nginx/claviger.conf"));
    let (file, upgrade) = (read("deploy/compose/claviger.toml"), read("deploy/compose/upgrade.sh"));
    let settings = settings(&file, &["DATABASE_URL_FILE", "JWT_SECRET_FILE", "REFRESH_SECRET_FILE"]);
    let mut addresses = all_after(&compose, "ipv4_address: ", &[' ', '}']);
    let proxy = addresses.pop().unwrap();
    let port = settings.server.port;
    let servers: Vec<String> = addresses.iter().map(|address| format!("{address}:{port}")).collect();
    assert_eq!(all_after(&nginx, "    server ", &[';']), servers);
    assert_eq!(settings.server.trusted_proxies, [format!("{proxy}/32").parse().unwrap()]);
    for (n, address) in addresses.iter().enumerate() {
        assert_eq!(
            upgrade.replace("$n", &(n + 1).to_string()).matches(&format!("server {address}:{port};")).count(),
            2
        );
    }
    let subnet: ipnet::IpNet = all_after(&compose, "subnet: ", &['}'])[0].parse().unwrap();
    assert!(
        addresses.iter().chain([&proxy]).all(|address| subnet.contains(&address.parse::<std::net::IpAddr>().unwrap()))
    );
    let name = all_after(&nginx, "server_name ", &[';'])[0];
    assert!(file.contains(&format!("public_url = \"https://{name}\"")));
    let patience = all_after(&compose, "stop_grace_period: ", &['s'])[0].parse().unwrap();
    assert!((settings.server.drain + settings.server.shutdown_timeout).as_secs() < patience);
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/compose");
    let mounts = all_after(&compose, "./", &[':']).into_iter().filter(|path| !path.starts_with(['.', '/']));
    for mount in mounts.filter(|path| !path.starts_with("secrets") && !path.starts_with("tls")) {
        assert!(folder.join(mount).exists(), "{mount}");
    }
    for script in ["upgrade.sh", "postgres/roles.sh"] {
        assert!(Command::new("sh").arg("-n").arg(folder.join(script)).status().unwrap().success(), "{script}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nginx_of_compose_ends_tls_says_where_calls_come_from_and_what_to_do_without_a_server() {
    if Nginx::program().is_none() {
        return skipped("NGINX", "apt-get install nginx");
    }
    let Some(curl) = find_program(&["curl"], &[]) else { return skipped("CURL", "apt-get install curl") };
    let database = TestDatabase::migrated().await;
    // Traced, though nobody listens there.
    let settings = [
        ("CLAVIGER__SERVER__PUBLIC_URL", "https://auth.example.com"),
        ("CLAVIGER__TRACES__ENDPOINT", "http://127.0.0.1:9"),
    ];
    let mut fleet = Fleet::start(Path::new(env!("CARGO_BIN_EXE_claviger")), 2, &database.url, &settings).await;
    let nginx = ComposeNginx::before(&fleet).await;
    // From an address that is not the proxy's.
    let ask = |scheme: &str, port: u16, path: &str, more: &[&str]| {
        let mut command = Command::new(&curl);
        command.args(["-sS", "-i", "--interface", "127.0.0.2", "--noproxy", "*", "--resolve"]);
        command.arg(format!("auth.example.com:{port}:127.0.0.1")).arg("--cacert").arg(&nginx.certificate);
        let answer = command.arg(format!("{scheme}://auth.example.com:{port}{path}")).args(more).output().unwrap();
        assert!(answer.status.success(), "{answer:?}");
        String::from_utf8(answer.stdout).unwrap().to_lowercase()
    };

    let answer = ask("http", nginx.plain, "/api/auth/me", &[]);
    assert!(answer.contains(" 308 ") && answer.contains("location: https://auth.example.com/api/auth/me"), "{answer}");
    let body = json!({"email": "ada@example.com", "password": PASSWORD}).to_string();
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let parent = format!("traceparent: 00-{trace}-00f067aa0ba902b7-01");
    let forged =
        ["-d", &body, "-H", "content-type: application/json", "-H", "x-forwarded-for: 203.0.113.9", "-H", &parent];
    let answer = ask("https", nginx.public, "/api/auth/register", &forged);
    assert!(answer.contains(" 201") && answer.contains("strict-transport-security"), "{answer}");
    assert!(answer.contains("traceparent: 00-") && !answer.contains(trace), "{answer}");
    assert_eq!(database.number("select count(*) from sessions where host(ip_address) = '127.0.0.2'").await, 1);

    fleet.stop(0).await;
    assert!(ask("https", nginx.public, "/health/live", &[]).contains(" 200"));
    fleet.stop(1).await;
    let answer = ask("https", nginx.public, "/api/auth/refresh", &["-d", "{}"]);
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.contains(" 503") && head.contains("retry-after: 2"), "{head}");
    assert_eq!(serde_json::from_str::<Value>(body).unwrap()["code"], "gateway_unavailable");
}

/// So that what `make binary` builds can be compared with what is in the image.
#[test]
fn the_image_and_make_binary_are_built_by_the_same_flags() {
    let (dockerfile, makefile) = (read("Dockerfile"), read("Makefile"));
    let flags = |text: &str, source: &str, cargo: &str| {
        let line = text.lines().find(|line| line.contains("+crt-static")).unwrap();
        line.trim().trim_end_matches('\\').trim().replace(source, "SOURCE").replace(cargo, "CARGO")
    };
    assert_eq!(
        flags(&dockerfile, "/src=", "$CARGO_HOME="),
        flags(&makefile, "$(CURDIR)=", "$${CARGO_HOME:-$$HOME/.cargo}=")
    );
}
