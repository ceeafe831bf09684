//! Sessions, all at once.

use std::path::Path;
use std::time::{Duration, Instant};

use clap::Subcommand;
use claviger::auth::operate::{EverybodyOut, end_everybodys_sessions};
use claviger::auth::sweep::Sweep;
use claviger::config::{self, Environment, Maintenance};
use claviger::store::Store;
use claviger::telemetry::{self, chain};

use super::{Failure, print};

const REPORT_EVERY: Duration = Duration::from_secs(2);

/// What can be done with sessions.
#[derive(Subcommand)]
pub(crate) enum SessionsCommand {
    /// Remove sessions and events that are older than they are kept. Servers do it by themselves.
    Sweep,
    /// End all sessions of all accounts: everybody signs in again. For after a restore, or when a copy of tokens is about.
    EndAll {
        /// Yes: this cannot be undone.
        #[arg(long)]
        yes: bool,
    },
}

pub(crate) async fn sessions(
    file: Option<&Path>,
    environment: &Environment,
    command: &SessionsCommand,
) -> Result<(), Failure> {
    match command {
        SessionsCommand::Sweep => sweep(file, environment).await,
        SessionsCommand::EndAll { yes: false } => Err(Failure("this cannot be undone; say --yes".to_owned())),
        SessionsCommand::EndAll { yes: true } => end_all(file, environment).await,
    }
}

async fn sweep(file: Option<&Path>, environment: &Environment) -> Result<(), Failure> {
    let Maintenance { database, sessions, events_kept, log, .. } = config::load_maintenance(file, environment)?;
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

async fn end_all(file: Option<&Path>, environment: &Environment) -> Result<(), Failure> {
    let Maintenance { database, sessions, log, .. } = config::load_maintenance(file, environment)?;
    telemetry::start(&log);
    let store = Store::new(&database)?;
    let mut reported = Instant::now();
    let mut told = EverybodyOut::default();
    let ended = |EverybodyOut { sessions, accounts }| format!("ended {sessions} sessions of {accounts} accounts");
    let out = end_everybodys_sessions(&store, &sessions, |so_far| {
        told = so_far;
        if reported.elapsed() >= REPORT_EVERY {
            reported = Instant::now();
            drop(print(format_args!("{} so far", ended(so_far))));
        }
    });
    match out.await {
        Ok(out) => print(ended(out)),
        Err(error) => {
            Err(Failure(format!("{}; {} until then, say it again for the others", chain(&error), ended(told))))
        }
    }
}
