//! What each command does: arguments in, words out. What takes more than a few lines is in the library.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::fs::DirBuilder;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use claviger::app::{App, KeyChanger, asked_to_stop};
use claviger::auth::operate::{disable, enable, set_role};
use claviger::auth::sweep::Sweep;
use claviger::config::{self, Environment, Loaded, Maintenance, Settings};
use claviger::dev::binaries::Binaries;
use claviger::dev::cluster::{Cluster, Purpose};
use claviger::dev::folder::Folder;
use claviger::domain::email::Email;
use claviger::domain::secret::Secret;
use claviger::domain::secret_list::SecretList;
use claviger::domain::user::Role;
use claviger::store::{Store, migrations};
use claviger::{secret_file, telemetry};
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::{KeysCommand, UserCommand};

/// What went wrong, with its causes, ready to be printed.
pub(crate) struct Failure(pub(crate) String);

impl<E: std::error::Error> From<E> for Failure {
    fn from(error: E) -> Self {
        Self(telemetry::chain(&error))
    }
}

pub(crate) fn print(line: impl Display) -> Result<(), Failure> {
    Ok(writeln!(std::io::stdout(), "{line}")?)
}

/// Settings with logging started, so that warnings are seen.
fn load(file: Option<&Path>, environment: &Environment, dev: &BTreeMap<String, String>) -> Result<Settings, Failure> {
    let Loaded { settings, warnings, .. } = config::load(file, environment, dev)?;
    telemetry::start(&settings.log);
    for warning in warnings {
        tracing::warn!("{warning}");
    }
    Ok(settings)
}

pub(crate) async fn serve(file: Option<&Path>, environment: &Environment) -> Result<(), Failure> {
    let settings = load(file, environment, &BTreeMap::new())?;
    let (stop, hang_ups) = (asked_to_stop()?, signal(SignalKind::hangup())?);
    let app = App::build(settings)?;
    tokio::spawn(change_keys(app.key_changer(), hang_ups, file.map(Path::to_owned), environment.clone()));
    Ok(app.run(stop).await?)
}

/// At each SIGHUP reads the secrets again: those in files may have changed.
async fn change_keys(keys: KeyChanger, mut hang_ups: Signal, file: Option<PathBuf>, environment: Environment) {
    while hang_ups.recv().await.is_some() {
        let read = config::load(file.as_deref(), &environment, &BTreeMap::new()).map_err(Failure::from);
        let changed = read.and_then(|Loaded { settings, .. }| {
            keys.change(&settings.access_token_secrets, &settings.refresh_token_keys)?;
            Ok((settings.access_token_secrets.len(), settings.refresh_token_keys.len()))
        });
        match changed {
            Ok((access, refresh)) => tracing::info!(access, refresh, "secrets were read again; these are in use now"),
            Err(Failure(error)) => tracing::error!(error, "secrets were not changed; the old ones stay in use"),
        }
    }
}

/// Where the development servers of common front ends are.
const DEVELOPMENT_ORIGINS: &str =
    "http://localhost:3000,http://localhost:5173,http://127.0.0.1:3000,http://127.0.0.1:5173";

pub(crate) async fn dev(
    file: Option<&Path>,
    environment: Environment,
    dir: &Path,
    postgres_bin: Option<&Path>,
) -> Result<(), Failure> {
    let mut folder = Folder::claim(dir)?;
    folder.note("starting")?;
    let stop = asked_to_stop()?;
    let mut overlay = BTreeMap::from([
        ("server.host".to_owned(), Ipv4Addr::LOCALHOST.to_string()),
        ("cookie.secure".to_owned(), "false".to_owned()),
        ("cors.allowed_origins".to_owned(), DEVELOPMENT_ORIGINS.to_owned()),
        ("access_token.secrets".to_owned(), folder.secret("jwt_secret")?),
        ("refresh_token.keys".to_owned(), folder.secret("refresh_secret")?),
    ]);
    let mut cluster = None;
    if !config::names_database(file, &environment) {
        let search_path = environment.get("PATH").map(String::as_str).unwrap_or_default();
        let binaries = Binaries::find(postgres_bin, search_path)?;
        let started = Cluster::start(&binaries, &folder.cluster_folder()?, Purpose::Development).await?;
        overlay.insert("database.url".to_owned(), started.default_url());
        cluster = Some(started);
    }
    let app = App::build(load(file, &environment, &overlay)?)?;
    let address = app.address();
    folder.note(&format!("http://{address}"))?;
    print(format_args!("\n  claviger for development, ready in a moment"))?;
    print(format_args!("  API        http://{address}/api/auth/… (docs/api.md)"))?;
    print(format_args!("  health     http://{address}/health/ready"))?;
    match &cluster {
        Some(cluster) => print(format_args!("  database   {}", cluster.psql()))?,
        None => print("  database   the one that DATABASE_URL names")?,
    }
    print(format_args!("  secrets    {0}/jwt_secret, {0}/refresh_secret", dir.display()))?;
    print("  Ctrl-C stops all of it.\n")?;
    let outcome = app.run(stop).await;
    if let Some(mut cluster) = cluster {
        cluster.stop()?;
    }
    Ok(outcome?)
}

pub(crate) async fn migrate(file: Option<&Path>, environment: &Environment) -> Result<(), Failure> {
    let Maintenance { database, log, .. } = config::load_maintenance(file, environment)?;
    telemetry::start(&log);
    let applied = migrations::migrate(&database, None).await?;
    print(format_args!(
        "{}: applied {applied} migration(s), now at version {}",
        database.url,
        migrations::newest_version()
    ))
}

pub(crate) fn check_config(file: Option<&Path>, environment: &Environment) -> Result<(), Failure> {
    let Loaded { settings, warnings, shown } = config::load(file, environment, &BTreeMap::new())?;
    for (key, value, origin) in shown {
        print(format_args!("{key:<28} {value:<24} {origin}"))?;
    }
    print(format_args!("\nThe database is {}.", settings.database.url))?;
    for warning in warnings {
        print(format_args!("Warning: {warning}."))?;
    }
    print("The configuration is good.")
}

pub(crate) fn keys(command: &KeysCommand) -> Result<(), Failure> {
    match command {
        KeysCommand::New { dir, owner } => new_keys(dir.as_deref(), *owner),
        KeysCommand::Add { file } => rotate(file, SecretList::add),
        KeysCommand::Promote { file, name } => rotate(file, |list| list.promote(name)),
        KeysCommand::Drop { file, name } => rotate(file, |list| list.drop(name)),
    }
}

/// One step of a rotation.
fn rotate(file: &Path, step: impl FnOnce(SecretList) -> Result<SecretList, String>) -> Result<(), Failure> {
    let named = |error: String| Failure(format!("{}: {error}", file.display()));
    let text = secret_file::read(file)?.ok_or_else(|| named("there is no secret in it".to_owned()))?;
    let list = SecretList::parse(&text).and_then(step).map_err(named)?;
    secret_file::replace(file, &list.to_text())?;
    let (used, others) =
        list.names().split_first().map(|(used, others)| (*used, others.join(", "))).unwrap_or_default();
    let others = if others.is_empty() { "no other".to_owned() } else { others };
    print(format_args!("{}: uses {used}, understands {others}", file.display()))?;
    print("send SIGHUP to every server that reads it")
}

fn new_keys(dir: Option<&Path>, owner: Option<u32>) -> Result<(), Failure> {
    const NAMES: [(&str, &str); 2] = [("JWT_SECRET", "jwt_secret"), ("REFRESH_SECRET", "refresh_secret")];
    if let Some(dir) = dir {
        let made = DirBuilder::new().recursive(true).mode(0o700).create(dir);
        made.map_err(|error| Failure(format!("{} cannot be made: {error}", dir.display())))?;
    }
    for (variable, name) in NAMES {
        match dir.map(|dir| dir.join(name)) {
            None => print(format_args!("{variable}={}", Secret::generate()?))?,
            Some(path) if secret_file::read(&path)?.is_some() => print(format_args!("kept {}", path.display()))?,
            Some(path) => {
                secret_file::write(&path, owner)?;
                print(format_args!("wrote {}; use it as {variable}_FILE", path.display()))?;
            }
        }
    }
    Ok(())
}

pub(crate) async fn user(file: Option<&Path>, environment: &Environment, command: &UserCommand) -> Result<(), Failure> {
    let Maintenance { database, sessions, log, .. } = config::load_maintenance(file, environment)?;
    telemetry::start(&log);
    let store = Store::new(&database)?;
    let (UserCommand::Disable { email } | UserCommand::Enable { email } | UserCommand::SetRole { email, .. }) = command;
    let email = Email::parse(email).map_err(|error| Failure(format!("the address {}", error.message)))?;
    let done = match command {
        UserCommand::Disable { .. } => {
            let ended = disable(&store, &email, &sessions).await?;
            ended.map(|ended| format!("disabled {}; {ended} session(s) ended", email.as_str()))
        }
        UserCommand::Enable { .. } => enable(&store, &email).await?.then(|| format!("enabled {}", email.as_str())),
        UserCommand::SetRole { role, .. } => {
            let named = Role::from_name(role).ok_or(Failure(format!("{role} is not user, admin or service")))?;
            set_role(&store, &email, named)
                .await?
                .then(|| format!("{} is {role} from the next token on", email.as_str()))
        }
    };
    print(done.ok_or_else(|| Failure(format!("there is no account with the address {}", email.as_str())))?)
}

pub(crate) async fn sweep(file: Option<&Path>, environment: &Environment) -> Result<(), Failure> {
    const REPORT_EVERY: Duration = Duration::from_secs(2);
    let Maintenance { database, sessions, events_kept, log } = config::load_maintenance(file, environment)?;
    telemetry::start(&log);
    let store = Store::new(&database)?;
    let mut reported = Instant::now();
    let days = |time: Duration| time.as_secs() / (24 * 60 * 60);
    print(format_args!(
        "removing sessions that ended {} days ago or were idle for {} and {0} more, and events of {} days ago",
        days(sessions.kept_after_end),
        days(sessions.idle_ttl),
        days(events_kept),
    ))?;
    let sweep = Sweep { sessions, events_kept };
    let removed = sweep.run(&store, |so_far| {
        if reported.elapsed() >= REPORT_EVERY {
            reported = Instant::now();
            drop(print(format_args!("removed {} sessions, {} events so far", so_far.sessions, so_far.events)));
        }
    });
    let removed = removed.await?;
    print(format_args!("removed {} sessions, {} events", removed.sessions, removed.events))
}

/// A probe for containers, which have no shell and no curl.
pub(crate) fn health(port: u16) -> Result<(), Failure> {
    const LIMIT: Duration = Duration::from_secs(3);
    let mut stream = TcpStream::connect_timeout(&(Ipv4Addr::LOCALHOST, port).into(), LIMIT)?;
    stream.set_read_timeout(Some(LIMIT))?;
    stream.write_all(b"GET /health/ready HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let status = answer.lines().next().unwrap_or_default().to_owned();
    if status.contains(" 200 ") { print("ready") } else { Err(Failure(format!("not ready: {status}"))) }
}
