//! What an installation is made of: its settings and its schema.

use std::collections::BTreeMap;
use std::path::Path;

use claviger::config::{self, Environment, Loaded, Maintenance};
use claviger::store::migrations;
use claviger::telemetry;

use super::{Failure, print};

pub(crate) async fn migrate(
    file: Option<&Path>,
    environment: &Environment,
    serving_role: Option<&str>,
) -> Result<(), Failure> {
    let Maintenance { database, log, .. } = config::load_maintenance(file, environment)?;
    telemetry::start(&log);
    let applied = migrations::migrate(&database, None).await?;
    print(format_args!(
        "{}: applied {applied} migration(s), now at version {}",
        database.url,
        migrations::newest_version()
    ))?;
    let Some(role) = serving_role else { return Ok(()) };
    migrations::grant(&database, role).await?;
    print(format_args!("{role} has the rights to serve"))
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
