//! The program as its operator meets it: signals, logs, commands.

use std::process::{Command, Output};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::support::{JWT_SECRET, PASSWORD, REFRESH_SECRET, ServerProcess, TestDatabase, environment, wait_until};

fn claviger(arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_claviger"));
    command.args(arguments).env_clear().envs(variables.iter().copied()).output().unwrap()
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[tokio::test]
async fn requests_in_flight_finish_after_sigterm_and_new_ones_are_refused() {
    for signal in [Signal::TERM, Signal::INT] {
        let database = TestDatabase::migrated().await;
        let mut server = ServerProcess::ready(&database.url, &[]).await;
        let mut other = database.client().await;
        let holder = other.transaction().await.unwrap();
        holder.batch_execute("lock table users").await.unwrap();
        let (caller, address) = (server.anonymous(), server.address);
        let slow = tokio::spawn(async move {
            caller.post("/api/auth/register", json!({"email": "a@b.example", "password": PASSWORD})).await
        });
        wait_until("the request is in flight", async || database.waiting_for_locks().await == 1).await;

        server.signal(signal);
        wait_until("new connections are refused", async || TcpStream::connect(address).await.is_err()).await;
        holder.commit().await.unwrap();

        let answer = slow.await.unwrap();
        assert_eq!(answer.status, 201, "{answer:?}");
        assert_eq!(answer.header("connection"), "close");
        assert_eq!(server.exit_code().await, Some(0));
        assert_eq!(database.number("select count(*) from sessions").await, 1);
    }
}

#[tokio::test]
async fn a_server_that_drains_tells_balancers_and_serves_on() {
    let database = TestDatabase::migrated().await;
    let mut server = ServerProcess::ready(&database.url, &[("CLAVIGER__SERVER__DRAIN", "2s")]).await;
    let account = server.anonymous().register("ada@example.com").await;
    let asked = Instant::now();
    server.signal(Signal::TERM);
    let caller = server.anonymous();
    wait_until("balancers are told", async || caller.get("/health/ready").await.status == 503).await;
    caller.get("/health/ready").await.assert_problem(503, "shutting_down");
    let answer = server.anonymous().refresh(&account.refresh_token).await;
    assert_eq!((answer.status.as_u16(), answer.header("connection")), (200, "close"));
    assert_eq!(server.exit_code().await, Some(0));
    assert!(asked.elapsed() >= Duration::from_secs(2), "{:?}", asked.elapsed());
}

#[tokio::test]
async fn an_idle_connection_does_not_hold_up_the_shutdown() {
    let database = TestDatabase::migrated().await;
    let mut server = ServerProcess::ready(&database.url, &[]).await;
    let mut idle = TcpStream::connect(server.address).await.unwrap();
    idle.write_all(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    assert!(idle.read(&mut [0; 1024]).await.unwrap() > 0);
    let started = Instant::now();
    server.signal(Signal::TERM);
    assert_eq!(server.exit_code().await, Some(0));
    assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
}

#[tokio::test]
async fn a_request_that_hangs_is_cut_off_at_the_configured_end() {
    let database = TestDatabase::migrated().await;
    let settings = [("CLAVIGER__SERVER__SHUTDOWN_TIMEOUT", "1s"), ("CLAVIGER__DATABASE__STATEMENT_TIMEOUT", "60s")];
    let mut server = ServerProcess::ready(&database.url, &settings).await;
    let mut other = database.client().await;
    let holder = other.transaction().await.unwrap();
    holder.batch_execute("lock table users").await.unwrap();
    let caller = server.anonymous();
    let hanging = tokio::spawn(async move {
        caller
            .request(reqwest::Method::POST, "/api/auth/login")
            .json(&json!({"email": "a@b.example", "password": "x"}))
            .send()
            .await
    });
    wait_until("it hangs", async || database.waiting_for_locks().await == 1).await;
    let started = Instant::now();
    server.signal(Signal::TERM);
    server.exit_code().await;
    assert!(started.elapsed() < Duration::from_secs(15), "{:?}", started.elapsed());
    // Cut off, or told just before.
    assert!(hanging.await.unwrap().map_or(true, |answer| answer.status() == 503));
}

#[tokio::test]
async fn the_log_has_a_line_for_each_request_and_no_secret() {
    for filter in ["trace", "info,tokio_postgres::query=trace,tokio_postgres=trace"] {
        log_has_no_secret(filter).await;
    }
}

async fn log_has_no_secret(filter: &str) {
    let database = TestDatabase::migrated().await;
    database.execute("alter table users add constraint odd check (full_name <> 'refused')").await;
    let server = ServerProcess::ready(&database.url, &[("RUST_LOG", filter)]).await;
    let caller = server.anonymous();
    let refused = json!({"email": "b@b.example", "password": PASSWORD, "full_name": "refused"});
    caller.post("/api/auth/register", refused).await.assert_problem(500, "internal");
    let answer = caller.post("/api/auth/register", json!({"email": "a@b.example", "password": PASSWORD})).await;
    let (access, refresh) = (answer.text("access_token").to_owned(), answer.text("refresh_token").to_owned());
    let next = caller.refresh_keyed(&refresh, "the-idempotency-key").await;
    caller.me(&access).await;
    caller.get(&format!("/api/auth/me?access_token={access}")).await;
    caller.get(&format!("/nowhere/{refresh}")).await;
    caller.login("a@b.example", "a wrong password").await;
    caller.post("/api/auth/logout", json!({"refresh_token": next.text("refresh_token")})).await;

    wait_until("all lines are there", async || server.log().matches("\"answered\"").count() >= 8).await;
    let log = server.log();
    for secret in [
        PASSWORD,
        "a wrong password",
        &access,
        &refresh,
        next.text("refresh_token"),
        next.text("access_token"),
        "the-idempotency-key",
        JWT_SECRET,
        REFRESH_SECRET,
        "$2b$",
    ] {
        assert!(!log.contains(secret), "the log contains {secret}");
    }
    assert!(log.contains("SQLSTATE 23514, table users, constraint odd"), "{log}");
    let lines: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).expect(line)).collect();
    let line = lines.iter().find(|line| line["route"] == "/api/auth/refresh").unwrap();
    assert_eq!((&line["status"], &line["span"]["method"]), (&json!(200), &json!("POST")));
    assert_eq!(line["span"]["request_id"], next.header("x-request-id"));
    assert!(line["milliseconds"].is_number() && line["ip_address"] == "127.0.0.1");
}

#[tokio::test]
async fn the_health_command_says_whether_the_server_is_ready() {
    let database = TestDatabase::migrated().await;
    let server = ServerProcess::ready(&database.url, &[]).await;
    let port = server.address.port().to_string();
    let ready = claviger(&["health"], &[("PORT", &port)]);
    assert!(ready.status.success(), "{}", text(&ready));
    database.execute("drop table refinery_schema_history").await;
    let unready = claviger(&["health"], &[("PORT", &port)]);
    assert!(!unready.status.success() && text(&unready).contains("503"), "{}", text(&unready));
    drop(server);
    assert!(!claviger(&["health"], &[("PORT", &port)]).status.success());
}

#[tokio::test]
async fn an_operator_disables_and_enables_accounts() {
    let database = TestDatabase::migrated().await;
    let server = ServerProcess::ready(&database.url, &[]).await;
    let caller = server.anonymous();
    caller.post("/api/auth/register", json!({"email": "ada@example.com", "password": PASSWORD})).await;
    let run = |arguments: &[&str]| claviger(arguments, &[("DATABASE_URL", &database.url)]);

    let disabled = run(&["user", "disable", "Ada@Example.com"]);
    assert!(disabled.status.success() && text(&disabled).contains("1 session(s) ended"), "{}", text(&disabled));
    caller.login("ada@example.com", PASSWORD).await.assert_problem(403, "account_disabled");
    assert!(run(&["user", "enable", "ada@example.com"]).status.success());
    assert_eq!(caller.login("ada@example.com", PASSWORD).await.status, 200);
    for email in ["nobody@example.com", "nonsense"] {
        for command in ["disable", "enable"] {
            assert_eq!(run(&["user", command, email]).status.code(), Some(1));
        }
    }
}

#[tokio::test]
async fn an_operator_adds_lists_and_removes_clients() {
    let database = TestDatabase::migrated().await;
    let server = ServerProcess::ready(&database.url, &[]).await;
    let run = |arguments: &[&str]| claviger(arguments, &[("DATABASE_URL", &database.url)]);
    let object = |output: &Output| serde_json::from_slice::<Value>(&output.stdout).unwrap();
    let token = async |id: &str, secret: &str| {
        let body = json!({"grant_type": "client_credentials", "client_id": id, "client_secret": secret});
        server.anonymous().post("/api/auth/token", body).await.status.as_u16()
    };

    let added = object(&run(&["clients", "add", "reports", "--scope", "users:read", "--json"]));
    assert_eq!((&added["name"], &added["scopes"]), (&json!("reports"), &json!(["users:read"])));
    let (id, secret) = (added["client_id"].as_str().unwrap(), added["client_secret"].as_str().unwrap());
    assert_eq!(token(id, secret).await, 200);
    let both = ["clients", "add", "Gateway 1", "--scope", "users:read", "--scope", "revocations:read"];
    let shown = text(&run(&both));
    let after = |label: &str| shown.lines().find_map(|line| line.trim().strip_prefix(label)).unwrap().trim().to_owned();
    assert_eq!(token(&after("client_id"), &after("client_secret")).await, 200, "{shown}");

    let listed = object(&run(&["clients", "list", "--json"]));
    let names: Vec<&Value> = listed.as_array().unwrap().iter().map(|client| &client["name"]).collect();
    assert_eq!(names, ["Gateway 1", "reports"]);
    let table = text(&run(&["clients", "list"]));
    assert!(table.contains(id) && table.contains("users:read revocations:read"), "{table}");
    assert!(!table.contains(secret) && !listed.to_string().contains(secret));

    for (arguments, why) in [
        (&["clients", "add", "reports", "--scope", "users:read"][..], "already"),
        (&["clients", "add", " ", "--scope", "users:read"], "empty"),
        (&["clients", "add", "a\nb", "--scope", "users:read"], "one line"),
        (&["clients", "add", "odd", "--scope", "users:write"], "users:read, revocations:read"),
        (&["clients", "add", "odd"], "--scope"),
        (&["clients", "remove", "nobody"], "no client nobody"),
    ] {
        let refused = run(arguments);
        assert!(!refused.status.success() && text(&refused).contains(why), "{arguments:?}: {}", text(&refused));
    }
    assert!(run(&["clients", "remove", "reports"]).status.success());
    assert_eq!(token(id, secret).await, 401);
    assert_eq!(database.number("select count(*) from events where kind like 'client\\_%'").await, 3);
    assert!(!server.log().contains(secret));
}

#[tokio::test]
async fn check_config_shows_all_but_the_secrets() {
    let variables = environment("postgres://keeper:hunter2@db.example/claviger");
    let pairs: Vec<(&str, &str)> = variables.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let good = claviger(&["check-config"], &pairs);
    let shown = text(&good);
    assert!(good.status.success() && shown.contains("The configuration is good."), "{shown}");
    assert!(shown.contains("host db.example port 5432 user keeper database claviger"), "{shown}");
    assert!(shown.contains("CLAVIGER__PASSWORD__BCRYPT_COST") && shown.contains("Warning"), "{shown}");
    assert!(![JWT_SECRET, REFRESH_SECRET, "hunter2"].iter().any(|secret| shown.contains(secret)), "{shown}");

    let bad = claviger(&["check-config"], &[("JWT_SECRET", "changeme"), ("PORT", "x"), ("CLAVIGER__NO__SUCH", "1")]);
    let problems = text(&bad);
    assert_eq!(bad.status.code(), Some(1));
    for key in ["access_token.secrets", "refresh_token.keys", "database.url", "server.port", "no.such"] {
        assert!(problems.contains(key), "{key}: {problems}");
    }
    assert!(!problems.contains("changeme"), "{problems}");
    let served = claviger(&["serve"], &[("JWT_SECRET", "changeme")]);
    assert_eq!(served.status.code(), Some(1), "the same problems stop the start");
}

#[tokio::test]
async fn new_keys_are_good_and_kept() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().to_str().unwrap();
    assert!(claviger(&["keys", "new", "--dir", dir], &[]).status.success());
    let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap();
    let (jwt, refresh) = (read("jwt_secret"), read("refresh_secret"));
    assert_ne!(jwt, refresh);
    let again = claviger(&["keys", "new", "--dir", dir], &[]);
    assert!(text(&again).contains("kept"), "{}", text(&again));
    assert_eq!((read("jwt_secret"), read("refresh_secret")), (jwt, refresh));
    let mode =
        std::os::unix::fs::PermissionsExt::mode(&folder.path().join("jwt_secret").metadata().unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
    let files = [
        ("JWT_SECRET_FILE", format!("{dir}/jwt_secret")),
        ("REFRESH_SECRET_FILE", format!("{dir}/refresh_secret")),
        ("DATABASE_URL", "postgres://h/d".to_owned()),
    ];
    let files: Vec<(&str, &str)> = files.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let checked = claviger(&["check-config"], &files);
    assert!(checked.status.success(), "{}", text(&checked));
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn threads_that_hash_give_way_to_all_others() {
    use base64::prelude::{BASE64_STANDARD, Engine as _};

    let database = TestDatabase::migrated().await;
    let server = ServerProcess::ready(&database.url, &[]).await;
    server.anonymous().register("ada@example.com").await;
    // One that is no bcrypt is compared on a thread of another kind.
    let mut digest = [0; 32];
    let iterations = std::num::NonZeroU32::new(1_000).unwrap();
    let algorithm = aws_lc_rs::pbkdf2::PBKDF2_HMAC_SHA256;
    aws_lc_rs::pbkdf2::derive(algorithm, iterations, b"saltsalt", PASSWORD.as_bytes(), &mut digest);
    let hash = format!("{{django}}pbkdf2_sha256$1000$saltsalt${}", BASE64_STANDARD.encode(digest));
    database.execute(&format!("update users set password_hash = '{hash}'")).await;
    assert_eq!(server.anonymous().login("ada@example.com", PASSWORD).await.status, 200);

    let pid = server.child.id();
    let (mut hashing, mut others, mut raised) = (Vec::new(), Vec::new(), 0);
    let mut own = None;
    for thread in std::fs::read_dir(format!("/proc/{pid}/task")).unwrap() {
        let folder = thread.unwrap().path();
        let read = |file| std::fs::read_to_string(folder.join(file)).unwrap();
        let (name, stat) = (read("comm"), read("stat"));
        // The 19th field of proc_pid_stat(5), counted from the state, which is the third.
        let nice: i32 = stat.rsplit_once(')').unwrap().1.split_whitespace().nth(16).unwrap().parse().unwrap();
        if folder.ends_with(pid.to_string()) {
            own = Some(nice);
        }
        match name.trim() {
            "hashing" => hashing.push(nice),
            _ if nice == 10 => raised += 1,
            _ => others.push(nice),
        }
    }
    let cores = std::thread::available_parallelism().unwrap().get();
    assert_eq!(hashing, vec![10; cores.saturating_sub(1).max(1)]);
    assert_eq!(raised, 1, "the comparison that is no bcrypt");
    assert!(others.len() > 1 && others.iter().all(|nice| Some(*nice) == own && *nice < 10), "{own:?} {others:?}");
}
