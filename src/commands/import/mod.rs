//! What another system has, taken over.

mod report;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use clap::{Args, Subcommand, ValueEnum};
use claviger::app::asked_to_stop;
use claviger::auth::import::{BATCH, Standing, add};
use claviger::config::{self, Environment, Maintenance};
use claviger::domain::imported::{Broken, ImportedUser};
use claviger::domain::profile::ProfileSchema;
use claviger::store::Store;
use claviger::telemetry;
use claviger::user_file::{Format, UserFile};

use super::Failure;
use report::{Progress, Report};

/// What can be imported.
#[derive(Subcommand)]
pub(crate) enum ImportCommand {
    /// Make accounts of the users in a file. Their passwords stay good; docs/how-to/import.md has the format.
    Users(UsersArguments),
}

/// How users are imported.
#[derive(Args)]
pub(crate) struct UsersArguments {
    /// CSV or JSON lines; `-` for standard input, which needs --skip-bad or --dry-run, as it can be read only once.
    file: PathBuf,
    /// Check every line and import nobody.
    #[arg(long)]
    dry_run: bool,
    /// Import the good lines though there are bad ones.
    #[arg(long)]
    skip_bad: bool,
    /// Say what was done as JSON.
    #[arg(long)]
    json: bool,
    /// How the file is written, if its name does not tell.
    #[arg(long)]
    format: Option<FormatName>,
    /// Leave a column out. Can be given several times.
    #[arg(long, value_name = "COLUMN")]
    ignore: Vec<String>,
}

#[derive(Clone, Copy, ValueEnum)]
enum FormatName {
    Csv,
    #[value(alias = "ndjson")]
    Jsonl,
}

pub(crate) async fn import(
    file: Option<&Path>,
    environment: &Environment,
    command: &ImportCommand,
) -> Result<(), Failure> {
    let ImportCommand::Users(arguments) = command;
    let Maintenance { database, profile_schema, log, .. } = config::load_maintenance(file, environment)?;
    telemetry::start(&log);
    let format = arguments.format.map(|name| match name {
        FormatName::Csv => Format::Csv,
        FormatName::Jsonl => Format::JsonLines,
    });
    let mut users = UserFile::open(&arguments.file, format, arguments.ignore.clone())?;
    let readable_twice = users.size().is_some();
    let UsersArguments { dry_run, skip_bad, json, .. } = *arguments;
    if !(readable_twice || dry_run || skip_bad) {
        let why = "standard input and pipes can be read only once, so that bad lines are found when good ones are imported already";
        return Err(Failure(format!("{why}: give a file, or say --skip-bad")));
    }
    let stop = stop_flag()?;
    if dry_run || readable_twice {
        let report = check(&mut users, profile_schema.as_ref(), &stop)?;
        if dry_run || (report.has_bad() && !skip_bad) {
            report.print(json)?;
            let refused = "there are bad lines, so nobody was imported; --skip-bad leaves them out";
            return if report.has_bad() && !skip_bad { Err(Failure(refused.to_owned())) } else { Ok(()) };
        }
    }
    let store = Store::new(&database)?;
    let mut report = Report::default();
    let outcome = bring_in(&mut users, profile_schema.as_ref(), &store, skip_bad, &stop, &mut report).await;
    report.print(json)?;
    outcome
}

/// Reads and checks every line.
fn check(users: &mut UserFile, schema: Option<&ProfileSchema>, stop: &AtomicBool) -> Result<Report, Failure> {
    let mut progress = Progress::new("checked", users.size())?;
    let mut report = Report::of_check();
    for line in users.lines(schema)? {
        let line = line?;
        report.read(line.number, line.user.as_ref().err());
        if progress.tell(line.position, &report) && stop.load(Ordering::Relaxed) {
            return Err(Failure("stopped; nobody was imported".to_owned()));
        }
    }
    progress.end();
    Ok(report)
}

/// Reads every line again and imports the good ones, batch by batch.
async fn bring_in(
    users: &mut UserFile,
    schema: Option<&ProfileSchema>,
    store: &Store,
    skip_bad: bool,
    stop: &AtomicBool,
    report: &mut Report,
) -> Result<(), Failure> {
    const AGAIN: &str = "what was imported stays; the same command goes on from there";
    let mut progress = Progress::new("read", users.size())?;
    let mut batch = Batch::default();
    for line in users.lines(schema)? {
        let line = line?;
        report.read(line.number, line.user.as_ref().err());
        match line.user {
            Ok(user) => batch.push(line.number, user),
            Err(_) if skip_bad => {}
            Err(_) => return Err(Failure(format!("the file has changed since it was checked; {AGAIN}"))),
        }
        if batch.users.len() == BATCH {
            let added = batch.bring_in(store, report).await;
            added.map_err(|Failure(error)| Failure(format!("{error}; {AGAIN}")))?;
            if stop.load(Ordering::Relaxed) {
                return Err(Failure(format!("stopped; {AGAIN}")));
            }
        }
        progress.tell(line.position, report);
    }
    let added = batch.bring_in(store, report).await;
    added.map_err(|Failure(error)| Failure(format!("{error}; {AGAIN}")))?;
    progress.end();
    Ok(())
}

/// Users that are imported together, with their lines.
#[derive(Default)]
struct Batch {
    lines: Vec<u64>,
    users: Vec<ImportedUser>,
}

impl Batch {
    fn push(&mut self, line: u64, user: ImportedUser) {
        self.lines.push(line);
        self.users.push(user);
    }

    async fn bring_in(&mut self, store: &Store, report: &mut Report) -> Result<(), Failure> {
        let left_out = if self.users.is_empty() { Vec::new() } else { add(store, &self.users).await? };
        report.imported += self.users.len() - left_out.len();
        for (place, standing) in left_out {
            match standing {
                Standing::There => report.already_there += 1,
                Standing::Taken => {
                    report.address_taken += 1;
                    let line = self.lines.get(place).copied().unwrap_or_default();
                    report.problem(line, Broken::new("email", "is the address of an account with another id"));
                }
            }
        }
        self.lines.clear();
        self.users.clear();
        Ok(())
    }
}

/// Set by the first SIGINT or SIGTERM. A second one ends the process at once.
fn stop_flag() -> Result<Arc<AtomicBool>, Failure> {
    let stop = asked_to_stop()?;
    let flag = Arc::new(AtomicBool::new(false));
    let raised = Arc::clone(&flag);
    tokio::spawn(async move {
        stop.await;
        raised.store(true, Ordering::Relaxed);
    });
    Ok(flag)
}
