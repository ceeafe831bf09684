//! Serving, and asking whether a server is ready.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use claviger::app::{App, KeyChanger, asked_to_stop};
use claviger::config::{self, Environment, Loaded};
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::{Failure, load, print};

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
