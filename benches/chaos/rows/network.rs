//! Faults of the ways between processes.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::{LIMIT, pause};
use crate::postgres::{Postgres, Template};
use crate::proxy::{Proxy, Way};
use crate::stage::{Row, Stage};

pub(super) async fn dropped_by_clients(template: Arc<Template>) -> Row {
    let mut stage = Stage::set(&template, &[]).await;
    stage.begin();
    stage.load.drops.store(true, Ordering::Relaxed);
    pause(10_000).await;
    stage.load.drops.store(false, Ordering::Relaxed);
    stage.finish(LIMIT).await
}

/// Nothing passes between service and database, and nobody is told. The first time it passes later on, the second time
/// connections end.
pub(super) async fn black_holed(template: Arc<Template>) -> Row {
    let mut postgres = Postgres::prepare(&template, "postgres", &[]);
    postgres.start().await;
    let proxy = Proxy::to(vec![([127, 0, 0, 1], postgres.port).into()]).await;
    let url = postgres.url_at(&proxy.address.to_string(), "claviger");
    let mut stage = Stage::with_url(&template, postgres, &url).await;
    stage.begin();
    for end in [Way::Open, Way::Cut] {
        proxy.make(Way::Silent);
        pause(10_000).await;
        proxy.make(end);
        if end == Way::Open {
            pause(3_000).await;
        }
    }
    proxy.make(Way::Open);
    stage.finish(LIMIT).await
}
