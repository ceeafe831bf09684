//! Faults while servers start.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{LIMIT, LIMIT_OF_START, pause};
use crate::dice::Dice;
use crate::postgres::{Postgres, Template};
use crate::server::Server;
use crate::stage::{Line, Lost, Row, Stage};
use crate::wait_until;

/// All that a migration makes, in words.
const SCHEMA: &str = "
  select string_agg(line, e'\\n' order by line) from (
    select format('%s.%s %s %s %s', table_name, column_name, data_type, is_nullable, column_default) as line
    from information_schema.columns where table_schema = 'public'
    union all select indexdef from pg_indexes where schemaname = 'public'
    union all select format('%s %s %s', conrelid::regclass, conname, pg_get_constraintdef(oid)) from pg_constraint
              where connamespace = 'public'::regnamespace
    union all select format('version %s %s', version, checksum) from refinery_schema_history
  ) as lines";
const LOCKS: &str = "select count(*) from pg_locks where locktype = 'advisory'";
/// A migration is over in a moment; with this, in many.
const SLOW: &str = "
  create function slow() returns event_trigger language plpgsql as 'begin perform pg_sleep(0.02); end';
  create event trigger slow on ddl_command_end execute function slow()";

/// One of them migrates, the others wait for it; the schema is there once.
pub(super) async fn five_at_once(template: Arc<Template>) -> Row {
    let reference = reference(&template).await;
    let mut postgres = Postgres::prepare(&template, "postgres", &[]);
    postgres.start().await;
    let url = postgres.url();
    let servers = [(); 5].map(|()| Server::prepare(&template.ground, &url, &[]));
    let mut stage = Stage::set_up(postgres, servers.into());
    stage.begin();
    stage.servers.iter_mut().for_each(Server::launch);
    for server in &stage.servers {
        server.wait_until_ready().await;
    }
    if schema(&stage.postgres, "claviger").await != reference {
        stage.load.record.wrong("the schema is another than after one start".to_owned());
    }
    stage.finish(LIMIT).await
}

pub(super) async fn before_postgres(template: Arc<Template>) -> Row {
    let postgres = Postgres::prepare(&template, "postgres", &[]);
    let url = postgres.url();
    let servers = [(); 2].map(|()| Server::prepare(&template.ground, &url, &[]));
    let mut stage = Stage::set_up(postgres, servers.into());
    stage.begin();
    stage.servers.iter_mut().for_each(Server::launch);
    pause(5_000).await;
    stage.postgres.start().await;
    stage.finish(LIMIT_OF_START).await
}

/// Each time on a new database, at moments that are spread over a whole migration. There are no clients: requests are
/// the kills, and those of them that hit a migration at work are called failed.
pub(super) async fn killed_in_migration(template: Arc<Template>) -> Row {
    const ROUNDS: u32 = 20;
    let mut postgres = Postgres::prepare(&template, "postgres", &[]);
    postgres.start().await;
    let whole = migrate_slowly(&postgres, &template).await;
    let reference = schema(&postgres, "claviger").await;
    let mut line = Line { requests: 0, failed: 0, wrong: 0, lost: Lost::NotAsked, recovery: Some(Duration::ZERO) };
    let mut dice = Dice::new();
    let keeper = postgres.admin("postgres").await;
    for round in 0..ROUNDS {
        let name = format!("round{round}");
        keeper.batch_execute(&format!("create database {name} owner claviger")).await.unwrap();
        postgres.admin(&name).await.batch_execute(SLOW).await.unwrap();
        let mut server = Server::prepare(&template.ground, &postgres.url_at(&host(&postgres), &name), &[]);
        let moment = whole * round / ROUNDS + Duration::from_millis(dice.up_to(50));
        server.launch();
        tokio::time::sleep(moment).await;
        let hit = keeper.query_one(LOCKS, &[]).await.unwrap().get::<_, i64>(0) > 0;
        server.kill();
        line.requests += 1;
        line.failed += usize::from(hit);

        postgres.admin(&name).await.batch_execute("drop event trigger slow; drop function slow").await.unwrap();
        let restarted = Instant::now();
        server.start().await;
        line.recovery = line.recovery.max(Some(restarted.elapsed())).filter(|longest| *longest <= LIMIT_OF_START);
        // Its connection is closed by now, but Postgres may not have noticed.
        wait_until("no lock is left", async || postgres.number("postgres", LOCKS).await == 0).await;
        if schema(&postgres, &name).await != reference || !server.bugs().is_empty() {
            eprintln!("  WRONG: after a kill at {moment:?}: {:?}, or another schema", server.bugs());
            line.wrong += 1;
        }
    }
    eprintln!("  {} of {ROUNDS} kills hit a migration at work, which takes {whole:?}", line.failed);
    // Or else the row shows nothing.
    line.wrong += usize::from(line.failed < 5);
    Ok(line)
}

/// How long a migration takes with the brake on, from the start of the process.
async fn migrate_slowly(postgres: &Postgres, template: &Arc<Template>) -> Duration {
    postgres.execute(SLOW).await;
    let mut server = Server::prepare(&template.ground, &postgres.url(), &[]);
    let started = Instant::now();
    server.start().await;
    let whole = started.elapsed();
    postgres.execute("drop event trigger slow; drop function slow").await;
    whole
}

async fn reference(template: &Arc<Template>) -> String {
    let mut postgres = Postgres::prepare(template, "reference", &[]);
    postgres.start().await;
    Server::prepare(&template.ground, &postgres.url(), &[]).start().await;
    schema(&postgres, "claviger").await
}

async fn schema(postgres: &Postgres, database: &str) -> String {
    postgres.admin(database).await.query_one(SCHEMA, &[]).await.unwrap().get(0)
}

fn host(postgres: &Postgres) -> String {
    format!("127.0.0.1:{}", postgres.port)
}
