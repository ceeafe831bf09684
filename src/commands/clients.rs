//! Programs with credentials of their own.

use std::path::Path;

use clap::Subcommand;
use claviger::auth::clients::{self, NewClient};
use claviger::config::{self, Environment, Maintenance};
use claviger::domain::client::{Client, Scope, Scopes};
use claviger::domain::user::Line;
use claviger::store::Store;
use claviger::telemetry;
use serde_json::json;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::{Failure, print};

/// What can be done with programs.
#[derive(Subcommand)]
pub(crate) enum ClientsCommand {
    /// Give a program credentials, and show them once.
    Add {
        /// What to call it.
        name: String,
        /// What it may do: users:read, revocations:read. May be given several times.
        #[arg(long = "scope", required = true, value_name = "SCOPE", value_parser = scope)]
        scopes: Vec<Scope>,
        /// Print an object for programs.
        #[arg(long)]
        json: bool,
    },
    /// List the programs.
    List {
        /// Print an array for programs.
        #[arg(long)]
        json: bool,
    },
    /// Take the credentials away; tokens open nothing here from then on.
    Remove {
        /// Its name.
        name: String,
        /// Print an object for programs.
        #[arg(long)]
        json: bool,
    },
}

fn scope(name: &str) -> Result<Scope, String> {
    let names = || Scope::ALL.map(Scope::as_str).join(", ");
    Scope::from_name(name).ok_or_else(|| format!("the scopes are {}", names()))
}

pub(crate) async fn clients(
    file: Option<&Path>,
    environment: &Environment,
    command: &ClientsCommand,
) -> Result<(), Failure> {
    let Maintenance { database, log, .. } = config::load_maintenance(file, environment)?;
    telemetry::start(&log);
    let store = Store::new(&database)?;
    match command {
        ClientsCommand::Add { name, scopes, json } => add(&store, &line(name)?, scopes, *json).await,
        ClientsCommand::List { json } => list(&store, *json).await,
        ClientsCommand::Remove { name, json } => remove(&store, &line(name)?, *json).await,
    }
}

fn line(name: &str) -> Result<Line, Failure> {
    let line = Line::parse(name, "name").map_err(|error| Failure(format!("the name {}", error.message)))?;
    line.ok_or_else(|| Failure("the name must not be empty".to_owned()))
}

async fn add(store: &Store, name: &Line, scopes: &[Scope], json: bool) -> Result<(), Failure> {
    let (scopes, name_text) = (scopes.iter().copied().collect::<Scopes>(), name.as_str());
    let added = clients::add(store, name, &scopes).await?;
    let NewClient { id, secret } = added.ok_or_else(|| Failure(format!("there is a client {name_text} already")))?;
    if json {
        let (secret, scopes) = (secret.reveal(), scopes.names());
        return print(json!({ "client_id": id, "client_secret": secret, "name": name_text, "scopes": scopes }));
    }
    print(format_args!("added {name_text}, which may {scopes}"))?;
    print(format_args!("  client_id      {id}"))?;
    print(format_args!("  client_secret  {}", secret.reveal()))?;
    print("Keep the secret now: it is not stored, and cannot be shown again.")
}

async fn list(store: &Store, json: bool) -> Result<(), Failure> {
    let clients = clients::list(store).await?;
    if json {
        let object = |client: &Client| {
            let Client { id, name, scopes, created_at, last_used_at } = client;
            let times = [Some(*created_at), *last_used_at].map(|at| at.and_then(|at| at.format(&Rfc3339).ok()));
            let [created_at, last_used_at] = times;
            json!({
                "client_id": id, "name": name, "scopes": scopes.names(),
                "created_at": created_at, "last_used_at": last_used_at,
            })
        };
        return print(clients.iter().map(object).collect::<serde_json::Value>());
    }
    let widest = |texts: &mut dyn Iterator<Item = usize>| texts.max().unwrap_or(0);
    let name = widest(&mut clients.iter().map(|client| client.name.chars().count())).max("NAME".len());
    let scopes = widest(&mut clients.iter().map(|client| client.scopes.to_string().len())).max("SCOPES".len());
    print(format_args!("{:<name$}  {:<36}  {:<scopes$}  {:<10}  LAST USED", "NAME", "CLIENT ID", "SCOPES", "ADDED"))?;
    for client in &clients {
        let used = client.last_used_at.map_or_else(|| "never".to_owned(), day);
        print(format_args!(
            "{:<name$}  {:<36}  {:<scopes$}  {:<10}  {used}",
            client.name,
            client.id.to_string(),
            client.scopes.to_string(),
            day(client.created_at),
        ))?;
    }
    Ok(())
}

/// In UTC.
fn day(at: OffsetDateTime) -> String {
    at.date().to_string()
}

async fn remove(store: &Store, name: &Line, json: bool) -> Result<(), Failure> {
    let removed = clients::remove(store, name).await?;
    let id = removed.ok_or_else(|| Failure(format!("there is no client {}", name.as_str())))?;
    if json {
        return print(json!({ "client_id": id, "name": name.as_str() }));
    }
    print(format_args!("removed {}; other services accept tokens it has until they end, in 5 minutes", name.as_str()))
}
