//! What goes on beside the requests: the schema is brought up to date, old rows are swept, mail is sent.

use std::time::Duration;

use time::OffsetDateTime;

use super::AppError;
use crate::auth::Error;
use crate::auth::sweep::{Removed, Sweep};
use crate::config::Database;
use crate::domain::access_token::LEEWAY;
use crate::domain::secret::Secret;
use crate::figures::{Counts, Figures, count, counts_of};
use crate::mail::{Outbox, Running};
use crate::store::Store;
use crate::store::migrations::{MigrationError, migrate};
use crate::telemetry::chain;

const FIRST_RETRY: Duration = Duration::from_millis(200);
const LONGEST_RETRY: Duration = Duration::from_secs(10);
/// Where the rights are missing, every request finds that; once a second is enough to look.
const PREPARE_AGAIN_AFTER: Duration = Duration::from_secs(1);
/// How often a process looks whether it is its turn to sweep.
const LOOK_FOR_TURN: Duration = Duration::from_mins(1);

/// What a process does besides answering.
pub(super) struct Upkeep {
    pub(super) database: Database,
    pub(super) store: Store,
    pub(super) sweep: Sweep,
    /// Zero for never.
    pub(super) sweep_every: Duration,
    pub(super) outbox: Option<Outbox>,
    pub(super) sweeps: Sweeps,
}

/// What is counted of sweeps.
pub(super) struct Sweeps {
    runs: Counts<1>,
    rows: Counts<1>,
}

impl Default for Sweeps {
    fn default() -> Self {
        Self { runs: counts_of("outcome", &["done", "failed"]), rows: counts_of("table", &["sessions", "events"]) }
    }
}

impl Sweeps {
    pub(super) fn enter_figures(&self, figures: &mut Figures) {
        figures.enter("sweeps", "Searches for rows that are old enough to go, by outcome.", self.runs.clone());
        figures.enter("swept_rows", "Rows that were removed because they were old enough.", self.rows.clone());
    }

    fn count(&self, swept: &Result<Removed, Error>) {
        count(&self.runs, "outcome", if swept.is_ok() { "done" } else { "failed" });
        let Ok(removed) = swept else { return };
        for (table, rows) in [("sessions", removed.sessions), ("events", removed.events)] {
            self.rows.get_or_create(&[("table", table.into())]).inc_by(rows.unsigned_abs());
        }
    }
}

impl Upkeep {
    /// Goes on until the schema cannot be brought up to date. What sends mail is put into `sending` when it starts, so that
    /// it can be let finish when this is dropped.
    pub(super) async fn keep(mut self, sending: &mut Option<Running>) -> AppError {
        loop {
            if let Err(error) = prepare(&self.database, &self.store).await {
                return error;
            }
            drop(tokio::task::spawn_blocking(Secret::prepare));
            if let Some(outbox) = self.outbox.take() {
                *sending = Some(outbox.start());
            }
            tokio::select! {
                never = keep_swept(self.sweep, &self.store, self.sweep_every, &self.sweeps) => return never,
                () = self.store.found_not_set_up() => {}
            }
            tracing::warn!("the database is not as it was left; preparing it again");
            tokio::time::sleep(PREPARE_AGAIN_AFTER).await;
        }
    }
}

/// Sweeps whenever it is this process's turn.
async fn keep_swept(sweep: Sweep, store: &Store, every: Duration, sweeps: &Sweeps) -> AppError {
    if every.is_zero() {
        return std::future::pending().await;
    }
    loop {
        // Not at the same moment in every process, nor in the busy seconds after a start.
        let pause = every.min(LOOK_FOR_TURN);
        tokio::time::sleep(pause.mul_f64(0.5 + jitter())).await;
        // In a box: a sweep has many kinds of steps, and all that a server waits for would be as large.
        let sweeping = Box::pin(sweep.in_turn(store, every));
        let Some(swept) = sweeping.await.transpose() else { continue };
        sweeps.count(&swept);
        match swept {
            Ok(removed) => tracing::info!(sessions = removed.sessions, events = removed.events, "swept old rows"),
            Err(error) => tracing::warn!(error = chain(&error), "old rows were not swept; they wait for the next turn"),
        }
    }
}

/// From 0 to 1, at random.
fn jitter() -> f64 {
    let [byte, ..] = *uuid::Uuid::new_v4().as_bytes();
    f64::from(byte) / f64::from(u8::MAX)
}

/// Nothing is decided by the clock of this machine but whether an access token is over.
fn compare_clocks(database: OffsetDateTime) {
    let ahead = OffsetDateTime::now_utc() - database;
    if ahead.abs() > LEEWAY {
        tracing::warn!(
            seconds_ahead = ahead.whole_seconds(),
            "this machine's clock and the database's differ: access tokens end too early or too late here. Let NTP set both"
        );
    }
}

/// Migrates if told to, then waits until the schema is there.
async fn prepare(database: &Database, store: &Store) -> Result<(), AppError> {
    let mut pause = FIRST_RETRY;
    loop {
        let attempt = async {
            if database.migrate {
                let applied = migrate(database, None).await?;
                tracing::info!(applied, "the schema is up to date");
            }
            Ok(())
        };
        let reason: Box<dyn std::error::Error + Send + Sync> = match attempt.await {
            Ok(()) => match store.check_ready().await {
                Ok(now) => {
                    tracing::info!(database = %database.url, "ready");
                    compare_clocks(now);
                    return Ok(());
                }
                Err(error) => Box::new(error),
            },
            Err(MigrationError::Unreachable(cause)) => cause,
            Err(error @ MigrationError::Busy) => Box::new(error),
            Err(error @ (MigrationError::Tls(_) | MigrationError::Failed(_) | MigrationError::Grant(_))) => {
                return Err(error.into());
            }
        };
        tracing::warn!(
            error = chain(&*reason), database = %database.url, retry_in_ms = pause.as_millis(),
            "the database is not ready; trying again",
        );
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_RETRY);
    }
}
