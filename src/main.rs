//! The command line: what can be asked for. `commands` does it.

mod commands;

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use claviger::config;
use claviger::store::migrations;
use commands::{Failure, check_config, dev, health, keys, migrate, print, serve, sweep, user};

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
    },
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
    /// Manage sessions.
    Sessions {
        #[command(subcommand)]
        command: SessionsCommand,
    },
    /// Ask the server on this machine whether it is ready; the exit code says so too.
    Health,
}

#[derive(Subcommand)]
enum KeysCommand {
    /// Make new secrets for `JWT_SECRET` and `REFRESH_SECRET`.
    New {
        /// Write them to `jwt_secret` and `refresh_secret` in this folder, with mode 600. What is there is kept; a folder that
        /// is not is made.
        #[arg(long, value_name = "FOLDER")]
        dir: Option<PathBuf>,
        /// The number of the account that is to own the files, if root makes them for another.
        #[arg(long, value_name = "UID", requires = "dir")]
        owner: Option<u32>,
    },
    /// Rotation, first step: add a new secret to a file, in last place, where it is understood and not used.
    Add {
        /// A file with secrets, for instance the one that `JWT_SECRET_FILE` names.
        file: PathBuf,
    },
    /// Rotation, second step: move a secret of a file to the front, so that it is used.
    Promote {
        /// A file with secrets.
        file: PathBuf,
        /// The secret's name, as `add` said it.
        name: String,
    },
    /// Rotation, third step: remove a secret from a file.
    Drop {
        /// A file with secrets.
        file: PathBuf,
        /// The secret's name.
        name: String,
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
    /// Say what an account may do: its next access token has the role.
    SetRole {
        /// The account's e-mail address.
        email: String,
        /// user, admin, or service (a program that may read the list of revocations).
        role: String,
    },
}

#[derive(Subcommand)]
enum SessionsCommand {
    /// Remove sessions and events that are older than they are kept. Servers do it by themselves.
    Sweep,
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
        Command::Migrate { print_grants: Some(role) } => print(migrations::grants(role)),
        Command::Migrate { print_grants: None } => runtime.block_on(migrate(file, &environment)),
        Command::CheckConfig => check_config(file, &environment),
        Command::Keys { command } => keys(command),
        Command::User { command } => runtime.block_on(user(file, &environment, command)),
        Command::Sessions { command: SessionsCommand::Sweep } => runtime.block_on(sweep(file, &environment)),
        Command::Health => health(config::load_port(file, &environment)?),
    }
}
