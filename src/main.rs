//! The command line: arguments in, words out. What takes more than a few lines is in the library.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};
use claviger::app::{App, asked_to_stop};
use claviger::auth::disable::{disable, enable};
use claviger::config::{self, Environment, Loaded, Settings};
use claviger::dev::binaries::Binaries;
use claviger::dev::cluster::{Cluster, Purpose};
use claviger::dev::folder::Folder;
use claviger::domain::email::Email;
use claviger::domain::secret::Secret;
use claviger::store::{Store, migrations};
use claviger::{secret_file, telemetry};

/// Self-hosted authentication: short-lived JWTs, rotating refresh tokens, Postgres.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// A settings file; `config/default.toml` in the source names every key.
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Serve (the default): bring the schema up to date, then answer requests.
    Serve,
    /// Serve for development, with a private Postgres and secrets made on the first start.
    Dev {
        /// Where the private Postgres and the secrets are kept.
        #[arg(long, default_value = ".claviger", value_name = "FOLDER")]
        dir: PathBuf,
        /// The folder with the programs `initdb` and `postgres`, if not in a usual place.
        #[arg(long, value_name = "FOLDER")]
        postgres_bin: Option<PathBuf>,
    },
    /// Bring the schema up to date, and nothing else.
    Migrate,
    /// Say what is wrong with the configuration, or show it.
    CheckConfig,
    /// Make secrets.
    Keys {
        #[command(subcommand)]
        command: KeysCommand,
    },
    /// Manage users.
    User {
        #[command(subcommand)]
        command: UserCommand,
    },
    /// Ask the server on this machine whether it is ready; the exit code says so too.
    Health,
}

#[derive(Subcommand)]
enum KeysCommand {
    /// Make new secrets for `JWT_SECRET` and `REFRESH_SECRET`.
    New {
        /// Write them to `jwt_secret` and `refresh_secret` in this folder, with mode 600. What is there is kept.
        #[arg(long, value_name = "FOLDER")]
        dir: Option<PathBuf>,
        /// The number of the account that is to own the files, if root makes them for another.
        #[arg(long, value_name = "UID", requires = "dir")]
        owner: Option<u32>,
    },
}

#[derive(Subcommand)]
enum UserCommand {
    /// Close an account and end its sessions.
    Disable {
        /// The account's e-mail address.
        email: String,
    },
    /// Open an account again.
    Enable {
        /// The account's e-mail address.
        email: String,
    },
}

/// What went wrong, with its causes, ready to be printed.
struct Failure(String);

impl<E: std::error::Error> From<E> for Failure {
    fn from(error: E) -> Self {
        Self(telemetry::chain(&error))
    }
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure(text)) => {
            let _closed = writeln!(std::io::stderr(), "claviger: {text}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let file = arguments.config.as_deref();
    let environment = config::environment();
    match arguments.command.as_ref().unwrap_or(&Command::Serve) {
        Command::Serve => runtime.block_on(serve(file, &environment)),
        Command::Dev { dir, postgres_bin } => runtime.block_on(dev(file, environment, dir, postgres_bin.as_deref())),
        Command::Migrate => runtime.block_on(migrate(file, &environment)),
        Command::CheckConfig => check_config(file, &environment),
        Command::Keys { command: KeysCommand::New { dir, owner } } => new_keys(dir.as_deref(), *owner),
        Command::User { command } => runtime.block_on(user(file, &environment, command)),
        Command::Health => health(config::load_port(file, &environment)?),
    }
}

fn print(line: impl Display) -> Result<(), Failure> {
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

async fn serve(file: Option<&Path>, environment: &Environment) -> Result<(), Failure> {
    let settings = load(file, environment, &BTreeMap::new())?;
    let stop = asked_to_stop()?;
    Ok(App::build(settings)?.run(stop).await?)
}

async fn dev(
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

async fn migrate(file: Option<&Path>, environment: &Environment) -> Result<(), Failure> {
    let (database, log) = config::load_database(file, environment)?;
    telemetry::start(&log);
    let applied = migrations::migrate(&database, None).await?;
    print(format_args!(
        "{}: applied {applied} migration(s), now at version {}",
        database.url,
        migrations::newest_version()
    ))
}

fn check_config(file: Option<&Path>, environment: &Environment) -> Result<(), Failure> {
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

fn new_keys(dir: Option<&Path>, owner: Option<u32>) -> Result<(), Failure> {
    const NAMES: [(&str, &str); 2] = [("JWT_SECRET", "jwt_secret"), ("REFRESH_SECRET", "refresh_secret")];
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

async fn user(file: Option<&Path>, environment: &Environment, command: &UserCommand) -> Result<(), Failure> {
    let (database, log) = config::load_database(file, environment)?;
    telemetry::start(&log);
    let store = Store::new(&database)?;
    let (UserCommand::Disable { email } | UserCommand::Enable { email }) = command;
    let email = Email::parse(email).map_err(|error| Failure(format!("the address {}", error.message)))?;
    let unknown = || Failure(format!("there is no account with the address {}", email.as_str()));
    match command {
        UserCommand::Disable { .. } => {
            let ended = disable(&store, &email).await?.ok_or_else(unknown)?;
            print(format_args!("disabled {}; {ended} session(s) ended", email.as_str()))
        }
        UserCommand::Enable { .. } if enable(&store, &email).await? => {
            print(format_args!("enabled {}", email.as_str()))
        }
        UserCommand::Enable { .. } => Err(unknown()),
    }
}

/// A probe for containers, which have no shell and no curl.
fn health(port: u16) -> Result<(), Failure> {
    const LIMIT: Duration = Duration::from_secs(3);
    let mut stream = TcpStream::connect_timeout(&(Ipv4Addr::LOCALHOST, port).into(), LIMIT)?;
    stream.set_read_timeout(Some(LIMIT))?;
    stream.write_all(b"GET /health/ready HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let status = answer.lines().next().unwrap_or_default().to_owned();
    if status.contains(" 200 ") { print("ready") } else { Err(Failure(format!("not ready: {status}"))) }
}
