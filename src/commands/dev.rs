//! Serving for development: the private Postgres, the secrets made on the first start, and the words that say where they are.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::Path;

use claviger::app::{App, asked_to_stop};
use claviger::config::{self, Environment, MailServer};
use claviger::dev::binaries::Binaries;
use claviger::dev::cluster::{Cluster, Purpose};
use claviger::dev::folder::Folder;

use super::{Failure, load, print};

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
    // Not known yet if any will do (port 0): then these links lead nowhere.
    let console = format!("http://{}:{}", Ipv4Addr::LOCALHOST, config::load_port(file, &environment)?);
    let mut overlay = BTreeMap::from([
        ("server.host".to_owned(), Ipv4Addr::LOCALHOST.to_string()),
        ("server.console".to_owned(), "true".to_owned()),
        ("cookie.secure".to_owned(), "false".to_owned()),
        ("cors.allowed_origins".to_owned(), DEVELOPMENT_ORIGINS.to_owned()),
        ("access_token.secrets".to_owned(), folder.secret("jwt_secret")?),
        ("refresh_token.keys".to_owned(), folder.secret("refresh_secret")?),
        ("mail.url".to_owned(), format!("file:{}", dir.join("mails").display())),
        ("mail.from".to_owned(), "claviger <claviger@localhost>".to_owned()),
        ("mail.verify_link".to_owned(), format!("{console}/#verify={{token}}")),
        ("mail.reset_link".to_owned(), format!("{console}/#reset={{token}}")),
    ]);
    let mut cluster = None;
    if !config::names_database(file, &environment) {
        let search_path = environment.get("PATH").map(String::as_str).unwrap_or_default();
        let binaries = Binaries::find(postgres_bin, search_path)?;
        let started = Cluster::start(&binaries, &folder.cluster_folder()?, Purpose::Development).await?;
        overlay.insert("database.url".to_owned(), started.default_url());
        cluster = Some(started);
    }
    folder.leave_database_url(cluster.as_ref().map(Cluster::default_url).as_deref())?;
    let settings = load(file, &environment, &overlay)?;
    let has_console = settings.server.console;
    let mails = settings.mail.as_ref().map(|mail| mail.server.clone());
    let app = App::build(settings)?;
    let address = app.address();
    folder.note(&format!("http://{address}"))?;
    print(format_args!("\n  claviger for development, ready in a moment"))?;
    if has_console {
        print(format_args!("  console    http://{address}"))?;
    }
    print(format_args!("  API        http://{address}/api/auth/… (docs/api.md)"))?;
    print(format_args!("  health     http://{address}/health/ready"))?;
    match &cluster {
        Some(cluster) => {
            print(format_args!("  database   {}", cluster.psql()))?;
            print(format_args!("  commands   DATABASE_URL=$(cat {}/database_url) claviger …", dir.display()))?;
        }
        None => print("  database   the one that DATABASE_URL names")?,
    }
    match mails {
        Some(MailServer::Folder(folder)) => print(format_args!("  mails      {}/*.eml", folder.display()))?,
        Some(server @ MailServer::Smtp(_)) => print(format_args!("  mails      {server}"))?,
        None => {}
    }
    print(format_args!("  secrets    {0}/jwt_secret, {0}/refresh_secret", dir.display()))?;
    print("  Ctrl-C stops all of it.\n")?;
    let outcome = app.run(stop).await;
    // Whoever listens at that address when it is no longer ours is somebody else.
    folder.leave_database_url(None)?;
    if let Some(mut cluster) = cluster {
        cluster.stop()?;
    }
    Ok(outcome?)
}
