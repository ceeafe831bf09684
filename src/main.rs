//! The command line: what can be asked for. `commands` does it, and knows what can be asked about each subject.

mod commands;

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use claviger::config;
use claviger::store::migrations;
use commands::{
    ClientsCommand, Failure, ImportCommand, KeysCommand, SessionsCommand, UserArguments, check_config, clients, dev,
    health, import, keys, migrate, openapi, print, serve, sessions, stats, user,
};

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
    Migrate {
        /// Instead print the rights that a role needs that only serves, as SQL for the role that owns the tables.
        #[arg(long, value_name = "ROLE")]
        print_grants: Option<String>,
        /// Afterwards give these rights to that role, too.
        #[arg(long, value_name = "ROLE", conflicts_with = "print_grants")]
        grant: Option<String>,
    },
    /// Say what is wrong with the configuration, or show it.
    CheckConfig,
    /// Make secrets.
    Keys {
        #[command(subcommand)]
        command: KeysCommand,
    },
    /// Manage users.
    User(UserArguments),
    /// Take over what another system has.
    Import {
        #[command(subcommand)]
        command: ImportCommand,
    },
    /// Manage programs that call with credentials of their own.
    Clients {
        #[command(subcommand)]
        command: ClientsCommand,
    },
    /// Manage sessions.
    Sessions {
        #[command(subcommand)]
        command: SessionsCommand,
    },
    /// Count users, sessions, and what happened on each day.
    Stats {
        /// Answer in JSON, with the API's names.
        #[arg(long)]
        json: bool,
    },
    /// Print the document of the API: OpenAPI 3.1, in JSON.
    Openapi,
    /// Ask the server on this machine whether it is ready; the exit code says so too.
    Health,
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
        Command::Migrate { print_grants: Some(role), .. } => print(migrations::grants(role)),
        Command::Migrate { print_grants: None, grant } => {
            runtime.block_on(migrate(file, &environment, grant.as_deref()))
        }
        Command::CheckConfig => check_config(file, &environment),
        Command::Keys { command } => keys(command),
        Command::Import { command } => runtime.block_on(import(file, &environment, command)),
        Command::User(arguments) => runtime.block_on(user(file, &environment, arguments)),
        Command::Stats { json } => runtime.block_on(stats(file, &environment, *json)),
        Command::Clients { command } => runtime.block_on(clients(file, &environment, command)),
        Command::Sessions { command } => runtime.block_on(sessions(file, &environment, command)),
        Command::Openapi => openapi(),
        Command::Health => health(config::load_port(file, &environment)?),
    }
}
