//! Faults that other clients of the database make, and operators.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{LIMIT, pause};
use crate::postgres::Template;
use crate::stage::{Row, Stage};

const TERMINATE: &str = "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'claviger'";

pub(super) async fn locked(template: Arc<Template>) -> Row {
    let mut stage = Stage::set(&template, &[]).await;
    let mut holder = stage.postgres.admin("claviger").await;
    let tables = "select string_agg(quote_ident(tablename), ', ') from pg_tables where schemaname = 'public'";
    let tables: String = holder.query_one(tables, &[]).await.unwrap().get(0);
    stage.begin();
    let transaction = holder.transaction().await.unwrap();
    transaction.batch_execute(&format!("lock table {tables} in access exclusive mode")).await.unwrap();
    pause(10_000).await;
    transaction.rollback().await.unwrap();
    stage.finish(LIMIT).await
}

/// Others take every connection that the service's role could have, and those that it has go away.
pub(super) async fn crowded(template: Arc<Template>) -> Row {
    let mut stage = Stage::set(&template, &["max_connections=40"]).await;
    let keeper = stage.postgres.admin("postgres").await;
    let mut others = Vec::new();
    stage.begin();
    let started = Instant::now();
    while started.elapsed() < Duration::from_secs(8) {
        while let Ok(other) = stage.postgres.as_service().await {
            others.push(other);
        }
        keeper.batch_execute(TERMINATE).await.unwrap();
    }
    drop(others);
    stage.finish(LIMIT).await
}

pub(super) async fn read_only(template: Arc<Template>) -> Row {
    let mut stage = Stage::set(&template, &[]).await;
    let keeper = stage.postgres.admin("postgres").await;
    stage.begin();
    keeper.batch_execute("alter system set default_transaction_read_only = on").await.unwrap();
    keeper.batch_execute("select pg_reload_conf()").await.unwrap();
    keeper.batch_execute(TERMINATE).await.unwrap();
    pause(8_000).await;
    keeper.batch_execute("set default_transaction_read_only = off").await.unwrap();
    keeper.batch_execute("alter system reset default_transaction_read_only").await.unwrap();
    keeper.batch_execute("select pg_reload_conf()").await.unwrap();
    stage.finish(LIMIT).await
}

pub(super) async fn terminated(template: Arc<Template>) -> Row {
    let mut stage = Stage::set(&template, &[]).await;
    let keeper = stage.postgres.admin("postgres").await;
    stage.begin();
    for _ in 0..80 {
        keeper.batch_execute(TERMINATE).await.unwrap();
        pause(100).await;
    }
    stage.finish(LIMIT).await
}
