//! The list of faults, by what breaks.

mod database;
mod network;
mod postgres;
mod schema;
mod servers;
mod starts;

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use crate::postgres::Template;
use crate::stage::Row;

type Run = fn(Arc<Template>) -> Pin<Box<dyn Future<Output = Row>>>;

/// From what a limit on recovery is made: a call that began during the fault may take 9 s to be answered (see
/// docs/architecture.md), and a second is for the busy machine.
const LIMIT: Duration = Duration::from_secs(10);
/// Where a server waits for its database it looks at least every 10 s.
const LIMIT_OF_START: Duration = Duration::from_secs(20);

pub(crate) const ROWS: &[(&str, Run)] = &[
    ("server killed and restarted, 5 times", |template| Box::pin(servers::killed(template))),
    ("server frozen for 5 s", |template| Box::pin(servers::frozen(template))),
    ("rolling hand-over behind a proxy, 5 times", |template| Box::pin(servers::handed_over(template))),
    ("clocks of servers 5 min apart", |template| Box::pin(servers::clocks_apart(template))),
    ("clients drop half of their requests", |template| Box::pin(network::dropped_by_clients(template))),
    ("database black-holed for 10 s, twice", |template| Box::pin(network::black_holed(template))),
    ("Postgres killed", |template| Box::pin(postgres::killed(template))),
    ("Postgres restarted", |template| Box::pin(postgres::restarted(template))),
    ("Postgres frozen for 10 s", |template| Box::pin(postgres::frozen(template))),
    ("fail-over, primary killed", |template| Box::pin(postgres::failed_over(template))),
    ("fail-over, primary vanished", |template| Box::pin(postgres::failed_over_from_silence(template))),
    ("disk full", |template| Box::pin(postgres::disk_full(template))),
    ("all tables locked for 10 s", |template| Box::pin(database::locked(template))),
    ("connection limit reached for 8 s", |template| Box::pin(database::crowded(template))),
    ("read-only primary for 8 s", |template| Box::pin(database::read_only(template))),
    ("connections terminated for 8 s", |template| Box::pin(database::terminated(template))),
    ("schema changed under cached plans for 8 s", |template| Box::pin(schema::changed(template))),
    ("database dropped and made anew, twice", |template| Box::pin(schema::dropped(template))),
    ("five first starts at once", |template| Box::pin(starts::five_at_once(template))),
    ("killed in mid-migration, 20 times", |template| Box::pin(starts::killed_in_migration(template))),
    ("started 5 s before Postgres", |template| Box::pin(starts::before_postgres(template))),
];

async fn pause(milliseconds: u64) {
    tokio::time::sleep(Duration::from_millis(milliseconds)).await;
}
