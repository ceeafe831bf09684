//! Numbers.

use std::path::Path;

use claviger::auth::statistics::statistics;
use claviger::config::{self, Environment, Maintenance};
use claviger::store::Store;
use claviger::telemetry;

use super::show::show_statistics;
use super::{Failure, print_json};

pub(crate) async fn stats(file: Option<&Path>, environment: &Environment, json: bool) -> Result<(), Failure> {
    let Maintenance { database, sessions, events_kept, log, .. } = config::load_maintenance(file, environment)?;
    telemetry::start(&log);
    let statistics = statistics(&Store::new(&database)?, &sessions, events_kept).await?;
    if json { print_json(&statistics) } else { show_statistics(&statistics) }
}
