//! Schemas that change or go away under servers that run.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{LIMIT, LIMIT_OF_START, pause};
use crate::postgres::Template;
use crate::stage::{Line, Lost, Row, Stage};

/// What a migration of a later version might do, and its undoing. Each makes plans that servers have kept unusable; the
/// types make even their results others.
const CHANGES: [&str; 10] = [
    "alter table users add column nickname text",
    "alter table users drop column nickname",
    "create index concurrently users_created_at_idx on users (created_at)",
    "drop index users_created_at_idx",
    "alter table users alter column full_name type varchar(400)",
    "alter table users alter column full_name type text",
    "alter table sessions add column place text not null default 'nowhere'; analyze sessions",
    "alter table sessions drop column place; analyze sessions",
    "alter table sessions alter column label type varchar(400)",
    "alter table sessions alter column label type text",
];

pub(super) async fn changed(template: Arc<Template>) -> Row {
    let mut stage = Stage::set(&template, &[]).await;
    let owner = stage.postgres.as_service().await.unwrap();
    // As migrations should: not to stand in front of everybody while they wait for a lock.
    owner.batch_execute("set lock_timeout = '1s'").await.unwrap();
    stage.begin();
    let started = Instant::now();
    while started.elapsed() < Duration::from_secs(8) {
        for change in CHANGES {
            while let Err(error) = owner.batch_execute(change).await {
                eprintln!("  once more: {error:?}");
            }
            pause(50).await;
        }
    }
    stage.finish(LIMIT).await
}

/// As scripts do that begin afresh. Old tokens must then be refused, and new accounts be possible, by themselves.
pub(super) async fn dropped(template: Arc<Template>) -> Row {
    let mut stage = Stage::set(&template, &[]).await;
    let keeper = stage.postgres.admin("postgres").await;
    stage.begin();
    for round in 0..2 {
        if round > 0 {
            pause(4_000).await;
        }
        // No answer of before or meanwhile binds any more.
        stage.load.ledger.forget_until(Instant::now() + Duration::from_hours(1));
        keeper.batch_execute("drop database claviger with (force)").await.unwrap();
        keeper.batch_execute("create database claviger owner claviger").await.unwrap();
        stage.load.ledger.forget_until(Instant::now());
    }
    let line = stage.finish(LIMIT_OF_START).await?;
    // Others were given since; if those are not kept, that is no design.
    Ok(if matches!(line.lost, Lost::Tokens(0)) { Line { lost: Lost::AllByDesign, ..line } } else { line })
}
